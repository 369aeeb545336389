"""The status of meshes for people: a sentence, what is wrong, and tables."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from mesh.cli.status_rates import Rates
from mesh.cli.status_rows import HostStatus, MeshStatus, PairStatus, totals
from mesh.remote.host_program import program_digest
from mesh.remote.login import is_post_quantum
from mesh.remote.reports import Device

__all__ = ["show_tables"]

# What is left out of the table of a large mesh.
_UNREMARKABLE = ("up", "relayed", "cannot-meet", "not-managed")
_COLOURS = {"up": "green", "relayed": "green", "pending": "yellow", "cannot-meet": "dim", "not-managed": "dim"}
_WAYS = {"lan": "LAN"}
# More rows than this hide the one that matters.
_MANY_HOSTS = 12


def show_tables(meshes: Sequence[MeshStatus], *, all_pairs: bool, rates: Rates | None = None) -> RenderableType:
    """Return a sentence on each mesh with its faults, and then a table of hosts and one of pairs for each.

    Of many hosts, only the pairs with something wrong are in it. With `rates`, they show what is sent at the moment.
    """
    parts: list[RenderableType] = []
    for mesh in meshes:
        parts.append(Text(_sentence(mesh), style="green" if mesh.is_well else "red"))
        parts.extend(Text(f"! {fault}", style="red") for fault in mesh.faults)
        parts.extend(Text(f"! {host} has left and is not wiped", style="yellow") for host in mesh.not_wiped)
    for mesh in meshes:
        parts.extend((Text(), _hosts(mesh, rates)))
        shown = mesh.pairs
        if not all_pairs and len(mesh.hosts) > _MANY_HOSTS:
            shown = tuple(pair for pair in mesh.pairs if pair.state not in _UNREMARKABLE)
        if shown:
            parts.append(_pairs(mesh.interface, shown, rates))
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


def _hosts(mesh: MeshStatus, rates: Rates | None) -> Table:
    columns = ("host", "address", "endpoint", "system", "WireGuard", "program", "up for", "key", "state")
    # Many columns, and one line for each host; where that is too wide, an address goes on in the next line.
    table = Table(title=mesh.interface, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    if rates:
        table.add_column("packets in, out")
    is_mixed = any(host.key_exchange and not is_post_quantum(host.key_exchange) for host in mesh.hosts)
    if is_mixed:
        table.add_column("post-quantum SSH")
    for host in mesh.hosts:
        endpoint = host.endpoint or "roaming"
        exchange = ("yes" if is_post_quantum(host.key_exchange) else "no") if host.key_exchange else ""
        row = (host.host, host.address, endpoint, host.system, *_device(host.device), _key(host), _host_state(host))
        rate = [rates.packets(mesh.interface, host.host)] if rates else []
        table.add_row(*row, *rate, *([exchange] if is_mixed else []))
    return table


def _device(device: Device | None) -> tuple[str, str, str]:
    """Return the kind of WireGuard, the version of the host program, and how long the interface has been there."""
    if device is None:
        return "", "", ""
    program = "as here" if device.program == program_digest() else device.program[:8] or "none"
    return device.wireguard, program, "unknown" if device.age is None else _span(device.age)


def _key(host: HostStatus) -> str:
    now = datetime.now(UTC)
    made = f"{(now - datetime.fromisoformat(host.key_made)).days} d old" if host.key_made else ""
    left = f", {(datetime.fromisoformat(host.key_expires) - now).days} d left" if host.key_expires else ""
    return made + left


def _host_state(host: HostStatus) -> Text:
    return _state(host.state).append(f": {'; '.join(host.reasons)}" if host.state == "pending" else "", style="default")


def _pairs(interface: str, pairs: Sequence[PairStatus], rates: Rates | None) -> Table:
    title = f"{interface}, each direction as its first host sees it"
    table = Table("from", "to", "way", "endpoint in use", "latest handshake", title=title)
    for column in ("received", "sent", "ping", "state"):
        table.add_column(column)
    for pair in pairs:
        received, sent = rates.bytes(interface, pair) if rates else _bytes(pair)
        table.add_row(
            pair.host,
            pair.peer,
            _WAYS.get(pair.way, pair.way),
            pair.endpoint,
            _age(pair.handshake),
            received,
            sent,
            "" if pair.ping is None else f"{pair.ping:.1f} ms",
            _state(pair.state),
        )
    return table


def _bytes(pair: PairStatus) -> tuple[str, str]:
    return (decimal(pair.received), decimal(pair.sent)) if pair.handshake else ("", "")


def _age(handshake: int) -> str:
    return f"{_span(max(0, int(time.time()) - handshake))} ago" if handshake else ""


def _span(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 48 * 3600 else f"{seconds // 86400} d"
