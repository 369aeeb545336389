"""The host program: one POSIX sh text, put together from `mesh/host/` and known by its digest.

`sessions` sends it.
"""

import gzip
import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources

from mesh.remote.replies import NOTHING_THERE

__all__ = ["DIRECTORY", "invocation", "packed", "program_digest", "text"]

DIRECTORY = "/var/lib/mesh"

PARTS = (
    "core/header",
    "core/places",
    "system/packages",
    "net/netfilter",
    "net/firewall",
    "net/firewalld",
    "net/forwarding",
    "net/forward_filter",
    "net/masquerade",
    "net/names",
    "system/service",
    "net/networkd",
    "net/default_route",
    "wireguard/interface",
    "wireguard/endpoints",
    "system/keep",
    "system/timers",
    "core/takeover",
    "core/checks",
    "core/transaction",
    "core/switch",
    "core/verify",
    "core/rollback",
    "core/watchdog",
    "core/recovery",
    "core/audit",
    "core/probe",
    "core/diagnose",
    "core/main",
)

# Longer than any rollout; what is left of a session whose operator vanished ends by itself.
_SESSION_SECONDS = 1800


@cache
def text() -> str:
    """Return the program that serves orders on a host, without its comments: they are a third of it."""
    folder = resources.files("mesh") / "host"
    return "".join(_code((folder / f"{part}.sh").read_text(encoding="utf-8") for part in PARTS))


def _code(parts: Iterable[str]) -> Iterator[str]:
    """Yield the lines that the shell runs, and those of the files that it writes as they are."""
    file_ends = ""
    for line in "".join(parts).splitlines(keepends=True):
        words = line.strip()
        if file_ends:
            file_ends = "" if words == file_ends else file_ends
        elif file := re.search(r"<<'(\w+)'$", words):
            file_ends = file[1]
        elif not words or re.match(r"#( |$)", words):
            continue
        yield line


@cache
def packed() -> bytes:
    """Return the text as gzip packs it: over a slow line, hosts that get it at the same moment would wait too long."""
    return gzip.compress(text().encode(), mtime=0)


@cache
def program_digest() -> str:
    """Return the 16 hex digits that name this version of the program on hosts."""
    return hashlib.sha256(text().encode()).hexdigest()[:16]


def invocation(interface: str, *, only_known: bool = False) -> str:
    """Return the script that starts a session for `interface`, and takes the program first where the host lacks it.

    The host answers `.packed` or, without gzip, `.program` when it wants what the function of that name or `text`
    returns, whose exact length the command knows, else `.ok`. With `only_known`, a host that has nothing of the
    interface is given nothing either, and says so.
    """
    whole = hashlib.sha256(text().encode()).hexdigest()
    path = f"{DIRECTORY}/program-{program_digest()}"
    size = len(text().encode())
    known = f"[ -d {DIRECTORY}/{shlex.quote(interface)} ] || {{ echo .error {shlex.quote(NOTHING_THERE)}; exit 1; }}; "
    return (
        f"{known if only_known else ''}p={path}; "
        f'fits() {{ [ "$(sha256sum 2>/dev/null <$p)" = "{whole}  -" ]; }}; '
        # An edited program never runs. The right one lies beside it, so that the edit can be seen until it is repaired.
        f"fits || {{ [ ! -e $p ] || p=$p.new; fits; }} || "
        # A cut-off copy must never run, so the text is written beside, measured, and renamed.
        f"{{ wants=.program; get() {{ head -c {size}; }}; ! command -v gzip >/dev/null || "
        f"{{ wants=.packed; get() {{ head -c {len(packed())} | gzip -dc; }}; }}; "
        f"echo $wants; why=$({{ umask 077; mkdir -p {DIRECTORY} && get >$p.$$ && "
        f'[ "$(wc -c <$p.$$)" -eq {size} ] && mv $p.$$ $p; }} 2>&1) || '
        "{ rm -f $p.$$; why=${why##*: }; why=${why:-it did not arrive whole}; "
        f'echo ".error the host program cannot be written below {DIRECTORY}: $why; '
        'let root write there, with room on the disk, and run it again"; exit 1; }; }; '
        f"exec timeout {_SESSION_SECONDS} sh $p serve {shlex.quote(interface)}"
    )
