"""What hosts say of themselves for a bug report: their system, and what our units and programs logged there."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mesh.config.connection import Connection
from mesh.errors import HostError, visible
from mesh.remote.replies import lines_of
from mesh.remote.sessions import run_everywhere

__all__ = ["HostLog", "logs_script", "read_log", "read_logs"]

# Of one host, from the end.
_BYTES = 64 << 10
_LINES = 2000
_END = "-- log --"
_UNITS = ("wg-quick@{}", "mesh-boot@{}", "mesh-keep@{}", "mesh-endpoints@{}", "mesh-watchdog-{}")
_FILES = "/var/log/messages /var/log/syslog /var/log/daemon.log /var/log/rc.log"


@dataclass(frozen=True, slots=True)
class HostLog:
    """What one host said; `machine` is what it calls itself."""

    machine: str
    system: str
    log: str


def logs_script(interfaces: Iterable[str]) -> str:
    """Return what prints it all, one line for `sh`; it reads, and changes nothing."""
    names = sorted(interfaces)
    fields = [f"SYSLOG_IDENTIFIER=mesh-{name}" for name in names]
    units = [f"{unit.format(name)}.service" for name in names for unit in _UNITS]
    fields += [f"{field}={unit}" for unit in units for field in ("_SYSTEMD_UNIT", "UNIT")]
    journal = " + ".join(map(shlex.quote, fields))
    words = " ".join(f"-e {shlex.quote(word)}" for name in names for word in (f"mesh-{name}", f"wg-quick.{name}"))
    return (
        "{ uname -n; uname -srm; sed -n 's/^PRETTY_NAME=//p' /etc/os-release; cat /proc/1/comm; wg --version; "
        "ls /var/lib/mesh; } 2>/dev/null; "
        f"echo '{_END}'; "
        "if [ -d /run/systemd/system ]; then "
        f"journalctl -q --no-pager --no-hostname -o short-iso -n {_LINES} {journal}; else "
        f"{{ for f in {_FILES}; do [ ! -r $f ] || cat $f; done; logread; }} 2>/dev/null | grep {words}; fi "
        f"2>&1 | tail -c {_BYTES}; true"
    )


async def read_logs(
    connections: Mapping[str, Connection], interfaces: Iterable[str]
) -> tuple[dict[str, HostLog], dict[str, HostError]]:
    """Return what each host said, and why any could not be asked."""
    said, failures = await run_everywhere(connections, logs_script(interfaces), "its log")
    return {host: read_log(text) for host, text in said.items()}, failures


def read_log(text: str) -> HostLog:
    """Return what the script printed on one host."""
    lines = lines_of(text)
    end = lines.index(_END) if _END in lines else len(lines)
    log = lines[end + 1 :]
    # The first line of a log that was cut may be the rest of a key.
    if len("\n".join(log).encode()) >= _BYTES - 1:
        log = log[1:]
    machine = lines[0].strip() if lines[:end] else ""
    return HostLog(machine, _shown(lines[:end]), _shown(log))


def _shown(lines: Iterable[str]) -> str:
    return "".join(f"{visible(line)}\n" for line in lines)
