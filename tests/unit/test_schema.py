"""The JSON schema takes what the models take, and refuses what they refuse as far as a schema can."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from mesh.cli.stack_file import StackFile
from mesh.config.host_models import Bastion, Host, SshSettings
from mesh.config.models import Interface, MemberOverrides, Peering, UnmanagedPeer
from mesh.config.schema import SCHEMA_FILE, build_schema, editor_line
from tests.strategies import HOST_KEY

ROOT = Path(__file__).parents[2]
STACK_FILES = sorted((ROOT / "stacks").rglob("Pulumi.*.yaml"))
SCHEMA = build_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

# What each model needs, so that one more field can be judged.
SSH = {"address": "10.0.0.5", "hostKey": HOST_KEY}
LEAST: dict[type[BaseModel], dict[str, Any]] = {
    Bastion: SSH,
    SshSettings: SSH,
    Host: {"ssh": SSH},
    Interface: {"hosts": ["bernard"]},
    MemberOverrides: {},
    UnmanagedPeer: {},
}
WG_KEY = "FzqdBuoPYY5vDcO8CdmnBmu6tYVBdw7rEAzhkQ8jkxM="
VALUES: tuple[object, ...] = (
    *(None, True, False, 0, 1, -1, 22, 600, 1400, 65536, 2**31, 1.5),
    *("", "off", "stop", "pairwise", "auto", "180d", "0d", "x_y", "bernard", "bernard.example.org", "x86_64-linux"),
    *("10.0.0.5", "256.0.0.1", "fd00::1", "fd00:1:2:3::1/64", "fd00:1:2:3::1", "fd12::/48", "fd12::/8"),
    *("10.20.0.0/24", "10.20.0.0/31", "0.0.0.0/0", "78.11.11.11:51820", "[2001:db8::1]:51820", "host.example.org:1"),
    *(HOST_KEY, WG_KEY, "ssh-rsa AAAA", "a" * 65),
    *(
        [],
        ["bernard"],
        ["10.0.0.5"],
        ["192.168.10.0/24"],
        [1],
        {},
        {"x": 1},
        {"bernard": {}},
        {"bernard": None},
        [{"group": ["all"]}],
    ),
)
# The model looks closer at these than a pattern can: at bits of a prefix, kinds of addresses and whole keys.
CLOSER = {
    ("Interface", "prefix"),
    ("Interface", "ipv4"),
    ("MemberOverrides", "address"),
    ("MemberOverrides", "routes"),
    ("UnmanagedPeer", "address"),
    ("UnmanagedPeer", "endpoint"),
    ("UnmanagedPeer", "routes"),
    ("Bastion", "address"),
    ("SshSettings", "address"),
}


# Every field of every model, by the name that it has in the file.
FIELDS = [(model, str(field.alias)) for model in LEAST for field in model.model_fields.values()]


def schema_takes(model: type[BaseModel], entry: object) -> bool:
    """Return whether the schema takes an entry of a model."""
    part = {"$ref": f"#/$defs/{model.__name__}", "$defs": SCHEMA["$defs"]}
    return Draft202012Validator(part).is_valid(entry)


def model_takes(model: type[BaseModel], entry: object) -> bool:
    """Return whether the model takes an entry."""
    try:
        model.model_validate(entry)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.stem)
def test_every_stack_file_of_the_project_fits(path: Path) -> None:
    """An editor marks no fault in a file that the project ships."""
    content = json.loads(json.dumps(YAML(typ="safe").load(path.read_text(encoding="utf-8"))))
    assert [error.message for error in VALIDATOR.iter_errors(content)] == []


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.stem)
def test_every_stack_file_of_the_project_leads_to_the_schema(path: Path) -> None:
    """Its first line is what the YAML language server reads, and the path in it is that of the schema."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == editor_line(path, ROOT)
    assert (path.parent / first.partition("=")[2]).resolve() == ROOT / SCHEMA_FILE


