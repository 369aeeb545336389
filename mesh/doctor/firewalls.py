"""What a host's own firewall dropped, and how it is told to let that pass."""

from ipaddress import ip_address

from mesh.remote.examinations import Drop, Probe

__all__ = ["find_drops", "open_firewall", "say_drop"]


def find_drops(probe: Probe | None, kind: str, source: str = "", target: str = "") -> list[Drop]:
    """Return what dropped packets of a kind from and to these addresses or endpoints; an empty one is any."""
    near, far = (_host_of(text) for text in (source, target))
    found = [
        drop
        for drop in (probe.drops if probe else ())
        if drop.kind in (kind, "other")
        and (not near or not drop.source or _same(drop.source, near))
        and (not far or not drop.target or _same(drop.target, far))
    ]
    # Of a rule that is known to have dropped these packets, and one that dropped something, the first is meant.
    return [drop for drop in found if drop.kind == kind] or found


def open_firewall(host: str, drops: list[Drop], match: str, chain: str) -> str:
    """Return the command that lets pass on `host` what nft says by `match`, in the place where it was dropped."""
    if not drops:
        return f"nft list ruleset, or iptables -vnL, on {host} shows what drops it"
    family, table, where = drops[0].place.split(" ")
    if where == chain and table == "filter" and family in ("ip", "ip6"):
        # These tables are iptables' own, whatever lies below.
        tool = "iptables" if family == "ip" else "ip6tables"
        options = {"udp": "-p udp", "sport": "--sport", "dport": "--dport", "oifname": "-o", "iifname": "-i"}
        options |= {"icmpv6": "-p ipv6-icmp", "type": "--icmpv6-type"}
        words = match.replace('"', "").split()
        return f"{tool} -I {chain} {' '.join(options.get(word, word) for word in words)} -j ACCEPT on {host}"
    return f"nft insert rule {drops[0].place} {match} accept on {host}"


def say_drop(drop: Drop) -> str:
    """Return what dropped something, in words."""
    return f"dropped in {drop.place}: {drop.rule}"


def _host_of(endpoint: str) -> str:
    """Return the address of an endpoint, or an address as it is."""
    if "]" in endpoint or endpoint.count(":") == 1:
        return endpoint.rpartition(":")[0].strip("[]")
    return endpoint


def _same(one: str, other: str) -> bool:
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return False
