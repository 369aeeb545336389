"""What sshd says when it lets nobody in, or not us: every command tells it as what it is, with what to do.

Each mood is an sshd of its own on bernard, on another port, with its own configuration.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.stack import Stack, wait_until

_PORT = 2200
_UNIT = "lab-sshd"
_MESH = {"testwg": {"hosts": ["bernard"], "port": 51825}}


@pytest.fixture
def stack(engine_stack: Stack) -> Stack:
    """Return a stack of the real engine, since the command plugin logs in too."""
    return engine_stack


@pytest.fixture
def bernard(lab: Lab) -> Iterator[Host]:
    """Return a host that forgets what a test did to its logins."""
    host = lab.hosts["bernard"]
    yield host
    host.run(
        f"systemctl stop {_UNIT}.socket {_UNIT}.service; rm -f /run/nologin /run/systemd/system/{_UNIT}*; "
        "systemctl daemon-reload; userdel -rf guest; chage -d -1 root; rm -f /etc/sudoers.d/guest",
        check=False,
    )


def start_sshd(host: Host, configuration: str = "", said_first: str = "") -> None:
    """Run another sshd, which may say something before its version."""
    host.run(
        "cat >/run/lab-sshd.conf",
        f"Port {_PORT}\nPidFile none\nUsePAM yes\nPermitRootLogin prohibit-password\n{configuration}\n"
        + ("" if "HostKey" in configuration else "HostKey /etc/ssh/ssh_host_ed25519_key\n"),
    )
    sshd = "/usr/sbin/sshd -f /run/lab-sshd.conf"
    if said_first:
        host.run(
            f"cat >/run/systemd/system/{_UNIT}.socket; systemctl daemon-reload",
            f"[Socket]\nListenStream={_PORT}\nAccept=yes\n",
        )
        host.run("cat >/run/lab-first", said_first)
        host.run(
            f"cat >/run/systemd/system/{_UNIT}@.service; systemctl daemon-reload; systemctl start {_UNIT}.socket",
            f"[Service]\nExecStart=/bin/sh -c 'cat /run/lab-first; exec {sshd} -i'\nStandardInput=socket\n",
        )
    else:
        host.run(f"systemctl reset-failed {_UNIT}; systemd-run -q --unit {_UNIT} {sshd} -D", check=False)
        wait_until(lambda: host.run(f"ss -Hltn sport = :{_PORT}"))


def write(stack: Stack, host: Host, **ssh: Any) -> None:
    """Describe a mesh of bernard alone, reached at the other port."""
    stack.write(_MESH, {"bernard": stack.describe(host, **{"port": _PORT, **ssh})})


def both_say(stack: Stack, said: str) -> None:
    """Require the words of the scan and of up, which changes nothing."""
    for output in (stack.companion("scan", str(stack.file), "--yes", succeeds=False).output, stack.fail()):
        assert said in " ".join(output.split())
        assert "Traceback" not in output
    assert stack.running_keys("testwg") == {}


def test_a_text_before_the_version_is_no_obstacle(stack: Stack, bernard: Host) -> None:
    """RFC 4253, section 4.2."""
    start_sshd(bernard, said_first="Authorized users only.\r\nLeave now.\r\n")
    write(stack, bernard)
    stack.companion("scan", str(stack.file), "--yes")
    stack.up()
    assert set(stack.running_keys("testwg")) == {"bernard"}


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        (
            "KexAlgorithms sntrup761x25519-sha512@openssh.com",
            "offers none of the KexAlgorithms that are needed (it offers 'sntrup761x25519-sha512@openssh.com",
        ),
        (
            "KexAlgorithms diffie-hellman-group-exchange-sha256",
            "offers none of the KexAlgorithms that are needed (it offers 'diffie-hellman-group-exchange-sha256",
        ),
        ("Ciphers aes256-cbc", "offers none of the Ciphers that are needed (it offers 'aes256-cbc')"),
        ("Ciphers aes128-ctr\nMACs umac-64@openssh.com", "offers none of the MACs that are needed"),
    ],
    ids=["sntrup", "group-exchange", "cipher", "mac"],
)
def test_an_sshd_that_our_clients_do_not_suit_is_told_with_what_it_offers(
    stack: Stack, bernard: Host, configuration: str, said: str
) -> None:
    """The scan and up agree, though they use two SSH clients."""
    start_sshd(bernard, configuration)
    write(stack, bernard)
    both_say(stack, said)


def test_a_host_with_an_rsa_key_alone_is_let_in_after_what_is_told(stack: Stack, bernard: Host) -> None:
    """A key that `ssh-keygen -A` makes, named in sshd_config, and a scan; both SSH clients take it then."""
    bernard.run("ssh-keygen -q -t rsa -b 2048 -N '' -f /run/lab-rsa")
    start_sshd(bernard, "HostKey /run/lab-rsa")
    write(stack, bernard)
    both_say(
        stack, "has only an RSA host key, which commands do not take; give it another one: ssh-keygen -A on the host"
    )
    with ExitStack() as undo:
        undo.callback(bernard.run, "rm -f /etc/ssh/ssh_host_ecdsa_key* /etc/ssh/ssh_host_rsa_key* /run/lab-rsa*")
        bernard.run("ssh-keygen -A; echo HostKey /etc/ssh/ssh_host_ecdsa_key >>/run/lab-sshd.conf")
        bernard.run(f"systemctl stop {_UNIT}; systemd-run -q --unit {_UNIT} /usr/sbin/sshd -f /run/lab-sshd.conf -D")
        wait_until(lambda: bernard.run(f"ss -Hltn sport = :{_PORT}"))
        stack.companion("scan", str(stack.file), "--yes", "--accept-changed")
        stack.up()
        assert set(stack.running_keys("testwg")) == {"bernard"}


@pytest.mark.parametrize("configuration", ["AllowTcpForwarding no", "PermitOpen 192.0.2.1:22"])
def test_a_bastion_that_does_not_forward_is_told_as_such(
    stack: Stack, lab: Lab, bernard: Host, configuration: str
) -> None:
    """It is the bastion's sshd that has to change, not the host's address."""
    start_sshd(bernard, configuration)
    bastion = {"address": bernard.ssh_address, "port": _PORT, "hostKey": bernard.host_key}
    stack.write(
        {"testwg": {"hosts": ["carol"], "port": 51825}}, {"carol": stack.describe(lab.hosts["carol"], bastion=bastion)}
    )
    both_say(stack, "its bastion forbids forwarding; let the bastion's sshd_config have AllowTcpForwarding yes")


def test_a_penalty_of_sshd_is_told_as_such(stack: Stack, bernard: Host, tmp_path: Path) -> None:
    """OpenSSH 9.8 and later turn away whoever failed before; a wrong key of anybody else at our address is enough."""
    start_sshd(bernard, "PerSourcePenalties authfail:60s min:1s max:60s")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "wrong")], check=True)
    options = ("BatchMode=yes", "UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "IdentityAgent=none")
    login = [
        "ssh",
        "-F",
        "none",
        "-i",
        str(tmp_path / "wrong"),
        "-p",
        str(_PORT),
        *(f"-o{option}" for option in options),
    ]
    subprocess.run(
        stack.lab.command(*login, f"root@{bernard.ssh_address}"), check=False, capture_output=True, env=os.environ
    )
    write(stack, bernard)
    both_say(stack, "turns you away for a while, since too many logins from your address have failed")


def test_our_own_failures_never_bring_a_penalty(stack: Stack, bernard: Host, tmp_path: Path) -> None:
    """By sshd's defaults: after a scan and two ups with a key that it refuses, the right key is let in."""
    start_sshd(bernard, "PerSourcePenalties yes")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "wrong")], check=True)
    right = stack.environment["MESH_SSH_KEY_FILE"]
    write(stack, bernard)
    stack.environment["MESH_SSH_KEY_FILE"] = str(tmp_path / "wrong")
    both_say(stack, "refuses your SSH key; check ssh.user")
    stack.environment["MESH_SSH_KEY_FILE"] = right
    stack.companion("scan", str(stack.file), "--yes")