def test_editors_read_the_same_patterns() -> None:
    """Their regular expressions are ECMAScript's, and with those the files fit too."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--schemafile",
        ROOT / SCHEMA_FILE,
        *STACK_FILES,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_schema_is_one() -> None:
    """It is a valid schema itself."""
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(("model", "field"), FIELDS, ids=lambda part: getattr(part, "__name__", part))
def test_schema_and_model_agree_on_a_field(model: type[BaseModel], field: str) -> None:
    """What the model takes fits, and what it refuses does not, but where only the model can know."""
    for value in VALUES:
        if (field, value) in (("hosts", []), ("ssh", {})):
            continue  # that an interface has a host is for the reader, and an address may wait for the scan
        entry = {**LEAST[model], field: value}
        if model is Host and field == "localIps":
            entry["site"] = "berlin"
        taken = model_takes(model, entry)
        if taken or (model.__name__, field) not in CLOSER:
            assert schema_takes(model, entry) == taken, value


@pytest.mark.parametrize("model", LEAST, ids=lambda model: model.__name__)
def test_an_unknown_field_does_not_fit(model: type[BaseModel]) -> None:
    """A misspelt field is marked in the editor."""
    assert schema_takes(model, LEAST[model])
    assert not schema_takes(model, {**LEAST[model], "externalIp": "78.11.11.11"})


@pytest.mark.parametrize("host", [None, {}, {"ssh": {}}, {"ssh": {"address": "10.0.0.5"}}], ids=str)
def test_what_the_scan_fills_in_may_wait_for_it(host: object) -> None:
    """The models want it, and an editor does not call a file wrong that the scan is to complete."""
    assert VALIDATOR.is_valid({"config": {"mesh:hosts": {"bernard": host}}})
    assert not model_takes(Host, host)


def test_a_file_that_is_made_leads_to_the_schema(tmp_path: Path) -> None:
    """In a project, wherever the file is, and also where `pulumi stack init` has made it before."""
    (tmp_path / SCHEMA_FILE).parent.mkdir()
    (tmp_path / SCHEMA_FILE).write_text("{}")
    fresh, salted = tmp_path / "stacks/Pulumi.office.yaml", tmp_path / "Pulumi.lab.yaml"
    salted.write_text("encryptionsalt: v1:a:b\n")
    for path, there in ((fresh, "mesh.schema.json"), (salted, "stacks/mesh.schema.json")):
        file = StackFile(path, complete=True)
        file.write()
        assert path.read_text().startswith(f"# yaml-language-server: $schema={there}\n")
        StackFile(path, complete=True).write()
        assert path.read_text().count("yaml-language-server") == 1
    assert "encryptionsalt: v1:a:b" in salted.read_text()


def test_a_file_of_the_user_s_own_keeps_its_beginning(tmp_path: Path) -> None:
    """And so does one outside of any project, where there is no schema."""
    path = tmp_path / "Pulumi.office.yaml"
    StackFile(path, complete=True).write()
    assert "yaml-language-server" not in path.read_text()


@pytest.mark.parametrize(
    "rule",
    [{"group": ["all"]}, {"hub": ["tag:server"], "spokes": ["all"]}],
    ids=str,
)
def test_a_whole_peering_rule_fits(rule: object) -> None:
    """A group, or a hub and its spokes."""
    assert schema_takes(Peering, rule)


@pytest.mark.parametrize(
    "section",
    [
        {"mesh:host": {}},
        {"mesh:hosts": []},
        {"mesh:hosts": {"a_b": {"ssh": SSH}}},
        {"mesh:hosts": {"bernard": {"ssh": SSH, "externalIps": ["78.11.11.11"], "externalName": "b.example.org"}}},
        {"mesh:hosts": {"bernard": {"ssh": SSH, "localIps": ["10.0.0.5"]}}},
        {"mesh:interfaces": {"all": {"hosts": ["bernard"]}}},
        {"mesh:interfaces": {"sixteen-letters-": {"hosts": ["bernard"]}}},
        {"mesh:interfaces": {"testwg": {"hosts": []}}},
        {"mesh:interfaces": {"testwg": {"hosts": ["bernard", "bernard"]}}},
        {"mesh:interfaces": {"testwg": {"hosts": ["bernard"], "peers": {"a_b": {}}}}},
        {"mesh:interfaces": {"testwg": {"hosts": ["bernard"], "peering": [{"hub": ["bernard"]}]}}},
        {"mesh:interfaces": {"testwg": {"hosts": ["bernard"], "peering": [{}]}}},
        {"mesh:rotation": 0},
        {"mesh:rotation": "soon"},
        {"mesh:rotation": None},
        {"mesh:adopted": ["key"]},
    ],
    ids=str,
)
def test_what_the_reader_refuses_does_not_fit(section: dict[str, Any]) -> None:
    """Rules within one entry, and names, are in the schema."""
    assert not VALIDATOR.is_valid({"config": section})


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"config": None},
        {"encryptionsalt": "v1:a:b", "config": {"mesh:adopted": {"secure": "v1:c"}, "pulumi:tags": {"a": "b"}}},
        {"config": {"mesh:adopted": {"testwg/bernard": {"secure": "v1:c"}}, "mesh:rotation": "2"}},
        {"config": {"mesh:hostsFile": "hosts.yaml", "aws:region": "eu-central-1", "mesh:config:rotation": 2}},
    ],
    ids=str,
)
def test_what_pulumi_writes_fits(content: dict[str, Any]) -> None:
    """Salt, encrypted values and other programs' sections are none of ours."""
    assert VALIDATOR.is_valid(content)
