"""What a host sets for a peer whose key changes, and what it leaves for the end of the switch."""

import pytest

from tests.host_program import PARTS, HostProgram

PROGRAM = "".join(
    (PARTS / f"{part}.sh").read_text() for part in ("wireguard/interface", "wireguard/endpoints", "core/switch")
)
_OLD, _NEW, _OTHER = (letter * 43 + "=" for letter in "ONX")
_LEARNED = "203.0.113.4:3880"


def lay(host: HostProgram, *, before: str, after: str, runs: str) -> None:
    """Let the host go from the peers `before` to `after`, while its interface runs the lines `runs` of a dump."""
    for place, lines in (("run", before), ("next", after)):
        (host.home / place).mkdir(parents=True)
        (host.home / place / "peers").write_text(lines)
    (host.home / "next/preshared-key").write_text("secret\n")
    host.stub("wg", f"printf 'private\\tpublic\\t51825\\toff\\n{runs}'")


def sets(host: HostProgram, order: str) -> str:
    """Return the arguments of `wg set` that an order works out, after the interface."""
    # In the test's header, what is planned is what runs.
    return host.run(f"{PROGRAM}\nplanned() {{ echo next; }}\n{order}").stdout.strip()


def peer(name: str, key: str, *, address: str = "fd00::", endpoint: str = "-", keepalive: str = "off") -> str:
    """Return a staged line of one peer."""
    return f"{name} {key} {address}1 {endpoint} {keepalive} {address}/64 first\n"


def runs(key: str, *, allowed: str = "fd00::/64", keepalive: str = "off", endpoint: str = _LEARNED) -> str:
    """Return a line of `wg show IF dump`."""
    return f"{key}\\t(secret)\\t{endpoint}\\t{allowed}\\t0\\t0\\t0\\t{keepalive}\\n"


def test_a_new_key_takes_the_endpoint_that_the_old_one_was_heard_at_though_a_new_port_is_planned(
    host: HostProgram,
) -> None:
    """Nobody listens at the new port yet. Where the peer will be, and what it will own, is set at the end."""
    lay(
        host,
        before=peer("carol", _OLD, endpoint="203.0.113.4:51825"),
        after=peer("carol", _NEW, endpoint="203.0.113.4:51826", address="fd77::", keepalive="25"),
        runs=runs(_OLD, keepalive="15"),
    )
    shared = host.home / "next/preshared-key"
    assert sets(host, "exchange carol | head -n 1") == (
        f"peer {_NEW} preshared-key {shared} persistent-keepalive 15 endpoint {_LEARNED} allowed-ips fd00::/64 "
        f"peer {_OLD} remove"
    )
    host.stub("wg", f"printf 'private\\tpublic\\t51825\\toff\\n{runs(_NEW, keepalive='15')}'")
    assert sets(host, "exchange carol | head -n 1") == ""
    assert sets(host, "delta") == (
        f"peer {_NEW} endpoint 203.0.113.4:51826 preshared-key {shared} persistent-keepalive 25 allowed-ips fd77::/64"
    )


def test_a_key_that_nobody_knew_by_its_name_is_found_by_the_addresses_that_it_has(host: HostProgram) -> None:
    """As where a mesh made by hand is taken over."""
    lay(host, before="", after=peer("carol", _NEW), runs=runs(_OLD))
    assert sets(host, "exchange carol | head -n 1").endswith(f"peer {_OLD} remove")


def test_a_peer_that_is_new_waits_for_the_end_and_a_relay_is_no_earlier_key_of_those_it_relays_for(
    host: HostProgram,
) -> None:
    """Its round would wait for an answer that cannot come: the other end does not know this host yet."""
    relay = peer("relay", _OTHER, address="fd01::")
    lay(
        host,
        before=relay,
        after=relay + peer("carol", _NEW),
        runs=runs(_OTHER, allowed="fd01::/64,fd00::/64", endpoint="203.0.113.9:51825"),
    )
    assert sets(host, "exchange carol | head -n 1") == ""
    assert f"{_OTHER} remove" not in sets(host, "delta")


def test_a_relay_that_changes_its_own_key_is_no_earlier_key_of_those_it_relayed_for_either(host: HostProgram) -> None:
    """As where a mesh loses its relay, and gets new keys in the same go: its tunnel was cut for four seconds."""
    lay(
        host,
        before=peer("relay", _OTHER, address="fd01::"),
        after=peer("relay", _NEW, address="fd01::") + peer("carol", _OLD),
        runs=runs(_OTHER, allowed="fd01::/64,fd00::/64", endpoint="203.0.113.9:51825"),
    )
    assert sets(host, "exchange carol | head -n 1") == ""
    assert "allowed-ips fd01::/64,fd00::/64" in sets(host, "exchange relay | head -n 1")


def test_who_takes_over_the_address_of_a_host_that_stays_does_not_take_its_key(host: HostProgram) -> None:
    """Only one that is gone, as under its earlier name, is an earlier key of the one that has its address now."""
    moved = peer("carol", _NEW, address="fd77::")
    lay(host, before=peer("carol", _OLD), after=moved + peer("dora", _OTHER), runs=runs(_OLD))
    assert sets(host, "exchange dora | head -n 1") == ""
    (host.home / "next/peers").write_text(peer("dora", _OTHER))
    assert sets(host, "exchange dora | head -n 1").endswith(f"peer {_OLD} remove")


def test_the_round_of_a_key_waits_for_an_answer_from_the_address_that_the_peer_still_has(host: HostProgram) -> None:
    """Also where its address inside the mesh changes in the same go."""
    lay(host, before=peer("carol", _OLD), after=peer("carol", _NEW, address="fd77::"), runs=runs(_OLD))
    assert sets(host, "exchange carol | tail -n 1") == "fd00::1"
    (host.home / "run/peers").write_text("")
    assert sets(host, "exchange carol | tail -n 1") == "fd77::1"


def test_whose_keys_change_is_remembered_for_going_back_alone(host: HostProgram) -> None:
    """A run that goes on where another was cut off adds to them, and a rollback by order names nobody."""
    lay(host, before=peer("carol", _OLD), after=peer("carol", _NEW), runs=runs(_OLD))
    (host.home / "previous").mkdir()
    sets(host, "order_preshared carol dora; order_preshared; order_preshared bernard")
    assert (host.home / "previous/turns").read_text().split() == ["carol", "dora", "bernard"]


@pytest.mark.parametrize("names", [("10", "1e1"), ("1", "01"), ("nan", "inf"), ("0", "0e5")])
def test_peers_whose_names_are_the_same_number_keep_their_own_keys(host: HostProgram, names: tuple[str, str]) -> None:
    """Each takes the place of its own earlier key, and of no other."""
    places = {name: f"fd0{number}::" for number, name in enumerate(names)}
    old, new = ({name: f"{letter}{n}" + "=" * 42 for n, name in enumerate(names)} for letter in "ON")
    lay(
        host,
        before="".join(peer(name, old[name], address=where) for name, where in places.items()),
        after="".join(peer(name, new[name], address=where) for name, where in places.items()),
        runs="".join(runs(old[name], allowed=f"{where}/64") for name, where in places.items()),
    )
    for name, where in places.items():
        arguments = sets(host, f"exchange {name} | head -n 1")
        assert arguments.startswith(f"peer {new[name]} ")
        assert arguments.endswith(f"allowed-ips {where}/64 peer {old[name]} remove")
        assert arguments.count("remove") == 1
