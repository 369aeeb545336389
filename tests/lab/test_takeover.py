"""A host whose disk is full is not taken over, and its own file and tunnel are as they were."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.by_hand import PORT, ByHand
from tests.lab.conftest import PREFIX
from tests.lab.hosts import Host, HostSpec
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Stack, wait_until

_FILE = "/etc/wireguard/testwg.conf"
_FULL = "cat /dev/zero >{}/full 2>/dev/null"


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByHand]:
    """Return a mesh of two hosts that was set up by hand and runs; the disk of one is small."""
    with Lab([HostSpec("bernard", 1), HostSpec("small", 2, disk_megabytes=24)], prefix=f"{PREFIX}t") as lab:
        made = ByHand(lab, tmp_path_factory.mktemp("by-hand") / "files", "seed")
        made.start()
        yield made


@pytest.fixture(scope="module")
def stack(by_hand: ByHand, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Return a stack that adopts the keys of that mesh, as after its import."""
    names = list(by_hand.lab.hosts)
    stack = RehearsedStack(by_hand.lab, tmp_path_factory.mktemp("takeover"))
    keys = {f"testwg/{name}": _setting(by_hand.folder / name / "testwg.conf", "PrivateKey") for name in names}
    keys["testwg"] = _setting(by_hand.folder / "bernard" / "testwg.conf", "PresharedKey")
    stack.write({"testwg": {"hosts": names, "port": PORT, "deadline": 20}}, adopted=keys)
    wait_until(lambda: not stack.silent("testwg"))
    return stack


def _setting(file: Path, name: str) -> str:
    return file.read_text().partition(f"{name} = ")[2].partition("\n")[0]


@contextmanager
def _as_it_was(by_hand: ByHand, stack: Stack) -> Iterator[None]:
    """Let nothing change: tunnels, files with mode and time, what boots."""
    running, boots = by_hand.runs(), by_hand.boots()
    yield
    assert by_hand.runs() == running
    assert by_hand.boots() == boots
    assert stack.silent("testwg") == []


def _fill(host: Host, folder: str) -> None:
    host.run(_FULL.format(folder), check=False)


def test_a_full_disk_is_told_before_anything_of_a_running_interface_is_touched(by_hand: ByHand, stack: Stack) -> None:
    """All of it, or only the one with the folder of wg-quick."""
    small = by_hand.lab.hosts["small"]
    with _as_it_was(by_hand, stack):
        _fill(small, "/root")
        said = stack.fail()
        assert re.search("small.*(disk full|No space left on device)", said), said
        small.run("rm /root/full")
        small.run("mount -t tmpfs -o size=16k none /mnt; cp -a /etc/wireguard/. /mnt; mount --bind /mnt /etc/wireguard")
        _fill(small, "/etc/wireguard")
        said = stack.fail()
        small.run("umount /etc/wireguard /mnt")
        assert f"host 'small': cannot write {_FILE}: No space left on device; make room on its disk" in said
        assert "testwg: nothing was changed" in said


def test_a_disk_that_fills_up_during_a_takeover_gives_everything_back(by_hand: ByHand, stack: Stack) -> None:
    """Whatever becomes free is taken at once meanwhile, so there is never room for a copy of the host's own file."""
    small = by_hand.lab.hosts["small"]
    with _as_it_was(by_hand, stack):
        run = stack.start("up")
        with stack.held_at(run):
            filler = small.run(
                "setsid sh -c 'while :; do cat /dev/zero; done >>/root/full 2>/dev/null' >/dev/null 2>&1 & echo $!"
            ).strip()
            wait_until(lambda: not small.run("echo x >/root/room && cat /root/room; rm -f /root/room", check=False))
        try:
            outcome = run.end()
            assert outcome.code != 0
            # By whatever is the first to be written then: the deadline on a busy machine, else a unit.
            assert re.search(r"host 'small': cannot write /\S+; make room on the disk", outcome.output), outcome.output
            wait_until(lambda: not small.run("ls /var/lib/mesh/testwg/deadline", check=False), 60)
            assert small.run(f"ls {_FILE}") == f"{_FILE}\n"
        finally:
            small.run(f"kill -- -{filler}; rm -f /root/full", check=False)
    stack.up()
    assert "# Managed by mesh" in small.run(f"cat {_FILE}")
    assert stack.silent("testwg") == []
    stack.up("--expect-no-changes")
    stack.destroy()
    assert small.run("ls -d /var/lib/mesh /etc/wireguard/*", check=False) == ""
