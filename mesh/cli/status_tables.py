"""The status of meshes as tables for people and as one JSON document for scripts."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from mesh.cli.status import HostStatus, MeshStatus, PairStatus
from mesh.remote.login import is_post_quantum

__all__ = ["show_json", "show_tables"]

# What is left out of the table of a large mesh.
_UNREMARKABLE = ("up", "relayed", "cannot-meet", "not-managed")
_COLOURS = {"up": "green", "relayed": "green", "pending": "yellow", "cannot-meet": "dim", "not-managed": "dim"}
# More rows than this hide the one that matters.
_MANY_HOSTS = 12


def show_tables(meshes: Iterable[MeshStatus], *, all_pairs: bool) -> RenderableType:
    """Return a table of hosts and one of pairs for each mesh; of many hosts, only the pairs with something wrong."""
    parts: list[RenderableType] = []
    for mesh in meshes:
        parts.append(_hosts(mesh))
        shown = mesh.pairs
        if not all_pairs and len(mesh.hosts) > _MANY_HOSTS:
            shown = tuple(pair for pair in mesh.pairs if pair.state not in _UNREMARKABLE)
        if shown:
            parts.append(_pairs(mesh.interface, shown))
        if len(shown) < len(mesh.pairs):
            parts.append(Text(f"{len(mesh.pairs) - len(shown)} more directions without a fault; --pairs shows them"))
        parts.extend(Text(f"! {fault}", style="red") for fault in mesh.faults)
        parts.extend(Text(f"! {host} has left and is not wiped", style="yellow") for host in mesh.not_wiped)
    return Group(*parts)


def show_json(meshes: Iterable[MeshStatus]) -> str:
    """Return everything as JSON: by interface, whether it is well, its hosts, pairs and faults."""
    content: dict[str, Any] = {
        mesh.interface: {
            "well": mesh.is_well,
            "hosts": [_describe(host) for host in mesh.hosts],
            "pairs": [asdict(pair) for pair in mesh.pairs],
            "faults": list(mesh.faults),
            "notWiped": list(mesh.not_wiped),
        }
        for mesh in meshes
    }
    return json.dumps(content, indent=2)


def _describe(host: HostStatus) -> dict[str, Any]:
    described = asdict(host)
    exchange = described.pop("key_exchange")
    return {**described, "keyExchange": exchange, "postQuantum": is_post_quantum(exchange)}


def _state(state: str) -> Text:
    return Text(state.replace("-", " "), style=_COLOURS.get(state, "red"))


def _hosts(mesh: MeshStatus) -> Table:
    table = Table("host", "address", "endpoint", "system", "state", title=mesh.interface, title_justify="left")
    is_mixed = any(host.key_exchange and not is_post_quantum(host.key_exchange) for host in mesh.hosts)
    if is_mixed:
        table.add_column("post-quantum SSH")
    for host in mesh.hosts:
        exchange = ("yes" if is_post_quantum(host.key_exchange) else "no") if host.key_exchange else ""
        row = (host.host, host.address, host.endpoint or "roaming", host.system, _host_state(host))
        table.add_row(*row, *([exchange] if is_mixed else []))
    return table


def _host_state(host: HostStatus) -> Text:
    return _state(host.state).append(f": {'; '.join(host.reasons)}" if host.state == "pending" else "", style="default")


def _pairs(interface: str, pairs: Sequence[PairStatus]) -> Table:
    title = f"{interface}, each direction as its first host sees it"
    table = Table("from", "to", "endpoint in use", "latest handshake", "received", "sent", "ping", "state", title=title)
    for pair in pairs:
        table.add_row(
            pair.host,
            pair.peer,
            pair.endpoint,
            _age(pair.handshake),
            decimal(pair.received) if pair.handshake else "",
            decimal(pair.sent) if pair.handshake else "",
            "" if pair.ping is None else f"{pair.ping:.1f} ms",
            _state(pair.state),
        )
    return table


def _age(handshake: int) -> str:
    if not handshake:
        return ""
    seconds = max(0, int(time.time()) - handshake)
    if seconds < 120:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"
