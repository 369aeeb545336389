"""When the rollout has work, and what it refuses to begin."""

import copy
from typing import Any

import pytest

from mesh.errors import MeshError
from mesh.plan.roster import roster_digest
from mesh.rollout import apply, pending_work
from mesh.stored.forms import RolloutState, RosterState
from mesh.stored.reader import read_rollout
from mesh.wireguard.keys import generate_preshared_key

PRESHARED = generate_preshared_key()
Properties = dict[str, Any]


@pytest.fixture
def news() -> Properties:
    """Return the inputs of a mesh of two."""
    member = {"publicKey": "B" * 43 + "=", "address": "fd00::1/64", "endpoint": "", "keepalive": 25, "system": ""}
    ssh = {"address": "10.0.0.5", "port": 22, "user": "root", "sudo": False, "hostKey": "ssh-ed25519 AAAA"}
    return {
        "mesh": "m1",
        "rosterId": "r1",
        "leavers": {},
        "revision": "",
        "absent": [],
        "presharedKey": PRESHARED,
        "owners": ["bernard"],
        "pairwise": False,
        "unenrolled": [],
        "roster": {"interface": "testwg", "port": 51825, "mtu": 1420, "deadline": 60, "unreachable": "stop",
                   "forgotten": [],
                   "members": {"bernard": {**member, "ssh": ssh}}},
    }  # fmt: skip


@pytest.fixture
def olds(news: Properties) -> RolloutState:
    """Return the state after those inputs were rolled out."""
    plan = roster_digest(news["roster"], PRESHARED, "m1")
    outcome = {"digest": plan, "systems": {}, "wiped": [], "notWiped": [], "drift": {}}
    return read_rollout("testwg", {**copy.deepcopy(news), **outcome})


def test_what_is_rolled_out_needs_no_rollout(olds: RolloutState, news: Properties) -> None:
    """A second `up` has nothing to do."""
    assert not pending_work.differs(olds, news)


@pytest.mark.parametrize("name", ["roster", "leavers"])
def test_what_is_unknown_in_a_preview_counts_as_work(olds: RolloutState, news: Properties, name: str) -> None:
    """The engine gives a text for what it does not know yet."""
    assert pending_work.differs(olds, {**news, name: "04da6b54-80e4-46f7-96ec-b56ff0331ba9"})


def test_a_new_preshared_key_is_work(olds: RolloutState, news: Properties) -> None:
    """Every host has to hear of it."""
    assert pending_work.differs(olds, {**news, "presharedKey": generate_preshared_key()})


def test_a_changed_ssh_address_is_recorded(olds: RolloutState, news: Properties) -> None:
    """It is an update, though no host is touched."""
    news["roster"]["members"]["bernard"]["ssh"]["address"] = "10.0.0.9"
    assert pending_work.differs(olds, news)
    assert apply.deploy(news, olds)["roster"] == news["roster"]


def test_a_replaced_roster_is_work(olds: RolloutState, news: Properties) -> None:
    """Hosts must hear of its id before the old one's deletion wipes them."""
    assert pending_work.differs(olds, {**news, "rosterId": "r2"})


def test_a_leaver_is_work_until_it_is_wiped(olds: RolloutState, news: Properties) -> None:
    """Every `up` tries again."""
    leaving = {**news, "leavers": {"edgeworth": news["roster"]["members"]["bernard"]["ssh"]}}
    assert pending_work.differs(olds, leaving)
    assert not pending_work.differs({**olds, "wiped": ["edgeworth"]}, leaving)


def test_drift_is_work(olds: RolloutState, news: Properties) -> None:
    """What a refresh found is repaired."""
    assert pending_work.differs({**olds, "drift": {"bernard": ["bernard: has no peer edgeworth"]}}, news)


def test_a_repair_changes_the_hosts_that_drifted_only(olds: RolloutState, news: Properties) -> None:
    """The others already run the plan, and only help to prove it; a new plan concerns everybody."""
    member = news["roster"]["members"]["bernard"]
    for props in (news["roster"], olds["roster"]):
        props["members"] |= {"carol": member, "dora": member}
    olds["digest"] = roster_digest(news["roster"], PRESHARED, "m1")
    drifted: RolloutState = {**olds, "drift": {"carol": ["carol: has no peer dora"], "left": []}}
    assert pending_work.changing_hosts(news, drifted) == {"carol"}
    assert pending_work.changing_hosts({**news, "absent": ["carol"]}, drifted) == set()
    assert pending_work.changing_hosts({**news, "mesh": "m2"}, drifted) == {"bernard", "carol", "dora"}


def test_another_ssh_host_key_is_another_installation(olds: RolloutState, news: Properties) -> None:
    """It has nothing of what the host before had, so it is brought to the plan without a refresh."""
    news["roster"]["members"]["bernard"]["ssh"]["hostKey"] = "ssh-ed25519 BBBB"
    assert pending_work.changing_hosts(news, olds) == {"bernard"}


def test_a_pending_host_is_work_as_soon_as_it_answers(olds: RolloutState, news: Properties) -> None:
    """While it does not there is none, and who falls silent is recorded without asking anybody."""
    pending: RolloutState = {**olds, "pending": ["bernard"]}
    assert pending_work.differs(pending, news)
    assert not pending_work.differs(pending, {**news, "absent": ["bernard"]})
    assert pending_work.differs(olds, {**news, "absent": ["bernard"]})
    assert apply.deploy({**news, "absent": ["bernard"]}, olds)["pending"] == ["bernard"]


