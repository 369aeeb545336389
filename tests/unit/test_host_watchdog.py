"""A host without systemd rolls back at its deadline: the real program with a real interface, in a namespace."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mesh.remote import host_program

_PROGRAM = f"/var/lib/mesh/program-{host_program.program_digest()}"
_MOUNTS = """
set -e
mkdir -p /etc/wireguard
for folder in /var/lib /etc/wireguard /run; do mount -t tmpfs none $folder; done
mkdir /var/lib/mesh /run/wireguard
mount -t sysfs none /sys
ip link set lo up
exec sleep 600
"""


def _what_is_missing() -> str:
    if os.geteuid() != 0:
        return "needs root"
    missing = [
        tool for tool in ("unshare", "nsenter", "wg", "wg-quick", "wireguard-go", "flock") if not shutil.which(tool)
    ]
    if missing or not Path("/dev/net/tun").exists():
        return f"needs {' '.join(missing) or '/dev/net/tun'}"
    return ""


class _Host:
    """A host of one interface, to which orders are given as over SSH."""

    def __init__(self, process: int) -> None:
        self._enter = ["nsenter", "-t", str(process), "-m", "-n", "-p"]
        self._sessions: list[subprocess.Popen[str]] = []
        self.peer = self.run("wg genkey | wg pubkey").strip()

    def run(self, script: str, text: str = "") -> str:
        """Run a shell command and return its output."""
        return subprocess.run(
            [*self._enter, "sh", "-c", script], input=text, capture_output=True, text=True, check=False
        ).stdout

    def start(self) -> list[str]:
        """Begin a session and return how it greets."""
        command = [*self._enter, "timeout", "600", "sh", _PROGRAM, "serve", "testwg"]
        self._sessions.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        )
        return self._replies()

    def _replies(self) -> list[str]:
        lines = []
        output = self._sessions[-1].stdout
        assert output is not None
        while line := output.readline():
            lines.append(line.strip())
            if line.startswith((".ok", ".error")):
                break
        return lines

    def order(self, words: str, payload: str = "") -> list[str]:
        """Give an order and return its replies."""
        orders = self._sessions[-1].stdin
        assert orders is not None
        orders.write(f"{words}\n{payload}")
        orders.flush()
        return self._replies()

    def stage(self, key: str, port: int, deadline: int) -> None:
        """Enrol a key and bring the interface to it, up to the proof."""
        self.run(
            "umask 077; mkdir -p /var/lib/mesh/testwg/enrolled; cat >/var/lib/mesh/testwg/enrolled/private-key", key
        )
        public, preshared = self.run("wg pubkey", key).strip(), self.run("wg genpsk").strip()
        plan = (
            f"mesh m\nroster r\ndigest d{port}\nhost bernard\naddress fd00:1::1/64\nport {port}\nmtu 1420\n"
            f"public-key {public}\npreshared-key {preshared}\n"
            f"peer carol {self.peer} fd00:2::1 - off fd00:2::/64 first\n"
        )
        assert self.start() == [".ok"]
        switch = ("preshared", "own", "ready") if self.runs() else ()
        now = Path("/proc/uptime").read_text().split()[0]
        for order in (f"stage {len(plan.splitlines())}", f"arm {deadline} token {now}", *switch, "finish"):
            lines = "".join(f"= {line}\n" for line in plan.splitlines())
            assert self.order(order, lines if order.startswith("stage") else "")[-1] == ".ok"

    def hang_up(self) -> None:
        """End the session as an operator whose machine dies."""
        session = self._sessions.pop()
        assert session.stdin is not None
        assert session.stdout is not None
        with suppress(BrokenPipeError):
            session.stdin.close()
        session.stdout.close()
        session.wait(30)

    def close(self) -> None:
        """End all sessions."""
        while self._sessions:
            self._sessions[-1].kill()
            self.hang_up()

    def runs(self) -> list[str]:
        """Return the key and the port that the interface runs, and the key that boots."""
        booting = "sed -n 's/^PrivateKey = //p' /etc/wireguard/testwg.conf"
        return self.run(f"wg show testwg private-key; wg show testwg listen-port; {booting}").split()

    def left(self) -> set[str]:
        """Return what is not settled."""
        return {"deadline", "next", "previous"} & set(self.run("ls /var/lib/mesh/testwg").split())

    def processes(self, word: str) -> list[str]:
        """Return the processes that run the program as `word`."""
        return self.run(f"pgrep -f '^sh {_PROGRAM} {word} '").split()

    def strike(self, word: str, number: signal.Signals) -> list[str]:
        """Send a signal to these processes, and return them."""
        struck = self.processes(word)
        assert struck
        self.run(f"kill -{number.value} {' '.join(struck)}")
        return struck

    def is_due(self, since: int = 0) -> None:
        """Let the deadline be so many seconds ago, or in a moment, however long a test took until then."""
        self.run(
            "cd /var/lib/mesh/testwg; read -r _ rest <deadline; read -r uptime _ </proc/uptime; "
            f'echo "$((${{uptime%.*}} + 1 - {since})).00 $rest" >moved; mv moved deadline'
        )


@pytest.fixture
def armed() -> Iterator[tuple[_Host, list[str]]]:
    """Give a host that has switched from a confirmed plan to another, with time left, and what it ran before."""
    if missing := _what_is_missing():
        pytest.skip(missing)
    hosts: list[_Host] = []
    space = subprocess.Popen(["unshare", "-mnp", "--fork", "--mount-proc", "sh", "-c", _MOUNTS], start_new_session=True)
    try:
        children = Path(f"/proc/{space.pid}/task/{space.pid}/children")
        _wait(lambda: children.read_text().split())
        first = int(children.read_text().split()[0])
        _wait(lambda: Path(f"/proc/{first}/cmdline").read_text().startswith("sleep"))
        host = _Host(first)
        hosts.append(host)
        host.run(f"cat >{_PROGRAM}", host_program.text())
        old, new = (host.run("wg genkey") for _ in range(2))
        host.stage(old, 51825, 600)
        for order in ("store", "confirm d51825"):
            assert host.order(order) == [".ok"]
        host.hang_up()
        before = host.runs()
        host.stage(new, 51826, 600)
        assert host.runs()[:2] == [new.strip(), "51826"]
        yield host, before
    finally:
        for host in hosts:
            host.close()
        os.killpg(space.pid, signal.SIGKILL)
        space.wait()


def _wait(condition: Callable[[], object], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.thorough
def test_whatever_strikes_watchdog_or_supervisor_the_host_goes_back(armed: tuple[_Host, list[str]]) -> None:
    """Each of the two is there again within seconds, and one that only stands still is replaced."""
    host, before = armed
    host.hang_up()
    struck = host.strike("watchdog", signal.SIGKILL)
    _wait(lambda: host.processes("watchdog") not in ([], struck))
    struck = host.strike("supervise", signal.SIGKILL)
    _wait(lambda: host.processes("supervise") not in ([], struck))
    host.strike("watchdog", signal.SIGSTOP)
    host.is_due()
    _wait(lambda: not host.left())
    assert host.runs() == before
    _wait(lambda: not host.processes("watchdog") and not host.processes("supervise"))


def test_where_nothing_is_armed_any_more_nobody_watches(armed: tuple[_Host, list[str]]) -> None:
    """Neither of the two, nor what they keep, is there in a second from now, when it would be taken for a change."""
    host, _ = armed
    for order in ("store", "confirm d51826"):
        assert host.order(order) == [".ok"]
    assert not {"watchdog", "supervisor"} & set(host.run("ls /var/lib/mesh/testwg").split())
    _wait(lambda: not host.processes("watchdog") and not host.processes("supervise"), 0.5)


def test_nobody_watches_twice(armed: tuple[_Host, list[str]]) -> None:
    """On a busy machine one may be begun again before it is heard of, and two would go back at the same time."""
    host, before = armed
    host.hang_up()
    number = host.run("cat /var/lib/mesh/testwg/supervisor")
    for _ in range(3):
        host.run(f"setsid sh {_PROGRAM} supervise testwg >/dev/null 2>&1 &")
    _wait(lambda: host.processes("supervise") == number.split())
    assert host.run("cat /var/lib/mesh/testwg/supervisor") == number
    host.is_due()
    _wait(lambda: not host.left())
    assert host.runs() == before


def test_a_session_that_stands_still_is_ended(armed: tuple[_Host, list[str]]) -> None:
    """It holds the lock of the interface, and cannot be asked to go."""
    host, before = armed
    host.strike("serve", signal.SIGSTOP)
    host.is_due()
    _wait(lambda: not host.left())
    assert host.runs() == before


def test_the_interface_goes_back_while_somebody_holds_what_interfaces_share(armed: tuple[_Host, list[str]]) -> None:
    """The rest follows when the lock is free, and nobody has to ask for it."""
    host, before = armed
    host.hang_up()
    held = "touch /run/held; until [ -e /run/free ]; do sleep 0.1; done"
    host.run(f"setsid flock /var/lib/mesh/lock sh -c '{held}' >/dev/null 2>&1 &")
    _wait(lambda: host.run("ls /run/held"))
    host.is_due()
    _wait(lambda: host.runs() == before)
    assert host.left() == {"deadline", "next", "previous"}
    host.run("touch /run/free")
    _wait(lambda: not host.left())
    assert host.runs() == before


def test_a_host_that_nobody_watches_any_more_goes_back_when_it_is_asked(armed: tuple[_Host, list[str]]) -> None:
    """And says that it was late, once."""
    host, before = armed
    host.hang_up()
    # Each starts the other again, so both at once, and whom they were starting.
    every = f"pgrep -f '^sh {_PROGRAM} (supervise|watchdog) '"
    _wait(lambda: not host.run(f"kill -9 $({every}); {every}"))
    host.is_due(since=60)
    assert host.runs() != before
    assert host.start() == [".ok"]
    assert "differs late" in host.order("status salt")
    assert (host.runs(), host.left()) == (before, set())
    host.hang_up()
    host.start()
    assert "differs late" not in host.order("status salt")


@pytest.mark.thorough
def test_a_firewall_that_takes_seconds_for_each_rule_does_not_end_the_rollback(armed: tuple[_Host, list[str]]) -> None:
    """The watchdog takes longer than it is ever silent otherwise, and nothing takes it for one that hangs."""
    host, before = armed
    host.hang_up()
    real = shutil.which("nft")
    if not real:
        pytest.skip("there is no nft on this machine")
    host.run(f"cp -L {real} /run/nft; chmod 755 /run/nft")
    host.run(
        f"cat >/run/slow; chmod 755 /run/slow; mount --bind /run/slow {real}", "#!/bin/sh\nsleep 17\nexec /run/nft $@\n"
    )
    number = "cat /var/lib/mesh/testwg/watchdog"
    seen = {host.run(number)}
    host.is_due()
    _wait(lambda: host.runs() == before)
    while host.left():
        seen.add(host.run(f"{number} || true"))
        time.sleep(0.2)
    # One, or none any more.
    assert len(seen - {""}) == 1
    assert host.runs() == before


@pytest.mark.thorough
def test_a_deadline_that_has_passed_is_not_moved(armed: tuple[_Host, list[str]]) -> None:
    """A host that stood still hears of it when all others have gone back, and its watchdog may be a moment later."""
    host, before = armed
    host.strike("supervise", signal.SIGSTOP)
    host.strike("watchdog", signal.SIGSTOP)
    host.is_due()
    time.sleep(1.1)
    now = Path("/proc/uptime").read_text().split()[0]
    (reply,) = host.order(f"renew 900 {now}")
    assert reply.startswith(".error the deadline has passed")
    for word in ("supervise", "watchdog"):
        host.strike(word, signal.SIGCONT)
    _wait(lambda: not host.left())
    assert host.runs() == before


def test_a_watchdog_that_begins_again_leaves_a_later_session_alone(armed: tuple[_Host, list[str]]) -> None:
    """Only a session that was there before the deadline has missed it."""
    host, before = armed
    host.hang_up()
    host.strike("supervise", signal.SIGSTOP)
    host.strike("watchdog", signal.SIGSTOP)
    host.is_due()
    time.sleep(1.1)
    assert host.start() == [".ok"]
    struck = host.strike("watchdog", signal.SIGKILL)
    host.strike("supervise", signal.SIGCONT)
    _wait(lambda: host.processes("watchdog") not in ([], struck))
    # It waits five seconds for the lock.
    time.sleep(6)
    assert host.order("clock")[-1] == ".ok"
    host.hang_up()
    _wait(lambda: not host.left())
    assert host.runs() == before


def test_a_line_of_a_plan_is_no_order(armed: tuple[_Host, list[str]]) -> None:
    """A host whose disk is full has read a part of the plan only, and the rest comes all the same."""
    host, _ = armed
    running = host.runs()
    assert len(host.order("= peer carol key\n= port 1\nclock")) == 2
    assert host.runs() == running


@pytest.mark.thorough
def test_a_deadline_that_cannot_be_read_spares_no_session(armed: tuple[_Host, list[str]]) -> None:
    """It has passed, and whoever is there may be who missed it."""
    host, before = armed
    host.run("cd /var/lib/mesh/testwg; read -r _ rest <deadline; echo nonsense $rest >moved; mv moved deadline")
    _wait(lambda: not host.left(), 60)
    assert host.runs() == before
