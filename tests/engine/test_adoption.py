"""Adopted keys reach the stack's configuration encrypted, and by no way that others can read."""

import json
import shutil
from pathlib import Path

import pytest

from mesh.cli.adopted_keys import write_with_keys
from mesh.cli.pulumi_cli import pulumi_of
from mesh.cli.stack_file import StackFile
from mesh.errors import MeshError
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key
from tests.engine.conftest import Maker


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with the arguments and the environment of every pulumi that is run."""
    real, log = shutil.which("pulumi"), tmp_path / "seen"
    shim = tmp_path / "bin" / "pulumi"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\n{{ echo "$@"; env; }} >>{log}\nexec {real} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent), prepend=":")
    return log


def test_keys_are_written_encrypted_and_read_again(
    make_stack: Maker, watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in no argument, no environment and not in clear in the file; those that were there stay."""
    stack = make_stack(1)
    stack.write({"testwg": {"hosts": ["h1"]}})
    for name, value in stack.environment.items():
        if name.startswith("PULUMI_"):
            monkeypatch.setenv(name, value)
    file = stack.stack_file
    # Comments are the user's, and stay.
    file.write_text(f"# of ours\n{file.read_text()}")
    config = pulumi_of(file, stack.folder)
    assert config.read_adopted() == {}
    first = generate_key_pair().private_key
    stack.must("config", "set", "--path", "--secret", 'mesh:adopted["testwg/h1"]', first)
    assert config.read_adopted() == {"testwg/h1": first}
    keys = {**config.read_adopted(), "testwg": generate_preshared_key()}
    write_with_keys(StackFile(file), config, keys)
    assert config.read_adopted() == keys
    assert file.read_text().startswith("# of ours\n")
    # The test's own argument is seen, so the other key would be.
    assert first in watched.read_text()
    assert keys["testwg"] not in watched.read_text()
    assert not [key for key in keys.values() if key in file.read_text()]
    stack.must(*config.removal.split()[1:])
    assert config.read_adopted() == {}


def test_a_stack_that_is_not_there_is_told_with_the_way_out(make_stack: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be encrypted before it is; nor with the wrong passphrase."""
    stack = make_stack(1)
    for name, value in stack.environment.items():
        if name.startswith("PULUMI_"):
            monkeypatch.setenv(name, value)
    other = stack.folder / "stacks/Pulumi.other.yaml"
    other.write_text("config: {}\n")
    with pytest.raises(
        MeshError, match="no stack named 'other' found; name a stack that exists, or run pulumi stack init other"
    ):
        pulumi_of(other, stack.folder).read_adopted()
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
    with pytest.raises(MeshError, match="passphrase"):
        write_with_keys(StackFile(stack.stack_file), pulumi_of(stack.stack_file, stack.folder), {"testwg": "x"})


@pytest.mark.parametrize("passphrase", [None, "wrong"])
def test_an_import_whose_keys_cannot_be_encrypted_writes_nothing_and_works_once_they_can(
    make_stack: Maker, passphrase: str | None
) -> None:
    """Whether a secret was there before or not, Pulumi asks for the passphrase only when it encrypts."""
    stack = make_stack(1)
    pairs = {name: generate_key_pair() for name in ("alpha", "bravo")}
    folder = stack.folder / "conf"
    for number, (name, own) in enumerate(pairs.items(), 1):
        (other,) = (key for key in pairs.values() if key is not own)
        (folder / name).mkdir(parents=True)
        (folder / name / "wg0.conf").write_text(
            f"[Interface]\nPrivateKey = {own.private_key}\nAddress = 10.7.0.{number}/24\nListenPort = 51820\n"
            f"[Peer]\nPublicKey = {other.public_key}\nAllowedIPs = 10.7.0.{3 - number}/32\n"
            f"Endpoint = 78.11.11.{3 - number}:51820\n"
        )
    before, right = stack.stack_file.read_text(), stack.environment.pop("PULUMI_CONFIG_PASSPHRASE")
    if passphrase:
        stack.environment["PULUMI_CONFIG_PASSPHRASE"] = passphrase
    refused = stack.companion("import", "wg-quick", "conf", "test")
    assert refused.code == 1
    assert "set PULUMI_CONFIG_PASSPHRASE_FILE to the file with the stack's passphrase" in refused.errors
    assert stack.stack_file.read_text() == before
    stack.environment["PULUMI_CONFIG_PASSPHRASE"] = right
    done = stack.companion("import", "wg-quick", "conf", "test")
    assert done.code == 0, done.text
    assert "wg0 with 2 hosts; 2 keys in mesh:adopted, encrypted" in done.output
    held = json.loads(stack.must("config", "get", "mesh:adopted").output)
    assert held == {f"wg0/{name}": key.private_key for name, key in pairs.items()}
    text = stack.stack_file.read_text()
    assert not [key for key in held.values() if key in text]
    assert before.strip() in text
