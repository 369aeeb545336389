"""The wg-quick file of an unmanaged peer, for its owner or its application.

Format: wg-quick(8).
"""

from collections.abc import Iterator
from typing import Any

from mesh.plan.pair_keys import pair_key
from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster

__all__ = ["peer_file"]


def peer_file(roster: Roster, name: str, private_key: str | None, preshared_key: str) -> str:
    """Return the text of the file, which holds secrets; without a private key, wg-quick takes the peer's own there."""
    return "\n".join(_lines(roster, name, private_key, preshared_key)) + "\n"


def _lines(roster: Roster, name: str, private_key: str | None, preshared_key: str) -> Iterator[str]:
    pairs = Pairs(roster)
    own: Any = pairs.participants[name]
    yield f"# {name} in {roster['interface']}"
    yield "[Interface]"
    if private_key:
        yield f"PrivateKey = {private_key}"
    else:
        # As wg-quick(8) has it, so that this file can be written again without the peer's own key.
        yield f"# PrivateKey is that of {own['publicKey']}, which stays in its file. Without wg-quick, give it here."
        yield "PostUp = wg set %i private-key /etc/wireguard/%i.key"
    yield f"Address = {own['address']}" + (f", {own['ipv4']}/32" if own.get("ipv4") else "")
    if own["endpoint"]:
        yield f"ListenPort = {own['endpoint'].rpartition(':')[2]}"
    yield f"MTU = {int(roster['mtu'])}"
    for peer in pairs.links_of(name):
        if not pairs.can_meet(name, peer):
            continue
        other = pairs.participants[peer]
        yield ""
        yield "[Peer]"
        yield f"# {peer}"
        yield f"PublicKey = {other['publicKey']}"
        yield f"PresharedKey = {pair_key(roster, preshared_key, name, peer)}"
        yield f"AllowedIPs = {', '.join(pairs.allowed_ips(name, peer))}"
        if endpoint := pairs.endpoint(name, peer):
            yield f"Endpoint = {endpoint}"
        if (keepalive := pairs.keepalive(name, peer)) != "off":
            yield f"PersistentKeepalive = {keepalive}"
