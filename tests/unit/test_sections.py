"""The sections of a stack: what Pulumi hands to the program, and what commands read in the file, are one."""

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime.config import CONFIG

from mesh.cli.stack_file import StackFile
from mesh.component import values
from mesh.config.plain import plain, plain_of_text
from mesh.config.sections import (
    sections_in_file,
    sections_of_texts,
    sections_with_encrypted,
    unknown_sections,
)
from mesh.config.stack import read_stack
from mesh.errors import ConfigurationError
from tests.strategies import SECRETS

Section = dict[str, Any]
KEY = SECRETS[0]
IN_CLEAR = "mesh:adopted: in clear, where whoever reads the file has it"
NO_MAPPING = "mesh:adopted: not a mapping; give keys by interface/host, or by interface"


def told(sections: Section) -> list[str]:
    """Return the faults for which a stack is refused."""
    with pytest.raises(ConfigurationError) as caught:
        read_stack(sections, Path("nowhere"))
    assert KEY not in str(caught.value)
    return list(caught.value.faults)


@pytest.fixture
def good(hosts: Section, interfaces: Section) -> Section:
    """Return the sections of a stack without a fault."""
    return {"mesh:hosts": hosts, "mesh:interfaces": interfaces}


def test_a_stack_is_read_whole(good: Section) -> None:
    """With the keys that it brings."""
    stack = read_stack({**good, "mesh:adopted": {"testwg/bernard": KEY}, "mesh:rotation": "2"}, Path())
    assert stack.configuration.rotation == 2
    assert stack.adopted.private_keys["testwg", "bernard"] == KEY


@pytest.mark.parametrize("text", [KEY, f'"{KEY}"', f'["{KEY}"]', f"{{{KEY}", f"testwg: {KEY}", "5", "[" * 90000, ""])
@pytest.mark.parametrize("section", ["mesh:hosts", "mesh:interfaces", "mesh:adopted"])
def test_a_text_that_is_no_mapping_is_refused_and_not_shown(good: Section, section: str, text: str) -> None:
    """A key without its name is no JSON, and the SDK would show it."""
    sections = {**good, **sections_of_texts({section: text})}
    [fault] = told(sections)
    assert fault.startswith((f"{section}: not a mapping; ", f"{section}: missing; "))


