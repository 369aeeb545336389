"""A mesh as one keeps it without this program: keys in files, and a configuration for each host, made beforehand."""

from collections.abc import Sequence
from pathlib import Path

from mesh.wireguard.addressing import derive_subnet, host_address
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key
from tests.lab.lab import Lab

__all__ = ["INTERFACE", "PORT", "Configurations"]

INTERFACE = "testwg"
PORT = 51825


class Configurations:
    """The wg-quick files of some hosts of a lab, in a folder."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        """Make the keys of every host; nothing is written yet."""
        self.lab = lab
        self.folder = folder
        self._keys = {name: generate_key_pair() for name in lab.hosts}
        self._preshared = generate_preshared_key()

    def rotate(self, *hosts: str, preshared: bool = False) -> None:
        """Make new keys for some hosts, and a new preshared key if told so."""
        self._keys |= {name: generate_key_pair() for name in hosts}
        if preshared:
            self._preshared = generate_preshared_key()

    def write(self, members: Sequence[str]) -> None:
        """Write the file of each member."""
        for name in members:
            (self.folder / f"{name}.conf").write_text(self._text(name, members))

    def _text(self, name: str, members: Sequence[str]) -> str:
        lines = [
            "[Interface]",
            f"PrivateKey = {self._keys[name].private_key}",
            f"ListenPort = {PORT}",
            f"Address = {host_address(derive_subnet(name, INTERFACE))}",
            "MTU = 1420",
        ]
        for peer in members:
            if peer == name:
                continue
            lines += ["[Peer]", f"PublicKey = {self._keys[peer].public_key}", f"PresharedKey = {self._preshared}"]
            lines.append(f"AllowedIPs = {derive_subnet(peer, INTERFACE)}")
            if address := self.lab.hosts[peer].external_address:
                lines.append(f"Endpoint = {address}:{PORT}")
            if self.lab.hosts[name].external_address is None:
                lines.append("PersistentKeepalive = 25")
        return "\n".join(lines) + "\n"
