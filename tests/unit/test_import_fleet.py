"""What an import makes of a state of Fleet, and what it refuses."""

from pathlib import Path

import pytest

from mesh.cli.importers.fleet import read_fleet
from mesh.cli.importers.stack import add_meshes, hosts_without_address
from mesh.cli.stack_file import StackFile
from mesh.errors import ConfigurationError

FLEET = """{
  # written by fleet
  hosts = {
    bernard.encryptionKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    edgeworth.encryptionKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIELc1m...";
  };
  secrets = {
    testwg-key = [
      {
        owners = [ "bernard" ];
        createdAt = "2026-04-23T16:39:29.532714437Z";
        public.raw = "<PLAINTEXT>T7F6A+6jU87kz4c8GftttyU+xB0KhHIaplDV65psb3M=";
        secret.raw = "<ENCRYPTED><BASE64-ENCODED>abc";
      }
      {
        owners = [ "edgeworth" ];
        createdAt = "2026-04-23T16:39:43.337788671Z";
        public.raw = "<PLAINTEXT>QgERRQnE+blQaVNMNiQZ+uk+HEOFKVTmvg4O+MqQ0hA=";
        secret.raw = "<ENCRYPTED><BASE64-ENCODED>abc";
      }
    ];
    testwg-psk = {
      owners = [ "bernard" "edgeworth" ];
      createdAt = "2026-04-23T16:39:30.126077659Z";
      secret.raw = "<ENCRYPTED><BASE64-ENCODED>abc";
    };
    other-key = { owners = [ "bernard" ]; public.raw = "<PLAINTEXT>ssh"; };
  };
}
"""


def test_a_fleet_state_gives_hosts_and_the_public_keys_to_compare(tmp_path: Path) -> None:
    """A host key that was shortened is left for scan; private keys are for adopt."""
    (mesh,) = read_fleet(FLEET, 51825)
    assert mesh.notes[0] == (
        "bernard: public key T7F6A+6jU87kz4c8GftttyU+xB0KhHIaplDV65psb3M=, made 2026-04-23T16:39:29Z; adopt has to "
        "show the same"
    )
    assert mesh.keys == {}
    file = StackFile(tmp_path / "Pulumi.office.yaml", complete=True)
    add_meshes(file, [mesh])
    config = file.content["config"]
    assert config["mesh:interfaces"] == {"testwg": {"hosts": ["bernard", "edgeworth"], "port": 51825}}
    assert config["mesh:hosts"]["bernard"]["ssh"]["hostKey"].endswith("9GKJl")
    assert config["mesh:hosts"]["edgeworth"] == {"ssh": {"address": "edgeworth"}}
    assert hosts_without_address(file) == []


def test_every_form_in_which_fleet_writes_is_read() -> None:
    """Texts that end in a newline, names with dots, and keys below each host."""
    plain = read_fleet(FLEET, None)
    lines = """''
          <ENCRYPTED><BASE64-ENCODED>
          YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNzaC1lZDI1NTE5IEFBQUEgYmJiYgpj '''x ''${y}
          Y2NjCg
        ''"""
    written = FLEET.replace('"<ENCRYPTED><BASE64-ENCODED>abc"', lines)
    assert read_fleet(written, None) == plain
    public = '"<PLAINTEXT>T7F6A+6jU87kz4c8GftttyU+xB0KhHIaplDV65psb3M="'
    for text in ("''\n          {}\n        ''", '"{}\\n"', "''{}''"):
        assert read_fleet(FLEET.replace(public, text.format(public.strip('"'))), None) == plain
    dotted = FLEET.replace("    bernard.encryptionKey", '    "db.example.org"."encryptionKey"')
    (mesh,) = read_fleet(dotted.replace('"bernard"', '"db.example.org"'), None)
    assert [(member.host, member.host_key) for member in mesh.members] == [
        ("db.example.org", plain[0].members[0].host_key),
        ("edgeworth", plain[0].members[1].host_key),
    ]


def test_keys_below_each_host_are_read_as_those_that_hosts_share() -> None:
    """As other versions of Fleet have them."""
    shared = FLEET.replace("  secrets = {", "  sharedSecrets = {")
    assert read_fleet(shared, None) == read_fleet(FLEET, None)
    keys = {
        "bernard": ("29.532714437", "T7F6A+6jU87kz4c8GftttyU+xB0KhHIaplDV65psb3M="),
        "edgeworth": ("43.337788671", "QgERRQnE+blQaVNMNiQZ+uk+HEOFKVTmvg4O+MqQ0hA="),
    }
    own = "".join(
        f'hostSecrets.{host}.testwg-key = {{ createdAt = "2026-04-23T16:39:{second}Z"; '
        f'public.raw = "<PLAINTEXT>{key}"; secret.raw = "<ENCRYPTED>abc"; }};\n'
        for host, (second, key) in keys.items()
    )
    hosts = FLEET.partition("  secrets = {")[0]
    assert read_fleet(f"{hosts}{own}}}", None) == read_fleet(FLEET, None)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "state.nix:1"),
        ("{", "state.nix:1"),
        ("[ ]", "state.nix:1"),
        ('{\n a =\n "', "state.nix:3"),
        ("{ a = { b = 1; };\n a.b = 2; ", "state.nix:2"),
        ("{\n}\n}", "state.nix:3"),
        ("{" * 10000, "state.nix:1"),
        ("{ secrets = { }; }", "state.nix"),
        ("\ufeff{\n ?", "state.nix:2"),
        ("\0", "state.nix"),
        ("{ a = ''\nb;\n}", "state.nix:1"),
        ("{ a. = 1; }", "state.nix:1"),
        ("{ a = .5; }", "state.nix:1"),
    ],
)
def test_what_is_no_fleet_state_is_refused(text: str, place: str) -> None:
    """With the line where that shows, and without another exception."""
    with pytest.raises(ConfigurationError) as caught:
        read_fleet(text, None, "state.nix")
    assert caught.value.faults[0].startswith(f"{place}: ")


def test_names_that_are_none_here_are_refused_and_no_host_is_left_out() -> None:
    """NixOS takes an underscore in a host name; a mesh without that host would drop it."""
    with pytest.raises(ConfigurationError) as caught:
        read_fleet(FLEET.replace('"bernard"', '"db_01"').replace("testwg-key", "a-very-long-interface-key"), None)
    assert list(caught.value.faults) == [
        "fleet.nix:8: no interface can have the name of this secret; rename it",
        "fleet.nix:10: no host name (letters, digits and - joined by dots); rename this host",
    ]
