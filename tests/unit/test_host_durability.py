"""What counts is on the disk before it counts; a host that is cut off at any moment boots the old state or the new."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.host_program import PARTS, PROGRAM_PARTS, HostProgram
from tests.unit.test_host_service import SNAPSHOT, with_systemd

_LEFT_OUT = "".join(
    (PARTS / f"{part}.sh").read_text()
    for part in (
        "core/header",
        "wireguard/interface",
        "core/transaction",
        "core/switch",
        "core/rollback",
        "core/watchdog",
        "core/recovery",
    )
)
_KEY = "QJ3GKuDn0Yp7zRsvkVgfH+2lZEl5pUeXG9cwBYKHq1E="

# A host that runs one plan and has switched to another, which is proven.
_PROVEN = f"""
{_LEFT_OUT}
configuration=/etc/wireguard/testwg.conf ready=$home/previous/ready late=
version=$base/program-0123456789abcdef program=$version
lay() {{
    mkdir -p "$home/$1"
    printf '%s\\n' "mesh m" "digest $2" "host bernard" "port $3" "address fd00::$3/64" "mtu 1420" >"$home/$1/settings"
    echo "carol $2 fd00::2 - off fd00::/64 first" >"$home/$1/peers"
    echo "{_KEY}" >"$home/$1/private-key"
    echo "{_KEY}" >"$home/$1/preshared-key"
}}
prove() {{
    mkdir -p /etc/wireguard
    echo program >"$version"
    ln -s "${{version##*/}}" "$base/program"
    lay run old 1
    write_configuration run
    lay next new 2
    mkdir -p "$home/previous" "$home/enrolled"
    echo "${{UNTIL:-99999999.00}} token $this_boot" >"$home/deadline"
}}
"""
_STORE = "order_store\n: >$home/stored\norder_confirm new\n: >$home/answered\n"


def _prepare(host: HostProgram) -> HostProgram:
    with_systemd(host)
    host.real("flock", "sync", "date", "wc", "ps")
    host.stub("wg", "exit 1")
    return host


def _inner(host: HostProgram, name: str, script: str) -> str:
    """Lay the program with a script as a file, for a process that a test traces or ends; return how to run it."""
    parts = "".join((PARTS / f"{part}.sh").read_text() for part in PROGRAM_PARTS)
    header = f"set -eu\numask 077\ninterface=testwg\nbase={host.base}\nhome={host.home}\n"
    (host.directory / name).write_text(f"{header}{parts}{_PROVEN}{script}")
    return f"{' '.join(host.shell)} {host.directory / name}"


def _trace(host: HostProgram) -> list[tuple[str, list[str]]]:
    """Return the calls that write, sync, rename or remove anything, in their order, each with its paths."""
    host.real("strace")
    # Not every kernel lets a process be traced.
    if subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode:
        pytest.skip("strace cannot trace here")
    log = host.directory / "trace"
    calls = "trace=openat,open,creat,write,fsync,fdatasync,sync,syncfs,rename,renameat,renameat2,unlink,unlinkat,rmdir"
    traced = _inner(host, "traced", _STORE)
    host.run(f"{SNAPSHOT}{_PROVEN}prove\nstrace -f -y -s 0 -e {calls} -o {log} {traced}")
    return _parse(log.read_text())


def _parse(text: str) -> list[tuple[str, list[str]]]:
    calls = []
    for line in text.splitlines():
        if not (found := re.match(r"\d+ +(\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?", line)) or int(found[3]) < 0:
            continue
        name, arguments = found[1], found[2]
        folders = re.findall(r"(?:AT_FDCWD|\d+)<([^>]*)>", arguments)
        paths = re.findall(r'"([^"]*)"', arguments)
        if name in {"write", "fsync", "fdatasync"}:
            calls.append((name, folders[:1]))
        elif name in {"open", "openat", "creat"}:
            if re.search("O_WRONLY|O_RDWR", arguments) or name == "creat":
                calls.append(("write", [found[4] or ""]))
        else:
            calls.append(
                (
                    name,
                    [str(Path(folder, path)) for folder, path in zip(folders or ["/"] * 2, paths, strict=False)]
                    if folders
                    else paths,
                )
            )
    return calls


def test_all_that_a_confirmed_host_boots_is_on_the_disk_before_it_counts(host: HostProgram) -> None:
    """A power cut a moment after the answer finds nothing empty: files come first, then renames, then their folders."""
    calls = _trace(_prepare(host))
    home, etc = str(host.home), "/etc/wireguard"

    def place(name: str, *paths: str, after: int = -1) -> int:
        return next(
            i
            for i, (call, of) in enumerate(calls)
            if i > after and call.startswith(name) and of[: len(paths)] == list(paths)
        )

    def last_write(path: str) -> int:
        return max((i for i, (call, of) in enumerate(calls) if call == "write" and of == [path]), default=-1)

    confirmed = place("rename", f"{home}/next", f"{home}/run")
    replaced = place("rename", f"{etc}/testwg.conf.new", f"{etc}/testwg.conf")
    answered = place("write", f"{home}/answered")
    for name in ("settings", "peers", "private-key", "preshared-key", "configuration"):
        assert last_write(f"{home}/next/{name}") < place("fsync", f"{home}/next/{name}") < confirmed
    assert last_write(f"{etc}/testwg.conf.new") < place("fsync", f"{etc}/testwg.conf.new") < replaced
    assert place("fsync", f"{home}/next") < confirmed
    assert place("fsync", f"{host.base}/program-0123456789abcdef") < replaced
    assert place("fsync", str(host.base)) < replaced
    # The file that boots is in its place for good before the state says so, and the state before anybody hears of it.
    assert replaced < place("fsync", etc, after=replaced) < confirmed
    assert confirmed < place("fsync", home, after=confirmed) < answered
    # Until then there is a way back.
    assert place("unlink", f"{home}/deadline") > confirmed


# Ends the whole run before the step of this number.
_COUNTED = """
read -r steps <{count} || steps=0
echo $((steps + 1)) >{count}
[ "$steps" -ne "$STOP" ] || kill -s KILL 0
exec {tool} "$@"
"""


def _count(host: HostProgram, *tools: str) -> Path:
    """Let a run end before the step of the number in $STOP, where each of these commands is a step."""
    count = host.directory / "count"
    for tool in tools:
        script = host.directory / "bin" / tool
        real = (
            (host.directory / "tools" / tool).resolve()
            if (host.directory / "tools" / tool).exists()
            else script.resolve()
        )
        command = f"{real} {tool}" if real.name == "busybox" else str(real)
        script.unlink(missing_ok=True)
        script.write_text(f"#!/bin/sh{_COUNTED.format(count=count, tool=command)}")
        script.chmod(0o755)
    return count


@pytest.mark.thorough
def test_a_host_that_is_cut_off_at_any_step_of_confirming_boots_the_old_state_or_the_new(host: HostProgram) -> None:
    """The file that boots is always that of the state that it keeps, and nothing half done is left."""
    _prepare(host).real("setsid", "kill")
    count = _count(host, "mv", "rm", "sync", "ln")
    confirm, boot = _inner(host, "confirm", _STORE), _inner(host, "boot", "settle boot\n")
    said = host.run(
        f"""
        {SNAPSHOT}{_PROVEN}
        stop=0
        STOP=-1
        export STOP
        while :; do
            rm -rf "$home" "$configuration" "$configuration.new"
            rm -f $(matching "$base/program*")
            prove
            : >{count}
            STOP=$stop setsid -w {confirm} >/dev/null 2>&1 && break
            # Power comes back.
            [ ! -e "$home/deadline" ] || echo "99999999.00 token another-boot" >"$home/deadline"
            {boot} >/dev/null 2>&1 || echo "$stop does not boot"
            [ "$(digest_of $configuration)" = "$(cat $home/run/configuration)" ] || echo "$stop boots another file"
            echo "$stop $(setting run digest) $(cat $home/run/peers | cut -d ' ' -f 2) $(ls $home | tr '\\n' ' ')"
            stop=$((stop + 1))
        done
        echo "end $(setting run digest)"
        """
    ).stdout.splitlines()
    assert [line for line in said if " boot" in line] == []
    *steps, end = [line.split() for line in said]
    assert end == ["end", "new"]
    assert len(steps) > 8
    # Old up to some step, and new from then on.
    outcomes = [digest for _, digest, *_ in steps]
    assert outcomes == sorted(outcomes, key="old new".index)
    assert set(outcomes) == {"old", "new"}
    for _, digest, peer, *left in steps:
        assert peer == digest
        assert {"deadline", "next", "previous", "former"} & set(left) == set()
