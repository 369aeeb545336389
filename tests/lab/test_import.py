"""A mesh that was set up by hand becomes a stack's, and its tunnels do not notice."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mesh.wireguard.keys import generate_key_pair
from tests import wg_meshconf
from tests.documents import shell_of
from tests.lab.by_hand import PORT, ByHand
from tests.lab.lab import Lab
from tests.lab.loss import Loss, pinging
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, wait_until
from tests.lab.typed import TypedStack


@pytest.fixture
def stack(engine_stack: Stack) -> Stack:
    """Return a stack of the engine: `python -m mesh adopt` puts secrets into its stack file."""
    return engine_stack


@pytest.fixture
def by_hand(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ByHand]:
    """Return a mesh that was set up by hand."""
    try:
        made = ByHand(lab, tmp_path / "files", request.param)
    except wg_meshconf.NotInstalledError as lack:
        pytest.skip(str(lack))
    yield made
    made.stop()


def _import(stack: Stack, by_hand: ByHand) -> str:
    """Do what the import tells, as far as a plan."""
    tool, file, *options = by_hand.source
    output = stack.companion("import", tool, file, str(stack.file), *options).output
    _fill_in(stack, tool)
    stack.companion("scan", str(stack.file), "--yes")
    if tool == "fleet":
        # Its private keys are on the hosts alone.
        stack.companion("adopt", str(stack.file), "--yes")
    return output


def _fill_in(stack: Stack, tool: str) -> None:
    """Write into the stack file what its import left to a person: by which addresses SSH reaches the hosts."""
    yaml = YAML()
    content: dict[str, Any] = yaml.load(stack.file.read_text())
    for name, entry in content["config"]["mesh:hosts"].items():
        entry["ssh"] = {"address": stack.lab.hosts[name].ssh_address}
        if tool == "fleet" and (external := stack.lab.hosts[name].external_address):
            entry["externalIps"] = [external]
    with stack.file.open("w") as stream:
        yaml.dump(content, stream)
    stack.interfaces = {"testwg": content["config"]["mesh:interfaces"]["testwg"]}


def _tell(record_property: Callable[[str, object], None], kind: str, lost: dict[tuple[str, str], Loss]) -> None:
    record_property(
        "loss",
        f"taking over ({kind}): {sum(loss.lost for loss in lost.values())} of "
        f"{sum(loss.sent for loss in lost.values())}, longest silence "
        f"{max(loss.gap for loss in lost.values()) * 1000:.0f} ms",
    )


@pytest.mark.parametrize("by_hand", ["seed"], indirect=True)
def test_what_the_page_says_takes_over_a_mesh_made_by_hand_without_loss(
    office: TypedStack, by_hand: ByHand, record_property: Callable[[str, object], None]
) -> None:
    """Its lines in a row, and before the scan the addresses that it says to fill in."""
    by_hand.start()
    running = by_hand.runs()
    page = shell_of("docs/tasks/import.md", "Import a mesh that exists")
    first, scan, rest = page.replace("FOLDER", str(by_hand.folder)).partition("python -m mesh scan office")
    said = office.type_in(first)
    _fill_in(office, "wg-quick")
    lost: dict[tuple[str, str], Loss] = {}
    wait_until(lambda: not office.silent("testwg"))
    with pinging(office, "testwg", list(office.lab.hosts), lost):
        said += office.type_in(f"{scan}{rest}")
    _tell(record_property, "seed", lost)
    assert {pair: loss.lost for pair, loss in lost.items() if loss.lost} == {}
    assert "Are these the fingerprints of your hosts?" in said
    assert by_hand.runs() == running
    content = office.file.read_text()
    assert {key for key in by_hand.keys if key in said + content} == set()
    assert "mesh:adopted" not in content
    office.up("--expect-no-changes")


@pytest.mark.parametrize("by_hand", ["none", "pairs", "wg-meshconf", "fleet"], indirect=True)
def test_a_mesh_made_by_hand_is_taken_over_without_loss(
    stack: Stack, by_hand: ByHand, record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> None:
    """No preshared key and other subnets; a key for each pair and one subnet.

    And a database of wg-meshconf, and a state of Fleet, which knows no external addresses and no private keys.
    """
    kind = request.node.callspec.params["by_hand"]
    by_hand.start()
    running = by_hand.runs()
    output = _import(stack, by_hand)
    derived = kind == "fleet"
    assert stack.file.read_text().count("address: ") == len(by_hand.addresses) * (1 if derived else 2)
    lost: dict[tuple[str, str], Loss] = {}
    wait_until(lambda: not stack.silent("testwg"))
    with pinging(stack, "testwg", list(stack.lab.hosts), lost):
        output += stack.up().output
    _tell(record_property, kind, lost)
    # A random port becomes the one of the mesh, and a packet may be on its way to the old one.
    assert {pair: loss.lost for pair, loss in lost.items() if loss.lost > (1 if kind == "none" else 0)} == {}
    after = by_hand.runs()
    if derived:
        assert after == running
    assert {key for key in by_hand.keys if key in output + stack.file.read_text()} == set()
    stack.forget_adopted()
    stack.up("--expect-no-changes")
    # From here on, nothing tells how the mesh was made.
    if kind != "none":
        return
    # It did not boot its interface before.
    stack.lab.hosts["dora"].reboot()
    wait_until(lambda: not stack.silent("testwg"))
    stack.destroy()
    assert stack.running_keys("testwg") == {}
    assert {host.run("ls -A /etc/wireguard") for host in stack.lab.hosts.values()} == {""}


@pytest.mark.parametrize("by_hand", ["ipv4"], indirect=True)
def test_a_mesh_of_ipv4_addresses_with_a_phone_is_taken_over_without_loss(
    stack: Stack, by_hand: ByHand, record_property: Callable[[str, object], None]
) -> None:
    """The IPv4 addresses go on, IPv6 addresses come beside them, and the phone stays the peer that it was."""
    by_hand.start()
    bernard = stack.lab.hosts["bernard"]
    output = _import(stack, by_hand)
    assert "phone: no file has its key, so it becomes a peer that is not managed here" in output
    phone = bernard.run("wg show testwg allowed-ips | grep 10.66.0.9").split()[0]
    secret = bernard.run(f"wg show testwg preshared-keys | grep {phone}")
    addresses = {name: address.partition("/")[0] for name, address in by_hand.addresses.items()}
    lost: dict[tuple[str, str], Loss] = {}
    with pinging(stack, "testwg", list(stack.lab.hosts), lost, addresses):
        stack.up()
        stack.up("--expect-no-changes")
    _tell(record_property, "ipv4", lost)
    assert {pair: loss.lost for pair, loss in lost.items() if loss.lost} == {}
    assert bernard.run(f"wg show testwg preshared-keys | grep {phone}") == secret
    assert "10.66.0.9/32" in bernard.run(f"wg show testwg allowed-ips | grep {phone}")
    stack.lab.hosts["carol"].reboot()
    wait_until(lambda: not stack.silent("testwg"))
    assert bernard.run("ping -q -c 1 -W 2 10.66.0.2")


@pytest.mark.parametrize("by_hand", ["ranges"], indirect=True)
def test_the_layout_of_the_readme_of_wg_meshconf_is_taken_over_without_loss(
    stack: Stack, by_hand: ByHand, record_property: Callable[[str, object], None]
) -> None:
    """Each host is sent all of its range, as before; no host begins to forward anything for it."""
    by_hand.start()
    output = _import(stack, by_hand)
    assert "bernard: is sent all of 10.21.0.0/16, which becomes its routes" in output
    addresses = {name: address.partition("/")[0] for name, address in by_hand.addresses.items()}
    lost: dict[tuple[str, str], Loss] = {}
    with pinging(stack, "testwg", list(stack.lab.hosts), lost, addresses):
        output += stack.up().output
        stack.up("--expect-no-changes")
    _tell(record_property, "ranges", lost)
    assert {pair: loss.lost for pair, loss in lost.items() if loss.lost} == {}
    assert {key for key in by_hand.keys if key in output + stack.file.read_text()} == set()
    carol = stack.lab.hosts["carol"]
    assert {"10.21.0.1/32", "10.21.0.0/16"} < set(carol.run("wg show testwg allowed-ips").split())
    assert "dev testwg" in carol.run("ip route get 10.21.9.9")
    forwards = "cat /proc/sys/net/ipv4/ip_forward; nft list tables"
    assert {host.run(forwards).split()[0] for host in stack.lab.hosts.values()} == {"0"}
    assert [name for name, host in stack.lab.hosts.items() if "mesh_forward" in host.run(forwards)] == []
    carol.reboot()
    wait_until(lambda: not stack.silent("testwg"))
    assert carol.run("ping -q -c 1 -W 2 10.21.0.1")
    # What the note says: without a route that nobody needs, addresses are all that is sent.
    for member in stack.interfaces["testwg"]["members"].values():
        member.pop("routes")
    stack.write(stack.interfaces)
    stack.up()
    assert "10.21.0.0/16" not in carol.run("wg show testwg allowed-ips")


@pytest.mark.parametrize("by_hand", ["ipv4"], indirect=True)
def test_a_takeover_of_ipv4_addresses_that_fails_gives_them_back(stack: Stack, by_hand: ByHand) -> None:
    """With the length of their network and the route to it."""
    by_hand.start()
    _import(stack, by_hand)
    scripts = (
        "ip -o address show dev testwg; ip route show dev testwg; ip -6 route show dev testwg; wg show testwg peers"
    )
    before = {name: sorted(host.run(scripts).splitlines()) for name, host in stack.lab.hosts.items()}
    stack.lab.network.block_udp(1, 2, PORT)
    try:
        stack.fail()
    finally:
        stack.lab.network.unblock()
    after = {name: sorted(host.run(scripts).splitlines()) for name, host in stack.lab.hosts.items()}
    assert after == before


@pytest.mark.parametrize("by_hand", ["none"], indirect=True)
def test_a_takeover_that_fails_gives_everything_back(stack: Stack, by_hand: ByHand) -> None:
    """Interfaces, files and what boots are those of before, byte for byte, and destroy leaves them too."""
    by_hand.start()
    _import(stack, by_hand)
    wait_until(lambda: not stack.silent("testwg"))
    before = {name: snapshot(host) for name, host in stack.lab.hosts.items()}
    running, boots = by_hand.runs(), by_hand.boots()
    stack.lab.network.block_udp(1, 2, PORT)
    try:
        stack.fail()
    finally:
        stack.lab.network.unblock()
    assert by_hand.runs() == running
    assert by_hand.boots() == boots
    wait_until(lambda: not stack.silent("testwg"))
    stack.destroy()
    after = {name: snapshot(host) for name, host in stack.lab.hosts.items()}
    assert {name: text for name in after if (text := difference(before[name], after[name]))} == {}
    assert by_hand.runs() == running
    wait_until(lambda: not stack.silent("testwg"))


@pytest.mark.parametrize("by_hand", ["seed"], indirect=True)
def test_what_mesh_would_drop_stops_the_takeover(stack: Stack, by_hand: ByHand) -> None:
    """A hook in the file of one host, a peer of its own on another: both are named, and nothing changes."""
    by_hand.start()
    _import(stack, by_hand)
    hosts = stack.lab.hosts
    hosts["dora"].run("sed -i 's/^ListenPort.*/&\\nPostUp = true/' /etc/wireguard/testwg.conf")
    hosts["carol"].run(f"wg set testwg peer {generate_key_pair().public_key}")
    running, boots = by_hand.runs(), by_hand.boots()
    output = stack.fail()
    assert "/etc/wireguard/testwg.conf has PostUp, which mesh would drop" in output
    assert "which no host of the mesh is; describe that host, or remove the peer" in output
    assert by_hand.runs() == running
    assert by_hand.boots() == boots
