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


def _trace(host: HostProgram, script: str, before: str = "") -> list[tuple[str, list[str]]]:
    """Return the calls of a script that write, sync, rename or remove anything, in their order, each with its paths."""
    host.real("strace")
    # Not every kernel lets a process be traced.
    if subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode:
        pytest.skip("strace cannot trace here")
    log = host.directory / "trace"
    calls = "trace=openat,open,creat,write,fsync,fdatasync,sync,syncfs,rename,renameat,renameat2,unlink,unlinkat,rmdir"
    traced = _inner(host, "traced", script)
    host.run(f"{SNAPSHOT}{_PROVEN}{before}\nstrace -f -y -s 0 -e {calls} -o {log} {traced}")
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


def _place(calls: list[tuple[str, list[str]]], name: str, *paths: str, after: int = -1) -> int:
    """Return the place of the first such call for these paths after another."""
    return next(
        i
        for i, (call, of) in enumerate(calls)
        if i > after and call.startswith(name) and of[: len(paths)] == list(paths)
    )


def _last(calls: list[tuple[str, list[str]]], name: str, path: str) -> int:
    """Return the place of the last such call that makes or changes what is at a path, -1 if there is none."""
    return max((i for i, (call, of) in enumerate(calls) if call.startswith(name) and of[-1:] == [path]), default=-1)


def test_all_that_a_confirmed_host_boots_is_on_the_disk_before_it_counts(host: HostProgram) -> None:
    """A power cut a moment after the answer finds nothing empty: files come first, then renames, then their folders."""
    calls = _trace(_prepare(host), _STORE, "prove")
    home, etc = str(host.home), "/etc/wireguard"

    def place(name: str, *paths: str, after: int = -1) -> int:
        return _place(calls, name, *paths, after=after)

    def last_write(path: str) -> int:
        return _last(calls, "write", path)

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
    assert len(steps) > 7
    # Old up to some step, and new from then on.
    outcomes = [digest for _, digest, *_ in steps]
    assert outcomes == sorted(outcomes, key="old new".index)
    assert set(outcomes) == {"old", "new"}
    for _, digest, peer, *left in steps:
        assert peer == digest
        assert {"deadline", "next", "previous", "former"} & set(left) == set()


# A host that has begun to take over an interface of somebody else, whose file it has replaced.
_TAKING_OVER = """
service_stop() { :; }
service_start() { :; }
mkdir -p /etc/wireguard "$home/next" "$home/previous"
echo theirs >$configuration
printf '%s\\n' "mesh m" "digest new" "host bernard" "port 2" >"$home/next/settings"
: >"$home/next/peers"
: >"$home/previous/absent"
remember_theirs
echo "99999999.00 token $this_boot" >"$home/deadline"
echo ours >$configuration
"""


def test_what_was_there_before_is_kept_until_it_is_in_its_place_again(host: HostProgram) -> None:
    """A disk that is full, or a folder that nobody may write to, stops the rollback; the next try ends it."""
    _prepare(host)
    said = host.run(
        f"""
        {_PROVEN}{_TAKING_OVER}
        cp() {{ echo "No space left on device" >&2; return 1; }}
        (go_back) || echo "failed"
        ls $home
        unset -f cp
        (go_back) && echo restored
        ls $home
        cat $configuration
        """
    )
    before, restored = said.stdout.split("restored\n")
    assert "what was here before mesh cannot be put back; make room on the disk" in said.stderr
    assert {"failed", "deadline", "previous"} < set(before.split())
    assert not {"deadline", "previous"} & set(restored.split())
    assert restored.splitlines()[-1] == "theirs"


def test_a_file_that_was_not_replaced_yet_stays_in_its_place_where_there_is_no_room_for_a_copy(
    host: HostProgram,
) -> None:
    """It boots at any moment of the rollback, which ends at once."""
    _prepare(host)
    said = host.run(
        f"""
        {_PROVEN}{_TAKING_OVER}
        echo theirs >$configuration
        cp() {{ return 1; }}
        rm() {{ case " $* " in *" $configuration "*) echo removed ;; *) command rm "$@" ;; esac; }}
        (go_back) && cat $configuration
        ls $home
        """
    )
    assert said.stdout.splitlines()[0] == "theirs"
    assert not {"removed", "deadline", "previous"} & set(said.stdout.split())


@pytest.mark.parametrize("way", ["go_back", "settle serve"])
def test_what_was_there_before_is_on_the_disk_before_its_copy_goes(host: HostProgram, way: str) -> None:
    """A power cut a moment later finds neither an empty file nor none."""
    _prepare(host)
    another = "deadline=\necho '99999999.00 token another-boot' >$home/deadline\n" if way == "settle serve" else ""
    calls = _trace(host, f"{_TAKING_OVER}{another}{way}\n")
    given, file = "/etc/wireguard/.mesh.new", "/etc/wireguard/testwg.conf"
    copied, settled = _place(calls, "rename", given, file), _last(calls, "unlink", f"{host.home}/deadline")
    assert _place(calls, "fsync", given) < copied < _place(calls, "fsync", "/etc/wireguard", after=copied) < settled


