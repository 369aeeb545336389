"""The status of meshes for people: a sentence, what is wrong, and tables."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from mesh.cli.status import HostStatus, MeshStatus, PairStatus, totals
from mesh.remote.login import is_post_quantum

__all__ = ["show_tables"]

# What is left out of the table of a large mesh.
_UNREMARKABLE = ("up", "relayed", "cannot-meet", "not-managed")
_COLOURS = {"up": "green", "relayed": "green", "pending": "yellow", "cannot-meet": "dim", "not-managed": "dim"}
# More rows than this hide the one that matters.
_MANY_HOSTS = 12


def show_tables(meshes: Sequence[MeshStatus], *, all_pairs: bool) -> RenderableType:
    """Return a sentence on each mesh with its faults, and then a table of hosts and one of pairs for each.

    Of many hosts, only the pairs with something wrong are in it.
    """
    parts: list[RenderableType] = []
    for mesh in meshes:
        parts.append(Text(_sentence(mesh), style="green" if mesh.is_well else "red"))
        parts.extend(Text(f"! {fault}", style="red") for fault in mesh.faults)
        parts.extend(Text(f"! {host} has left and is not wiped", style="yellow") for host in mesh.not_wiped)
    for mesh in meshes:
        parts.extend((Text(), _hosts(mesh)))
        shown = mesh.pairs
        if not all_pairs and len(mesh.hosts) > _MANY_HOSTS:
            shown = tuple(pair for pair in mesh.pairs if pair.state not in _UNREMARKABLE)
        if shown:
            parts.append(_pairs(mesh.interface, shown))
        if len(shown) < len(mesh.pairs):
            parts.append(Text(f"{len(mesh.pairs) - len(shown)} more directions without a fault; --pairs shows them"))
    return Group(*parts)


def _sentence(mesh: MeshStatus) -> str:
    count = totals([mesh])
    states = Counter(host.state for host in mesh.hosts if host.state != "up")
    others = ", ".join(f"{number} {state}" for state, number in states.items())
    faults = "1 fault" if count["faults"] == 1 else f"{count['faults']} faults"
    return (
        f"{mesh.interface} {'is well' if mesh.is_well else f'has {faults}'}: "
        f"{count['hosts_up']} of {count['hosts']} hosts are up{others and f' ({others})'}, "
        f"and {count['directions_up']} of {count['directions']} directions between them"
    )


def _state(state: str) -> Text:
    return Text(state.replace("-", " "), style=_COLOURS.get(state, "red"))


def _hosts(mesh: MeshStatus) -> Table:
    columns = ("host", "address", "endpoint", "system", "key", "state")
    table = Table(*columns, title=mesh.interface, title_justify="left")
    is_mixed = any(host.key_exchange and not is_post_quantum(host.key_exchange) for host in mesh.hosts)
    if is_mixed:
        table.add_column("post-quantum SSH")
    for host in mesh.hosts:
        endpoint = host.endpoint or "roaming"
        exchange = ("yes" if is_post_quantum(host.key_exchange) else "no") if host.key_exchange else ""
        row = (host.host, host.address, endpoint, host.system, _key(host), _host_state(host))
        table.add_row(*row, *([exchange] if is_mixed else []))
    return table


def _key(host: HostStatus) -> str:
    now = datetime.now(UTC)
    made = f"{(now - datetime.fromisoformat(host.key_made)).days} d old" if host.key_made else ""
    left = f", {(datetime.fromisoformat(host.key_expires) - now).days} d left" if host.key_expires else ""
    return made + left


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
