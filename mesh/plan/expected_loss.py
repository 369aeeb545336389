"""What running tunnels are expected to lose by a change, by its kinds, as docs/measurements.md has measured them."""

from collections.abc import Iterator, Sequence

from mesh.errors import show_first
from mesh.plan.impact import Impact
from mesh.plan.roster import Participant, Roster, other_installations, participants_of

__all__ = ["expected_loss"]

_NONE = "0 packets between hosts that stay"
_SHOWN = 10


def expected_loss(old: Roster | None, new: Roster | None, impact: Impact) -> list[str]:
    """Return a line for each kind of change that loses anything; `old` has the names of `new`, and either may be none.

    Keys, preshared keys, keepalive, MTU and hosts that join lose nothing.
    """
    if old is None:
        return ["nothing runs yet that could lose a packet"]
    if new is None:
        return ["everything: the interface is removed from all its hosts"]
    return [*_losses(old, new, impact)] or [_NONE]


def _losses(old: Roster, new: Roster, impact: Impact) -> Iterator[str]:
    was, now = (participants_of(roster) for roster in (old, new))
    stay = sorted(was.keys() & now.keys())
    if int(old["port"]) != int(new["port"]):
        yield "the listen port moves: packets of about a second in each pair at most, while connections go on"
    elif moved := [name for name in stay if _endpoints(was[name]) != _endpoints(now[name])]:
        yield (
            f"endpoint of {_names(moved)}: none, but with userspace WireGuard, pairs with a host behind NAT lose up to "
            "4 seconds of packets"
        )
    if left := sorted(was.keys() - now.keys()):
        yield f"everything between {_names(left)} and the others, for good"
    if filed := sorted(old["members"].keys() & (new.get("peers") or {}).keys()):
        yield f"what goes to {_names(filed)}, which is wiped as a host, until it has its file as a peer"
    if installed := sorted(other_installations(old, new)):
        yield f"what goes over the tunnels of {_names(installed)}, which is another machine or installation"
    if renumbered := [name for name in stay if _loses_an_address(was[name], now[name])]:
        yield f"what goes to the earlier address of {_names(renumbered)}, from then on"
    if rerouted := [name for name in stay if _ways(was[name], now[name])]:
        yield f"connections over the earlier routes or exit node of {_names(rerouted)}"
    if parted := [name for name in stay if set(impact.losses.get(name, ())) & set(stay)]:
        yield f"everything between those of {_names(parted)} that are no longer peers, for good"
    if old.get("relay") and old.get("relay") != new.get("relay"):
        yield f"what goes over {old['relay']}, until the new relay forwards it, or for good without one"


def _endpoints(participant: Participant) -> tuple[object, ...]:
    return tuple(participant.get(field) for field in ("endpoint", "otherEndpoint", "localEndpoint"))


def _loses_an_address(was: Participant, now: Participant) -> bool:
    return was["address"] != now["address"] or was.get("ipv4") not in (None, now.get("ipv4"))


def _ways(was: Participant, now: Participant) -> bool:
    """Tell whether a route or an exit node goes."""
    gone = set(was.get("routes") or ()) - set(now.get("routes") or ())
    return bool(gone) or (bool(was.get("exitNode")) and was.get("exitNode") != now.get("exitNode"))


def _names(names: Sequence[str]) -> str:
    return show_first(names, _SHOWN)
