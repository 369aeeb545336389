"""What `mesh.roster` tells a host, and how a change reads."""

import copy
from typing import Any

import pytest

from mesh.errors import MeshError
from mesh.plan import roster
from mesh.plan.expected_loss import expected_loss
from mesh.plan.host_payload import payload
from mesh.plan.impact import find_impact
from mesh.plan.pair_keys import pair_key
from mesh.plan.pairs import Pairs, allowed_ips
from mesh.plan.roster_diff import describe_changes
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key

PRESHARED = generate_preshared_key()
KEYS = {name: generate_key_pair().public_key for name in ("bernard", "edgeworth", "phoenix")}


def member(name: str, address: str, endpoint: str, keepalive: int = 0) -> Any:
    """Return one member as the state has it."""
    ssh = {"address": f"{name}.example.org", "port": 22, "user": "root", "sudo": False, "hostKey": "ssh-ed25519 AAAA"}
    return {
        "publicKey": KEYS[name],
        "address": address,
        "endpoint": endpoint,
        "keepalive": keepalive,
        "system": "",
        "ssh": ssh,
    }


@pytest.fixture
def members() -> Any:
    """Return a roster of one public host and two roaming ones."""
    return {
        "interface": "testwg",
        "port": 51825,
        "mtu": 1420,
        "deadline": 60,
        "unreachable": "stop",
        "members": {
            "bernard": member("bernard", "fd00:1c86:78d4:dcef::1/64", "78.11.11.11:51825"),
            "edgeworth": member("edgeworth", "fd00:cac2:10cb:6ee9::1/64", "", 25),
            "phoenix": member("phoenix", "fd00:a1b::1/64", "", 25),
        },
    }


def test_a_host_is_told_its_own_part_and_every_peer(members: Any) -> None:
    """Word by word, since the host program reads just this."""
    text = payload(members, "edgeworth", PRESHARED, mesh="m1", roster_id="r1", digest="d1")
    assert text.splitlines() == [
        "mesh m1",
        "roster r1",
        "digest d1",
        "host edgeworth",
        "address fd00:cac2:10cb:6ee9::1/64",
        "port 51825",
        "mtu 1420",
        f"public-key {KEYS['edgeworth']}",
        f"preshared-key {PRESHARED}",
        f"peer bernard {KEYS['bernard']} fd00:1c86:78d4:dcef::1 78.11.11.11:51825 25 fd00:1c86:78d4:dcef::/64 first",
        f"peer phoenix {KEYS['phoenix']} fd00:a1b::1 - off fd00:a1b::/64 never",
    ]
    assert text.endswith("\n")


def test_a_host_is_told_that_its_key_was_adopted(members: Any) -> None:
    """It may then hand over an interface that mesh did not make; the plan itself is the same."""
    plain = payload(members, "edgeworth", PRESHARED, mesh="m1", roster_id="r1", digest="d1")
    adopted = payload(members, "edgeworth", PRESHARED, mesh="m1", roster_id="r1", digest="d1", adopted=True)
    assert set(adopted.splitlines()) - set(plain.splitlines()) == {"adopted yes"}


def test_a_host_that_shares_its_subnet_is_sent_its_address_only(members: Any) -> None:
    """Its own interface keeps the length of the subnet."""
    members["members"]["bernard"] |= {"address": "fd12::1/64", "subnet": "fd12::1/128"}
    own = payload(members, "bernard", PRESHARED, mesh="m1", roster_id="r1", digest="d1")
    text = payload(members, "edgeworth", PRESHARED, mesh="m1", roster_id="r1", digest="d1")
    assert "address fd12::1/64" in own.splitlines()
    (peer,) = (line.split() for line in text.splitlines() if line.startswith("peer bernard "))
    assert (peer[3], peer[6]) == ("fd12::1", "fd12::1/128")


def test_numbers_that_the_engine_made_fractions_reach_hosts_whole(members: Any) -> None:
    """The engine keeps every number as a float."""
    floats: Any = {**members, "port": 51825.0, "mtu": 1420.0}
    text = payload(floats, "bernard", PRESHARED, mesh="m1", roster_id="r1", digest="d1")
    assert "port 51825\nmtu 1420\n" in text


