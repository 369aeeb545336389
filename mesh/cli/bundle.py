"""What a debug bundle holds: plan, status, diagnosis, logs of hosts and versions, each as a file for people to read.

A part that cannot be made says why in its file, so that there is a bundle with dead hosts, without a state, and with a
stack file that has faults.
"""

import io
import json
import platform
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from mesh.cli.completion import names_in_file
from mesh.cli.doctor_json import show_findings
from mesh.cli.engine import find_engine
from mesh.cli.host_logs import read_logs
from mesh.cli.look import look_at
from mesh.cli.names_to_hide import learn_machine, learn_operator, learn_roster, learn_stack_file
from mesh.cli.pulumi_cli import RecordedMesh
from mesh.cli.redaction import Redaction
from mesh.cli.stack_file import HOSTS, INTERFACES, StackFile
from mesh.cli.stack_places import stack_of
from mesh.cli.status_json import show_json
from mesh.cli.words_of_everybody import words_of_everybody
from mesh.config.connection import Connection
from mesh.config.models import Configuration
from mesh.doctor.asking import ask_mesh
from mesh.doctor.concerning import diagnosis_of
from mesh.errors import MeshError, visible
from mesh.remote.concurrency import run
from mesh.remote.host_program import program_digest

__all__ = ["Bundle"]

_PACKAGES = ("mesh", "pulumi", "pulumi-command", "pulumi-random", "asyncssh", "cryptography", "pydantic", "typer")

_README = """A debug bundle of mesh, a Pulumi program for WireGuard meshes.

versions.txt            of mesh, the Pulumi engine, its plugins, packages, Python and the operating system
stack-file.yaml         what the stack file asks for, with nothing of its comments and secrets
plan.json               what the state says that hosts run, and which of them wait for a change or to be wiped
status.json             as python -m mesh status --json
doctor.json             as python -m mesh doctor --json
hosts/NAME/system.txt   kernel, distribution, first process, tools, and what lies in /var/lib/mesh
hosts/NAME/journal.txt  the end of what our units and programs logged there, 64 KiB at most
{unasked}
{how}
"""
_ANONYMOUS = """\
Names, addresses and keys are replaced, and the same one by the same in all files: host-1, machine-1 (what a host calls
itself), mesh-1 (an interface), peer-1, site-1, tag-1, user-1, stack-1, folder-1 (that of the project, or your own),
name-1.example (a DNS name), key-1 (a public key, a host key, a fingerprint or a digest). Addresses are of the
documentation ranges. Those of one /24 (IPv4), /48 or /64 (IPv6) stay together, and networks of other lengths lie apart,
whatever they hold. Ports, times, sizes and versions are as they were, and so are addresses that everybody has, such as
::1 and 0.0.0.0/0, and names that are words of everybody, such as root, ubuntu, relay or address.
No private key and no preshared key was read. What looks like a key in a log is replaced too.
Look through it before you send it: what a log or a message says in words of its own, nobody can replace."""
_NAMED = """\
Names, addresses and public keys are the real ones: this bundle is for your own use. No private key and no preshared key
was read. What looks like a key in a log, and is no public key of the plan, is replaced by [key]."""


