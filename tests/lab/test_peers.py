"""Peers that no run reaches, and meshes in which not everyone is a peer of everyone."""

from typing import Any

from tests.lab.gaps import total
from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.stack import Stack, mesh_address
from tests.lab.traffic import Traffic


def _carry_over(host: Host, file: str) -> None:
    """Play the owner of a peer: put the file where wg-quick finds it, and bring it up."""
    host.run("wg-quick down testwg 2>/dev/null; install -m 700 -d /etc/wireguard", check=False)
    host.run("umask 077; cat >/etc/wireguard/testwg.conf && wg-quick up testwg", text=file)


def _reaches(host: Host, *names: str) -> bool:
    pings = (f"ping -6 -q -c 1 -W 6 {mesh_address(name, 'testwg')} >/dev/null" for name in names)
    return host.run(f"{' && '.join(pings)} && echo yes", check=False) == "yes\n"


def test_a_laptop_that_is_not_managed_reaches_every_host_by_its_file(stack: Stack, lab: Lab) -> None:
    """Also after its key was made anew; once it is out of the stack file, it reaches nobody."""
    laptop = lab.hosts["dora"]
    hosts = {name: stack.describe(host) for name, host in lab.hosts.items() if name != "dora"}
    mesh: dict[str, Any] = {"hosts": sorted(hosts), "port": 51825, "deadline": 20}
    stack.write({"testwg": mesh | {"peers": {"laptop": {}}}}, hosts)
    stack.up()
    laptop.run("command -v wg-quick >/dev/null")
    try:
        _carry_over(laptop, stack.companion("peer", "laptop").output)
        # Both are roaming, as far as anybody knows.
        assert _reaches(laptop, "bernard", "carol")
        status = stack.companion("status", "--pairs").output
        assert "not managed" in status
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
        stack.write({"testwg": mesh | {"peers": {"laptop": {"rotation": 2}}}}, hosts)
        assert "laptop needs its new file" in stack.up().output
        assert not _reaches(laptop, "bernard")
        _carry_over(laptop, stack.companion("peer", "laptop").output)
        assert _reaches(laptop, "bernard", "carol")
        stack.write({"testwg": mesh}, hosts)
        stack.up()
        assert not _reaches(laptop, "bernard")
        stack.destroy()
    finally:
        laptop.run("wg-quick down testwg; rm -f /etc/wireguard/testwg.conf", check=False)


def test_spokes_meet_their_hub_only_and_rules_change_without_loss(stack: Stack, lab: Lab) -> None:
    """A full mesh becomes hub and spoke and full again; who are peers throughout lose nothing."""
    mesh: dict[str, Any] = {"hosts": list(lab.hosts), "port": 51825, "deadline": 20}
    stack.write({"testwg": mesh})
    stack.up()
    watched = [lab.hosts[name] for name in ("bernard", "carol", "edgeworth")]
    rules = [{"hub": ["bernard"], "spokes": ["all"]}]
    with Traffic(watched, "testwg", rate=20) as traffic:
        for peering in (rules, []):
            with traffic.watch() as seen:
                stack.write({"testwg": mesh | {"peering": peering}})
                stack.up()
            assert total(seen.touching("bernard", ["carol", "edgeworth"])).lost <= 1
            assert _reaches(lab.hosts["dora"], "bernard")
            assert _reaches(lab.hosts["dora"], "carol") == (not peering)
    stack.destroy()
