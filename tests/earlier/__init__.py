"""The program as it was earlier, to make states and hosts that the program of today has to go on with."""

import tarfile
from pathlib import Path

__all__ = ["VERSIONS", "unpack"]

# By the day on which it was what users ran: mesh/, __main__.py and Pulumi.yaml.
VERSIONS = sorted(path.name.removesuffix(".tar.xz") for path in Path(__file__).parent.glob("*.tar.xz"))


def unpack(version: str, project: Path) -> None:
    """Replace the program in the folder of a project by an earlier one; `mesh` may be a link to a checkout."""
    archive = Path(__file__).with_name(f"{version}.tar.xz")
    for name in ("mesh", "__main__.py", "Pulumi.yaml"):
        if (project / name).is_symlink() or (project / name).is_file():
            (project / name).unlink()
    with tarfile.open(archive) as files:
        files.extractall(project, filter="data")
