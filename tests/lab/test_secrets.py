"""No private or preshared key is ever in clear where somebody else could read it."""

import re
from collections.abc import Iterator

import pytest

from mesh.wireguard.keys import generate_preshared_key
from tests.lab.lab import Lab
from tests.lab.stack import Stack

_KEY = re.compile(r"[A-Za-z0-9+/]{42,43}=")
# What looks like a key, in the arguments and the environment of every process, about ten times a second.
_WATCH = (
    "umask 077; (while [ ! -e /run/enough ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | "
    "tr '\\0' '\\n' | grep -aoE '[A-Za-z0-9+/]{42,43}=' | sort -u >>/run/seen; sleep 0.05; done; rm /run/enough) "
    ">/dev/null 2>&1 </dev/null &"
)


@pytest.fixture
def stack(engine_stack: Stack) -> Stack:
    """Return a stack of the engine: what it prints and stores is looked at."""
    return engine_stack


def _secrets(stack: Stack) -> set[str]:
    """Return every secret key of the state, those of the past too."""
    names = ("privateKey", "presharedKey", "kept")
    return {
        key
        for outputs in stack.resources().values()
        for name in names
        for key in _KEY.findall(str(outputs.get(name, "")))
    }


@pytest.fixture
def watched(lab: Lab) -> Iterator[str]:
    """Watch the processes of every host, and return a key that is to be seen there."""
    bait = generate_preshared_key()
    for host in lab.hosts.values():
        host.run("rm -f /run/seen /run/enough; journalctl --rotate -q; journalctl --vacuum-time=1s -q", check=False)
        host.run(f"{_WATCH} sleep 0")
        host.run(f"sh -c 'sleep 2; true' {bait}")
    yield bait
    for host in lab.hosts.values():
        host.run("touch /run/enough; rm -f /run/seen /root/secrets")


def test_no_key_shows_anywhere_during_the_life_of_a_mesh(stack: Stack, lab: Lab, watched: str) -> None:
    """Output, stored state, journals, process lists and readable files, over first run, rotation, failure and end."""
    everybody = list(lab.hosts)
    stack.write({"testwg": {"hosts": everybody, "port": 51825}})
    output = stack.up().output
    stack.write({"testwg": {"hosts": everybody, "port": 51825, "rotation": 2}})
    output += stack.run("preview", "--diff").output
    output += stack.up("--diff").output
    stack.write({"testwg": {"hosts": everybody, "port": 51825, "rotation": 3}})
    lab.network.block_udp(1, 2, 51825)
    try:
        output += stack.fail("--diff")
    finally:
        lab.network.unblock()
    output += stack.up("--refresh", "--diff").output
    secrets = _secrets(stack)
    assert len(secrets) >= 3 * (len(everybody) + 1)
    running = stack.running_keys("testwg")
    assert set(running.values()) <= secrets

    assert {key for key in secrets if key in output} == set()
    exported = str(stack.state(secrets=False))
    assert {key for key in secrets if key in exported} == set()
    stored = "".join(file.read_text(errors="replace") for file in (stack.folder / "state").rglob("*") if file.is_file())
    assert {key for key in secrets if key in stored} == set()
    for host in lab.hosts.values():
        host.run("umask 077; cat >/root/secrets", text="\n".join(sorted(secrets)))
        readable = host.run(
            "find /etc /var /run /root /tmp /home -xdev -type f -perm /077 -exec grep -lF -f /root/secrets {} +",
            check=False,
        )
        assert readable == ""
        assert host.run("journalctl -o cat --no-pager | grep -cF -f /root/secrets", check=False) == "0\n"

    output = stack.destroy().output
    assert {key for key in secrets if key in output} == set()
    for host in lab.hosts.values():
        seen = set(host.run("cat /run/seen").split())
        assert watched in seen
        assert seen & secrets == set()
        places = "/etc /var /run /root /tmp /home -xdev -type f ! -path /root/secrets"
        assert host.run(f"find {places} -exec grep -lF -f /root/secrets {{}} +", check=False) == ""
