"""What `mesh up` makes pulumi target, and when it goes without checkpoints."""

import pytest

from mesh.cli.checkpoints import skips_checkpoints
from mesh.cli.partial_up import target_options
from mesh.errors import MeshError

MEMBERS = {"testwg": {"bernard", "carol", "edgeworth"}, "backwg": {"carol", "dora"}}


def patterns(options: list[str]) -> list[str]:
    """Return what follows each `--target`."""
    assert set(options[::2]) <= {"--target"}
    return options[1::2]


def test_all_hosts_are_no_target() -> None:
    """A plain run."""
    assert target_options([], MEMBERS, MEMBERS) == []


def test_a_host_is_its_resources_and_those_of_its_meshes() -> None:
    """Of a mesh that it is not in, nothing; and each of several hosts once."""
    assert patterns(target_options(["edgeworth", "bernard", "bernard"], MEMBERS, MEMBERS)) == [
        "**/bernard/**",
        "**/edgeworth/**",
        "**::testwg",
        "**::testwg/identity",
        "**::testwg/preshared-key",
        "**::testwg/roster",
        "**::testwg/survey",
        "**::testwg/*/enrol",
        "**::testwg/rollout",
    ]


def test_a_host_of_two_meshes_is_a_change_of_both() -> None:
    """Its keys are in both."""
    chosen = patterns(target_options(["carol"], MEMBERS, MEMBERS))
    assert {"**/carol/**", "**::testwg/rollout", "**::backwg/rollout"} <= set(chosen)


@pytest.mark.parametrize(
    ("planned", "running", "said"),
    [
        ({"bernard", "phoenix"}, {"bernard"}, "testwg: phoenix joins, and .* add --only phoenix,"),
        ({"bernard"}, {"bernard", "carol"}, "testwg: carol leaves, and .* add --only carol,"),
        ({"bernard", "carol"}, set(), "testwg: carol joins, and .* add --only carol,"),
    ],
)
def test_who_joins_or_leaves_has_to_be_named(planned: set[str], running: set[str], said: str) -> None:
    """Else a mesh would lose a peer in a run that seems to be about another host."""
    with pytest.raises(MeshError, match=said):
        target_options(["bernard"], {"testwg": planned}, {"testwg": running})
    named = planned ^ running | {"bernard"}
    assert target_options(named, {"testwg": planned}, {"testwg": running})


def test_a_mesh_that_left_the_stack_file_goes_when_all_its_hosts_are_named() -> None:
    """They all leave."""
    with pytest.raises(MeshError, match="backwg: dora leaves"):
        target_options(["carol"], {"testwg": MEMBERS["testwg"]}, MEMBERS)
    assert "**::backwg/roster" in target_options(["carol", "dora"], {"testwg": MEMBERS["testwg"]}, MEMBERS)


def test_who_joins_another_mesh_need_not_be_named() -> None:
    """That mesh is left out as a whole."""
    assert target_options(["bernard"], {**MEMBERS, "backwg": {"carol", "dora", "phoenix"}}, MEMBERS)


def test_an_unknown_host_is_told_with_those_that_are_known() -> None:
    """A typing error would else be a run that does nothing."""
    with pytest.raises(MeshError, match="--only: bernhard is in no mesh; give some of bernard, carol, dora, edgeworth"):
        target_options(["bernhard"], MEMBERS, MEMBERS)


@pytest.mark.parametrize(
    ("members", "wanted", "environment", "skips"),
    [
        (99, None, {}, False),
        (100, None, {}, True),
        (100, True, {}, False),
        (2, False, {}, True),
        (100, None, {"PULUMI_SKIP_CHECKPOINTS": "false"}, False),
        (100, False, {"PULUMI_SKIP_CHECKPOINTS": "false"}, True),
    ],
)
def test_a_large_run_goes_without_checkpoints_unless_somebody_chose_otherwise(
    members: int, wanted: bool | None, environment: dict[str, str], skips: bool
) -> None:
    """An option comes before Pulumi's own variable, and that before the size."""
    assert skips_checkpoints(members, wanted, environment) is skips
