"""What a host's refusal, or its page of troubleshooting, tells to do lets the next run change the host."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.documents import ROOT, read
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Stack

_PAGE = read(ROOT / "docs/troubleshooting/host.md")
_NFT = "/usr/local/sbin/nft"
_TESTWG, _BACKWG, _THIRD = 51825, 51826, 51827


def _told(pattern: str) -> str:
    """Return the one command of the page that fits."""
    (command,) = re.findall(f"`({pattern})`", _PAGE)
    return str(command)


@pytest.fixture
def colleague(lab: Lab, tmp_path: Path) -> Stack:
    """Return the same stack in the checkout of another operator, as far as the state is copied there."""
    return RehearsedStack(lab, tmp_path / "colleague")


def test_a_session_that_a_suspended_machine_left_ends_by_the_command_of_the_page(
    stack: Stack, colleague: Stack, lab: Lab
) -> None:
    """It holds the host's lock until then, and another operator's run says since when; waking up changes nothing."""
    bernard, carol = lab.hosts["bernard"], lab.hosts["carol"]
    mesh: dict[str, Any] = {"hosts": ["bernard", "carol"], "port": _TESTWG, "deadline": 20}
    stack.write({"testwg": mesh})
    stack.up()
    before = stack.running_keys("testwg")
    for each in (stack, colleague):
        each.write({"testwg": {**mesh, "rotation": 2}})
    # One host has not staged yet when the machine is suspended.
    carol.run(f"cat >{_NFT}; chmod 755 {_NFT}", text='#!/bin/sh\nsleep 3\nexec /usr/sbin/nft "$@"\n')
    suspended = stack.start("up")
    suspended.wait_for("staging")
    try:
        suspended.suspend()
        shutil.copy(stack.folder / "rehearsal.json", colleague.folder)
        refused = colleague.fail()
        assert "testwg: nothing was changed" in refused
        for host in (bernard, carol):
            since = host.run("date -r /var/lib/mesh/testwg/session").strip()
            assert f"another run holds interface testwg on this host (since {since}); wait for it to end" in refused
            host.run(_told(r"kill [^`]*").replace("IF", "testwg"))
        assert stack.running_keys("testwg") == before
        carol.run(f"rm {_NFT}")
        colleague.up()
        after = stack.running_keys("testwg")
        assert set(after.values()).isdisjoint(before.values())
        suspended.resume()
        woken = suspended.end()
        assert woken.code != 0
        assert "host 'bernard': ended the session" in woken.output
        assert stack.running_keys("testwg") == after
        assert colleague.silent("testwg") == []
        colleague.up("--expect-no-changes")
    finally:
        suspended.kill_all()
        carol.run(f"rm -f {_NFT}")


def _ports(lab: Lab) -> set[tuple[str, ...]]:
    """Return at which ports the two interfaces of each host are."""
    shown = "wg show testwg listen-port; wg show backwg listen-port"
    return {tuple(lab.hosts[name].run(shown).split()) for name in ("bernard", "carol")}


def test_two_meshes_swap_their_ports_by_way_of_a_third_one_as_the_refusal_tells(stack: Stack, lab: Lab) -> None:
    """At once, neither can have the other's, and both stay as they are."""
    hosts: dict[str, Any] = {"hosts": ["bernard", "carol"], "deadline": 20}

    def write(testwg: int, backwg: int) -> None:
        stack.write({"testwg": {**hosts, "port": testwg}, "backwg": {**hosts, "port": backwg}})

    write(_TESTWG, _BACKWG)
    stack.up()
    write(_BACKWG, _TESTWG)
    assert f"port: {_TESTWG} becomes {_BACKWG}" in stack.run("preview").output
    refused = " ".join(stack.fail().split())
    for port, holder in ((_BACKWG, "backwg"), (_TESTWG, "testwg")):
        assert f"UDP port {port} is taken by interface {holder}, another mesh; choose another port." in refused
    assert "of two that swap ports, give one a third port first" in refused
    assert _ports(lab) == {(f"{_TESTWG}", f"{_BACKWG}")}
    write(_THIRD, _BACKWG)
    stack.up()
    write(_BACKWG, _TESTWG)
    moved = stack.start("up").end()
    if moved.code:
        # Both are changed at once, and the port was still to be given up.
        assert "If this change moves backwg, run pulumi up again" in " ".join(moved.output.split())
        stack.up()
    assert _ports(lab) == {(f"{_BACKWG}", f"{_TESTWG}")}
    assert stack.silent("testwg") == stack.silent("backwg") == []
    stack.up("--expect-no-changes")