def test_of_each_pair_one_speaks_first(members: Any) -> None:
    """Two first packets that cross would cost both five seconds."""
    members["members"]["apollo"] = {"endpoint": "1.2.3.4:51825"}
    pairs = Pairs(members)
    for one, other in pairs:
        assert {pairs.turn(one, other), pairs.turn(other, one)} in ({"first", "second"}, {"never"})
    assert pairs.turn("edgeworth", "bernard") == "first"
    assert Pairs(members).cannot_meet() == [("edgeworth", "phoenix")]


def test_the_digest_does_not_depend_on_order_or_ssh(members: Any) -> None:
    """Nothing on the hosts changes with these."""
    before = roster.roster_digest(members, PRESHARED, "m1")
    other = copy.deepcopy(members)
    other["members"] = dict(reversed(list(other["members"].items())))
    other["members"]["bernard"]["ssh"]["address"] = "10.9.9.9"
    other["members"]["bernard"]["system"] = "x86_64-linux"
    other["deadline"] = 90
    assert roster.roster_digest(other, PRESHARED, "m1") == before


def test_the_digest_does_not_depend_on_how_numbers_are_kept(members: Any) -> None:
    """A whole number and the engine's fraction are one plan."""
    other = copy.deepcopy(members)
    other["port"], other["mtu"] = 51825.0, 1420.0
    other["members"]["edgeworth"]["keepalive"] = 25.0
    assert roster.roster_digest(other, PRESHARED, "m1") == roster.roster_digest(members, PRESHARED, "m1")


@pytest.mark.parametrize(
    "change",
    [
        {"port": 51826},
        {"mtu": 1380},
        {"members": {}},
    ],
    ids=str,
)
def test_the_digest_changes_with_what_hosts_run(members: Any, change: Any) -> None:
    """Else a host would not hear of it."""
    assert roster.roster_digest(members | change, PRESHARED, "m1") != roster.roster_digest(members, PRESHARED, "m1")


@pytest.mark.parametrize("field", ["publicKey", "address", "endpoint", "keepalive"])
def test_the_digest_changes_with_each_field_of_a_member(members: Any, field: str) -> None:
    """Else a host would not hear of it."""
    other = copy.deepcopy(members)
    other["members"]["bernard"][field] = 15 if field == "keepalive" else "other"
    assert roster.roster_digest(other, PRESHARED, "m1") != roster.roster_digest(members, PRESHARED, "m1")


def test_the_digest_changes_with_the_preshared_key_and_the_mesh(members: Any) -> None:
    """And holds neither."""
    digests = {
        roster.roster_digest(members, PRESHARED, "m1"),
        roster.roster_digest(members, generate_preshared_key(), "m1"),
        roster.roster_digest(members, PRESHARED, "m2"),
    }
    assert len(digests) == 3
    assert all(len(digest) == 64 for digest in digests)


def test_numbers_read_as_they_are_written(members: Any) -> None:
    """Also where the engine hands back a fraction."""
    before, after = copy.deepcopy(members), copy.deepcopy(members)
    before["members"]["edgeworth"]["keepalive"], before["mtu"] = 25.0, 1420.0
    after["members"]["edgeworth"]["keepalive"], after["mtu"] = 0.0, 1380.0
    assert describe_changes(before, after) == [
        "~ edgeworth persistent keepalive: 25 becomes none",
        "~ every host, MTU: 1420 becomes 1380",
    ]


def test_a_first_roster_names_who_joins(members: Any) -> None:
    """With address and endpoint; nobody gains peers who was not there."""
    assert describe_changes(None, members) == [
        "+ bernard joins: fd00:1c86:78d4:dcef::1/64, 78.11.11.11:51825",
        "+ edgeworth joins: fd00:cac2:10cb:6ee9::1/64, roaming",
        "+ phoenix joins: fd00:a1b::1/64, roaming",
    ]


