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
