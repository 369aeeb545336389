"""The stack files that come with the project can be used as they are."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.plan.topology import plan_meshes

STACKS = Path(__file__).parents[2] / "stacks"


def read_stack(path: Path) -> dict[str, Any]:
    """Return what is under `config` in a stack file, which is nothing in one that was just initialised."""
    content: dict[str, dict[str, Any]] = YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}
    return content.get("config") or {}


# Its hosts are made by the demo, and their keys with them.
UNSCANNED = STACKS / "Pulumi.lab.yaml"
DESCRIBED = [path for path in sorted(STACKS.rglob("*.yaml")) if path != UNSCANNED and "mesh:hosts" in read_stack(path)]


@pytest.mark.parametrize("path", DESCRIBED, ids=lambda path: path.stem)
def test_a_stack_file_of_the_project_has_no_fault(path: Path) -> None:
    """Whoever copies an example starts from a file that works."""
    stack = read_stack(path)
    assert plan_meshes(read_configuration(stack["mesh:hosts"], stack["mesh:interfaces"]))


def test_the_lab_stack_lacks_the_host_keys_and_nothing_else() -> None:
    """The demo's scan fills them in, and whoever uses the file before is told which they are."""
    stack = read_stack(UNSCANNED)
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(stack["mesh:hosts"], stack["mesh:interfaces"])
    assert [fault.partition(":")[2].partition(";")[0] for fault in caught.value.faults] == [
        f"hosts.{host}.ssh.hostKey: missing" for host in ("bernard", "carol", "dora", "edgeworth")
    ]


def test_the_seed_stack_holds_the_two_hosts_of_the_seed() -> None:
    """The example that compares us with the system before is that system's own."""
    stack = read_stack(STACKS / "Pulumi.seed.yaml")
    mesh = plan_meshes(read_configuration(stack["mesh:hosts"], stack["mesh:interfaces"]))["testwg"]
    assert [(m.name, str(m.address), m.endpoint) for m in mesh.members] == [
        ("bernard", "fd00:1c86:78d4:dcef::1/64", "78.11.11.11:51825"),
        ("edgeworth", "fd00:cac2:10cb:6ee9::1/64", None),
    ]


def test_the_production_stack_shows_what_a_larger_environment_needs() -> None:
    """The example has several meshes, a bastion, a sudo user, a roaming host and an IPv6 endpoint."""
    stack = read_stack(STACKS / "Pulumi.production.yaml")
    configuration = read_configuration(stack["mesh:hosts"], stack["mesh:interfaces"])
    plans = plan_meshes(configuration)
    ssh = [host.ssh for host in configuration.hosts.values()]
    endpoints = [member.endpoint for mesh in plans.values() for member in mesh.members]
    assert len(plans) == 2
    assert any(settings.bastion is not None and settings.uses_sudo for settings in ssh)
    assert None in endpoints
    assert any(endpoint is not None and endpoint.startswith("[") for endpoint in endpoints)
