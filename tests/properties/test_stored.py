"""States that lack something: every verb goes on, or ends in one line; never in a traceback."""

import json
import sys
from asyncio import iscoroutine
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import providers
from mesh.cli.pulumi_cli import PulumiCli
from mesh.errors import MeshError
from mesh.keyring import history
from mesh.rollout import apply, reinstall_check
from tests.unit.test_keyring import pair_inputs, shared_inputs

State = dict[str, Any]
_SSH = {"address": "10.0.0.5", "port": 22.0, "user": "root", "sudo": False, "hostKey": "ssh-ed25519 AAAA"}
_SSH |= {"bastion": {**_SSH}}
_MEMBER = {
    "publicKey": "B" * 43 + "=", "address": "fd00::1/64", "endpoint": "78.11.11.11:51825", "keepalive": 0.0,
    "system": "", "ssh": _SSH, "site": "office", "localEndpoint": "10.0.0.5:51825", "peers": ["carol"],
    "routes": ["192.168.7.0/24"], "ipv4": "10.7.0.1", "subnet": "fd00::/65",
}  # fmt: skip
_PHONE = {name: value for name, value in _MEMBER.items() if name not in {"system", "ssh"}}
_ROSTER = {
    "interface": "testwg", "port": 51825.0, "mtu": 1420.0, "deadline": 60.0, "unreachable": "stop", "forgotten": [],
    "members": {"bernard": _MEMBER, "carol": {**_MEMBER, "exitNode": "bernard"}}, "peers": {"phone": _PHONE},
    "relay": "bernard", "names": True,
}  # fmt: skip
_PRESHARED = "C" * 43 + "="
_ROLLOUT = {
    "mesh": "m1", "roster": _ROSTER, "rosterId": "r1", "presharedKey": _PRESHARED,
    "leavers": {"dora": {**_SSH, "departure": "d1"}}, "absent": [], "digest": "d" * 64,
    "systems": {"bernard": {"system": "x86_64-linux"}}, "pending": ["carol"],
    "wiped": ["dora d1"], "notWiped": ["miles"], "drift": {"bernard": ["bernard: is otherwise"]},
}  # fmt: skip
_WANTED = {
    **{name: _ROLLOUT[name] for name in ("mesh", "roster", "rosterId", "presharedKey")}, "leavers": {"dora": _SSH},
    "absent": ["bernard", "carol"], "owners": ["bernard", "carol", "phone"], "pairwise": False, "unenrolled": [],
}  # fmt: skip


_NEW_ROSTER = {"mesh": "m1", "roster": {**_ROSTER, "mtu": 1400.0}}


def _rotated_key_pair() -> State:
    return dict(history.changed_key_pair(history.new_key_pair(pair_inputs("1.1")), pair_inputs("2.1")))


def _rotated_preshared_key() -> State:
    first = history.new_preshared_key(shared_inputs("bernard", "carol"))
    return dict(history.changed_preshared_key(first, shared_inputs("bernard", "carol", rotation="2")))


def _recorded(outputs: State, kind: str = "Rollout") -> object:
    """Read a state as the commands do that read it without a run."""
    cli = object.__new__(PulumiCli)
    urn = "urn:pulumi:t::mesh::mesh:index:Mesh::testwg"
    resource = {"type": f"pulumi-python:dynamic/mesh:{kind}", "id": "testwg", "urn": urn, "outputs": outputs}
    cli._ask = lambda *_: json.dumps({"deployment": {"resources": [resource]}})  # type: ignore[method-assign]
    return cli.recorded()


