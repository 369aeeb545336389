"""What the errors of `mesh.errors` say and carry."""

import copy
import pickle

import pytest

from mesh.errors import (
    ConfigurationError,
    HostError,
    HostsFailedError,
    InvalidKeyError,
    MeshError,
    PlacedFault,
    UnreachableHostError,
)


def test_a_fault_of_a_stack_file_knows_its_place() -> None:
    """Who reads another file into a stack file can name the place there."""
    fault = PlacedFault("mesh:hosts.a", "one thing; do this")
    error = ConfigurationError([fault])
    assert error.placed == (fault,)
    assert error.faults == ("mesh:hosts.a: one thing; do this",)


def test_every_fault_has_a_line_of_its_own() -> None:
    """A user corrects the whole file after one run, reading one line for each fault."""
    error = ConfigurationError(
        [PlacedFault("mesh:hosts.a", "one thing; do this"), PlacedFault("mesh:hosts.b", "another; do that")]
    )
    assert str(error).splitlines() == [
        "stack configuration: 2 faults to correct",
        "  mesh:hosts.a: one thing; do this",
        "  mesh:hosts.b: another; do that",
    ]
    assert error.faults == ("mesh:hosts.a: one thing; do this", "mesh:hosts.b: another; do that")


def test_a_single_fault_is_not_counted_in_the_plural() -> None:
    """The header reads naturally for the most common case."""
    assert str(ConfigurationError([PlacedFault("x", "y; z")])).startswith("stack configuration: 1 fault to correct\n")


def test_a_host_error_names_its_host_first() -> None:
    """Failures of many hosts are told apart at the start of the line."""
    error = HostError("bernard", "no space in /etc/wireguard; free some")
    assert str(error) == "host 'bernard': no space in /etc/wireguard; free some"
    assert (error.host, error.message) == ("bernard", "no space in /etc/wireguard; free some")


@pytest.mark.parametrize("kind", [HostError, UnreachableHostError])
def test_a_host_error_survives_copying_and_pickling(kind: type[HostError]) -> None:
    """Errors cross threads and processes without losing the host or the message."""
    error = kind("bernard", "silent; start sshd")
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - made one line above
        assert type(twin) is kind
        assert (twin.host, twin.message, str(twin)) == (error.host, error.message, str(error))


def test_every_host_that_failed_has_a_line_of_its_own() -> None:
    """One run tells of all hosts, sorted, and of what became of the change."""
    failures = {"edgeworth": "no space; free some", "bernard": "silent; start sshd"}
    lines = ["host 'bernard': silent; start sshd", "host 'edgeworth': no space; free some"]
    assert str(HostsFailedError(failures)).splitlines() == lines
    told = HostsFailedError(failures, "testwg: no host has changed")
    assert str(told).splitlines() == ["testwg: no host has changed", *(f"  {line}" for line in lines)]
    assert (copy.copy(told).failures, str(copy.copy(told))) == (failures, str(told))


@pytest.mark.parametrize(
    "kind", [ConfigurationError, HostError, HostsFailedError, InvalidKeyError, UnreachableHostError]
)
def test_one_except_clause_catches_every_error(kind: type[Exception]) -> None:
    """Whoever shows errors to the user needs to know MeshError only."""
    assert issubclass(kind, MeshError)
