"""How it reads that a host is another machine or installation than before, though its name stays."""

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.plan.roster import is_another_installation, is_another_machine, machine_of
from mesh.plan.unknown import KNOWN_LATER

__all__ = ["describe_machine"]


def describe_machine(interface: str, name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield what becomes of a host whose SSH host key is another one, and of the machine that it was."""
    if not is_another_installation(was, now):
        return
    said = "may have" if KNOWN_LATER in _way(now) else "has"
    if not is_another_machine(was, now):
        yield f"~ {name} {said} another SSH host key: another installation, which is set up from the beginning"
        return
    said = "may be" if KNOWN_LATER in _way(now) else "is"
    yield f"~ {name} {said} another machine: SSH finds it elsewhere, with another host key"
    if was["publicKey"] != now["publicKey"]:
        yield "  the one before is not wiped, and keeps the former key, which no member with the change accepts"
        return
    yield (
        f"  the one before is not wiped and runs {name}'s key too, so peers would send to the one they heard last: "
        f"switch it off, wipe it (there, as root: sh /var/lib/mesh/program wipe {interface}), or rotate {name}'s key"
    )


def _way(member: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*machine_of(member["ssh"]), member["ssh"].get("hostKey"))
