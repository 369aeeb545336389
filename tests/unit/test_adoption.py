"""How `mesh.config` takes over keys that exist already."""

import json
from pathlib import Path
from typing import Any

import pytest

from mesh.config.adopted import Adopted, adopted_in_file, faults_in_clear, read_adopted
from mesh.config.models import Configuration
from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key, public_key_of

PRIVATE = generate_key_pair().private_key
PRESHARED = generate_preshared_key()


@pytest.fixture
def configuration(hosts: dict[str, Any], interfaces: dict[str, Any]) -> Configuration:
    """Return the seed's two hosts on one interface."""
    return read_configuration(hosts, interfaces)


def test_adopted_keys_are_found_by_interface_and_host(configuration: Configuration) -> None:
    """Each key reaches whom it belongs to, and nobody else."""
    adopted = read_adopted({"testwg/bernard": PRIVATE, "testwg": PRESHARED}, configuration)
    assert adopted.private_keys == {("testwg", "bernard"): PRIVATE}
    assert adopted.preshared_keys == {"testwg": PRESHARED}


def test_a_file_without_adopted_keys_adopts_none(configuration: Configuration) -> None:
    """The section is optional, and may be removed once its keys are taken."""
    assert read_adopted(None, configuration) == Adopted()


def test_printing_adopted_keys_shows_none(configuration: Configuration) -> None:
    """A traceback that shows its values shows no key."""
    shown = repr(read_adopted({"testwg/bernard": PRIVATE, "testwg": PRESHARED}, configuration))
    assert PRIVATE not in shown
    assert PRESHARED not in shown


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("other", PRESHARED, "mesh:adopted.other: no interface of that name; name it as in mesh:interfaces, or remove"),
        ("other/bernard", PRIVATE, 'mesh:adopted["other/bernard"]: no interface of that name; name it'),
        ("testwg/nobody", PRIVATE, "mesh:adopted[\"testwg/nobody\"]: 'nobody' is no host of that interface; correct"),
        ("testwg/", PRIVATE, "mesh:adopted[\"testwg/\"]: '' is no host of that interface; correct"),
        ("testwg/bernard", PRIVATE[:-1], 'mesh:adopted["testwg/bernard"]: not a WireGuard key; give 44 characters'),
        ("testwg", 5, "mesh:adopted.testwg: not a WireGuard key; give 44 characters"),
        ("testwg", "A" * 43 + "=", "mesh:adopted.testwg: all zeros, which is no key to WireGuard; remove it"),
        ("testwg/bernard", "A" * 43 + "=", 'mesh:adopted["testwg/bernard"]: all zeros, which is no key to WireGuard'),
        (PRIVATE, PRIVATE, "mesh:adopted[<44 characters, not shown>]: no interface of that name"),
    ],
    ids=[
        "interface",
        "interface of a host",
        "host",
        "no host",
        "private key",
        "preshared key",
        "all zeros",
        "all zeros as private key",
        "key as name",
    ],
)
def test_a_key_that_cannot_be_adopted_is_refused_without_being_shown(
    configuration: Configuration, name: str, value: object, fault: str
) -> None:
    """The place is told and the key is not, also where the key was written in the place of a name."""
    with pytest.raises(ConfigurationError) as caught:
        read_adopted({name: value}, configuration)
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(fault)
    assert not isinstance(value, str) or value not in str(caught.value)


def test_two_hosts_cannot_adopt_one_key(configuration: Configuration) -> None:
    """WireGuard drops a peer with the host's own key in silence."""
    with pytest.raises(ConfigurationError) as caught:
        read_adopted({"testwg/bernard": PRIVATE, "testwg/edgeworth": PRIVATE}, configuration)
    assert caught.value.faults == (
        (
            "mesh:adopted[\"testwg/edgeworth\"]: the key of host 'bernard' too; each needs its own, so remove one "
            "to have it made"
        ),
    )


