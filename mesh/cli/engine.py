"""Find a Pulumi engine that fits, or install one; what runs on it belongs elsewhere."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from mesh.errors import MeshError

__all__ = ["HOME", "Engine", "find_engine", "install_engine", "link_engine"]

HOME = Path("~/.pulumi")

_AT_LEAST = (3, 244)
_BELOW = 4
_SECONDS = 60


class Engine:
    """A `pulumi` and its version."""

    def __init__(self, command: Path, version: str) -> None:
        """Name the program at `command`."""
        self.command = command
        self.version = version

    @property
    def fits(self) -> bool:
        """Whether the program runs on this version."""
        numbers = re.match(r"(\d+)\.(\d+)\.", self.version)
        if numbers is None:
            return False
        major, minor = int(numbers[1]), int(numbers[2])
        return (major, minor) >= _AT_LEAST and major < _BELOW

    def plugins(self) -> list[str]:
        """Return its plugins, each with its version; none where it does not say."""
        try:
            done = subprocess.run(
                [self.command, "plugin", "ls", "--json"], capture_output=True, text=True, check=True, timeout=_SECONDS,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            return sorted(f"{each['kind']} {each['name']} {each['version']}" for each in json.loads(done.stdout))
        except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError):
            return []

    @property
    def is_on_path(self) -> bool:
        """Whether `pulumi` in a shell is this one."""
        return shutil.which("pulumi") == str(self.command)


def _ask(command: Path) -> Engine | None:
    try:
        done = subprocess.run(
            [command, "version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Engine(command, done.stdout.strip().removeprefix("v")) if done.returncode == 0 else None


def find_engine(home: Path = HOME) -> Engine | None:
    """Return the `pulumi` from PATH, else the one below `home`, whichever fits first; None if neither does."""
    on_path = shutil.which("pulumi")
    candidates = [*([Path(on_path)] if on_path else []), home.expanduser() / "bin" / "pulumi"]
    return next((engine for engine in map(_ask, candidates) if engine and engine.fits), None)


def install_engine(home: Path = HOME) -> Engine:
    """Install the engine of the SDK's own version below `home`, by the official installer, and return it.

    Raises:
        MeshError: If it could not be downloaded or does not run.
    """
    # It costs half a second and is not needed where an engine is found.
    from pulumi.automation import PulumiCommand  # noqa: PLC0415

    root = home.expanduser()
    try:
        PulumiCommand.install(root=str(root))
    except subprocess.CalledProcessError as error:
        said = (error.output or b"").decode(errors="replace").strip().splitlines()
        raise MeshError(_failure(said[-1] if said else "the installer failed")) from None
    except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions of many kinds
        raise MeshError(_failure(str(error) or type(error).__name__)) from None
    engine = _ask(root / "bin" / "pulumi")
    if engine is None or not engine.fits:
        raise MeshError(_failure("what was installed does not run"))
    return engine


def link_engine(engine: Engine) -> Path | None:
    """Let `pulumi` be this engine where our virtual environment is active; return the link, None where there is none.

    An engine looks for its language hosts beside the file that the link leads to, so these need no link.
    """
    link = Path(sys.prefix, "bin", "pulumi")
    if sys.prefix == sys.base_prefix or (link.exists() and not link.is_symlink()):
        return None
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(engine.command)
    except OSError:
        return None
    return link


def _failure(reason: str) -> str:
    return f"engine: pulumi could not be installed ({reason}); install it by hand, 3.244 or later, and put it on PATH"
