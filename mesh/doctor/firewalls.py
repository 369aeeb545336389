"""What a host's own firewall dropped, and how it is told to let that pass."""

from ipaddress import ip_address
from itertools import pairwise

from mesh.remote.examinations import Drop, Probe
from mesh.wireguard.endpoint import host_part

__all__ = ["find_drops", "open_firewall", "say_drop"]

# By the family of their tables.
_IPTABLES = {
    "ip": "iptables",
    "ip6": "ip6tables",
    "ip-legacy": "iptables-legacy",
    "ip6-legacy": "ip6tables-legacy",
}


def find_drops(probe: Probe | None, kind: str, source: str = "", target: str = "", *, leaves: bool) -> list[Drop]:
    """Return what dropped packets of a kind that came in, or leave, from and to these addresses; an empty one is any.

    Of iptables it is known which rules dropped something meanwhile, and not what; those that could have are meant.
    """
    near, far = (_host_of(text) for text in (source, target))
    found = [
        drop
        for drop in (probe.drops if probe else ())
        if (_may_match(drop, kind, near, far, leaves=leaves) if drop.kind == "other" else drop.kind == kind)
        and (not near or not drop.source or _same(drop.source, near))
        and (not far or not drop.target or _same(drop.target, far))
    ]
    # Of a rule that is known to have dropped these packets, and one that dropped something, the first is meant.
    return [drop for drop in found if drop.kind == kind] or found


def _may_match(drop: Drop, kind: str, near: str, far: str, *, leaves: bool) -> bool:
    """Tell whether a rule as iptables writes it, or a policy, may drop packets of a kind from and to addresses."""
    words = drop.rule.split()
    options = dict(pairwise(words))
    protocol = options.get("-p", "")
    elsewhere = ("INPUT", "PREROUTING", "FORWARD") if leaves else ("OUTPUT", "POSTROUTING", "FORWARD")
    return (
        drop.place.rpartition(" ")[2] not in elsewhere
        and drop.place.startswith("ip6") == (":" in (near or far))
        and protocol in ("", "udp" if kind == "udp" else "ipv6-icmp")
        and all(
            not address or option not in options or _same(options[option].partition("/")[0], address)
            for option, address in (("-s", near), ("-d", far))
        )
    )


def open_firewall(host: str, drops: list[Drop], match: str, chain: str) -> str:
    """Return the command that lets pass on `host` what nft says by `match`, in the place where it was dropped."""
    if not drops:
        return f"nft list ruleset, or iptables -vnL, on {host} shows what drops it"
    family, table, where = drops[0].place.split(" ")
    tool = _IPTABLES.get(family)
    # These tables are iptables' own, whatever lies below; nft does not know those of iptables-legacy at all.
    if tool and ((where == chain and table == "filter") or family.endswith("-legacy")):
        options = {"udp": "-p udp", "sport": "--sport", "dport": "--dport", "oifname": "-o", "iifname": "-i"}
        options |= {"icmpv6": "-p ipv6-icmp", "type": "--icmpv6-type"}
        words = match.replace('"', "").split()
        return f"{tool} -I {chain} {' '.join(options.get(word, word) for word in words)} -j ACCEPT on {host}"
    return f"nft insert rule {drops[0].place} {match} accept on {host}"


def say_drop(drop: Drop) -> str:
    """Return what dropped something, in words."""
    family, place = drop.place.split(" ", 1)
    return f"dropped in {_IPTABLES[family] if family.endswith('-legacy') else family} {place}: {drop.rule}"


def _host_of(endpoint: str) -> str:
    """Return the address of an endpoint, or an address as it is."""
    return host_part(endpoint) if "]" in endpoint or endpoint.count(":") == 1 else endpoint


def _same(one: str, other: str) -> bool:
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return False
