"""Namespaces and wires of the lab; nothing of it ever appears in the root namespace.

PREFIX-ctl   where pulumi and the tests run; bridge br-mg 10.99.255.254/16 to every host's mgmt0
PREFIX-inet  the internet: each public host hangs on a routed point-to-point wire: 203.0.113.N, 198.51.100.N and
             2001:db8:1::N
PREFIX-r-X   the router of a host behind NAT; symmetric: another public port for each destination
PREFIX-l-X   a machine on the network behind a host: 192.168.10.2 and 2001:db8:5::2
PREFIX-X     one host
"""

import subprocess
from pathlib import Path

__all__ = ["Network"]

_NETNS = Path("/run/netns")

_ROUTER = """
table ip nat {
  chain postrouting { type nat hook postrouting priority 100; oifname "wan" masquerade random; }
}
table inet filter {
  chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept
    iifname "lan0" accept; }
  chain input { type filter hook input priority 0; policy drop; ct state established,related accept; iif lo accept
    iifname "lan0" accept; icmp type echo-request accept; }
}
"""

# Tunnels must take the wide area, as they would in the world, so UDP cannot cross the management bridge.
_MANAGEMENT = """
table bridge lab {
  chain forward { type filter hook forward priority 0; ip protocol udp drop; ip6 nexthdr udp drop; }
}
"""


