"""What the real `wg` and `wg-quick` make of a configuration: the measure of what `mesh.wireguard.wg_quick` reads.

`wg-quick` is asked for what its own parser finds, and `wg` configures a wireguard-go in namespaces of its own, which
end with the process. Nothing of the machine's network is touched.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import IO

__all__ = ["Reading", "RealTools", "lacking", "real_tools"]

_INTERFACE = "oracle"
# The parser of wg-quick ends at the mark where versions for other systems put theirs. It dies in a subshell.
_SCRIPT = f"""
set -u
mount -t tmpfs none /run && mount -t sysfs none /sys && mkdir -p /run/wireguard && ip link set lo up || exit 9
wireguard-go {_INTERFACE} >/dev/null 2>&1
tries=0
until wg show {_INTERFACE} >/dev/null 2>&1; do
    tries=$((tries + 1)); [ "$tries" -lt 100 ] || exit 8; sleep 0.05
done
parser=$(mktemp); trap 'rm -f "$parser"' EXIT
sed '/^# ~~ function override insertion point ~~/,$d' "$(command -v wg-quick)" >"$parser"
echo ready
while read -r file; do
    (
        set +u
        . "$parser"
        parse_options "$file"
        ip address flush dev {_INTERFACE}
        for address in "${{ADDRESSES[@]}}"; do add_addr "$address" || exit 1; done
        ip -o address show dev {_INTERFACE} | awk '{{ print "address", $4 }}'
        [ -z "$MTU" ] || ip link set mtu "$MTU" dev {_INTERFACE} || exit 1
        printf 'mtu %s\\n' "${{MTU:+$(cat /sys/class/net/{_INTERFACE}/mtu)}}"
        printf 'table %s\\n' "$TABLE"
        printf 'dropped %s\\n' "${{#DNS[@]}}" "${{#DNS_SEARCH[@]}}" "${{PRE_UP[@]}}" "${{POST_UP[@]}}" \\
            "${{PRE_DOWN[@]}}" "${{POST_DOWN[@]}}" "$SAVE_CONFIG"
        printf '%s\\n' "$WG_CONFIG" >"$file.wg"
    ) 2>/dev/null && wg setconf {_INTERFACE} "$file.wg" 2>/dev/null && wg show {_INTERFACE} dump || echo refused
    echo end
done
"""


@dataclass(frozen=True)
class Reading:
    """What the tools made of a file, as they print it.

    `peers` by public key have a preshared key, an endpoint, prefixes and a keepalive.
    """

    addresses: frozenset[object]
    mtu: str
    drops: bool
    private_key: str
    marked: bool
    peers: dict[str, tuple[str, str, frozenset[object], str]]


class RealTools:
    """A process that reads one file after another."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes], folder: Path) -> None:
        """Talk to a process that is ready."""
        self._requests, self._answers = requests, answers
        self._file = folder / f"{_INTERFACE}.conf"

    def read(self, content: bytes) -> Reading | None:
        """Return what the tools read in a file of this content; None if one of them refuses it."""
        self._file.write_bytes(content)
        self._file.chmod(0o600)
        self._requests.write(f"{self._file}\n".encode())
        self._requests.flush()
        lines = list(iter(lambda: self._answers.readline().decode("latin-1").rstrip("\n"), "end"))
        if "refused" in lines:
            return None
        words: dict[str, list[str]] = {}
        for line in lines:
            if "\t" not in line:
                name, _, value = line.partition(" ")
                words.setdefault(name, []).append(value)
        (private_key, _, _, mark), *peers = [line.split("\t") for line in lines if "\t" in line]
        return Reading(
            frozenset(map(ip_interface, words.get("address", ()))),
            words["mtu"][0],
            any(value not in ("0", "") for value in words["dropped"]) or words["table"][0] not in ("", "auto"),
            private_key,
            mark != "off",
            {peer[0]: (peer[1], peer[2], _prefixes(peer[3]), peer[7]) for peer in peers},
        )


def _prefixes(text: str) -> frozenset[object]:
    return frozenset(map(ip_network, text.split(","))) if text != "(none)" else frozenset()


def lacking() -> str | None:
    """Return why this machine cannot ask the real tools, None if it can."""
    missing = [tool for tool in ("wg", "wg-quick", "wireguard-go", "unshare", "ip") if shutil.which(tool) is None]
    if missing:
        return f"the machine lacks {', '.join(missing)}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened"
    return None


@contextmanager
def real_tools(folder: Path) -> Iterator[RealTools]:
    """Start the tools, with `folder` for their files.

    Raises:
        RuntimeError: If they do not start.
    """
    command = [
        "unshare",
        "--map-root-user",
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "bash",
        "-c",
        _SCRIPT,
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"the tools do not start, {process.wait(10)}")
            yield RealTools(process.stdin, process.stdout, folder)
        finally:
            process.stdin.close()
            process.wait(10)
