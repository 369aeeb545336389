"""A machine as people name it to `ssh`: a name or an address, with a user and a port where they give these."""

import re
from dataclasses import dataclass

from mesh.config.external_fields import is_address

__all__ = ["Destination", "read_destination"]

# What begins with a hyphen would be an option. The last @ ends the user, as for ssh.
_DESTINATION = re.compile(
    r"(?:(?P<user>[^\s/-]\S*)@)?"
    r"(?:\[(?P<inside>[^\]]+)\]|(?P<host>[^\s/@:=\[\]-][^\s/@:=\[\]]*))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_URI = "ssh://"


@dataclass(frozen=True)
class Destination:
    """What `ssh` is given; `user` is empty and `port` None where its configuration decides."""

    host: str
    user: str = ""
    port: int | None = None


def read_destination(text: str) -> Destination:
    """Read `host`, `user@host`, either with `:port`, IPv6 addresses with a port in brackets, or ssh://user@host:port.

    Raises:
        ValueError: If it is none.
    """
    host = text.rpartition("@")[2]
    # An IPv6 address without brackets has colons of its own, and no port.
    if is_address(host):
        text = f"{text.removesuffix(host)}[{host}]"
    found = _DESTINATION.fullmatch(text.removeprefix(_URI).removesuffix("/") if text.startswith(_URI) else text)
    if found is None or not text.isprintable() or (found["inside"] and not is_address(found["inside"])):
        raise ValueError
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise ValueError
    return Destination(found["inside"] or found["host"], found["user"] or "", port)