def test_a_change_reads_in_words_of_the_mesh(members: Any) -> None:
    """Who joins and leaves, whose key and endpoint change, and what changes on every host."""
    new = copy.deepcopy(members)
    del new["members"]["phoenix"]
    new["members"]["apollo"] = {**members["members"]["bernard"], "endpoint": "5.6.7.8:51825"}
    new["members"]["edgeworth"]["publicKey"] = object()
    new["members"]["bernard"]["endpoint"] = ""
    new["port"] = 51900.0
    assert describe_changes(members, new) == [
        "+ apollo joins: fd00:1c86:78d4:dcef::1/64, 5.6.7.8:51825",
        "- phoenix leaves: its peers drop it, then it is wiped; the preshared key is regenerated",
        "  a host that is not wiped keeps its key and the old preshared key; no member with the change accepts it",
        "~ bernard endpoint: 78.11.11.11:51825 becomes none",
        f"~ edgeworth key: {KEYS['edgeworth'][:8]}… becomes a new key",
        "~ every host, listen port: 51825 becomes 51900",
        "  2 hosts gain 1 peer",
        "  2 hosts lose 1 peer",
    ]


def test_who_gains_and_loses_is_counted_by_peering(members: Any) -> None:
    """Of the hosts that stay, not each is a peer of who joins or leaves; one that is not managed counts too."""
    new = copy.deepcopy(members)
    found = new["members"]
    found["apollo"] = member("bernard", "fd00:7::1/64", "5.6.7.8:51825") | {"publicKey": "k" * 44, "peers": ["bernard"]}
    new["peers"] = {"phone": {**found["apollo"], "publicKey": "p" * 44, "peers": ["bernard", "phoenix"]}}
    for name, peers in (("bernard", None), ("edgeworth", ["bernard"]), ("phoenix", ["bernard", "phone"])):
        found[name]["peers"] = peers or ["apollo", "edgeworth", "phoenix", "phone"]
    was = copy.deepcopy(new)
    del was["peers"], was["members"]["apollo"]
    assert describe_changes(was, new)[-2:] == ["  1 host gains 2 peers", "  1 host gains 1 peer"]
    assert describe_changes(new, was)[-2:] == ["  1 host loses 2 peers", "  1 host loses 1 peer"]


def test_other_rules_of_peering_for_the_same_pairs_are_said(members: Any) -> None:
    """They are another plan, which goes to all hosts."""
    new = copy.deepcopy(members)
    for name, found in new["members"].items():
        found["peers"] = sorted(new["members"].keys() - {name})
    assert describe_changes(members, new) == ["~ peering: other rules, and the same pairs"]


def test_a_site_reads_as_what_it_is(members: Any) -> None:
    """By it a host takes other endpoints for others of its site."""
    new = copy.deepcopy(members)
    new["members"]["phoenix"]["site"] = "home"
    assert describe_changes(members, new) == ["~ phoenix site: none becomes home"]


def test_a_host_that_is_a_peer_from_now_on_does_not_leave(members: Any) -> None:
    """It is wiped as a host; its name goes on to know the preshared key, which stays. And the other way round."""
    new = copy.deepcopy(members)
    own = new["members"].pop("phoenix")
    new["peers"] = {"phoenix": {field: own[field] for field in ("publicKey", "address", "endpoint", "keepalive")}}
    assert describe_changes(members, new) == [
        "- phoenix is no longer managed here: then it is wiped, and needs its file, since its peers keep it"
    ]
    assert describe_changes(new, members) == ["+ phoenix is managed here from now on"]
    impact = find_impact(members, new, (), preshared=False)
    assert expected_loss(members, new, impact) == [
        "what goes to phoenix, which is wiped as a host, until it has its file as a peer"
    ]


def test_nothing_changed_reads_as_nothing(members: Any) -> None:
    """A reviewer sees no line that means nothing."""
    assert describe_changes(members, copy.deepcopy(members)) == []