def _run(*command: str, text: str | None = None, check: bool = True) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"lab: {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Network:
    """The wires of one lab, by prefix."""

    def __init__(self, prefix: str) -> None:
        """Name a network; nothing is made yet."""
        self.prefix = prefix

    def space(self, name: str) -> str:
        """Return the full name of a namespace."""
        return f"{self.prefix}-{name}"

    def exists(self, name: str) -> bool:
        """Tell whether a namespace is there."""
        return (_NETNS / self.space(name)).exists()

    def ip(self, name: str, *batch: str) -> None:
        """Run lines of `ip` in a namespace, in one process."""
        _run("ip", "-n", self.space(name), "-batch", "-", text="\n".join(batch) + "\n")

    def nft(self, name: str, rules: str) -> None:
        """Load nftables rules in a namespace."""
        _run("ip", "netns", "exec", self.space(name), "nft", "-f", "-", text=rules)

    def _make(self, name: str, *sysctls: str) -> None:
        _run("ip", "netns", "add", self.space(name))
        self.ip(name, "link set lo up")
        if sysctls:
            _run("ip", "netns", "exec", self.space(name), "sysctl", "-qw", *sysctls)

    def make_core(self) -> None:
        """Make the control namespace and the internet."""
        self._make("ctl")
        self.ip("ctl", "link add br-mg type bridge", "addr add 10.99.255.254/16 dev br-mg", "link set br-mg up")
        self.nft("ctl", _MANAGEMENT)
        self._make("inet", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def _wire(self, name: str, device: str, address: str, other: str, other_device: str) -> None:
        # A fixed address, since neighbours would hold a stale one after a reboot.
        _run(
            "ip", "link", "add", device, "address", address, "netns", self.space(name),
            "type", "veth", "peer", "name", other_device, "netns", self.space(other),
        )  # fmt: skip

    def _wide_area(self, host: str, number: int) -> None:
        # One shared segment would overflow the kernel's neighbour table at 50 hosts.
        port = f"p-{host}"
        self.ip(
            "inet",
            f"link set {port} up",
            f"addr add 169.254.0.1/32 dev {port}",
            f"addr add fe80::1/64 dev {port} nodad",
            f"route add 203.0.113.{number}/32 dev {port}",
            f"route add {self.local_address(number)}/32 dev {port}",
            f"route add 2001:db8:1::{number:x}/128 via fe80::2 dev {port}",
        )

    def _public(self, device: str, number: int) -> list[str]:
        return [
            f"link set {device} up",
            f"addr add 203.0.113.{number}/32 dev {device}",
            f"addr add {self.local_address(number)}/32 dev {device}",
            f"addr add 2001:db8:1::{number:x}/128 dev {device} nodad",
            f"addr add fe80::2/64 dev {device} nodad",
            f"route add 169.254.0.1 dev {device} scope link",
            f"route add default via 169.254.0.1 dev {device} src 203.0.113.{number}",
            f"route add 198.51.100.0/24 via 169.254.0.1 dev {device} src {self.local_address(number)}",
            f"route add default via fe80::1 dev {device}",
        ]

    def addresses(self, number: int, *, nat: bool) -> list[str]:
        """Return the lines of `ip` that give a host its addresses on eth0 and mgmt0, and the ways from there."""
        management = [f"addr add {self.management_address(number)}/16 dev mgmt0", "link set mgmt0 up"]
        if not nat:
            return [*management, *self._public("eth0", number)]
        lan = ["addr add 192.168.77.2/24 dev eth0", "link set eth0 up", "route add default via 192.168.77.1"]
        return [*management, *lan]

    @staticmethod
    def hardware_addresses(number: int) -> dict[str, str]:
        """Return the hardware address of each device of a host."""
        return {
            device: f"02:00:00:{kind}:{number // 256:02x}:{number % 256:02x}"
            for device, kind in (("mgmt0", "01"), ("eth0", "02"), ("wan", "03"))
        }

    def connect(self, host: str, number: int, *, nat: bool) -> None:
        """Make a host's namespace and wires; a router or machine behind it that is there already is kept."""
        hardware = self.hardware_addresses(number)
        self._make(host)
        if self.exists(f"l-{host}"):
            self._wire_lan(host)
        self._wire(host, "mgmt0", hardware["mgmt0"], "ctl", f"m-{host}")
        self.ip("ctl", f"link set m-{host} master br-mg up")
        if not nat:
            self._wire(host, "eth0", hardware["eth0"], "inet", f"p-{host}")
            self._wide_area(host, number)
            return
        router = f"r-{host}"
        if not self.exists(router):
            self._make(router, "net.ipv4.ip_forward=1")
            self._wire(router, "wan", hardware["wan"], "inet", f"p-{host}")
            self._wide_area(host, number)
            self.ip(router, *self._public("wan", number))
            self.nft(router, _ROUTER)
        self._wire(host, "eth0", hardware["eth0"], router, "lan0")
        self.ip(router, "addr add 192.168.77.1/24 dev lan0", "link set lan0 up")

    @staticmethod
    def taps() -> dict[str, str]:
        """Return the name of the tap of each device of a virtual machine."""
        return {device: f"t-{device}" for device in ("eth0", "mgmt0")}

    def make_taps(self, host: str) -> None:
        """Join each wire of a connected host to a tap of the same namespace.

        The namespace has no addresses then: whoever opens the taps is the host.
        """
        _run("ip", "netns", "exec", self.space(host), "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
             "net.ipv6.conf.default.disable_ipv6=1")  # fmt: skip
        for number, (device, tap) in enumerate(self.taps().items()):
            self.ip(
                host,
                # What it was given is the guest's, and a bridge keeps what is sent to an address of its own.
                f"link set {device} address 06:00:00:00:00:{number:02x} up",
                f"link add b-{device} type bridge",
                f"tuntap add {tap} mode tap",
                *(f"link set {port} master b-{device} up" for port in (device, tap)),
                f"link set b-{device} up",
            )

    def add_lan(self, host: str) -> None:
        """Put a machine on a network behind a host that is connected; only that host knows the way to it."""
        self._make(f"l-{host}")
        self._wire_lan(host)

    def _wire_lan(self, host: str) -> None:
        self._wire(host, "lan0", "02:00:00:04:00:01", f"l-{host}", "eth0")
        self.ip(
            host,
            "addr add 192.168.10.1/24 dev lan0",
            "addr add 2001:db8:5::1/64 dev lan0 nodad",
            "link set lan0 up",
        )
        self.ip(
            f"l-{host}",
            "addr add 192.168.10.2/24 dev eth0",
            "addr add 2001:db8:5::2/64 dev eth0 nodad",
            "link set eth0 up",
            "route add default via 192.168.10.1",
            "route add default via 2001:db8:5::1",
        )

    def remove_lan(self, host: str) -> None:
        """Take the machine behind a host away."""
        _run("ip", "-n", self.space(host), "link", "del", "lan0", check=False)
        _run("ip", "netns", "del", self.space(f"l-{host}"), check=False)

    def connect_operator(self) -> None:
        """Let the control namespace reach public hosts over the internet, as 192.0.2.254, until `remove_operator`."""
        self._wire("ctl", "op0", "02:00:00:05:00:01", "inet", "p-op")
        self.ip("inet", "link set p-op up", "addr add 169.254.0.1/32 dev p-op", "route add 192.0.2.254/32 dev p-op")
        self.ip(
            "ctl",
            "addr add 192.0.2.254/32 dev op0",
            "link set op0 up",
            "route add 169.254.0.1 dev op0 scope link",
            "route add 203.0.113.0/24 via 169.254.0.1 src 192.0.2.254",
        )

    def remove_operator(self) -> None:
        """Take the operator's way over the internet away."""
        _run("ip", "-n", self.space("ctl"), "link", "del", "op0", check=False)

    def management_address(self, number: int) -> str:
        """Return where SSH finds a host."""
        return f"10.99.{number // 250}.{number % 250}"

    def local_address(self, number: int) -> str:
        """Return the second address of a host with a wire of its own, which such hosts use with each other."""
        return f"198.51.100.{number}"

    def disconnect(self, host: str) -> None:
        """Remove a host's namespace, wires first: a namespace's own end is asynchronous. Nothing if there is none."""
        if not self.exists(host):
            return
        for device in ("mgmt0", "eth0", "lan0", "wan", "t-mgmt0", "t-eth0"):
            _run("ip", "-n", self.space(host), "link", "del", device, check=False)
        _run("ip", "netns", "del", self.space(host), check=False)

    def block_udp(self, one: int, other: int, port: int) -> None:
        """Drop UDP to `port` between two public hosts, both ways, until `unblock`."""
        self._drop(one, other, f"udp dport {port}")

    def narrow(self, one: int, other: int, size: int) -> None:
        """Drop packets of more than `size` bytes between two public hosts without a word, until `unblock`."""
        self._drop(one, other, f"meta length > {size}")

    def cut(self, one: int, other: int) -> None:
        """Drop everything between two public hosts, both ways, until `unblock`."""
        self._drop(one, other, "")

    def _drop(self, one: int, other: int, what: str) -> None:
        pair = [(one, other), (other, one)]
        rules = "\n".join(f"ip saddr 203.0.113.{a} ip daddr 203.0.113.{b} {what} drop" for a, b in pair)
        self.nft("inet", f"table inet block {{\n chain f {{\n type filter hook forward priority 0;\n{rules}\n }}\n}}\n")

    def forward(self, host: str, external: int, port: int) -> None:
        """Let the router of a host behind NAT forward a UDP port to it, until `stop_forwarding`."""
        self.nft(
            f"r-{host}",
            "table ip forward {\n chain p {\n type nat hook prerouting priority -100;\n"
            f'iifname "wan" udp dport {external} counter dnat to 192.168.77.2:{port}\n }}\n}}\n'
            "table inet filter {\n chain forward {\n ct status dnat accept\n }\n}\n",
        )

    def forwarded(self, host: str) -> int:
        """Return how many flows were forwarded."""
        listing = _run("ip", "netns", "exec", self.space(f"r-{host}"), "nft", "list", "table", "ip", "forward")
        return int(listing.split("packets ")[1].split()[0])

    def stop_forwarding(self, host: str) -> None:
        """Take the forwarding away; what the router lets through for it lets nothing through without it."""
        self.nft(f"r-{host}", "delete table ip forward\n")

    def unblock(self) -> None:
        """Take all blocks away."""
        _run("ip", "netns", "exec", self.space("inet"), "nft", "delete", "table", "inet", "block", check=False)

    def refuse_ssh(self, name: str) -> None:
        """Let no new SSH connection in at a host, until `accept_ssh`; those that are open go on."""
        self._take_no_ssh(name, "reject with tcp reset")

    def ignore_ssh(self, name: str) -> None:
        """Leave new SSH connections to a host without an answer, until `accept_ssh`; those that are open go on."""
        self._take_no_ssh(name, "drop")

    def _take_no_ssh(self, name: str, verdict: str) -> None:
        begun = "tcp dport 22 tcp flags & (syn | ack) == syn"
        rule = f"chain i {{\n type filter hook input priority -10;\n{begun} {verdict}\n }}"
        self.nft(name, f"table inet refuse {{\n {rule}\n}}\n")

    def accept_ssh(self, name: str) -> None:
        """Let new SSH connections in again."""
        self.nft(name, "delete table inet refuse\n")

    def remove(self) -> None:
        """Remove every namespace of this lab."""
        for name in self.names():
            _run("ip", "netns", "del", name, check=False)

    def names(self) -> list[str]:
        """Return the namespaces of this lab that exist."""
        return sorted(entry.name for entry in _NETNS.glob(f"{self.prefix}-*")) if _NETNS.is_dir() else []