class Bundle:
    """The files of a bundle, by their path in it; `keep` leaves names as they are."""

    def __init__(self, stack: str | None, *, keep: bool, progress: Callable[[str], None]) -> None:
        """Begin with no file; `progress` is told what is being asked. `failures` is for the screen alone."""
        self.files: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self._redaction = Redaction(words_of_everybody(), keep=keep)
        self._keep = keep
        self._stack = stack or ""
        self._progress = progress
        learn_operator(self._redaction)

    def collect(self, stack_file: Callable[[], Path], recorded: Callable[[], Mapping[str, RecordedMesh]]) -> None:
        """Make all files; what cannot be had is reported in its place."""
        # All names come first, since each file may hold any.
        configuration, fault = _attempt(lambda: self._read_stack_file(stack_file()))
        meshes, lack = _attempt(recorded)
        meshes = meshes or {}
        for mesh in meshes.values():
            learn_roster(self._redaction, mesh.rollout)
        # Last, since where a host or a mesh is called like its stack, it is the host or the mesh.
        self._redaction.learn("stack", self._stack.split("/"))
        connections: dict[str, Connection] = {}
        if configuration:
            connections |= {name: host.ssh.connection() for name, host in configuration.hosts.items()}
        for mesh in meshes.values():
            connections |= {name: member["ssh"] for name, member in mesh.rollout["roster"]["members"].items()}
        interfaces = {*meshes, *(configuration.interfaces if configuration else ())}
        if connections and interfaces:
            self._progress(f"asking {len(connections)} hosts for their logs")
            self._add_logs(connections, interfaces)
        self.files["versions.txt"] = _versions()
        self.files["stack-file.yaml"] = (
            self._yaml(configuration) if configuration else f"# {self._failed('stack-file.yaml', fault)}\n"
        )
        self._add("plan.json", lambda: _plan(meshes), lack)
        self._progress("asking for the status")
        self._add("status.json", lambda: json.loads(show_json(look_at(meshes, ping=True))), lack)
        self._progress("looking for causes")
        self._add("doctor.json", lambda: _diagnosis(meshes), lack)
        unasked = "\n".join(self._redaction.text(f"{name}: {why}") for name, why in sorted(self.failures.items()))
        self.files["README.txt"] = _README.format(
            unasked=f"\nWhat could not be had:\n{unasked}\n" if unasked else "",
            how=_NAMED if self._keep else _ANONYMOUS,
        )

    def _read_stack_file(self, path: Path) -> Configuration:
        # Also of a file with faults, whose messages name them.
        self._stack = self._stack or stack_of(path)
        self._redaction.learn("host", names_in_file(path, HOSTS))
        self._redaction.learn("mesh", names_in_file(path, INTERFACES))
        found = StackFile(path).configuration()
        learn_stack_file(self._redaction, found)
        return found

    def _add_logs(self, connections: Mapping[str, Connection], interfaces: set[str]) -> None:
        logs, failures = run(partial(read_logs, connections, interfaces))
        for log in logs.values():
            learn_machine(self._redaction, log.machine)
        for host, log in logs.items():
            folder = f"hosts/{self._redaction.name('host', host)}"
            self.files[f"{folder}/system.txt"] = self._redaction.text(log.system)
            self.files[f"{folder}/journal.txt"] = self._redaction.text(log.log)
        for host, error in failures.items():
            self._failed(f"hosts/{host}", error.message)

    def _add(self, name: str, make: Callable[[], Any], lack: str) -> None:
        made, fault = (None, lack) if lack else _attempt(make)
        document = {"error": self._failed(name, fault)} if fault else self._redaction.document(made)
        self.files[name] = json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def _yaml(self, configuration: Configuration) -> str:
        stream = io.StringIO()
        content = configuration.model_dump(mode="json", by_alias=True, exclude_unset=True)
        YAML().dump(self._redaction.document(content), stream)
        return stream.getvalue()

    def _failed(self, name: str, why: str) -> str:
        self.failures[name] = visible(why)
        return self._redaction.text(visible(why))


def _attempt(work: Callable[[], Any]) -> tuple[Any, str]:
    try:
        return work(), ""
    except MeshError as error:
        return None, str(error)


def _plan(meshes: Mapping[str, RecordedMesh]) -> dict[str, Any]:
    plan = {
        name: {
            **{field: mesh.rollout[field] for field in ("roster", "systems", "pending", "notWiped")},
            "changedAt": mesh.changed_at,
        }
        for name, mesh in meshes.items()
    }
    # The engine hands back every number as a fraction.
    whole: dict[str, Any] = json.loads(json.dumps(plan), parse_float=lambda text: int(float(text)))
    return whole


def _diagnosis(meshes: Mapping[str, RecordedMesh]) -> Any:
    answers = [run(partial(ask_mesh, mesh.rollout)) for mesh in meshes.values()]
    return json.loads(show_findings([*map(diagnosis_of, answers)]))


def _versions() -> str:
    engine = find_engine()
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = platform.system()
    lines = [f"{name} {_version(name)}" for name in _PACKAGES]
    lines += [f"program on hosts {program_digest()}"]
    lines += [f"engine {engine.version if engine else 'not found'}", *(engine.plugins() if engine else ())]
    lines += [f"python {platform.python_version()}", f"{system}, {platform.release()} {platform.machine()}"]
    return "".join(f"{line}\n" for line in lines)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
