"""IPv4 inside the mesh, beside IPv6."""

from typing import Any

from ruamel.yaml import YAML

from tests.lab.gaps import total
from tests.lab.lab import Lab
from tests.lab.stack import Stack, wait_until
from tests.lab.traffic import Traffic


def test_a_running_mesh_gets_ipv4_addresses_and_loses_nothing(stack: Stack, lab: Lab) -> None:
    """Every pair answers by IPv4, also after a reboot; taken out again, no address is left."""
    mesh: dict[str, Any] = {"hosts": list(lab.hosts), "port": 51825, "deadline": 20, "names": True}
    stack.write({"testwg": mesh})
    stack.up()
    with Traffic(list(lab.hosts.values()), "testwg", rate=20) as traffic, traffic.watch() as seen:
        stack.write({"testwg": mesh | {"ipv4": "10.20.0.0/24"}})
        assert "no address for bernard, carol, dora, edgeworth; run python -m mesh allocate" in stack.fail()
        stack.companion("allocate", str(stack.file))
        assert "~ bernard IPv4 address: none becomes 10.20.0.1" in stack.run("preview").output
        stack.up()
    assert total(list(seen.gaps.values())).lost <= 1
    members = YAML(typ="safe").load(stack.file.read_text())["config"]["mesh:interfaces"]["testwg"]["members"]
    addresses = {host: entry["ipv4"] for host, entry in members.items()}
    assert addresses == {"bernard": "10.20.0.1", "carol": "10.20.0.2", "dora": "10.20.0.3", "edgeworth": "10.20.0.4"}

    def answers(host: str) -> bool:
        pings = " && ".join(f"ping -4 -q -c 1 -W 6 {address} >/dev/null" for address in addresses.values())
        return lab.hosts[host].run(f"{pings} && echo yes", check=False) == "yes\n"

    assert all(answers(host) for host in lab.hosts)
    assert "10.20.0.2" in lab.hosts["dora"].run("getent ahostsv4 carol.testwg")
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
    lab.hosts["dora"].reboot()
    wait_until(lambda: not stack.silent("testwg"), 90)
    assert answers("dora")
    stack.write({"testwg": mesh})
    stack.up()
    assert lab.hosts["carol"].run("ip -4 -o address show dev testwg; ip -4 route show dev testwg") == ""