_KEY, _SHARED = providers.KeyPairProvider(), providers.PresharedKeyProvider()
_SURVEY, _ROSTERS, _ROLLOUTS = providers.SurveyProvider(), providers.RosterProvider(), providers.RolloutProvider()
# By name: the state as it is written today, and what reads it.
VERBS: dict[str, tuple[Callable[[], State], Callable[[State], object]]] = {
    "key diff": (_rotated_key_pair, lambda old: _KEY.diff("testwg/bernard", old, pair_inputs("1.1", age=30))),
    "key update": (_rotated_key_pair, lambda old: _KEY.update("testwg/bernard", old, pair_inputs("1.1", age=30))),
    "preshared diff": (_rotated_preshared_key, lambda old: _SHARED.diff("testwg", old, shared_inputs("bernard"))),
    "preshared update": (_rotated_preshared_key, lambda old: _SHARED.update("testwg", old, shared_inputs("bernard"))),
    "survey read": (lambda: {"installations": {"a": 1.0}}, lambda old: _SURVEY.read("testwg", old)),
    "roster diff": (lambda: _ROLLOUT, lambda old: _ROSTERS.diff("r1", old, _NEW_ROSTER)),
    "roster update": (lambda: _ROLLOUT, lambda old: _ROSTERS.update("r1", old, _NEW_ROSTER)),
    "roster delete": (lambda: _ROLLOUT, lambda old: _ROSTERS.delete("r1", old)),
    "rollout diff": (lambda: _ROLLOUT, lambda old: _ROLLOUTS.diff("testwg", old, _WANTED)),
    "rollout update": (lambda: _ROLLOUT, lambda old: _ROLLOUTS.update("testwg", old, _WANTED)),
    "rollout read": (lambda: _ROLLOUT, lambda old: _ROLLOUTS.read("testwg", old)),
    "status, up --only, forget": (lambda: _ROLLOUT, _recorded),
    "age of a key": (_rotated_key_pair, lambda old: _recorded(old, "KeyPair")),
    "age of a preshared key": (_rotated_preshared_key, lambda old: _recorded(old, "PresharedKey")),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _without_hosts() -> Iterator[None]:
    """Let nothing be reached, since what is read before that is the point; and keep tracebacks whole."""

    def nothing(*_: object, **__: object) -> tuple[State, State]:
        return {}, {}

    def begin(start: Callable[[], Any]) -> Any:
        begun = start()
        if not iscoroutine(begun):
            return begun
        begun.close()
        return {}, {}

    with pytest.MonkeyPatch.context() as patch:
        for module in (apply, reinstall_check):
            patch.setattr(module, "run", begin)
        patch.setattr("mesh.rollout.wipe.run", lambda start: start().close())
        patch.setattr(apply, "wipe", lambda *_: {})
        for provider in (providers.SurveyProvider, providers.RolloutProvider):
            patch.setattr(provider, "_config", {}, raising=False)
        patch.setattr(apply, "roll_out", nothing)
        yield
    if hasattr(sys, "tracebacklimit"):
        del sys.tracebacklimit


def paths_of(value: Any) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of everything within `value`; into what is kept as JSON too."""
    if isinstance(value, str) and value.startswith("["):
        value = json.loads(value)
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in entries:
        yield (name,)
        yield from ((name, *rest) for rest in paths_of(item))


_GONE = object()


def found_at(value: Any, path: tuple[str | int, ...]) -> Any:
    """Return what lies at `path`."""
    for name in path:
        value = (json.loads(value) if isinstance(value, str) else value)[name]
    return value


def changed(value: Any, path: tuple[str | int, ...], by: object) -> Any:
    """Return `value` with what lies at `path` taken out, or something else in its place."""
    if isinstance(value, str):
        return json.dumps(changed(json.loads(value), path, by))
    copy = dict(value) if isinstance(value, dict) else list(value)
    here, *rest = path
    if rest:
        copy[here] = changed(copy[here], tuple(rest), by)  # type: ignore[index]
    elif by is _GONE:
        del copy[here]  # type: ignore[arg-type]
    else:
        copy[here] = by  # type: ignore[index]
    return copy


def goes_on_or_says_why(verb: str, old: State) -> str:
    """Run one verb on a state; return what it says where it does not go on."""
    try:
        VERBS[verb][1](old)
    except MeshError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("verb", VERBS)
def test_a_state_as_it_is_written_is_read(verb: str) -> None:
    """Else the properties below would show nothing."""
    assert goes_on_or_says_why(verb, VERBS[verb][0]()) == ""


@pytest.mark.parametrize("verb", VERBS)
def test_a_state_that_lacks_any_one_field_is_read_or_refused_in_one_line(verb: str) -> None:
    """Each field in turn, however deep."""
    whole = VERBS[verb][0]()
    for path in paths_of(whole):
        said = goes_on_or_says_why(verb, changed(whole, path, _GONE))
        assert "\n" not in said
        assert said == "" or ("; run pulumi up with the version" in said and str(path[0]) in said), (path, said)


_KINDS: tuple[Any, ...] = (None, True, 1.0, "a text", ["a text"], [{}], {}, {"a": "text"})


@pytest.mark.parametrize("verb", VERBS)
@given(data=st.data())
def test_a_state_with_another_kind_in_the_place_of_a_field_is_read_or_refused(verb: str, data: st.DataObject) -> None:
    """As a hand leaves it that edits an exported state, or a version of some other day."""
    whole = VERBS[verb][0]()
    path = data.draw(st.sampled_from(sorted(paths_of(whole), key=str)))
    was = type(found_at(whole, path))
    by = data.draw(st.sampled_from([kind for kind in _KINDS if type(kind) is not was]))
    said = goes_on_or_says_why(verb, changed(whole, path, by))
    assert "\n" not in said


@pytest.mark.parametrize("verb", ["key diff", "key update", "preshared diff", "preshared update"])
@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01", "A" * 43])
def test_a_key_or_a_time_that_is_none_is_refused_without_being_shown(verb: str, text: str) -> None:
    """A time without its zone cannot be compared."""
    whole = VERBS[verb][0]()
    for path in paths_of(whole):
        if path[-1] in {"createdAt", "privateKey", "presharedKey"}:
            said = goes_on_or_says_why(verb, changed(whole, path, text))
            assert "; run pulumi up with the version" in said
            assert not text or text not in said


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("preshared diff", ("pairwise",)),
        ("preshared update", ("pairwise",)),
        ("preshared update", ("kept", 0, "pairwise")),
        ("preshared update", ("kept", 0, "revoked")),
        ("rollout update", ("pending",)),
        ("rollout diff", ("roster", "forgotten")),
        ("status, up --only, forget", ("pending",)),
    ],
)
def test_what_earlier_forms_did_not_write_yet_is_filled_in(verb: str, path: tuple[str | int, ...]) -> None:
    """Preshared keys of pairs, keys that leavers knew, hosts that wait and hosts that are forgotten came one by one."""
    assert goes_on_or_says_why(verb, changed(VERBS[verb][0](), path, _GONE)) == ""


def test_a_preshared_key_of_an_earlier_form_stays() -> None:
    """It was one for all pairs, which is what the stack file asks for by default."""
    old = dict(history.new_preshared_key(shared_inputs("bernard", "carol")))
    del old["pairwise"]
    assert _SHARED.diff("testwg", old, shared_inputs("bernard", "carol")).changes is False