def test_a_renamed_machine_has_not_left() -> None:
    """Wiping it would take a member down; another machine that is gone is told."""
    ssh = {name: {"address": name, "port": 22} for name in ("one", "two")}
    old: Any = {"members": {"bernard": {"ssh": ssh["one"]}, "carol": {"ssh": ssh["two"]}}}
    new: Any = {"members": {"bern": {"ssh": {**ssh["one"], "port": 22.0, "user": "admin"}}}}
    left = {"carol": {**ssh["two"], "departure": "d1"}}
    assert roster.find_leavers({}, old, new, "d1") == left
    assert roster.find_leavers({"dora": ssh["one"]}, old, new, "d1") == left


def test_hosts_of_one_site_seek_each_other_there(members: Any) -> None:
    """Others use the external endpoint; without a local endpoint of the peer, so does its own site."""
    found = members["members"]
    found["bernard"] |= {"site": "home", "localEndpoint": "192.168.1.5:51825"}
    found["edgeworth"]["site"] = "home"
    assert Pairs(members).endpoint("edgeworth", "bernard") == "192.168.1.5:51825"
    assert Pairs(members).endpoint("phoenix", "bernard") == "78.11.11.11:51825"
    assert Pairs(members).endpoint("bernard", "edgeworth") == ""
    found["bernard"]["endpoint"] = ""
    assert Pairs(members).cannot_meet() == [("bernard", "phoenix"), ("edgeworth", "phoenix")]
    text = payload(members, "edgeworth", PRESHARED, mesh="m1", roster_id="r1", digest="p")
    assert " 192.168.1.5:51825 25 fd00:1c86:78d4:dcef::/64 first" in text


def test_a_renamed_host_reads_as_one_host(members: Any) -> None:
    """It has the key of one that is gone; what follows from its name is told, and nobody joins or leaves."""
    new = copy.deepcopy(members)
    new["members"]["apollo"] = {**new["members"].pop("phoenix"), "address": "fd00:5::1/64"}
    assert describe_changes(members, new) == [
        "~ apollo was phoenix, and keeps its key",
        "~ apollo address: fd00:a1b::1/64 becomes fd00:5::1/64",
    ]


def test_a_host_that_is_renamed_and_gets_a_new_key_reads_as_one_host(members: Any) -> None:
    """The stack file says its former name; in the same change the key may be rotated, or expire."""
    new = copy.deepcopy(members)
    new["members"]["apollo"] = {**new["members"].pop("phoenix"), "publicKey": object()}
    new["members"]["bernard"]["exitNode"] = "apollo"
    members["members"]["bernard"]["exitNode"] = "phoenix"
    said = describe_changes(members, new, {"phoenix": "apollo"})
    assert said == ["~ apollo was phoenix", f"~ apollo key: {KEYS['phoenix'][:8]}… becomes a new key"]
    assert describe_changes(new, new, {"phoenix": "apollo"}) == []


def moved(members: Any, host: str, **ssh: object) -> Any:
    """Return the same roster, with another way to `host`."""
    new = copy.deepcopy(members)
    new["members"][host]["ssh"] |= ssh
    return new


def test_another_machine_of_a_name_is_told_with_what_becomes_of_the_one_before(members: Any) -> None:
    """That one goes on with the same private key, and nothing else would say so."""
    elsewhere = {"address": "10.0.0.9", "hostKey": "ssh-ed25519 BBBB"}
    machine, before = describe_changes(members, new := moved(members, "bernard", **elsewhere))
    assert machine == "~ bernard is another machine: SSH finds it elsewhere, with another host key"
    assert before.startswith("  the one before is not wiped and runs bernard's key too")
    assert "as root: sh /var/lib/mesh/program wipe testwg" in before
    new["members"]["bernard"]["publicKey"] = KEYS["phoenix"]
    _, _, before = describe_changes(members, new)
    assert before == "  the one before is not wiped, and keeps the former key, which no member with the change accepts"