def test_the_program_shows_no_value_of_a_section(good: Section, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that it reads is text by name, in whichever way the engine gives it."""
    monkeypatch.setattr(pulumi, "get_stack", lambda: "office")
    monkeypatch.setattr(pulumi.runtime, "get_config_env", lambda: {name: json.dumps(v) for name, v in good.items()})
    CONFIG.set({"mesh:adopted": KEY, "mesh:rotations": KEY, "aws:region": "x"})
    try:
        with pytest.raises(ConfigurationError) as caught:
            values.read_values(Path("nowhere"))
    finally:
        CONFIG.set({})
    assert KEY not in str(caught.value)
    clear, *others = (fault for fault in caught.value.faults if "adopted" in fault)
    assert clear.startswith(IN_CLEAR)
    assert others == [NO_MAPPING]
    assert "mesh:rotations: unknown section; did you mean mesh:rotation?" in caught.value.faults


SEALED = {"secure": "v1:abc"}
ENCRYPTED = "a value here is encrypted, and the state and the hosts would have it in clear"


@pytest.mark.parametrize("place", [("mesh:hosts",), ("mesh:hosts", "bernard", "externalIps", 0), ("mesh:rotation",)])
def test_an_encrypted_value_is_refused_where_the_state_would_have_it_in_clear(
    good: Section, place: tuple[Any, ...], tmp_path: Path
) -> None:
    """By commands that read the file, which follow nothing from it, and by what Pulumi tells of the section."""
    sections = json.loads(json.dumps({**good, "mesh:rotation": 1, "mesh:adopted": SEALED}))
    inner = sections
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = SEALED
    assert sections_with_encrypted(sections) == [place[0], "mesh:adopted"]
    file = tmp_path / "Pulumi.office.yaml"
    file.write_text(json.dumps({"config": sections}))
    with pytest.raises(ConfigurationError) as caught:
        StackFile(file).configuration()
    [fault] = caught.value.faults
    assert fault.startswith(f"{place[0]}: {ENCRYPTED}; ")
    with pytest.raises(ConfigurationError) as caught:
        read_stack({**good, "mesh:rotation": "none"}, Path(), (), [place[0]])
    # Where the values are known, so is all else that is wrong.
    assert [f.partition(";")[0] for f in caught.value.faults] == [
        f"{place[0]}: {ENCRYPTED}",
        "mesh:rotation: not usable",
    ]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("mesh:rotations", "mesh:rotations: unknown section; did you mean mesh:rotation?"),
        ("mesh:interface", "mesh:interface: unknown section; did you mean mesh:interfaces?"),
        ("mesh:hosts.a.ssh", "mesh:hosts.a.ssh: unknown section; did you mean mesh:hosts?"),
        ("mesh:hosts_file", "mesh:hosts_file: unknown section; did you mean mesh:hostsFile?"),
        (
            "mesh:port",
            (
                "mesh:port: unknown section; allowed are mesh:hosts, mesh:hostsFile, mesh:interfaces, mesh:rotation, "
                "mesh:adopted"
            ),
        ),
        (f"mesh:{KEY}", "mesh:<44 characters, not shown>: unknown section; allowed are mesh:hosts, mesh:hostsFile, "),
    ],
)
def test_a_section_that_nobody_reads_is_refused(good: Section, name: str, fault: str) -> None:
    """It is told with what is probably meant, and with all other faults."""
    good["mesh:rotation"] = 0
    first, second = told({**good, name: 2})
    assert first.startswith(fault)
    assert second.startswith("mesh:rotation: ")


def test_sections_of_others_are_theirs() -> None:
    """Other programs and Pulumi itself keep values in the file."""
    assert sections_of_texts({"aws:region": "x", "pulumi:tags": "{}"}) == {}
    assert sections_in_file({"aws:region": "x", "region": "x"}) == {}
    assert list(unknown_sections(sections_in_file({"hosts": {}, "mesh:config:rotation": 2}))) == []


def test_a_fault_of_one_section_hides_none_of_another(good: Section) -> None:
    """One run is enough to correct them all."""
    good["mesh:interfaces"]["testwg"]["port"] = 0
    good |= {"mesh:hosts": None, "mesh:hostsFile": "none.yaml", "mesh:adopted": {"testwg": "x"}, "mesh:rotation": "x"}
    assert [fault.split(": ")[0] for fault in told(good)] == [
        "mesh:hostsFile",
        "mesh:interfaces.testwg.port",
        "mesh:rotation",
        "mesh:adopted.testwg",
    ]


def test_commands_tell_all_faults_of_a_file_too(tmp_path: Path, good: Section) -> None:
    """Also where it has no hosts, and keys that nobody has encrypted."""
    path = tmp_path / "Pulumi.office.yaml"
    good["mesh:interfaces"]["testwg"]["port"] = 0
    config = {"mesh:interfaces": good["mesh:interfaces"], "mesh:adopted": KEY, "mesh:host": {}}
    path.write_text(json.dumps({"config": config}))
    with pytest.raises(ConfigurationError) as caught:
        StackFile(path).configuration()
    assert KEY not in str(caught.value)
    assert [fault.split("; ")[0] for fault in caught.value.faults] == [
        "mesh:host: unknown section",
        "mesh:hosts: missing",
        "mesh:interfaces.testwg.port: not usable",
        IN_CLEAR,
        "mesh:adopted: not a mapping",
    ]


@pytest.mark.parametrize("value", [None, "", True, 1.5, {"a": 1}, "2.0", 0, 2**31])
def test_what_is_no_rotation_is_refused(good: Section, value: object) -> None:
    """As the schema does, and Pulumi."""
    good["mesh:rotation"] = value
    [fault] = told(sections_in_file(good))
    assert fault.startswith("mesh:rotation: not usable; give a whole number from 1 up")


def test_a_file_of_hosts_is_named_by_a_text(good: Section) -> None:
    """And nothing else is a path."""
    del good["mesh:hosts"]
    for value in (5, ["a"], {"secure": "v1:x"}):
        [fault] = told({**good, "mesh:hostsFile": value})
        assert fault == "mesh:hostsFile: not usable; give the path of a YAML file of the project"


def test_values_are_as_pulumi_writes_them_in_json() -> None:
    """Whichever reader of YAML they come from."""
    assert plain({1: 51900.0, False: (1.5, {2: None}), None: {"x"}}) == {
        "1": 51900,
        "false": [1.5, {"2": None}],
        "<nil>": {"x": None},
    }
    deep: list[object] = []
    deep.append(deep)
    assert json.dumps(plain(deep))
    assert plain_of_text('{"port": 51900.0}') == {"port": 51900}


def test_hosts_may_have_numbers_as_names_and_ports_a_fraction_of_nothing(tmp_path: Path, good: Section) -> None:
    """A preview takes them, and so do the commands, from the stack file and from a file of hosts."""
    host = json.dumps(good["mesh:hosts"]["bernard"])
    text = f"1: {host}\n"
    interfaces = 'mesh:interfaces: {w: {hosts: ["1"], port: 51900.0, mtu: 0x514, peers: {phone: }, members: {1: }}}'
    path = tmp_path / "Pulumi.office.yaml"
    (tmp_path / "hosts.yaml").write_text(text)
    for hosts in (f"mesh:hosts:\n    {text}", "mesh:hostsFile: hosts.yaml\n"):
        path.write_text(f"config:\n  {hosts}  {interfaces}\n  mesh:rotation: 2.0\n")
        configuration = StackFile(path).configuration()
        interface = configuration.interfaces["w"]
        assert (list(configuration.hosts), interface.port, interface.mtu) == (["1"], 51900, 1300)
        assert (configuration.rotation, list(interface.peers), list(interface.members)) == (2, ["phone"], ["1"])
