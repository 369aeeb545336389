"""The stack's values, as Pulumi hands them to the program.

They are read as the texts that they are: what the SDK says of a text that is no JSON repeats it, and it may be a key.
"""

from pathlib import Path

import pulumi
from pulumi.runtime.config import CONFIG

from mesh.config.adopted import adopted_in_file, faults_in_clear
from mesh.config.sections import ADOPTED, sections_of_texts
from mesh.config.stack import StackValues, read_stack

__all__ = ["read_values"]


def read_values(folder: Path) -> StackValues:
    """Return what the stack asks for; `folder` is the project's.

    Raises:
        ConfigurationError: With every fault of all sections; none shows a value that could be a secret.
    """
    # All names too, since the SDK tells of a name only whether it is there.
    sections = sections_of_texts({**pulumi.runtime.get_config_env(), **CONFIG.get()})
    adopted = sections.get(ADOPTED)
    written = adopted_in_file(folder / "stacks" / f"Pulumi.{pulumi.get_stack()}.yaml") if adopted else None
    encrypted = [name for name in sections if pulumi.runtime.is_config_secret(name)]
    return read_stack(
        sections, folder, faults_in_clear(adopted, is_secret=ADOPTED in encrypted, written=written), encrypted
    )
