"""Comments of a stack file, which stay where they are, whatever a command adds before them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml.comments import CommentedMap

from mesh.cli.adopted_keys import write_with_keys
from mesh.cli.allocate import allocate_addresses
from mesh.cli.stack_file import HOSTS, INTERFACES, StackFile
from tests.unit.scanned import OTHER_KEY

TEXT = f"""\
config:
  mesh:hosts:
    bernard:
      ssh:
        address: 10.0.0.1   # of the rack
        # no port yet

    # the office
    carol:
      tags:
        - a
      externalIps: [78.11.11.11]   # endpoint
      ssh: {{address: 10.0.0.2, hostKey: {OTHER_KEY}}}

  # the meshes
  mesh:interfaces:
    testwg:
      hosts: [carol]
      ipv4: 10.20.0.0/24
      # relay: carol

    # of the office alone
    other:
      hosts:
        - carol
      port: 5000
    # old:
    #   hosts: [carol]

# the end
"""


def read(folder: Path, text: str = TEXT) -> StackFile:
    """Write a stack file and read it."""
    path = folder / "Pulumi.test.yaml"
    path.write_text(text)
    return StackFile(path, complete=True)


def after(line: str, *added: str, text: str = TEXT) -> str:
    """Return the text with lines behind a line."""
    assert f"{line}\n" in text
    return text.replace(f"{line}\n", "".join(f"{each}\n" for each in (line, *added)), 1)


def test_a_comment_stays_with_what_it_is_about(tmp_path: Path) -> None:
    """An address is given in the first mesh, and what follows is about the second one."""
    file = read(tmp_path)
    assert file.text() == TEXT
    allocate_addresses(file)
    lines = ("      members:", "        carol:", "          ipv4: 10.20.0.1")
    assert file.path.read_text() == after("      # relay: carol", *lines)
    assert file.text() == file.path.read_text()


@pytest.mark.parametrize(
    ("place", "key", "value", "expected"),
    [
        ((HOSTS, "bernard", "ssh"), "hostKey", "k", after("        # no port yet", "        hostKey: k")),
        ((HOSTS, "bernard"), "site", "x", after("        # no port yet", "      site: x")),
        (
            (HOSTS,), "dora", CommentedMap({"ssh": CommentedMap({"address": "10.0.0.3"})}),
            after(
                f"      ssh: {{address: 10.0.0.2, hostKey: {OTHER_KEY}}}",
                "    dora:", "      ssh:", "        address: 10.0.0.3",
            ),
        ),
        (
            (INTERFACES,), "third", CommentedMap({"port": 5001}),
            after("    #   hosts: [carol]", "    third:", "      port: 5001"),
        ),
        ((), "mesh:rotation", 2, after("    #   hosts: [carol]", "  mesh:rotation: 2")),
    ],
    ids=["field", "entry", "host", "interface", "section"],
)  # fmt: skip
def test_what_is_added_comes_before_the_comments_of_what_follows(
    tmp_path: Path, place: tuple[str, ...], key: str, value: Any, expected: str
) -> None:
    """And after those that are as far to the right as itself."""
    file = read(tmp_path)
    holder = file.content["config"]
    for part in place:
        holder = holder[part]
    holder[key] = value
    assert file.text() == expected
    assert file.text() == expected


def test_an_item_of_a_list_and_a_field_are_added_at_once(tmp_path: Path) -> None:
    """What the one has moved, the other moves further."""
    short = TEXT.replace("      port: 5000\n", "")
    file = read(tmp_path, short)
    other = file.section(INTERFACES)["other"]
    other["hosts"].append("bernard")
    other["port"] = 5000
    assert file.text() == after("        - carol", "        - bernard", "      port: 5000", text=short)


def test_an_alias_is_no_place_for_a_comment(tmp_path: Path) -> None:
    """Its lines are elsewhere, and a circle has none."""
    text = "config:\n  a: &a\n    b: 1\n    # of a\n  c: *a\n  d: &d\n    e: *d\n"
    file = read(tmp_path, text)
    file.content["config"]["c2"] = 1
    file.content["config"]["d"]["f"] = 2
    assert "  c: *a\n" in file.text()
    assert "    b: 1\n    # of a\n" in file.text()


def test_keys_take_the_place_of_earlier_keys(tmp_path: Path) -> None:
    """The comment behind them is another section's, and lists beside the configuration keep theirs."""
    beside = "environment:   # of us all\n  - dev   # first\nencryptionsalt: 'v1:a'   # made in May\n"
    text = TEXT.replace("config:\n", f"{beside}config:\n  mesh:adopted:\n    secure: old\n\n  # our hosts\n", 1)
    file = read(tmp_path, text)
    made = {"environment": ["dev"], "encryptionsalt": "v1:a", "config": {"mesh:adopted": {"secure": "new"}}}
    pulumi: Any = SimpleNamespace(encrypt=lambda *_: made)
    write_with_keys(file, pulumi, {"testwg": "secret"})
    assert file.path.read_text() == text.replace("secure: old", "secure: new")