def test_a_machine_that_is_not_made_yet_may_be_another_one(members: Any) -> None:
    """Only then its address and its host key are known."""
    machine, _ = describe_changes(members, moved(members, "bernard", address=object(), hostKey=object()))
    assert machine.startswith("~ bernard may be another machine")
    [reinstalled] = describe_changes(members, moved(members, "bernard", hostKey=object()))
    assert reinstalled.startswith("~ bernard may have another SSH host key")


def test_another_host_key_in_one_place_is_another_installation(members: Any) -> None:
    """The rollout sets it up again; a machine that only moved is the same one."""
    [line] = describe_changes(members, moved(members, "bernard", hostKey="ssh-ed25519 BBBB"))
    assert line == ("~ bernard has another SSH host key: another installation, which is set up from the beginning")
    assert describe_changes(members, moved(members, "bernard", address="10.0.0.9", port=2222)) == []


def test_a_machine_with_a_new_name_and_a_new_key_is_not_said_to_be_wiped(members: Any) -> None:
    """A reviewer sees how it would keep its key instead."""
    new = copy.deepcopy(members)
    new["members"]["apollo"] = {**new["members"].pop("phoenix"), "publicKey": object()}
    assert (
        "- phoenix leaves: its peers drop it, its machine is apollo now (which would keep its key with "
        "formerly: phoenix in mesh:hosts.apollo); the preshared key is regenerated"
    ) in describe_changes(members, new)


def test_a_forgotten_host_is_no_leaver() -> None:
    """Neither one that left before nor one that leaves now; others still are."""
    ssh = {name: {"address": name, "port": 22} for name in ("one", "two", "three")}
    old: Any = {"members": {"bernard": {"ssh": ssh["one"]}, "carol": {"ssh": ssh["two"]}}}
    new: Any = {"members": {}, "forgotten": ["carol", "dora"]}
    assert roster.find_leavers({"dora": ssh["three"]}, old, new, "d1") == {"bernard": {**ssh["one"], "departure": "d1"}}


def test_who_left_earlier_stays_as_it_was_recorded() -> None:
    """Each departure keeps its mark, and one of an earlier form has none."""
    ssh = {"address": "one", "port": 22}
    new: Any = {"members": {}}
    earlier = {"dora": {**ssh, "departure": "d0"}, "miles": ssh}
    assert roster.find_leavers(earlier, new, new, "d1") == earlier


def test_forgetting_reads_as_what_it_is(members: Any) -> None:
    """A host that left earlier is told once; one that leaves now is not said to be wiped."""
    new = copy.deepcopy(members)
    del new["members"]["phoenix"]
    new["forgotten"] = ["apollo", "phoenix"]
    assert describe_changes(members, new)[:3] == [
        "- phoenix leaves: its peers drop it, it is forgotten, so it is not wiped; the preshared key is regenerated",
        "  a host that is not wiped keeps its key and the old preshared key; no member with the change accepts it",
        "- apollo is forgotten: runs no longer try to wipe it",
    ]
    assert describe_changes(new, copy.deepcopy(new)) == []


def test_who_is_forgotten_is_no_matter_of_the_hosts(members: Any) -> None:
    """So forgetting needs no rollout."""
    assert roster.roster_digest(members | {"forgotten": ["apollo"]}, PRESHARED, "m1") == roster.roster_digest(
        members, PRESHARED, "m1"
    )


def test_a_member_without_a_key_is_refused_by_name(members: Any) -> None:
    """A key that is not made yet, as in a preview, is no fault; one that this run leaves out is."""
    members["members"]["bernard"]["publicKey"] = object()
    roster.check_complete(members, "m1")
    for name in ("phoenix", "edgeworth"):
        members["members"][name]["publicKey"] = ""
    with pytest.raises(MeshError, match="testwg: edgeworth, phoenix would be new, but this run leaves out the key"):
        roster.check_complete(members, "m1")


def test_a_subnet_that_is_shared_from_now_on_reads_as_allowed_ips(members: Any) -> None:
    """The address stays."""
    new = copy.deepcopy(members)
    address = new["members"]["bernard"]["address"].partition("/")[0]
    new["members"]["bernard"]["subnet"] = f"{address}/128"
    (prefix,) = allowed_ips(members["members"]["bernard"])
    (line,) = describe_changes(members, new)
    assert line == f"~ bernard allowed IPs: {prefix} becomes {address}/128"