def test_a_host_cannot_adopt_the_key_of_a_peer_that_is_not_managed(
    hosts: dict[str, Any], interfaces: dict[str, Any]
) -> None:
    """Other hosts would take the two for one, and this host drop that peer."""
    interfaces["testwg"]["peers"] = {"phone": {"publicKey": public_key_of(PRIVATE)}}
    with pytest.raises(ConfigurationError) as caught:
        read_adopted({"testwg/bernard": PRIVATE}, read_configuration(hosts, interfaces))
    [fault] = caught.value.faults
    assert fault.startswith("mesh:adopted[\"testwg/bernard\"]: the key of peer 'phone' too; ")


def test_all_faults_of_the_section_are_told_at_once(configuration: Configuration) -> None:
    """One run is enough to correct it."""
    with pytest.raises(ConfigurationError) as caught:
        read_adopted({"testwg": "x", "testwg/bernard": "y", "other": PRESHARED}, configuration)
    assert len(caught.value.faults) == 3


def test_what_is_no_mapping_is_refused(configuration: Configuration) -> None:
    """A key alone says nothing about whose it is, and is not shown."""
    with pytest.raises(ConfigurationError, match="mesh:adopted: not a mapping; give keys by interface/host") as caught:
        read_adopted(PRIVATE, configuration)
    assert PRIVATE not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "in_clear"),
    [
        ({"secure": "v1:x"}, []),
        ({"testwg": {"secure": "v1:x"}, "testwg/bernard": {"secure": "v1:y"}}, []),
        ({"testwg": {"secure": "v1:x"}, "testwg/bernard": PRIVATE}, ['mesh:adopted["testwg/bernard"]']),
        ({"testwg": PRESHARED, "testwg/bernard": PRIVATE}, ["mesh:adopted.testwg", 'mesh:adopted["testwg/bernard"]']),
    ],
)
def test_each_key_in_clear_is_named(tmp_path: Path, written: object, in_clear: list[str]) -> None:
    """The engine says only that some of them are encrypted; however the section's name is written."""
    for section in ("mesh:adopted", "adopted", "mesh:config:adopted"):
        file = tmp_path / "Pulumi.office.yaml"
        file.write_text(json.dumps({"config": {section: written}}))
        faults = faults_in_clear({"testwg": PRESHARED}, is_secret=True, written=adopted_in_file(file))
        assert [fault.place for fault in faults] == in_clear
        assert PRIVATE not in str(faults)


def test_what_is_not_encrypted_at_all_is_refused_without_a_file(tmp_path: Path) -> None:
    """And a configuration that lies elsewhere is judged by what the engine says."""
    (tmp_path / "salt").write_text("encryptionsalt: x\n")
    for file in (tmp_path / "none", tmp_path / "salt"):
        assert adopted_in_file(file) is None
    [fault] = faults_in_clear({"testwg": PRESHARED}, is_secret=False, written=None)
    assert str(fault).startswith("mesh:adopted: in clear")
    assert faults_in_clear({"testwg": PRESHARED}, is_secret=True, written=None) == []
    assert faults_in_clear(None, is_secret=False, written=None) == []


def test_a_file_that_cannot_be_read_is_refused_and_not_shown(tmp_path: Path) -> None:
    """Two keys of one name, say: the library's own words would show both."""
    file = tmp_path / "Pulumi.office.yaml"
    file.write_text(f"config:\n  mesh:adopted:\n    1: {PRIVATE}\n    true: {PRESHARED}\n")
    with pytest.raises(ConfigurationError, match=r"mesh:adopted: 'Pulumi\.office\.yaml' cannot be read") as caught:
        adopted_in_file(file)
    assert PRIVATE not in str(caught.value)


@pytest.mark.parametrize("adopted", [{"secure": "v1:x"}, {"testwg/bernard": {"secure": "v1:x"}}, {}])
def test_what_is_encrypted_still_is_passed_over(configuration: Configuration, adopted: object) -> None:
    """Commands that ask no engine cannot read it, and see the names alone."""
    assert read_adopted(adopted, configuration) == Adopted()
    with pytest.raises(ConfigurationError, match="no interface of that name"):
        read_adopted({"other": {"secure": "v1:x"}}, configuration)
