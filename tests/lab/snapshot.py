"""What a host is like, as text: files with their bytes and modes, units, interfaces, processes and firewall rules.

Two snapshots are equal when nothing of a mesh is left. What booting or a package manager changes by itself is left out,
and so is what timers of a mesh run for a moment,
and the busybox `timeout`, which looks once a second whether its command has ended.
"""

import difflib

from tests.lab.busybox import ASIDE
from tests.lab.hosts import Host

__all__ = ["difference", "snapshot"]

# What systemd, dpkg and their like change at any time, and what changes with every boot.
_OTHERS = tuple(f"/var/lib/{name}" for name in ("systemd", "dpkg", "apt", "private", "urandom", "initscripts"))

# What a firewall's own command writes anew, in its own form, for every rule; its listing is compared instead.
_REWRITTEN = ("/etc/ufw/user*.rules", "/etc/firewalld/zones/*")

_PRUNED = " -o ".join(f"-path '{path}'" for path in (*_OTHERS, *_REWRITTEN))

_SCRIPT = f"""
PATH={ASIDE}:$PATH
prune() {{ find /etc /var/lib \\( {_PRUNED} \\) -prune -o "$@"; }}
echo "== files"
prune -printf '%y %m %u:%g %p %l\\n' | sort -k 4
echo "== contents"
prune -type f -exec sha256sum {{}} + | sort -k 2
echo "== links"
ip -o link show | sed 's/^[0-9]*: //; s/@.*//; s/: .*//' | sort
ip -6 route show | grep -v 'proto kernel' | sort
ip -4 route show | sort
ip -4 rule show; ip -6 rule show
cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/accept_redirects /proc/sys/net/ipv6/conf/all/forwarding
echo "== processes"
ps -eo cgroup:200,args | grep -v '/mesh-keep@\\|/mesh-endpoints@' | sed 's/^[^ ]* *//' |
    grep -E 'wireguard|/var/lib/mesh|[w]g-quick' | grep -v 'grep\\|program keep \\|program resolve \\|^timeout ' | sort
echo "== firewall"
nft list ruleset 2>/dev/null | sed 's/packets [0-9]* bytes [0-9]*//; s/# handle.*//'
ufw show added 2>/dev/null
if pgrep firewalld >/dev/null; then firewall-cmd --list-all; firewall-cmd --permanent --list-all; fi
true
"""


def snapshot(host: Host) -> str:
    """Return what a host is like now."""
    return host.run(_SCRIPT)


def difference(before: str, after: str) -> str:
    """Return the lines that differ between two snapshots, and nothing when they are equal."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="", n=0)
    return "\n".join(line for line in lines if not line.startswith("@@"))
