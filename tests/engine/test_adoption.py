"""Adopted keys reach the stack's configuration encrypted, and by no way that others can read."""

import shutil
from pathlib import Path

import pytest

from mesh.cli.pulumi_cli import pulumi_of
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
    config = pulumi_of(file, stack.folder)
    assert config.read_adopted() == {}
    first = generate_key_pair().private_key
    stack.must("config", "set", "--path", "--secret", 'mesh:adopted["testwg/h1"]', first)
    assert config.read_adopted() == {"testwg/h1": first}
    keys = {**config.read_adopted(), "testwg": generate_preshared_key()}
    config.write_adopted(keys)
    assert config.read_adopted() == keys
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
        pulumi_of(stack.stack_file, stack.folder).write_adopted({"testwg": "x"})