def test_a_plan_that_comes_back_is_rolled_out_to_all(olds: RolloutState, news: Properties) -> None:
    """Where the rollout of the one between failed, some hosts may have confirmed it, and the state does not say so."""
    recorded: RosterState = {"mesh": "m1", "roster": news["roster"], "leavers": {}, "revision": ""}
    changed = {**news, "roster": {**news["roster"], "mtu": 1400}}
    between: RosterState = {**recorded, **changed, **pending_work.changed_roster(recorded, changed)}  # type: ignore[typeddict-item]
    back = {**news, **pending_work.changed_roster(between, news)}
    assert len({"", between["revision"], back["revision"]}) == 3
    assert pending_work.differs(olds, back)
    assert pending_work.changing_hosts(back, olds) == {"bernard"}
    assert not pending_work.differs({**olds, "revision": back["revision"]}, back)


def test_what_hosts_get_nothing_of_is_no_other_plan(news: Properties) -> None:
    """As which way SSH takes to them."""
    recorded: RosterState = {"mesh": "m1", "roster": news["roster"], "leavers": {}, "revision": "x"}
    members = {
        "bernard": {
            **news["roster"]["members"]["bernard"],
            "ssh": {**news["roster"]["members"]["bernard"]["ssh"], "address": "10.0.0.6"},
        }
    }
    assert (
        pending_work.changed_roster(recorded, {**news, "roster": {**news["roster"], "members": members}})["revision"]
        == "x"
    )


def test_a_host_that_left_and_came_back_may_leave_again(olds: RolloutState, news: Properties) -> None:
    """It was wiped once, which says nothing about the second time, also where a run in between failed."""
    ssh = news["roster"]["members"]["bernard"]["ssh"]
    left, left_again = ({"edgeworth": {**ssh, "departure": mark}} for mark in ("d1", "d2"))
    for wiped in ("edgeworth", "edgeworth d1"):
        after: RolloutState = {**olds, "wiped": [wiped]}
        assert pending_work.differs(after, {**news, "leavers": left_again})
    assert not pending_work.differs({**olds, "wiped": ["edgeworth d1"]}, {**news, "leavers": left})
    back = apply.deploy(news, {**olds, "wiped": ["edgeworth"]})
    assert pending_work.differs(back, {**news, "leavers": {"edgeworth": ssh}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unenrolled": ["carol", "dora"]}, "testwg: nothing was changed, since carol, dora failed to be enrolled"),
        ({"owners": ["bernard", "edgeworth"]}, r"add --target '\*\*::testwg/preshared-key'"),
        ({"pairwise": True}, r"add --target '\*\*::testwg/preshared-key'"),
        ({"owners": []}, r"add --target '\*\*::testwg/preshared-key'"),
        ({"roster": None}, "rollout: nothing was changed, since this run leaves out the roster"),
        ({"rosterId": None}, "testwg: nothing was changed, since this run leaves out the roster"),
        ({"mesh": None}, "testwg: nothing was changed, since this run leaves out the roster"),
        ({"presharedKey": None}, r"add --target '\*\*::testwg/preshared-key'"),
    ],
    ids=str,
)
def test_half_a_plan_is_refused(olds: RolloutState, news: Properties, change: Properties, said: str) -> None:
    """As `--target` and `--exclude` may ask for."""
    with pytest.raises(MeshError, match=said):
        apply.deploy({**news, **change}, olds)


def test_hosts_that_wait_for_a_run_are_told(olds: RolloutState, news: Properties) -> None:
    """In a preview too, where leavers may not be known yet."""
    leaving = {**news, "leavers": {"edgeworth": {}, "dora": {}}}
    gone = "no member accepts its keys; if it is gone for good:"
    assert pending_work.describe_waiting({**olds, "pending": ["carol"], "notWiped": ["edgeworth"]}, leaving) == [
        "~ carol was left out of an earlier run and gets its change",
        f"- edgeworth has left and is not wiped yet; {gone} python -m mesh forget edgeworth",
    ]
    [line] = pending_work.describe_waiting({**olds, "notWiped": ["edgeworth"]}, leaving, described=False)
    assert line.endswith(f'{gone} set "forgotten": ["edgeworth"] for testwg')
    assert pending_work.describe_waiting({**olds, "notWiped": ["edgeworth"]}, {**news, "leavers": "unknown"}) == []
    assert pending_work.describe_waiting(olds, news) == []


def test_adopted_keys_that_left_the_stack_file_need_no_rollout(olds: RolloutState, news: Properties) -> None:
    """Hosts have handed over their interfaces by then."""
    assert not pending_work.differs(apply.deploy({**news, "adopted": ["bernard"]}, olds), {**news, "adopted": []})


def test_what_an_earlier_run_did_not_bring_to_the_hosts_is_told(olds: RolloutState, news: Properties) -> None:
    """The roster is recorded before the rollout, so after one that failed only the rollout knows."""
    assert pending_work.describe_unfinished(olds, news["roster"]) == []
    assert pending_work.describe_unfinished(olds, "unknown") == []
    assert pending_work.describe_unfinished(olds, {**news["roster"], "port": 51900}) == [
        "an earlier run did not bring this to the hosts:",
        "  ~ every host, listen port: 51825 becomes 51900",
    ]
