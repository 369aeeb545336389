"""The ways in which operators log in, on the same two booted hosts.

A case is a change of one key: one of each kind by every command and the real engine, from the scan to the adoption,
the others without an engine. `tests/engine/test_login.py` has those by the engine, past an sshd of this machine. What a
host says when it lets nobody in is told in `test_sshd`.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import leave_nothing
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Stack
from tests.own_agent import run_agent

HOSTS = ("bernard", "edgeworth")
_KINDS = {"ed25519": [], "ecdsa": ["-b", "384"], "rsa": ["-b", "2048"]}
_PASSPHRASE = "of the key"  # noqa: S105 - of a key that lives for one test


@dataclass
class Operator:
    """What an operator has: keys, an agent, an environment, and how the hosts are to be reached."""

    folder: Path
    stack: Stack
    agent: Path
    ssh: dict[str, Any] = field(default_factory=dict)

    def make_key(self, name: str, kind: str = "ed25519", passphrase: str = "") -> Path:
        """Return a fresh key."""
        path = self.folder / name
        command = ["ssh-keygen", "-q", "-t", kind, *_KINDS[kind], "-N", passphrase, "-C", name, "-f", str(path)]
        subprocess.run(command, check=True)
        return path

    def load(self, *keys: Path) -> None:
        """Add keys to the agent, those with a passphrase too."""
        ask = self.folder / "ask"
        ask.write_text(f"#!/bin/sh\necho {_PASSPHRASE}\n")
        ask.chmod(0o700)
        environment = {"SSH_AUTH_SOCK": str(self.agent), "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(["ssh-add", "-q", *map(str, keys)], env={**os.environ, **environment}, check=True)

    def use(self, *, key_file: Path | None = None, agent: Path | None = None) -> None:
        """Have this in the environment and nothing else."""
        for name, value in {"MESH_SSH_KEY_FILE": key_file, "SSH_AUTH_SOCK": agent}.items():
            self.stack.environment.pop(name, None)
            if value:
                self.stack.environment[name] = str(value)

    def authorize(self, public: str, user: str = "root") -> None:
        """Let one key in as `user`, and no other key and no other user, on every host."""
        for name in HOSTS:
            homes = self.stack.lab.hosts[name].files
            (homes / "root/.ssh/authorized_keys").write_text(public if user == "root" else "")
            if user != "root":
                (homes / f"home/{user}/.ssh/authorized_keys").write_text(public)


@pytest.fixture(scope="module")
def shared(engine: str, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack with a mesh of two hosts, which every case changes."""
    assert engine
    stack = Stack(lab, tmp_path_factory.mktemp("login") / "stack")
    lab_key = lab.ssh_key.with_suffix(".pub").read_text()
    stack.write(_mesh(1), _described(stack, {}))
    stack.up()
    yield stack
    for name in HOSTS:
        (lab.hosts[name].files / "root/.ssh/authorized_keys").write_text(lab_key)
    leave_nothing(lab)


