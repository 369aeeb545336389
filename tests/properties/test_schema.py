"""The JSON schema refuses no stack file that is without a fault."""

from typing import Any

from hypothesis import given
from jsonschema import Draft202012Validator

from mesh.config.schema import build_schema
from tests.strategies import stack_files

VALIDATOR = Draft202012Validator(build_schema())


@given(stack_files())
def test_whatever_is_a_stack_file_fits(sections: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """An editor marks nothing in a file that the program takes."""
    hosts, interfaces = sections
    assert VALIDATOR.is_valid({"config": {"mesh:hosts": hosts, "mesh:interfaces": interfaces}})
