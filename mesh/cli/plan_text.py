"""A planned change for people: as text for a terminal, or as Markdown for a comment on a pull request."""

from collections.abc import Iterable, Mapping, Sequence

from mesh.cli.plan import PlannedChange
from mesh.errors import show_first

__all__ = ["as_markdown", "as_text"]

_SHOWN = 20
# A comment on GitHub holds 65,536 characters.
_LINES = 200


def as_text(stack: str, changes: Sequence[PlannedChange]) -> str:
    """Return the changes of a stack's meshes as lines."""
    lines = [] if changes else [f"{stack}: no mesh, neither in the stack file nor in the state"]
    for change in changes:
        lines.append(f"{change.interface}: {_reach(change)}")
        lines += [f"  {line}" for line in change.lines]
        if change.changes:
            lines += [f"  {who}: {what}" for who, what in _who(change)]
            lines += [f"  expected loss: {loss}" for loss in change.losses]
        lines += [f"  keys expire: {line}" for line in _expiries(change)]
    return "\n".join(lines)


def as_markdown(stack: str, changes: Sequence[PlannedChange]) -> str:
    """Return the changes of a stack's meshes as Markdown."""
    lines = [f"## Mesh plan of `{stack}`", ""]
    lines += [] if changes else ["No mesh, neither in the stack file nor in the state.", ""]
    for change in changes:
        lines += [f"### `{change.interface}`: {_reach(change)}", ""]
        if change.lines:
            # What is coloured as a difference: what comes, what goes, and what is neither.
            lines += ["```diff", *map(_coloured, change.lines[:_LINES])]
            lines += ["```", "", *_rest(change)]
        if change.changes and (who := _who(change)):
            lines += ["| hosts | peers |", "|---|---|", *(f"| {names} | {what} |" for names, what in who), ""]
        if change.changes:
            lines += [f"- **Expected loss:** {loss}" for loss in change.losses]
        lines += [f"- **Keys expire:** {line}" for line in _expiries(change)]
        lines += [""] if lines[-1] else []
    lines.append("The loss is what was measured for such changes. No host was asked.")
    return "\n".join(lines)


def _rest(change: PlannedChange) -> list[str]:
    more = len(change.lines) - _LINES
    return [f"and {more} more lines, which `python -m mesh plan` shows", ""] if more > 0 else []


def _coloured(line: str) -> str:
    # GitHub knows no tilde.
    return f"! {line[2:]}" if line.startswith("~ ") else f"  {line}" if line.startswith("!") else line


def _reach(change: PlannedChange) -> str:
    if not change.changes:
        return "no change"
    impact = change.impact
    hosts, pairs = f"{len(impact.hosts)} of {impact.of_hosts} hosts", f"{len(impact.pairs)} of {impact.of_pairs} pairs"
    return f"changes {hosts} and {pairs}"


def _who(change: PlannedChange) -> list[tuple[str, str]]:
    """Return who gains and loses which peers, together where it is the same."""
    alike: dict[str, list[str]] = {}
    for name in sorted(change.impact.gains.keys() | change.impact.losses.keys()):
        alike.setdefault(_what(name, change.impact.gains, change.impact.losses), []).append(name)
    rows = [(_some(names), what) for what, names in alike.items()]
    return [*rows[:_SHOWN], *([(f"and {len(rows) - _SHOWN} more", "")] if len(rows) > _SHOWN else [])]


def _what(name: str, gains: Mapping[str, Sequence[str]], losses: Mapping[str, Sequence[str]]) -> str:
    words = (("gain", gains.get(name, ())), ("lose", losses.get(name, ())))
    return ", ".join(f"{verb} {_some(peers)}" for verb, peers in words if peers)


def _expiries(change: PlannedChange) -> Iterable[str]:
    """Yield the next dates at which keys expire."""
    return (f"{date}: {_some(names)}" for date, names in change.expiries[:3])


def _some(names: Sequence[str]) -> str:
    return show_first(names, _SHOWN)