_FORTY_ROLLOUTS = """
import asyncio, json, sys
from concurrent.futures import ThreadPoolExecutor
from mesh.remote.new_connection import meet
way = json.loads(sys.argv[1])
async def look():
    await meet(way, None)
with ThreadPoolExecutor(40) as pool:
    list(pool.map(lambda _: asyncio.run(look()), range(40)))
"""


def test_the_new_connections_of_many_rollouts_never_bring_a_penalty(stack: Stack, bernard: Host) -> None:
    """By sshd's defaults, which turn away who begins as many connections and logs in by none."""
    start_sshd(bernard, "PerSourcePenalties yes")
    write(stack, bernard)
    way = {"address": bernard.ssh_address, "port": _PORT, "hostKey": bernard.host_key}
    python = str(stack.project / ".venv/bin/python")
    command = stack.lab.command(python, "-c", _FORTY_ROLLOUTS, json.dumps(way))
    subprocess.run(command, cwd=stack.project, check=True)
    stack.companion("scan", str(stack.file), "--yes")
    look = f"for n in $(seq 40); do ssh-keyscan -p {_PORT} {bernard.ssh_address} >/dev/null 2>&1 & done; wait"
    subprocess.run(stack.lab.command("sh", "-c", look), check=True)
    both_say(stack, "turns you away for a while")


