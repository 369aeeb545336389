"""What one host is told of a roster: the lines of the order `stage`, which the host program reads."""

from collections.abc import Iterator

from mesh.plan.pair_keys import pair_key
from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster

__all__ = ["payload"]


def payload(
    roster: Roster,
    host: str,
    preshared_key: str,
    *,
    mesh: str,
    roster_id: str,
    digest: str,
    adopted: bool = False,
    pairs: Pairs | None = None,
) -> str:
    """Return the lines that one host is told; they hold the preshared key, so they travel on standard input only.

    `digest` is the roster's, and `pairs` are its pairs, if they are known already. `adopted` lets the host hand over an
    interface that another stack, or somebody by hand, made with the same key.
    """
    own = roster["members"][host]
    lines = [
        f"mesh {mesh}",
        f"roster {roster_id}",
        f"digest {digest}",
        f"host {host}",
        f"address {own['address']}",
        *([f"address {own['ipv4']}/32"] if own.get("ipv4") else ()),
        f"port {int(roster['port'])}",
        f"mtu {int(roster['mtu'])}",
        f"public-key {own['publicKey']}",
    ]
    pairs = pairs or Pairs(roster)
    if roster.get("presharedKeys") == "pairwise":
        keys = ((peer, pair_key(roster, preshared_key, host, peer)) for peer in pairs.links_of(host))
        lines.extend(f"pair-key {peer} {key}" for peer, key in keys)
    else:
        lines.append(f"preshared-key {preshared_key}")
    if adopted:
        lines.append("adopted yes")
    lines.extend(_forwarding(pairs, host))
    version = pairs.own_version(host)
    if version and any(pairs.name(host, peer) for peer in pairs.links_of(host)):
        # Of the addresses of a name, this host takes one that fits.
        lines.append(f"prefers {version}")
    for name in pairs.peers_of(host):
        peer = pairs.participants[name]
        address, turn = pairs.address(name), pairs.turn(host, name)
        if relay := pairs.relay_between(host, name):
            lines.append(f"relayed {name} - {address} {relay} - - {turn}")
        else:
            lines.append(
                f"peer {name} {peer['publicKey']} {address} {pairs.endpoint(host, name) or '-'} "
                f"{pairs.keepalive(host, name)} {','.join(pairs.allowed_ips(host, name))} {turn}"
            )
    if roster.get("names"):
        for name in (host, *pairs.peers_of(host)):
            addresses = (pairs.address(name), pairs.participants[name].get("ipv4"))
            lines.extend(f"name {address} {name}.{roster['interface']}" for address in addresses if address)
    return "".join(f"{line}\n" for line in lines)


def _forwarding(pairs: Pairs, host: str) -> Iterator[str]:
    """Yield what the host forwards: between peers, to the networks behind it, and as an exit node."""
    own = pairs.participants[host]
    if pairs.is_relay(host):
        yield "forward yes"
        if own.get("ipv4"):
            yield "forward-ipv4 yes"
    for route in pairs.behind(host):
        yield f"behind {route} {'masquerade' if own.get('masquerade') else 'plain'}"
    if pairs.exit_users(host):
        # Nobody outside routes to the addresses of a mesh, so an exit node masquerades unless the file says otherwise.
        yield f"exit {'plain' if own.get('masquerade') is False else 'masquerade'}"
