"""What other processes of the operator's machine see of a run: arguments, environments, files, core dumps."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mesh.wireguard.keys import generate_key_pair, generate_preshared_key
from tests.engine.conftest import maker_of
from tests.engine.stack import Stack

HOSTS = ["h1", "h2"]
_BAIT = "in-the-environment-for-all-to-see"
# The program's process has the stack's configuration in its environment, secrets in clear: the engine puts it there.
_PROGRAM = "pulumi-language-python-exec"
_SERVER = "dynamic"


def listening(process: Path) -> set[str]:
    """Return the addresses at which a process takes connections, as /proc has them: hexadecimal, in host order."""
    targets = {os.readlink(path) for path in (process / "fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = fields = line.split()
            if state == "0A" and f"socket:[{fields[9]}]" in targets:
                found.add(local.partition(":")[0])
    return found


class Seen:
    """All that was seen of a run's processes, and of the files that they made for the time being."""

    def __init__(self) -> None:
        """Have seen nothing."""
        # Arguments and environment, which belong together, and by process its last limit.
        self.images: set[tuple[str, str]] = set()
        self.arguments: dict[int, str] = {}
        self.core_limits: dict[int, str] = {}
        self.listening: set[str] = set()
        self.files: dict[Path, str] = {}

    def look(self, session: int, folder: Path) -> None:
        """Look at the processes of a session, and into a folder."""
        for process in Path("/proc").glob("[0-9]*"):
            number = int(process.name)
            with suppress(OSError):
                if os.getsid(number) != session:
                    continue
                words, variables, again = (
                    (process / name).read_text(errors="replace") for name in ("cmdline", "environ", "cmdline")
                )
                if words != again:
                    # It became another program in between.
                    continue
                self.images.add((words, variables))
                limits = (process / "limits").read_text().splitlines()
                self.core_limits[number] = next(line.split()[4] for line in limits if line.startswith("Max core"))
                self.arguments[number] = words
                self.listening |= listening(process)
        for path in folder.rglob("*"):
            with suppress(OSError):
                if path.is_file():
                    self.files[path] = self.files.get(path, "") + path.read_text(errors="replace")


def watch(stack: Stack, folder: Path, *words: str) -> Seen:
    """Run pulumi, which has to succeed, and return what was seen meanwhile."""
    return watch_run(stack.start(*words), folder)


def watch_run(process: "subprocess.Popen[str]", folder: Path) -> Seen:
    """Return what was seen of a run, which has to succeed, until its end."""
    seen = Seen()
    while process.poll() is None:
        seen.look(process.pid, folder)
    output, errors = process.communicate()
    assert process.returncode == 0, output + errors
    seen.files[Path("output")] = output + errors
    return seen


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Stack]:
    """Return a stack whose runs put temporary files into `tmp_path`, and might dump core; no process is spared."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    with maker_of(Stack, tmp_path_factory) as make_stack:
        made = make_stack(len(HOSTS))
        made.environment |= {"TMPDIR": str(tmp_path), "MESH_BAIT": _BAIT}
        made.write({"testwg": {"hosts": HOSTS, "deadline": 10}})
        yield made
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def test_no_process_and_no_temporary_file_of_a_run_shows_a_key(stack: Stack, tmp_path: Path) -> None:
    """Over a first run and a rotation; what lies in the project and in pulumi's own folder afterwards neither."""
    first = watch(stack, tmp_path, "up", "--yes", "--skip-preview")
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, "rotation": 2}})
    second = watch(stack, tmp_path, "up", "--yes", "--skip-preview", "--diff")
    secrets = stack.hosts.secrets
    assert len(secrets) == 6
    for seen in (first, second):
        everything = [*(text for image in seen.images for text in image), *seen.files.values()]
        assert sum(_BAIT in text for text in everything) >= 3
        assert not [secret for secret in secrets for text in everything if secret in text]
    folders = (stack.folder, stack.state, Path(stack.environment["PULUMI_HOME"]), tmp_path)
    left = [path for folder in folders for path in folder.rglob("*") if path.is_file() and ".venv" not in path.parts]
    assert left
    assert not [(path, key) for path in left for key in secrets if key in path.read_text(errors="replace")]


def test_an_adopted_key_is_in_the_environment_of_the_program_alone(stack: Stack, tmp_path: Path) -> None:
    """The engine hands it over like that, until it is taken out of the configuration; what it starts has it not."""
    key, preshared = generate_key_pair().private_key, generate_preshared_key()
    for name, value in (("testwg/h1", key), ("testwg", preshared)):
        stack.must("config", "set", "--path", "--secret", f'mesh:adopted["{name}"]', value)
    seen = watch(stack, tmp_path, "up", "--yes", "--skip-preview")
    assert {key, preshared} <= stack.hosts.secrets
    holders = {words for words, variables in seen.images if key in variables or preshared in variables}
    assert holders
    assert {words for words in holders if _PROGRAM not in words} == set()
    shown = [*(words for words, _ in seen.images), *seen.files.values()]
    assert not [secret for secret in (key, preshared) for text in shown if secret in text]
    stack.must("config", "rm", "mesh:adopted")
    seen = watch(stack, tmp_path, "up", "--yes", "--skip-preview")
    assert not [variables for _, variables in seen.images if key in variables or preshared in variables]


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, reason="core dumps are forbidden here anyway")
def test_the_processes_that_have_keys_write_no_core_dump(stack: Stack, tmp_path: Path) -> None:
    """The program, the server of its resources, and what `python -m mesh` runs; whatever the limit was before."""
    seen = watch(stack, tmp_path, "up", "--yes", "--skip-preview")
    ours = [number for number, words in seen.arguments.items() if _PROGRAM in words or _SERVER in words]
    assert len(ours) >= 2, seen.arguments
    assert {seen.core_limits[number] for number in ours} == {"0"}


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, reason="core dumps are forbidden here anyway")
@pytest.mark.parametrize("by", ["mesh up", "ulimit"])
def test_no_process_of_a_run_writes_a_core_dump_where_the_page_of_security_says_so(
    stack: Stack, tmp_path: Path, by: str
) -> None:
    """The engine and its plugins too, which are not ours."""
    script = "ulimit -c 0\npulumi up --yes --skip-preview --non-interactive"
    seen = watch_run(stack.start_up() if by == "mesh up" else stack.start_shell(script), tmp_path)
    names = {Path(words.split("\0")[0]).name for words in seen.arguments.values()}
    assert {"pulumi", "pulumi-resource-command", "pulumi-language-python"} <= names
    assert {seen.arguments[number] for number, limit in seen.core_limits.items() if limit != "0"} == set()


def test_nothing_of_a_run_listens_beyond_this_machine(stack: Stack, tmp_path: Path) -> None:
    """Engine, program, plugins and the server of the program's resources talk over loopback, where all users are."""
    seen = watch(stack, tmp_path, "up", "--yes", "--skip-preview")
    assert seen.listening
    assert seen.listening <= {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
