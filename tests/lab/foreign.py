"""A guest root for another processor, made without running one of its programs.

Packages only unpack; what their scripts would have made is taken from a root of this processor that has the same ones.
"""

import io
import os
import subprocess
import tarfile
from pathlib import Path

__all__ = ["configure_as", "packages_of"]

# What is of the other processor or of the other root's own, and what a root is not to begin with.
_LEFT = [
    "boot",
    "dev",
    "initrd.img",
    "initrd.img.old",
    "proc",
    "run",
    "sys",
    "tmp",
    "etc/ld.so.cache",
    "usr/lib/modules",
    "usr/lib/x86_64-linux-gnu",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/log",
    "vmlinuz",
    "vmlinuz.old",
]
# Names that lead into /usr, as packages may still have them.
_MERGED = ("bin/", "sbin/", "lib/", "lib64/")


def packages_of(configured: Path) -> list[str]:
    """Return the names of a root's packages, but for those that are of one processor by their name, such as kernels."""
    status = (configured / "var/lib/dpkg/status").read_text()
    names = [line.partition(": ")[2] for line in status.splitlines() if line.startswith("Package: ")]
    return [name for name in names if "amd64" not in name]


def configure_as(configured: Path, root: Path) -> None:
    """Give a root of unpacked packages the users, links and settings of one in which they have been set up."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in _made_by_scripts(configured):
            archive.add(configured / path, path, recursive=False)
    subprocess.run(["tar", "-x", "-p", "-C", str(root)], input=packed.getvalue(), check=True)
    (version,) = (entry.name for entry in (root / "usr/lib/modules").iterdir())
    subprocess.run(["depmod", "-b", str(root), version], check=True)


def _made_by_scripts(configured: Path) -> list[str]:
    """Return what is in a root and in no package of it."""
    packaged = {"."}
    for listing in (configured / "var/lib/dpkg/info").glob("*.list"):
        names = (line.lstrip("/") for line in listing.read_text().splitlines())
        packaged.update(f"usr/{name}" if name.startswith(_MERGED) else name for name in names)
    made = []
    for folder, folders, files in os.walk(configured):
        below = os.path.relpath(folder, configured)
        named = {os.path.normpath(f"{below}/{name}"): name for name in (*folders, *files)}
        folders[:] = [name for path, name in named.items() if name in folders and path not in _LEFT]
        made += [path for path in named if path not in packaged and path not in _LEFT]
    return made