def test_hosts_seek_each_other_by_an_ip_version_that_both_have(members: Any) -> None:
    """The first address counts for who has both, or tells nothing of itself."""
    found = members["members"]
    found["bernard"] |= {"endpoint": "78.11.11.11:51825", "otherEndpoint": "[2001:db8::1]:51825"}
    found["edgeworth"]["endpoint"] = "[2001:db8::2]:51825"
    pairs = Pairs(members)
    assert pairs.endpoint("edgeworth", "bernard") == "[2001:db8::1]:51825"
    assert pairs.endpoint("bernard", "edgeworth") == "[2001:db8::2]:51825"
    assert pairs.endpoint("phoenix", "bernard") == "78.11.11.11:51825"
    found["edgeworth"]["endpoint"] = "78.11.11.12:51825"
    assert Pairs(members).endpoint("edgeworth", "bernard") == "78.11.11.11:51825"


def test_a_host_that_seeks_a_peer_at_a_name_is_told_the_ip_version_that_it_has(members: Any) -> None:
    """And no other host is told anything more; a name tells of no version itself."""
    text = {name: payload(members, name, PRESHARED, mesh="m1", roster_id="r1", digest="d1") for name in KEYS}
    members["members"]["phoenix"]["endpoint"] = "phoenix.example.org:51825"
    named = {name: payload(members, name, PRESHARED, mesh="m1", roster_id="r1", digest="d1") for name in KEYS}
    assert "prefers 4" in named["bernard"].splitlines()
    assert not [
        name for name, lines in {**text, "p": named["phoenix"], "e": named["edgeworth"]}.items() if "prefers" in lines
    ]
    assert (
        f"peer phoenix {KEYS['phoenix']} fd00:a1b::1 phoenix.example.org:51825 off fd00:a1b::/64 first"
        in named["bernard"]
    )
    members["members"]["bernard"] |= {"otherEndpoint": "[2001:db8::1]:51825"}
    assert "prefers" not in payload(members, "bernard", PRESHARED, mesh="m1", roster_id="r1", digest="d1")
    # Nobody knows which version phoenix has, so it gets the first.
    assert Pairs(members).endpoint("phoenix", "bernard") == "78.11.11.11:51825"


def test_each_pair_has_a_preshared_key_of_its_own_where_that_is_asked_for(members: Any) -> None:
    """Both ends are told the same, and nobody is told the mesh's own, from which all of them follow."""
    members["presharedKeys"] = "pairwise"
    told = {
        host: {
            line.split()[1]: line.split()[2]
            for line in payload(members, host, PRESHARED, mesh="m1", roster_id="r1", digest="p").splitlines()
            if line.startswith("pair-key ")
        }
        for host in members["members"]
    }
    assert {host: set(keys) for host, keys in told.items()} == {
        host: members["members"].keys() - {host} for host in members["members"]
    }
    for host, keys in told.items():
        assert all(told[peer][host] == key for peer, key in keys.items())
    everything = {key for keys in told.values() for key in keys.values()}
    assert len(everything) == 3
    assert PRESHARED not in everything
    assert roster.roster_digest(members, PRESHARED, "m1") != roster.roster_digest(
        members | {"presharedKeys": "shared"}, PRESHARED, "m1"
    )


def test_the_key_of_a_pair_is_what_hkdf_gives() -> None:
    """A value that was computed by OpenSSL, so that no later version gives another."""
    found: Any = {"presharedKeys": "pairwise", "interface": "testwg"}
    mesh_key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert pair_key(found, mesh_key, "edgeworth", "bernard") == "EyyviRqQaYiHCHzCwG2OJQOODZXYHn3ptdZQCXioQsY="
    assert pair_key(found, mesh_key, "bernard", "edgeworth") == "EyyviRqQaYiHCHzCwG2OJQOODZXYHn3ptdZQCXioQsY="
