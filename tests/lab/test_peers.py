"""Peers that no run reaches, and meshes in which not everyone is a peer of everyone."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.wireguard.keys import generate_key_pair
from tests.documents import ROOT, blocks
from tests.lab.gaps import total
from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.stack import Stack, mesh_address
from tests.lab.traffic import Traffic
from tests.own_ssh import write_own_ssh

# The commands of the page, in its order: for a phone and a laptop, then those that are given over SSH.
_SHOWN, _LAPTOP, _NEW_KEY, _KEPT_KEY, _ROUTER = blocks(ROOT / "docs/tasks/peers.md", "sh")


@pytest.fixture
def owner(stack: Stack, lab: Lab, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Return what runs a command of the page, by the operator, who reaches edgeworth as laptop and dora as router."""
    config = "".join(
        f"Host {name}\n HostName {lab.hosts[host].ssh_address}\n User root\n IdentityFile {lab.ssh_key}\n"
        f" StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n"
        for name, host in (("laptop", "edgeworth"), ("router", "dora"))
    )
    (tmp_path / "config").write_text(config)
    write_own_ssh(tmp_path, f"-F {tmp_path}/config")
    path = f"{tmp_path}:{stack.project}/.venv/bin:{stack.environment['PATH']}"

    def run(command: str, *, succeeds: bool = True) -> str:
        done = subprocess.run(
            lab.command("bash", "-c", command), cwd=stack.project, env={**stack.environment, "PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) == succeeds, done.stdout + done.stderr
        return done.stdout

    yield run
    for name in ("edgeworth", "dora"):
        lab.hosts[name].run("systemctl disable -q --now wg-quick@testwg; rm -f /etc/wireguard/testwg.*", check=False)


def _reaches(host: Host, *names: str) -> bool:
    pings = (f"ping -6 -q -c 1 -W 6 {mesh_address(name, 'testwg')} >/dev/null" for name in names)
    return host.run(f"{' && '.join(pings)} && echo yes", check=False) == "yes\n"


def test_peers_that_are_not_managed_reach_every_host_as_the_page_tells_their_owner(
    stack: Stack, lab: Lab, owner: Callable[..., str]
) -> None:
    """Also after the laptop's key was made anew; once it is out of the stack file, it reaches nobody."""
    laptop, router = lab.hosts["edgeworth"], lab.hosts["dora"]
    mesh: dict[str, Any] = {"hosts": ["bernard", "carol"], "port": 51825, "deadline": 20}
    own_key = _prepare_router(router, owner)
    peers = {"laptop": {}, "router": {"publicKey": own_key, "endpoint": f"{router.external_address}:51820"}}
    stack.write({"testwg": mesh | {"peers": peers}})
    stack.up()
    for command in (_LAPTOP, _ROUTER):
        owner(command)
    assert _reaches(laptop, "bernard", "carol")
    assert _reaches(router, "bernard", "carol")
    assert "not managed" in stack.companion("status", "--pairs").output
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
    stack.write({"testwg": mesh | {"peers": {**peers, "laptop": {"rotation": 2}}}})
    assert "laptop needs its new file" in stack.up().output
    assert not _reaches(laptop, "bernard")
    for command in (_LAPTOP, _ROUTER):
        owner(command)
    assert _reaches(laptop, "bernard", "carol")
    router.run("systemctl restart wg-quick@testwg")
    assert _reaches(router, "bernard", "carol")
    assert router.run("wg show testwg public-key; wg pubkey </etc/wireguard/testwg.key") == f"{own_key}\n" * 2
    stack.write({"testwg": mesh})
    stack.up()
    assert not _reaches(laptop, "bernard")


def _prepare_router(router: Host, owner: Callable[..., str]) -> str:
    """Give the router a key by both ways of the page, of which neither writes over one; return the public key."""
    key = generate_key_pair()
    router.run("install -m 700 -d /etc/wireguard; command -v wg-quick")
    router.run("cat >/etc/wireguard/testwg.conf", f"[Interface]\nPrivateKey = {key.private_key}\n")
    assert owner(_KEPT_KEY) == f"{key.public_key}\n"
    for command in (_NEW_KEY, _KEPT_KEY):
        owner(command, succeeds=False)
    assert router.run("cat /etc/wireguard/testwg.key") == f"{key.private_key}\n"
    router.run("rm /etc/wireguard/testwg.*")
    made = owner(_NEW_KEY).strip()
    owner(_KEPT_KEY, succeeds=False)
    assert router.run("stat -c %a /etc/wireguard/testwg.key") == "600\n"
    return made


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