def _guest(host: Host, shell: str) -> None:
    host.run(f"useradd -m -N -s {shell} guest; install -d -o guest -m 700 /home/guest/.ssh; "
             "echo 'guest ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/guest; "
             "install -o guest -m 600 /root/.ssh/authorized_keys /home/guest/.ssh/authorized_keys")  # fmt: skip


def test_a_host_that_still_boots_is_told_as_such(stack: Stack, bernard: Host) -> None:
    """pam_nologin lets only root in, and says why in a banner, which the command plugin does not show."""
    _guest(bernard, "/bin/sh")
    start_sshd(bernard, "PerSourcePenalties no")
    bernard.run(
        "cat >/run/nologin",
        "System is booting up. Unprivileged users are not permitted to log in yet. Please come back later. "
        "For technical details, see pam_nologin(8).\n",
    )
    write(stack, bernard, user="guest")
    both_say(stack, "lets only root log in while it boots or goes down (/run/nologin); wait until it has")


def test_an_account_without_a_shell_is_told_as_such(stack: Stack, bernard: Host) -> None:
    """The words of nologin(8) are on standard output; a root without that program gets one here."""
    bernard.run("cat >/usr/local/bin/nologin", "#!/bin/sh\necho 'This account is currently not available.'\nexit 1\n")
    bernard.run("chmod 755 /usr/local/bin/nologin")
    _guest(bernard, "/usr/local/bin/nologin")
    start_sshd(bernard)
    write(stack, bernard, user="guest")
    both_say(
        stack, "has no login shell for ssh.user; name another ssh.user, or give this one a shell by usermod -s /bin/sh"
    )
    bernard.run("usermod -s /bin/sh guest")
    stack.companion("scan", str(stack.file), "--yes")


def test_a_sudo_that_asks_for_a_password_is_told_before_the_host_is_enrolled(stack: Stack, bernard: Host) -> None:
    """In whatever language it asks: it is told by what runs and what does not."""
    _guest(bernard, "/bin/sh")
    bernard.run("echo 'guest ALL=(ALL) ALL' >/etc/sudoers.d/guest")
    start_sshd(bernard)
    write(stack, bernard, user="guest")
    assert "host 'bernard': sudo wants a password or refuses" in stack.fail()
    bernard.run("mv /usr/bin/sudo /usr/bin/sudo.kept")
    bernard.run("cat >/usr/bin/sudo", "#!/bin/sh\necho Ein Passwort ist notwendig >&2\nexit 1\n")
    bernard.run("chmod 755 /usr/bin/sudo")
    try:
        assert "host 'bernard': sudo wants a password or refuses (Ein Passwort ist notwendig)" in stack.fail()
    finally:
        bernard.run("mv /usr/bin/sudo.kept /usr/bin/sudo")
    assert not bernard.run("ls -d /var/lib/mesh", check=False).strip()


def test_an_expired_password_is_told_as_such(stack: Stack, bernard: Host) -> None:
    """It keeps out those with a key too."""
    start_sshd(bernard)
    write(stack, bernard)
    with ExitStack() as undo:
        undo.callback(bernard.run, "chage -d -1 root")
        bernard.run("chage -d 0 root")
        both_say(stack, "the password of ssh.user changed, which has expired; log in and change it, or run chage -d -1")
        bernard.run("chage -d -1 root")
        stack.companion("scan", str(stack.file), "--yes")


def test_a_forced_command_is_quoted(stack: Stack, bernard: Host) -> None:
    """It says on standard output what it wants, and succeeds, so that no command can tell."""
    start_sshd(bernard, "ForceCommand echo use the account admin")
    write(stack, bernard)
    assert "use the account admin" in stack.fail()


@pytest.mark.parametrize(
    "said", ["sudo: Ein Passwort ist notwendig", "sudo: interactive authentication is required"], ids=["German", "rs"]
)
def test_a_sudo_that_wants_a_password_is_told_in_any_language(engine_stack: Stack, bernard: Host, said: str) -> None:
    """By what it does, since nobody knows all words that it can say."""
    _guest(bernard, "/bin/sh")
    start_sshd(bernard)
    with ExitStack() as undo:
        undo.callback(bernard.run, "rm /usr/local/bin/sudo")
        bernard.run(
            "cat >/usr/local/bin/sudo; chmod 755 /usr/local/bin/sudo", f"#!/bin/sh\necho '{said}' >&2\nexit 1\n"
        )
        write(engine_stack, bernard, user="guest")
        # The scan needs no sudo.
        output = engine_stack.fail()
    assert f"host 'bernard': sudo wants a password or refuses ({said}); let ssh.user run sudo without a" in output
    assert "Traceback" not in output
    assert engine_stack.running_keys("testwg") == {}