@pytest.fixture(scope="module")
def rehearsed(shared: Stack, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Return a stack without an engine that goes on with that mesh; nothing comes after it by the engine."""
    stack = RehearsedStack(lab, tmp_path_factory.mktemp("rehearsed") / "stack")
    stack.take_over(shared)
    return stack


@pytest.fixture
def operator(shared: Stack, tmp_path: Path) -> Iterator[Operator]:
    """Return an operator without anything but an empty agent, which is not in the environment."""
    with run_agent(tmp_path / "agent.socket"):
        made = Operator(tmp_path, shared, tmp_path / "agent.socket")
        made.use()
        yield made


_ROTATIONS = iter(range(2, 100))


def _mesh(rotation: int) -> dict[str, Any]:
    return {"testwg": {"hosts": [*HOSTS], "port": 51825, "members": {"bernard": {"rotation": rotation}}}}


def _described(stack: Stack, ssh: Mapping[str, Any]) -> dict[str, Any]:
    return {name: stack.describe(stack.lab.hosts[name], **ssh.get(name, ssh.get("", {}))) for name in HOSTS}


def _one_key_in_the_agent(operator: Operator) -> None:
    key = operator.make_key("mine")
    operator.load(key)
    operator.authorize(key.with_suffix(".pub").read_text())
    operator.use(agent=operator.agent)


def _a_public_key_file_that_chooses_one_of_the_agent(operator: Operator) -> None:
    keys = [operator.make_key(f"other{number}") for number in range(7)]
    key = operator.make_key("mine")
    operator.load(*keys, key)
    operator.authorize(key.with_suffix(".pub").read_text())
    operator.use(agent=operator.agent, key_file=operator.folder / "mine.pub")


def _an_empty_agent_beside_a_key_file(operator: Operator) -> None:
    key = operator.make_key("mine")
    operator.authorize(key.with_suffix(".pub").read_text())
    operator.use(key_file=key, agent=operator.agent)


def _a_stale_agent_beside_a_key_file(operator: Operator) -> None:
    _an_empty_agent_beside_a_key_file(operator)
    operator.use(key_file=operator.folder / "mine", agent=operator.folder / "gone")


def _a_key_file_alone(operator: Operator) -> None:
    _an_empty_agent_beside_a_key_file(operator)
    operator.use(key_file=operator.folder / "mine")


def _a_key_with_a_passphrase_that_the_agent_holds(operator: Operator) -> None:
    key = operator.make_key("mine", passphrase=_PASSPHRASE)
    operator.load(key)
    operator.authorize(key.with_suffix(".pub").read_text())
    operator.use(key_file=key, agent=operator.agent)


def _an_ecdsa_key_file(operator: Operator) -> None:
    key = operator.make_key("mine", "ecdsa")
    operator.authorize(key.with_suffix(".pub").read_text())
    operator.use(key_file=key)


def _an_rsa_key_file(operator: Operator) -> None:
    key = operator.make_key("mine", "rsa")
    operator.authorize(key.with_suffix(".pub").read_text())
    operator.use(key_file=key)


def _an_rsa_key_in_the_agent(operator: Operator) -> None:
    _an_rsa_key_file(operator)
    operator.load(operator.folder / "mine")
    operator.use(agent=operator.agent)


def _a_certificate(operator: Operator, kind: str) -> Path:
    authority, key = operator.make_key("authority"), operator.make_key("mine", kind)
    subprocess.run(["ssh-keygen", "-q", "-s", str(authority), "-I", "operator", "-n", "root", f"{key}.pub"], check=True)
    # The key itself lets nobody in.
    operator.authorize(f"cert-authority {authority.with_suffix('.pub').read_text()}")
    return key


def _a_certificate_beside_a_key_file(operator: Operator) -> None:
    operator.use(key_file=_a_certificate(operator, "ed25519"))


def _an_rsa_certificate_in_the_agent(operator: Operator) -> None:
    operator.load(_a_certificate(operator, "rsa"))
    operator.use(agent=operator.agent)


def _a_certificate_of_an_authority_that_sshd_trusts(operator: Operator) -> None:
    key = _a_certificate(operator, "ed25519")
    operator.authorize("")
    for name in HOSTS:
        host = operator.stack.lab.hosts[name]
        host.run("cat >/etc/ssh/ca.pub", operator.folder.joinpath("authority.pub").read_text())
        host.run("echo TrustedUserCAKeys /etc/ssh/ca.pub >/etc/ssh/sshd_config.d/20-ca.conf; systemctl reload ssh")
    operator.load(key)
    operator.use(agent=operator.agent)


def _a_user_with_sudo(operator: Operator) -> None:
    for name in HOSTS:
        operator.stack.lab.hosts[name].run(
            "id admin >/dev/null 2>&1 || useradd -m -N -s /bin/sh admin; install -d -o admin -m 700 /home/admin/.ssh; "
            "echo 'admin ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/admin; "
            "install -o admin -m 600 /dev/null /home/admin/.ssh/authorized_keys"
        )
    key = operator.make_key("mine")
    operator.load(key)
    operator.authorize(key.with_suffix(".pub").read_text(), "admin")
    operator.ssh[""] = {"user": "admin"}
    operator.use(agent=operator.agent)


def _a_bastion(operator: Operator) -> None:
    _one_key_in_the_agent(operator)
    bernard = operator.stack.lab.hosts["bernard"]
    operator.ssh["edgeworth"] = {"bastion": {"address": bernard.ssh_address, "hostKey": bernard.host_key}}


# All commands log in by the same lines, so one of each kind of login shows every command.
BY_EVERY_COMMAND: list[Callable[[Operator], None]] = [
    _one_key_in_the_agent,
    _a_key_file_alone,
    _a_certificate_beside_a_key_file,
    _a_user_with_sudo,
    _a_bastion,
]
# More keys than an sshd takes are for `tests/engine/test_login.py`: they count how often we are refused.
OTHERS: list[Callable[[Operator], None]] = [
    _a_public_key_file_that_chooses_one_of_the_agent,
    _an_empty_agent_beside_a_key_file,
    _a_stale_agent_beside_a_key_file,
    _a_key_with_a_passphrase_that_the_agent_holds,
    _an_ecdsa_key_file,
    _an_rsa_key_file,
    _an_rsa_key_in_the_agent,
    _an_rsa_certificate_in_the_agent,
    _a_certificate_of_an_authority_that_sshd_trusts,
]


@contextmanager
def _a_new_key_comes(prepare: Callable[[Operator], None], operator: Operator) -> Iterator[None]:
    """Ask for a new key of one host, which has to run it in the end."""
    stack = operator.stack
    for name in HOSTS:
        # The refusals of the cases before are forgotten, as after a pause; and so are the starts before this one.
        stack.lab.hosts[name].run("systemctl reset-failed ssh; systemctl restart ssh")
        stack.lab.hosts[name].wait_until_ssh()
    prepare(operator)
    before = stack.running_public_keys("testwg")
    stack.write(_mesh(next(_ROTATIONS)), _described(stack, operator.ssh))
    yield
    after = stack.running_public_keys("testwg")
    assert before["bernard"] != after["bernard"]
    assert before["edgeworth"] == after["edgeworth"]


@pytest.mark.parametrize("prepare", BY_EVERY_COMMAND, ids=lambda case: case.__name__.strip("_"))
def test_a_login_brings_a_change_to_the_hosts_and_serves_every_command(
    prepare: Callable[[Operator], None], operator: Operator, shared: Stack
) -> None:
    """Scan, up with a new key, status, an empty preview with a refresh, and adoption."""
    with _a_new_key_comes(prepare, operator):
        shared.companion("scan", str(shared.file))
        shared.up()
    shared.companion("status")
    assert "drift" not in shared.run("preview", "--refresh", "--expect-no-changes").output
    shared.companion("adopt", str(shared.file), "--yes")
    state = "".join(path.read_text(errors="replace") for path in (shared.folder / "state").rglob("*.json"))
    assert str(operator.folder) not in state


def _nothing(operator: Operator) -> None:
    operator.use()


def _an_empty_agent(operator: Operator) -> None:
    operator.use(agent=operator.agent)


def _a_stale_agent(operator: Operator) -> None:
    operator.use(agent=operator.folder / "gone")


def _a_passphrase_that_nobody_gives(operator: Operator) -> None:
    operator.use(key_file=operator.make_key("mine", passphrase=_PASSPHRASE), agent=operator.agent)


def _a_key_that_no_host_knows(operator: Operator) -> None:
    operator.use(key_file=operator.make_key("mine"))


def _many_keys_that_no_host_knows(operator: Operator) -> None:
    operator.load(*(operator.make_key(f"other{number}") for number in range(7)))
    operator.use(agent=operator.agent)


LOCKED_OUT: dict[Callable[[Operator], None], str] = {
    _nothing: "no ssh-agent and no key file; start one with `eval $(ssh-agent) && ssh-add`, or set MESH_SSH_KEY_FILE",
    _an_empty_agent: "the ssh-agent holds no key; run `ssh-add`, or set MESH_SSH_KEY_FILE",
    _a_stale_agent: "no agent answers at SSH_AUTH_SOCK; correct it, or set MESH_SSH_KEY_FILE",
    _a_passphrase_that_nobody_gives: "needs its passphrase or its device, and ssh-agent does not hold it; run ssh-add",
    _a_key_that_no_host_knows: "refuses your SSH key; check ssh.user, and that ssh-add -l lists a key it accepts",
    _many_keys_that_no_host_knows: "refuses your SSH key; check ssh.user, and that ssh-add -l lists a key it accepts",
}


# What stops before any host is asked, and what a host refuses; for the others the difference is one of our lines.
BY_ENGINE = {prepare: LOCKED_OUT[prepare] for prepare in (_nothing, _a_key_that_no_host_knows)}


def _every_command_says(said: str, prepare: Callable[[Operator], None], operator: Operator) -> None:
    stack = operator.stack
    with ExitStack() as undo:
        for name in HOSTS:
            host = stack.lab.hosts[name]
            # These tests fail to log in more often than any operator, and are not about that.
            host.run("echo PerSourcePenalties no >/etc/ssh/sshd_config.d/05-test.conf; systemctl reload ssh")
            undo.callback(host.run, "rm /etc/ssh/sshd_config.d/05-test.conf; systemctl reload ssh")
        prepare(operator)
        before = stack.running_public_keys("testwg")
        stack.write(_mesh(next(_ROTATIONS)), _described(stack, {}))
        began = time.monotonic()
        for output in (
            stack.companion("scan", str(stack.file), succeeds=False).output,
            stack.fail(),
            stack.companion("status", succeeds=False).output,
        ):
            assert said in " ".join(output.split())
            assert "Traceback" not in output
        assert time.monotonic() - began < 60
        assert stack.running_public_keys("testwg") == before


@pytest.mark.parametrize(("prepare", "said"), BY_ENGINE.items(), ids=lambda case: getattr(case, "__name__", ""))
def test_who_has_no_key_is_told_the_same_by_every_command(
    prepare: Callable[[Operator], None], said: str, operator: Operator
) -> None:
    """In one line, without a prompt, and nothing changes."""
    _every_command_says(said, prepare, operator)


@pytest.mark.parametrize("prepare", OTHERS, ids=lambda case: case.__name__.strip("_"))
def test_every_other_login_brings_a_change_to_the_hosts(
    prepare: Callable[[Operator], None], operator: Operator, rehearsed: Stack
) -> None:
    """By the program itself: its looks, its enrolments and its rollout."""
    operator.stack = rehearsed
    with _a_new_key_comes(prepare, operator):
        rehearsed.up("--refresh")


@pytest.mark.parametrize(
    "prepare", [prepare for prepare in LOCKED_OUT if prepare not in BY_ENGINE], ids=lambda case: case.__name__
)
def test_whatever_is_amiss_with_keys_is_told_the_same_by_every_command(
    prepare: Callable[[Operator], None], operator: Operator, rehearsed: Stack
) -> None:
    """Without an engine."""
    operator.stack = rehearsed
    _every_command_says(LOCKED_OUT[prepare], prepare, operator)