def test_a_copy_of_what_was_there_is_on_the_disk_before_anything_can_go_back(host: HostProgram) -> None:
    """A host that is cut off right after that restores no empty file at its next boot."""
    _prepare(host)
    kept = f"{host.home}/previous/theirs/etc/wireguard/testwg.conf"
    calls = _trace(host, _TAKING_OVER)
    assert _last(calls, "write", kept) < _place(calls, "fsync", kept) < _last(calls, "write", f"{host.home}/deadline")


def test_what_a_confirmed_host_notes_beside_its_plan_is_on_the_disk(host: HostProgram) -> None:
    """Which ports are open, what is forwarded, the digests of units: by an empty record, nothing is open at boot."""
    _prepare(host)
    notes = [f"{host.home}/{name}" for name in ("firewall", "passes", "masquerade", "exit")]
    notes += [f"{host.shared}/forwarding-6"]
    calls = _trace(host, f"for note in {' '.join(notes)}; do echo 1 >$note; done\n{_STORE}", "prove")
    answered = _last(calls, "write", f"{host.home}/answered")
    for note in (*notes, f"{host.shared}/units"):
        written = max(_last(calls, "write", note), _last(calls, "rename", note))
        assert 0 <= written < _place(calls, "fsync", note, after=written) < answered, note


def test_a_name_file_is_on_the_disk_before_it_replaces_the_one_of_the_host(host: HostProgram) -> None:
    """It has lines that are nowhere else."""
    _prepare(host)
    host.etc("hosts", "127.0.0.1 localhost\n")
    calls = _trace(host, "mkdir -p $home/run\necho 'fd00::1 carol.testwg' >$home/run/names\nnames_apply run\n")
    assert _place(calls, "fsync", "/etc/hosts.mesh") < _place(calls, "rename", "/etc/hosts.mesh", "/etc/hosts")


@pytest.mark.parametrize("missing", [1, 2, 30, 60, 80, 150, 300])
def test_a_configuration_that_was_cut_off_never_counts(host: HostProgram, missing: int) -> None:
    """Wherever the disk ends, also within the last key of the last peer, and whether or not `render` says so."""
    _prepare(host)
    script = f"""
        {_PROVEN}
        lay run old 1
        mkdir -p /etc/wireguard
        whole=$(render run | wc -c)
        render run >$home/rendered
        render() {{ head -c $((whole - {missing})) $home/rendered; }}
        lay_configuration run
    """
    assert "the configuration came out incomplete" in host.run(script, fails=True).stderr


def test_an_empty_configuration_is_none_of_a_mesh_without_peers(host: HostProgram) -> None:
    """As of a disk that was full when it was written."""
    _prepare(host)
    script = (
        f"{_PROVEN}lay run old 1; : >$home/run/peers; mkdir -p /etc/wireguard; render() {{ :; }}; lay_configuration run"
    )
    assert "came out incomplete" in host.run(script, fails=True).stderr


def test_a_rollback_ends_where_a_folder_has_gone_and_waits_for_no_other_file_system(host: HostProgram) -> None:
    """`sync` without a file writes everything, and a mount of somebody else may hang."""
    _prepare(host).stub("sync", '[ $# -gt 0 ] || echo "everything"')
    said = host.run(f"{_PROVEN}prove; configuration=/etc/gone/testwg.conf; forget_way_back; ls $home")
    assert "everything" not in said.stdout
    assert "deadline" not in said.stdout.split()


@pytest.mark.parametrize("ends", ["true", "false", "fail words"])
@pytest.mark.parametrize("seconds", [0, 3, 15])
def test_the_time_of_a_slow_start_is_given_back_however_it_ends(host: HostProgram, ends: str, seconds: int) -> None:
    """A quick one leaves the moment that it is on all hosts; where this host has gone back, there is none."""
    _prepare(host)
    script = f"""{_PROVEN}prove
        cut -d . -f 1 /proc/uptime >$home/clock
        tell_time() {{ read -r uptime <$home/clock; uptime=$uptime.07; }}
        work() {{
            tell_time
            echo $((${{uptime%.*}} + {seconds})) >$home/clock.new
            mv $home/clock.new $home/clock
            {ends}
        }}
        tell_time
        write_deadline 20 token "$uptime"
        read -r before _ <$home/deadline
        (outlast work) || :
        read -r after rest <$home/deadline
        echo $((${{after%.*}} - ${{before%.*}})) ${{after#*.}} ${{rest%% *}}
        (outlast rm -rf "$home/next" "$home/deadline"); ls $home
    """
    first, *rest = host.run(script).stdout.splitlines()
    assert first == f"{seconds if seconds > 5 else 0} 07 token"
    assert "deadline" not in rest


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_settling_that_fails_is_told_by_every_shell(host: HostProgram, shell: str) -> None:
    """Of bash, which is `sh` on many systems, no `set -e` counts within a condition."""
    if len(host.shell) > 1:
        pytest.skip("busybox has its own case")
    _prepare(host)
    host.real(shell)
    main = (PARTS / "core/main.sh").read_text().partition("program=$0")[0]
    held = f"""
        {main}
        restore_configuration() {{ echo "cannot write" >&2; return 1; }}
        mkdir -p $home/run
        echo "99999999.00 token another-boot" >$home/deadline
        serve </dev/null
    """
    _inner(host, "held", held)
    assert host.run(f"{shell} {host.directory}/held || ls $home/deadline").stdout.splitlines() == [
        ".error cannot write",
        f"{host.home}/deadline",
    ]
