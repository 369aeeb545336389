"""Write keys into a stack file, encrypted, together with all else that is new in it.

Pulumi encrypts, and it does so in a copy of the file. Where it cannot, since the passphrase is missing or wrong,
nothing was written, and the same command works once that is corrected.
"""

from collections.abc import Mapping

from ruamel.yaml.comments import CommentedMap

from mesh.cli.pulumi_cli import ADOPTED, PulumiCli
from mesh.cli.stack_file import StackFile
from mesh.cli.yaml_comments import replace_value
from mesh.config.sections import section_of

__all__ = ["write_with_keys"]


def write_with_keys(file: StackFile, pulumi: PulumiCli, keys: Mapping[str, str]) -> None:
    """Write the file, with `keys` as all that `mesh:adopted` holds.

    Raises:
        MeshError: If they cannot be encrypted, or the file cannot be written; then it is as it was.
    """
    encrypted = pulumi.encrypt(ADOPTED, keys, file.text())
    # What encrypts is at the top of the file, and new with the first secret of a stack.
    for name, value in encrypted.items():
        # What is there already has comments and quotes.
        if name != "config" and file.content.get(name) != value:
            file.content[name] = value
    config = file.content["config"]
    for name in [name for name in config if section_of(name) == ADOPTED and name != ADOPTED]:
        del config[name]
    (held,) = (value for name, value in encrypted["config"].items() if section_of(name) == ADOPTED)
    replace_value(config, ADOPTED, CommentedMap(held))
    file.write()
