"""Messages that concern hundreds of hosts fit a screen: they name the first, and count the others."""

from typing import Any

import pytest

from mesh.cli.forget import choose_interfaces
from mesh.cli.partial_up import target_options
from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError, MeshError
from mesh.keyring.foreseen import foresee_preshared_key
from tests.strategies import HOST_KEY

HOSTS = [f"host-{number:03}" for number in range(300)]
FIRST = ", ".join(HOSTS[:20])


def test_a_fault_of_all_hosts_names_the_first_of_them() -> None:
    """Those without an address in an IPv4 prefix, and those with one port on two interfaces."""
    machines = {name: {"ssh": {"address": f"{name}.example.org", "hostKey": HOST_KEY}} for name in HOSTS}
    meshes: dict[str, Any] = {
        "onewg": {"hosts": HOSTS, "ipv4": "10.0.0.0/16", "port": 51820},
        "otherwg": {"hosts": HOSTS, "port": 51820},
    }
    with pytest.raises(ConfigurationError) as refused:
        read_configuration(machines, meshes)
    lines = "\n".join(refused.value.faults)
    assert f"no address for {FIRST} and 280 more; run python -m mesh allocate" in lines
    assert "the port of interface 'onewg' too, on 'host-000', 'host-001', " in lines
    assert "'host-019' and 280 more; give one of them another port" in lines
    assert max(map(len, refused.value.faults)) < 600


def test_a_few_are_all_named() -> None:
    """As before."""
    machines = {name: {"ssh": {"address": f"{name}.example.org", "hostKey": HOST_KEY}} for name in HOSTS[:3]}
    with pytest.raises(ConfigurationError, match="on 'host-000', 'host-001' and 'host-002'; give one"):
        read_configuration(machines, {mesh: {"hosts": HOSTS[:3], "port": 51820} for mesh in ("onewg", "otherwg")})


def test_many_hosts_that_join_beside_those_that_are_chosen_are_counted() -> None:
    """Nobody adds 299 options."""
    with pytest.raises(MeshError) as refused:
        target_options(["host-000"], {"testwg": frozenset(HOSTS)}, {})
    assert str(refused.value).endswith(
        "host-020 joins and 279 more, and every member must learn of it; run up without --only"
    )


def test_many_who_knew_a_key_or_wait_to_be_wiped_are_counted() -> None:
    """In a preview, and where another one is to be forgotten."""
    inputs = {"pairwise": False, "postQuantum": False}
    (line,) = foresee_preshared_key({"createdAt": "", "rotation": "1", "knownTo": HOSTS}, inputs, []).lines
    assert line == f"~ preshared key is regenerated: {FIRST} and 280 more knew it and is no longer an owner"
    with pytest.raises(MeshError, match=r"hosts that are: host-000, .* and 280 more$"):
        choose_interfaces("carol", None, {}, {"testwg": HOSTS})
