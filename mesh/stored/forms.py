"""What the state holds of each resource, as far as anything reads it.

The type checker refuses a read of anything else; what is only written is not required. Reading belongs to `reader`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, NotRequired, TypedDict

from mesh.config.connection import Connection
from mesh.plan.roster import Roster
from mesh.wireguard.keys import is_key

__all__ = [
    "BEFORE",
    "NO_ROLLOUT",
    "FormerKey",
    "FormerPresharedKey",
    "KeyPairState",
    "Leaver",
    "PresharedKeyState",
    "RecordedKey",
    "RecordedRollout",
    "RolloutState",
    "RosterState",
    "SurveyState",
]


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


_Key = Annotated[str, is_key]
_Moment = Annotated[str, _is_moment]


class RecordedKey(TypedDict):
    """Of a host's key or a preshared key, as far as no secret is needed to read it; only that of a host is public."""

    createdAt: _Moment
    rotation: str
    interface: NotRequired[str]
    maxKeyAge: NotRequired[int]
    publicKey: NotRequired[str]
    knownTo: NotRequired[list[str]]
    pairwise: NotRequired[bool]
    postQuantum: NotRequired[bool]


class KeyPairState(RecordedKey):
    """A host's key; `kept` holds the earlier ones as JSON, each a `FormerKey`."""

    adopted: str
    privateKey: _Key
    kept: str
    host: NotRequired[str]


class FormerKey(TypedDict):
    """A key that a host had."""

    rotation: str
    privateKey: _Key
    createdAt: _Moment


class PresharedKeyState(TypedDict):
    """The preshared key of a mesh; `kept` holds the earlier ones as JSON, each a `FormerPresharedKey`."""

    owners: list[str]
    pairwise: bool
    postQuantum: bool
    rotation: str
    adopted: str
    presharedKey: _Key
    createdAt: _Moment
    knownTo: list[str]
    kept: str
    interface: NotRequired[str]
    maxKeyAge: NotRequired[int]


class FormerPresharedKey(TypedDict):
    """A preshared key that a mesh had."""

    rotation: str
    presharedKey: _Key
    createdAt: _Moment
    knownTo: list[str]
    pairwise: bool
    postQuantum: bool
    revoked: bool


class SurveyState(TypedDict):
    """How many installations of each host were seen."""

    installations: dict[str, int]


class Leaver(Connection):
    """How SSH reaches a host that has left; `departure` tells this time from another, and was not written at first."""

    departure: NotRequired[str]


class RosterState(TypedDict):
    """The members of a mesh, and who has left and may still have to be wiped.

    Each plan has a `revision` of its own, also one that was there before: hosts may have got another one meanwhile, of
    which no rollout could say so.
    """

    mesh: str
    roster: Roster
    leavers: dict[str, Leaver]
    revision: str


class _HostSystem(TypedDict):
    system: NotRequired[str]


class RecordedRollout(TypedDict):
    """What was verified last, as far as no secret is needed to read it."""

    roster: Roster
    digest: str
    systems: dict[str, _HostSystem]
    pending: list[str]
    notWiped: list[str]


class RolloutState(RecordedRollout):
    """What was verified last; `wiped` holds departures, which an earlier form named by their host alone."""

    rosterId: str
    presharedKey: str
    wiped: list[str]
    drift: dict[str, list[str]]
    revision: str
    mesh: NotRequired[str]
    leavers: NotRequired[dict[str, Leaver]]
    absent: NotRequired[list[str]]


# What was not written yet by an earlier form, and what held then.
BEFORE: Mapping[type, Mapping[str, Any]] = {
    PresharedKeyState: {"pairwise": False, "postQuantum": False},
    FormerPresharedKey: {"pairwise": False, "postQuantum": False, "revoked": False},
    RecordedRollout: {"pending": []},
    RosterState: {"revision": ""},
    RolloutState: {"pending": [], "revision": ""},
    Roster: {"forgotten": []},
}

# What holds before the first rollout.
NO_ROLLOUT: RolloutState = {
    "roster": {
        "interface": "", "port": 0, "mtu": 0, "deadline": 0, "unreachable": "", "forgotten": [], "members": {},
    },
    "digest": "", "systems": {}, "pending": [], "notWiped": [], "rosterId": "", "presharedKey": "", "wiped": [],
    "drift": {}, "revision": "",
}  # fmt: skip
