"""What an interface may be called, so that whatever handles it on a host takes the name as it is."""

import re
from typing import Any

__all__ = ["PEER_FILES", "WORDS_OF_IP", "interface_name_fault", "interface_name_schema", "is_interface_name"]

# What follows an interface's name in that of the stack's output with the files of its unmanaged peers.
PEER_FILES = "-peers"

_INTERFACE_NAME = re.compile(r"[a-zA-Z0-9_.][a-zA-Z0-9_.-]{0,14}")
# What ip takes for its own words and no name in `ip link add NAME type wireguard`, as wg-quick calls it. Of what
# is in brackets it takes any beginning.
WORDS_OF_IP = (
    "a[ddress] addrg[enmode] al[ias] allmulticast arp b[roadcast] brd carrier d[ynamic] dev down gro_max_size group "
    "gso_max_segs gso_max_size h[elp] index l[ink] link-[netnsid] m[aster] mode mtu multicast n[omaster] name netns "
    "nu[mtxqueues] numr[xqueues] parentdev promisc protodown qlen state t[xqueuelen] trailers txql[en] ty[pe] up vf "
    "vrf xdp xdpdrv xdpgeneric xdpoffload"
)


def _beginnings(word: str) -> str:
    """Return the pattern of a word of ip and of what else ip takes for it."""
    least, _, rest = word.rstrip("]").partition("[")
    return least + "".join(f"({letter}" for letter in rest) + ")?" * len(rest)


# Each was tried on hosts. `ip link delete dev if3` deletes whatever interface has number 3.
_OTHER_MEANINGS = {
    re.compile(r"\.{1,2}|bonding_masters"): "a name that the kernel does not give to an interface",
    re.compile(r"all|default|interfaces|lo"): "a word that means other interfaces to wg or to sysctl",
    re.compile("|".join(map(_beginnings, WORDS_OF_IP.split()))): "a word of ip, by which wg-quick makes interfaces",
    re.compile(r"if[0-9]+"): "a name by which ip means the interface of that number",
    re.compile(
        r".*\.(automount|device|mount|path|scope|service|slice|snapshot|socket|swap|target|timer)"
    ): "a name whose end systemd takes for the kind of a unit",
    re.compile(r"app|comment|from|in|log|log-all|out|port|proto|to"): "a word that ufw reads as a part of its rules",
    re.compile(r"lock|program"): "the name of a file of mesh in /var/lib/mesh",
}


def interface_name_fault(text: object) -> str:
    """Return what is wrong with `text` as the name of an interface and what to do; empty if nothing is.

    A name is good when the kernel (dev_valid_name), wg-quick(8), the init systems and the firewalls of hosts all take
    it as it is: systemd, for one, has no unit with + or = in its name (systemd.unit(5)), though wg-quick takes both.
    """
    if not isinstance(text, str) or _INTERFACE_NAME.fullmatch(text) is None:
        return "not an interface name; use 1 to 15 of letters, digits and _ . - and no - at the beginning"
    for pattern, meaning in _OTHER_MEANINGS.items():
        if pattern.fullmatch(text):
            return f"{meaning}, not an interface name; choose another"
    return ""


def is_interface_name(text: object) -> bool:
    """Tell whether `text` can name an interface on every host."""
    return not interface_name_fault(text)


def interface_name_schema() -> dict[str, Any]:
    """Return the JSON schema of what `is_interface_name` takes."""
    others = "|".join(pattern.pattern for pattern in _OTHER_MEANINGS)
    return {"pattern": f"^({_INTERFACE_NAME.pattern})$", "not": {"pattern": f"^({others})$"}}
