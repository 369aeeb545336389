"""The `pulumi` command on one stack. Only `engine` runs it too, to ask for its version and plugins.

Secrets reach it on standard input and lie in no other file. The Automation API gives values to the engine as arguments,
which every user of the machine can read, so it is not used.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from ruamel.yaml import YAML

from mesh.cli.engine import find_engine
from mesh.cli.stack_places import find_stack_file, is_stack_file
from mesh.config.adopted import faults_in_clear
from mesh.config.interface_name import PEER_FILES
from mesh.config.models import Configuration
from mesh.config.sections import ADOPTED, sections_of_texts
from mesh.config.stack import read_stack
from mesh.errors import MeshError
from mesh.keyring.expiry import expires_at
from mesh.stored.forms import RecordedKey, RecordedRollout
from mesh.stored.reader import read_peer_files, read_recorded, read_recorded_key

__all__ = ["ADOPTED", "PulumiCli", "RecordedMesh", "pulumi_of"]

_ROLLOUT = ":dynamic/mesh:Rollout"
_FILE_NAME = re.compile(r"Pulumi\.([A-Za-z0-9_.-]+)\.ya?ml")
_KEY = re.compile(r"[A-Za-z0-9+/]{42,43}=*")
_SECONDS = 120
# Without a number, the engine tells of the last ten runs only. Pulumi Cloud gives no more than these at once.
_RUNS_AT_ONCE = 100
# By what pulumi says.
_ADVICE = {
    "passphrase": "set PULUMI_CONFIG_PASSPHRASE_FILE to the file with the stack's passphrase",
    "no stack named": "name a stack that exists, or run pulumi stack init {stack}",
    "no stack selected": "name a stack, or select one",
    # fileblob of gocloud writes the attributes of a file in place, so that a kill leaves them empty.
    "checkpoint: EOF": "in the backend's folder: find .pulumi/stacks -name '*.attrs' -empty -delete",
}
_KEYS = (":dynamic/mesh:KeyPair", ":dynamic/mesh:PresharedKey")


@dataclass(frozen=True, slots=True)
class RecordedMesh:
    """What the state says of one mesh: its members since the last confirmed rollout, and who left and is not wiped.

    `changed_at` is when the rollout last changed, in RFC 3339. `key_states` are what the state tells of each key in
    clear, by the owner, and under the empty text of the preshared key.
    """

    members: frozenset[str]
    not_wiped: frozenset[str]
    rollout: RecordedRollout = field(repr=False)
    changed_at: str = ""
    key_states: Mapping[str, RecordedKey] = field(default_factory=dict)

    def key_times(self) -> dict[str, tuple[str, str]]:
        """Return when each key was made and when it expires, by public key, the preshared key's under the empty text.

        Both are in RFC 3339, empty for never.
        """
        return {
            key.get("publicKey", ""): (key["createdAt"], expires_at(key["createdAt"], int(key.get("maxKeyAge", 0))))
            for key in self.key_states.values()
        }


class PulumiCli:
    """Pulumi in a project's folder, on the stack of that name, or on the one that is selected.

    `file` is the stack's file, where it is another than the one in stacks/.
    """

    def __init__(self, folder: Path, stack: str | None = None, file: Path | None = None) -> None:
        """Find the engine.

        Raises:
            MeshError: If there is no engine that fits.
        """
        engine = find_engine()
        if engine is None:
            raise MeshError("pulumi: no version from 3.244 up and below 4 was found; run python -m mesh engine")
        self._command = str(engine.command)
        self._folder = folder
        self._name = stack
        self._stack = ["--stack", stack] if stack else []
        self._file = ["--config-file", str(file)] if file else []

    @property
    def stack(self) -> str:
        """The name of the stack."""
        return self._name or self._ask("stack", "--show-name").strip()

    def stack_file(self) -> Path:
        """Return the stack's file."""
        return find_stack_file(self.stack)

    def configuration(self) -> Configuration:
        """Return what the stack file asks for.

        Raises:
            ConfigurationError: With every fault of the file.
        """
        values: Mapping[str, Mapping[str, Any]] = json.loads(self._ask("config", "--json"))
        # What is encrypted is shown to nobody; keys that are in clear have a value here.
        sections = sections_of_texts({name: entry["value"] for name, entry in values.items() if "value" in entry})
        in_clear = faults_in_clear(sections.get(ADOPTED), is_secret=False, written=None)
        encrypted = [name for name, entry in values.items() if entry.get("secret")]
        return read_stack(sections, self._folder, in_clear, encrypted).configuration

    def recorded(self) -> dict[str, RecordedMesh]:
        """Return what the state says of each mesh that was ever rolled out, by interface."""
        exported: Mapping[str, Any] = json.loads(self._ask("stack", "export"))
        resources = exported["deployment"].get("resources") or []
        states: dict[str, dict[str, RecordedKey]] = {}
        for resource in resources:
            # A program of your own may have resources of other kinds, which were made at some time too.
            if resource["type"].endswith(_KEYS):
                name = resource["urn"].rpartition("::")[2]
                # INTERFACE/HOST/key or INTERFACE/preshared-key.
                interface, *owner = name.split("/")
                states.setdefault(interface, {})["/".join(owner[:-1])] = read_recorded_key(
                    name, resource.get("outputs") or {}
                )
        found = {}
        for resource in resources:
            if resource["type"].endswith(_ROLLOUT):
                last = read_recorded(str(resource.get("id")), resource.get("outputs") or {})
                name, members = last["roster"]["interface"], frozenset(last["roster"]["members"])
                modified = resource.get("modified") or ""
                found[name] = RecordedMesh(members, frozenset(last["notWiped"]), last, modified, states.get(name, {}))
        return found

    def history(self) -> Iterator[dict[str, Any]]:
        """Yield what the engine keeps of each run, the latest first, and ask for older ones when they are taken."""
        for page in count(1):
            shown = ("--page-size", str(_RUNS_AT_ONCE), "--page", str(page))
            runs: list[dict[str, Any]] = json.loads(self._ask("stack", "history", "--json", *shown))
            yield from runs
            if len(runs) < _RUNS_AT_ONCE:
                return

    def peer_files(self) -> dict[str, dict[str, str]]:
        """Return the files of the unmanaged peers, in clear, by interface and name."""
        outputs: Mapping[str, Any] = json.loads(self._ask("stack", "output", "--json", "--show-secrets"))
        # An interface may be called so too.
        meshes = {name for name, output in outputs.items() if isinstance(output, dict) and "cannotMeet" in output}
        found = {
            name: files for name, files in outputs.items() if name.endswith(PEER_FILES) and files and name not in meshes
        }
        return {name.removesuffix(PEER_FILES): read_peer_files(name, files) for name, files in found.items()}

    def read_adopted(self) -> dict[str, Any]:
        """Return what `mesh:adopted` holds, decrypted; empty where it is not set.

        Raises:
            MeshError: If the stack is not there, or its passphrase is missing or wrong.
        """
        done = self._run("config", "get", ADOPTED, *self._file)
        if done.returncode and "not found for stack" in done.stderr:
            return {}
        try:
            held = json.loads(self._output_of(done))
        except ValueError:
            held = None
        if not isinstance(held, dict):
            raise MeshError(f"mesh:adopted: not a mapping; remove it with: {self.removal}")
        return held

    def encrypt(self, name: str, value: object, text: str) -> dict[str, Any]:
        """Return what a stack file of that `text` would hold with a value set, encrypted. It is written nowhere.

        Raises:
            MeshError: If the stack is not there, or its passphrase is missing or wrong.
        """
        with TemporaryDirectory() as folder:
            copy = Path(folder, "Pulumi.copy.yaml")
            copy.write_text(text, encoding="utf-8")
            words = ("config", "set", "--secret", name, "--config-file", str(copy))
            self._output_of(self._run(*words, text=json.dumps(value)))
            held: dict[str, Any] = YAML(typ="safe").load(copy.read_text(encoding="utf-8"))
        return held

    @property
    def removal(self) -> str:
        """The command that takes the keys out of the stack file again."""
        return f"pulumi config rm {ADOPTED} --stack {self.stack}"

    def init(self) -> bool:
        """Make the stack, at the terminal, where pulumi may ask for a passphrase; tell whether it did."""
        done = subprocess.run([self._command, "stack", "init", self.stack], cwd=self._folder, check=False)
        return done.returncode == 0

    def become(self, verb: str, options: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
        """Go on as pulumi, with this terminal; so its display, its signals and its exit status are the user's."""
        sys.stdout.flush()
        sys.stderr.flush()
        os.chdir(self._folder)
        os.execvpe(self._command, [self._command, verb, *self._stack, *options], {**os.environ, **variables})  # noqa: S606

    def _ask(self, *words: str) -> str:
        return self._output_of(self._run(*words))

    def _run(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [self._command, *words, *self._stack, "--non-interactive", "--color", "never"]
        try:
            # Pulumi speaks UTF-8, whatever the locale of this terminal is.
            return subprocess.run(
                command, cwd=self._folder, input=text, capture_output=True, encoding="utf-8", errors="replace",
                check=False, timeout=_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise MeshError(f"pulumi {words[0]}: did not end within {_SECONDS} seconds; run again") from None

    def _output_of(self, done: subprocess.CompletedProcess[str]) -> str:
        if not done.returncode:
            return done.stdout
        lines = _KEY.sub("[key]", done.stderr.strip()).splitlines() or ["it failed without a word"]
        # It may warn of something else before.
        said = next((line for line in lines if line.startswith("error: ")), lines[0])
        advice = next((advice for words, advice in _ADVICE.items() if words in done.stderr), "see what pulumi says")
        raise MeshError(f"pulumi {done.args[1]}: {said.removeprefix('error: ')}; {advice.format(stack=self._name)}")


def pulumi_of(file: Path, folder: Path, stack: str = "") -> PulumiCli:
    """Return Pulumi on the stack whose file is `file`, in the project in `folder`.

    The file is called after its stack, unless `stack` is what a command was given, and that is a name and no path.

    Raises:
        MeshError: If the file is not named after a stack, or there is no engine that fits.
    """
    if stack and not is_stack_file(stack):
        return PulumiCli(folder, stack, file)
    found = _FILE_NAME.fullmatch(file.name)
    if found is None:
        raise MeshError(f"{file.name}: names no stack; call it Pulumi.NAME.yaml")
    return PulumiCli(folder, found.group(1), file)
