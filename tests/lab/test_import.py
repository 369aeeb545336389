"""A mesh that was set up by hand becomes a stack's, and its tunnels do not notice."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mesh.wireguard.keys import KeyPair, generate_key_pair, generate_preshared_key
from tests import wg_meshconf
from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.loss import Loss, pinging
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, mesh_address, wait_until

_PORT = 51820
# What runs and boots, but for what moves by itself. Keys are compared where they have to be the same.
_RUNS = (
    "ip -o link show testwg | cut -d : -f 1; ip -6 -o address show dev testwg; ip -6 route show dev testwg; "
    "cat /sys/class/net/testwg/mtu; wg showconf testwg | grep -v ^Endpoint | sort"
)


@pytest.fixture
def stack(engine_stack: Stack) -> Stack:
    """Return a stack of the engine: `python -m mesh adopt` puts secrets into its stack file."""
    return engine_stack


class ByHand:
    """A mesh of wg-quick files on every host of a lab; `kind` says what is special about it, or which tool made it."""

    def __init__(self, lab: Lab, folder: Path, kind: str) -> None:
        self.lab = lab
        self.folder = folder
        names = list(lab.hosts)
        pairs = {kind == "pairs" and frozenset((a, b)): generate_preshared_key() for a in names for b in names}
        own = {name: f"fd12:3456:789a:{number}::1/64" for number, name in enumerate(names, 1)}
        seed = {name: f"{mesh_address(name, 'testwg')}/64" for name in names}
        shared = {name: f"fd12:3456:789a::{number}/64" for number, name in enumerate(names, 1)}
        ipv4 = {name: f"10.66.0.{number}/24" for number, name in enumerate(names, 1)}
        ranges = {name: f"10.2{number}.0.1/16" for number, name in enumerate(names, 1)}
        self.addresses = {
            "seed": seed, "fleet": seed, "none": own, "wg-meshconf": own, "pairs": shared, "ipv4": ipv4,
            "ranges": ranges,
        }[kind]  # fmt: skip
        if kind == "ranges":
            self._generate()
            return
        keys = {name: generate_key_pair() for name in names}
        for name, host in lab.hosts.items():
            lines = ["[Interface]", f"PrivateKey = {keys[name].private_key}", f"Address = {self.addresses[name]}"]
            # A host behind NAT takes a random port, if by hand none was given.
            lines += [f"ListenPort = {_PORT}"] if host.external_address or kind != "none" else []
            for other, peer in lab.hosts.items():
                if other != name:
                    network = self.addresses[other].replace("::1/", "::/")
                    lines += ["", "[Peer]", f"PublicKey = {keys[other].public_key}"]
                    single = self.addresses[other].partition("/")[0] + ("/32" if kind == "ipv4" else "/128")
                    lines += [f"AllowedIPs = {single if kind in ('pairs', 'ipv4') else network}"]
                    key = pairs.get(kind == "pairs" and frozenset((name, other)))
                    lines += [f"PresharedKey = {key}"] if key and kind not in ("none", "wg-meshconf") else []
                    lines += [f"Endpoint = {peer.external_address}:{_PORT}"] if peer.external_address else []
                    keeps_alive = not host.external_address or kind == "wg-meshconf"
                    lines += ["PersistentKeepalive = 25"] if keeps_alive else []
            if kind == "ipv4" and name == "bernard":
                # It is no host of the lab, and has its peer at one host only.
                lines += ["", "# phone", "[Peer]", f"PublicKey = {generate_key_pair().public_key}"]
                lines += [f"PresharedKey = {pairs[False]}", "AllowedIPs = 10.66.0.9/32"]
            text = "# made by hand\n" + "\n".join(lines) + "\n"
            (folder / name).mkdir(parents=True)
            (folder / name / "testwg.conf").write_text(text)
            self._lay(host, text)
        self.keys = {key.private_key for key in keys.values()}
        self.source = self._describe(kind, keys)

    @staticmethod
    def _lay(host: Host, text: str) -> None:
        host.run("mkdir -p -m 700 /etc/wireguard; umask 077; cat >/etc/wireguard/testwg.conf", text=text)

    def _generate(self) -> None:
        """Let the real wg-meshconf make it, in the layout of its README: a range for each host."""
        self.folder.mkdir()
        wg_meshconf.run(self.folder, "init")
        for name, host in self.lab.hosts.items():
            known = ["--endpoint", host.external_address] if host.external_address else []
            words = ("--address", self.addresses[name], *known, "--persistentkeepalive", "25")
            wg_meshconf.run(self.folder, "addpeer", name, *words)
        wg_meshconf.run(self.folder, "genconfig")
        self.keys = set()
        for name, host in self.lab.hosts.items():
            text = (self.folder / "output" / f"{name}.conf").read_text()
            self.keys.add(text.partition("PrivateKey = ")[2].partition("\n")[0])
            self._lay(host, text)
        self.source = ["wg-meshconf", str(self.folder / "database.csv"), "--interface", "testwg"]

    def _describe(self, kind: str, keys: Mapping[str, KeyPair]) -> list[str]:
        """Write the records of the tool that made the mesh, and return the words that import them."""
        if kind == "wg-meshconf":
            database = self.folder / "database.csv"
            rows = ["Name,Address,Endpoint,ListenPort,PersistentKeepalive,PrivateKey"]
            for name, host in self.lab.hosts.items():
                words = (name, self.addresses[name], host.external_address or "", _PORT, 25, keys[name].private_key)
                rows.append(",".join(str(word) for word in words))
            database.write_text("\n".join(rows) + "\n")
            return [kind, str(database), "--interface", "testwg"]
        if kind == "fleet":
            state = self.folder / "fleet.nix"
            made = "\n".join(
                f'{{ owners = [ "{name}" ]; createdAt = "2026-04-23T16:39:29.5Z"; '
                f'public.raw = "<PLAINTEXT>{key.public_key}"; secret.raw = "<ENCRYPTED>abc"; }}'
                for name, key in keys.items()
            )
            hosts = "\n".join(f'{name}.encryptionKey = "{host.host_key}";' for name, host in self.lab.hosts.items())
            state.write_text(f"{{ hosts = {{ {hosts} }}; secrets = {{ testwg-key = [ {made} ]; }}; }}\n")
            return [kind, str(state), "--port", str(_PORT)]
        return ["wg-quick", str(self.folder)]

    def start(self) -> None:
        """Bring all up: one by wg-quick itself, which does not boot, the others as services."""
        for name, host in self.lab.hosts.items():
            host.run("wg-quick up testwg" if name == "dora" else "systemctl enable -q --now wg-quick@testwg")

    def runs(self) -> dict[str, str]:
        """Return what each host runs."""
        return {name: host.run(_RUNS) for name, host in self.lab.hosts.items()}

    def boots(self) -> dict[str, str]:
        """Return what each host boots, with the bytes, the mode and the time of its file."""
        script = (
            "stat -c '%a %Y' /etc/wireguard/testwg.conf; cat /etc/wireguard/testwg.conf; "
            "find /etc/systemd/system -printf '%p %m %l\\n' | sort"
        )
        return {name: host.run(script) for name, host in self.lab.hosts.items()}

    def stop(self) -> None:
        """Take away what is left."""
        for host in self.lab.hosts.values():
            host.run(
                "systemctl disable -q --now wg-quick@testwg; wg-quick down testwg; rm -f /etc/wireguard/*", check=False
            )


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
    yaml = YAML()
    content: dict[str, Any] = yaml.load(stack.file.read_text())
    for name, entry in content["config"]["mesh:hosts"].items():
        entry["ssh"] = {"address": stack.lab.hosts[name].ssh_address}
        if tool == "fleet" and (external := stack.lab.hosts[name].external_address):
            entry["externalIps"] = [external]
    with stack.file.open("w") as stream:
        yaml.dump(content, stream)
    stack.companion("scan", str(stack.file), "--yes")
    if tool == "fleet":
        # Its private keys are on the hosts alone.
        stack.companion("adopt", str(stack.file), "--yes")
    stack.interfaces = {"testwg": yaml.load(stack.file.read_text())["config"]["mesh:interfaces"]["testwg"]}
    return output


@pytest.mark.parametrize("by_hand", ["seed", "none", "pairs", "wg-meshconf", "fleet"], indirect=True)
def test_a_mesh_made_by_hand_is_taken_over_without_loss(
    stack: Stack, by_hand: ByHand, record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> None:
    """One preshared key and the seed's addresses; no preshared key and other subnets; a key a pair and one subnet.

    And a database of wg-meshconf, and a state of Fleet, which knows no external addresses and no private keys.
    """
    kind = request.node.callspec.params["by_hand"]
    by_hand.start()
    running = by_hand.runs()
    output = _import(stack, by_hand)
    derived = kind in ("seed", "fleet")
    assert stack.file.read_text().count("address: ") == len(by_hand.addresses) * (1 if derived else 2)
    lost: dict[tuple[str, str], Loss] = {}
    wait_until(lambda: not stack.silent("testwg"))
    with pinging(stack, "testwg", list(stack.lab.hosts), lost):
        output += stack.up().output
    record_property(
        "loss",
        f"taking over ({kind}): {sum(loss.lost for loss in lost.values())} of "
        f"{sum(loss.sent for loss in lost.values())}, longest silence "
        f"{max(loss.gap for loss in lost.values()) * 1000:.0f} ms",
    )
    # A random port becomes the one of the mesh, and a packet may be on its way to the old one.
    assert {pair: loss.lost for pair, loss in lost.items() if loss.lost > (1 if kind == "none" else 0)} == {}
    after = by_hand.runs()
    if derived:
        assert after == running
    assert {key for key in by_hand.keys if key in output + stack.file.read_text()} == set()
    stack.up("--expect-no-changes")
    stack.forget_adopted()
    stack.up("--expect-no-changes")
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
    record_property(
        "loss",
        f"taking over (ipv4): {sum(loss.lost for loss in lost.values())} of {sum(loss.sent for loss in lost.values())}",
    )
    assert {pair: loss.lost for pair, loss in lost.items() if loss.lost} == {}
    assert bernard.run(f"wg show testwg preshared-keys | grep {phone}") == secret
    assert "10.66.0.9/32" in bernard.run(f"wg show testwg allowed-ips | grep {phone}")
    stack.lab.hosts["carol"].reboot()
    wait_until(lambda: not stack.silent("testwg"))
    assert bernard.run("ping -q -c 1 -W 2 10.66.0.2")
    stack.destroy()


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
    record_property(
        "loss",
        f"taking over (ranges): {sum(loss.lost for loss in lost.values())} of "
        f"{sum(loss.sent for loss in lost.values())}",
    )
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
    stack.destroy()


@pytest.mark.parametrize("by_hand", ["ipv4"], indirect=True)
def test_a_takeover_of_ipv4_addresses_that_fails_gives_them_back(stack: Stack, by_hand: ByHand) -> None:
    """With the length of their network and the route to it."""
    by_hand.start()
    _import(stack, by_hand)
    scripts = (
        "ip -o address show dev testwg; ip route show dev testwg; ip -6 route show dev testwg; wg show testwg peers"
    )
    before = {name: sorted(host.run(scripts).splitlines()) for name, host in stack.lab.hosts.items()}
    stack.lab.network.block_udp(1, 2, _PORT)
    try:
        stack.fail()
    finally:
        stack.lab.network.unblock()
    after = {name: sorted(host.run(scripts).splitlines()) for name, host in stack.lab.hosts.items()}
    assert after == before
    stack.destroy()


@pytest.mark.parametrize("by_hand", ["none"], indirect=True)
def test_a_takeover_that_fails_gives_everything_back(stack: Stack, by_hand: ByHand) -> None:
    """Interfaces, files and what boots are those of before, byte for byte, and destroy leaves them too."""
    by_hand.start()
    _import(stack, by_hand)
    wait_until(lambda: not stack.silent("testwg"))
    before = {name: snapshot(host) for name, host in stack.lab.hosts.items()}
    running, boots = by_hand.runs(), by_hand.boots()
    stack.lab.network.block_udp(1, 2, _PORT)
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
    stack.destroy()
