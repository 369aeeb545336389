"""A mesh that was set up by hand, or by another tool than this program, on the hosts of a lab."""

from collections.abc import Mapping
from pathlib import Path

from mesh.wireguard.keys import KeyPair, generate_key_pair, generate_preshared_key
from tests import wg_meshconf
from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.stack import mesh_address

__all__ = ["PORT", "ByHand"]

PORT = 51820
# What runs and boots, but for what moves by itself. Keys are compared where they have to be the same.
_RUNS = (
    "ip -o link show testwg | cut -d : -f 1; ip -6 -o address show dev testwg; ip -6 route show dev testwg; "
    "cat /sys/class/net/testwg/mtu; wg showconf testwg | grep -v ^Endpoint | sort"
)


class ByHand:
    """A mesh of wg-quick files on every host of a lab; `kind` says what is special about it, or which tool made it."""

    def __init__(self, lab: Lab, folder: Path, kind: str) -> None:
        """Lay the files on the hosts; nothing is up yet."""
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
            lines += [f"ListenPort = {PORT}"] if host.external_address or kind != "none" else []
            for other, peer in lab.hosts.items():
                if other != name:
                    network = self.addresses[other].replace("::1/", "::/")
                    lines += ["", "[Peer]", f"PublicKey = {keys[other].public_key}"]
                    single = self.addresses[other].partition("/")[0] + ("/32" if kind == "ipv4" else "/128")
                    lines += [f"AllowedIPs = {single if kind in ('pairs', 'ipv4') else network}"]
                    key = pairs.get(kind == "pairs" and frozenset((name, other)))
                    lines += [f"PresharedKey = {key}"] if key and kind not in ("none", "wg-meshconf") else []
                    lines += [f"Endpoint = {peer.external_address}:{PORT}"] if peer.external_address else []
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
                words = (name, self.addresses[name], host.external_address or "", PORT, 25, keys[name].private_key)
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
            return [kind, str(state), "--port", str(PORT)]
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
