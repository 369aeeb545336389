"""The generated pages and the schema are what the models and the commands say today."""

from pathlib import Path

import pytest

from docs.generate import generate, stack_file
from mesh.config.host_models import Bastion, SshSettings
from mesh.config.models import Host, Interface, MemberOverrides, Peering, UnmanagedPeer
from mesh.config.validation import accepts

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("path", "text"), generate().items(), ids=lambda part: part if len(part) < 60 else "text")
def test_a_generated_file_is_current(path: str, text: str) -> None:
    """Whoever changed a field or a command has run `python -m docs.generate`."""
    assert (ROOT / path).read_text(encoding="utf-8") == text, "run python -m docs.generate"


@pytest.mark.parametrize("model", [Bastion, SshSettings, Host, MemberOverrides, UnmanagedPeer, Peering, Interface])
def test_every_field_says_what_it_means_and_what_it_takes(model: type[Host]) -> None:
    """A field without a description would be a gap in the reference and in editors."""
    for name, field in model.model_fields.items():
        assert str(field.description).endswith("."), name
        assert accepts(field), name


def test_a_default_is_in_the_reference() -> None:
    """The reference says what a file gets that says nothing."""
    assert "default `51824`" in stack_file()
    assert "default `stop`" in stack_file()
