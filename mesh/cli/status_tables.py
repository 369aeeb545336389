"""The status of meshes for people: a sentence, what is wrong, and tables."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.text import Text

from mesh.cli.console import Grid
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
# Of a mesh that has parted, all pairs between its parts have the same fault.
_MOST_PAIRS = 100


def show_tables(meshes: Sequence[MeshStatus], *, all_pairs: bool, rates: Rates | None = None) -> RenderableType:
    """Return a sentence on each mesh with its faults, and then a table of hosts and one of pairs for each.

    Of many hosts, only the pairs with something wrong are in it. With `rates`, they show what is sent at the moment.
    """
    parts: list[RenderableType] = []
    for mesh in meshes:
        parts.append(Text(_sentence(mesh), style="green" if mesh.is_well else "red"))
        parts.extend(Text(f"! {line}", style="red") for line in _faults(mesh, all_pairs=all_pairs))
        parts.extend(Text(f"! {host} has left and is not wiped", style="yellow") for host in mesh.not_wiped)
    for mesh in meshes:
        parts.extend((Text(), *_hosts(mesh, rates)))
        shown = mesh.pairs
        left_out = 0
        if not all_pairs and len(mesh.hosts) > _MANY_HOSTS:
            shown = _remarkable(mesh)
            left_out = max(0, len(shown) - _MOST_PAIRS)
        if shown:
            parts.append(_pairs(mesh.interface, shown[:_MOST_PAIRS] if left_out else shown, rates))
        if left_out:
            parts.append(Text(f"{left_out} more directions with something wrong; --pairs shows them", style="red"))
        if len(shown) < len(mesh.pairs):
            parts.append(
                Text(f"{len(mesh.pairs) - len(shown)} more directions without a fault of their own; --pairs shows them")
            )
    return Group(*parts)


def _faults(mesh: MeshStatus, *, all_pairs: bool) -> Iterator[str]:
    """Yield what is wrong: all of hosts and of the mesh, and of pairs as much as one reads."""
    of_pairs = 0
    for fault in mesh.faults:
        of_pairs += bool(fault.peer)
        if all_pairs or not fault.peer or of_pairs <= _MOST_PAIRS:
            yield str(fault)
    if of_pairs > _MOST_PAIRS and not all_pairs:
        yield f"{of_pairs - _MOST_PAIRS} more faults of pairs, which --pairs shows"


def _remarkable(mesh: MeshStatus) -> tuple[PairStatus, ...]:
    """Return the directions with something wrong that is not told already of one of the two hosts."""
    unreachable = {host.host for host in mesh.hosts if host.state == "unreachable"}
    return tuple(
        pair
        for pair in mesh.pairs
        if pair.state not in _UNREMARKABLE and unreachable.isdisjoint((pair.host, pair.peer))
    )


def _sentence(mesh: MeshStatus) -> str:
    count = totals([mesh])
    states = Counter(host.state for host in mesh.hosts if host.state != "up")
    others = ", ".join(f"{number} {state}" for state, number in states.items())
    faults = "1 fault" if count["faults"] == 1 else f"{count['faults']} faults"
    names = {host.host for host in mesh.hosts}
    apart = sum(pair.state == "cannot-meet" and pair.peer in names for pair in mesh.pairs)
    return (
        f"{mesh.interface} {'is healthy' if mesh.is_well else f'has {faults}'}: "
        f"{count['hosts_up']} of {count['hosts']} hosts are up{others and f' ({others})'}, "
        f"and {count['directions_up']} of {count['directions']} directions between them"
        f"{f', and in {apart} more they cannot meet' if apart else ''}"
    )


def _state(state: str) -> Text:
    return Text(state.replace("-", " "), style=_COLOURS.get(state, "red"))


def _hosts(mesh: MeshStatus, rates: Rates | None) -> tuple[Text, Grid]:
    """Return what all hosts have alike, which needs no column, and the table of them."""
    columns: dict[str, list[str | Text]] = {
        "host": [host.host for host in mesh.hosts],
        "state": [_host_state(host) for host in mesh.hosts],
        "address": [host.address for host in mesh.hosts],
        "endpoint": [host.endpoint or "roaming" for host in mesh.hosts],
        "up for": [_uptime(host.device) for host in mesh.hosts],
        "key": [_key(host) for host in mesh.hosts],
    }
    alike = []
    for name, cells in _machines(mesh).items():
        if len(set(cells)) > 1:
            columns[name] = [*cells]
        elif cells and cells[0]:
            alike.append(f"{name} {cells[0]}")
    if rates:
        columns["packets in, out"] = [rates.packets(mesh.interface, host.host) for host in mesh.hosts]
    table = Grid()
    for name in columns:
        table.add_column(name)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    # Not as the title of the table, which is no wider than that.
    return Text(": ".join(filter(None, [mesh.interface, ", ".join(alike)])), style="italic"), table


def _machines(mesh: MeshStatus) -> dict[str, list[str]]:
    """Return what the hosts are, which is mostly the same for all; nothing of those that do not say it."""
    devices = [host.device for host in mesh.hosts]
    exchanges = [host.key_exchange for host in mesh.hosts]
    found = {
        "system": [host.system for host in mesh.hosts],
        "WireGuard": [device.wireguard if device else "" for device in devices],
        "program": [_program(device) if device else "" for device in devices],
        "post-quantum SSH": ["yes" if is_post_quantum(each) else "no" if each else "" for each in exchanges],
    }
    said = {name: {cell for cell in cells if cell} for name, cells in found.items()}
    # A host that says nothing is no other kind of host.
    return {name: [*said[name]] if len(said[name]) == 1 else cells for name, cells in found.items()}


def _program(device: Device) -> str:
    return "as here" if device.program == program_digest() else device.program[:8] or "none"


def _uptime(device: Device | None) -> str:
    return "" if device is None else "unknown" if device.age is None else _span(device.age)


def _key(host: HostStatus) -> str:
    now = datetime.now(UTC)
    made = f"{(now - datetime.fromisoformat(host.key_made)).days} d old" if host.key_made else ""
    left = f", {(datetime.fromisoformat(host.key_expires) - now).days} d left" if host.key_expires else ""
    return made + left


def _host_state(host: HostStatus) -> Text:
    return _state(host.state).append(f": {'; '.join(host.reasons)}" if host.state == "pending" else "", style="default")


def _pairs(interface: str, pairs: Sequence[PairStatus], rates: Rates | None) -> Grid:
    title = f"{interface}, each direction as its first host sees it"
    table = Grid("from", "to", "way", "endpoint in use", "latest handshake", title=title)
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
