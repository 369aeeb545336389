"""To the host program no name or value of a user is a pattern, a number or a list, and no line of a user is its own."""

import random
import re
import socket

import pytest

from mesh.remote import host_program
from tests.host_program import PARTS, HostProgram

ORDERS = "".join(
    (PARTS / f"{part}.sh").read_text()
    for part in ("wireguard/interface", "core/switch", "core/verify", "core/rollback", "core/recovery")
)

# Interfaces of which one is a pattern that matches the other, or the same number.
_PAIRS = [("wg.1", "wg01"), ("...", "abc"), ("1e1", "10"), ("nan", "inf"), (".", "x")]
# Hosts that awk would call equal as numbers.
_NUMBERS = ["10", "1e1", "010", "10.0", "0x10", "16", "inf", "infinity", "nan", "0", "0e5"]


def _lines(interface: str, chance: random.Random) -> list[str]:
    """Return lines as they may come to be in a file that several people and programs edit."""
    other = next((b if a == interface else a for a, b in _PAIRS if interface in (a, b)), "wg0")
    kinds = [
        *[f"# mesh {interface}: begin", f"# mesh {interface}: end", f"fd00::1 bernard.{interface}"] * 3,
        f"# mesh {interface}: begin after a line without end",
        f"10.20.0.1 carol.{interface}",
        f"# mesh {other}: begin",
        f"# mesh {other}: end",
        f"fd00::1 bernard.{other}",
        "127.0.0.1 localhost",
        "",
        f"10.0.0.9 printer printer.{interface}",
        f"10.0.0.9  printer.{interface}",
        f"# mesh {interface}",
        f"# mesh {interface}: begin here",
        f" # mesh {interface}: end",
        "10.0.0.9 [a-z]*.example.org \\1 & %s",
    ]
    return [chance.choice(kinds) + chance.choice(["", "", "", "\r"]) for _ in range(chance.randrange(12))]


def _is_ours(line: str, interface: str) -> bool:
    text = line.removesuffix("\r")
    begins = [f"# mesh {interface}: begin", f"# mesh {interface}: begin after a line without end"]
    return text in (*begins, f"# mesh {interface}: end") or bool(
        re.fullmatch(rf"[0-9a-f:.]+ \S+\.{re.escape(interface)}", text)
    )


@pytest.mark.thorough
@pytest.mark.parametrize("interface", ["wg.1", "wg01", "..."])
def test_a_block_of_names_that_was_damaged_costs_no_line_of_somebody_else(host: HostProgram, interface: str) -> None:
    """Begun twice, never ended, one in another, with other line ends: ours goes, and the rest stays as it is."""
    host.real("diff", "tail")
    chance = random.Random(interface)  # noqa: S311 - not for secrets
    texts = []
    for number in range(30):
        text = "\n".join(_lines(interface, chance)) + chance.choice(["", "\n"])
        texts.append(text)
        (host.directory / f"hosts-{number}").write_text(text, newline="")
    shown = host.run(
        f"interface={interface} home=$base/home; mkdir -p $home/next; "
        f"printf 'fd00::2 dora.{interface}\\n' >$home/next/names; "
        f"for number in $(seq 0 29); do hosts_file={host.directory}/hosts-$number; names_apply next; "
        "names_are_there next || echo not there; cp $hosts_file $base/once; names_apply next; "
        "diff $base/once $hosts_file; cp $hosts_file $hosts_file.with; names_apply none; done; ls $home"
    ).stdout
    assert shown == "next\n"
    for number, text in enumerate(texts):
        without = (host.directory / f"hosts-{number}").read_bytes().decode()
        block = (host.directory / f"hosts-{number}.with").read_bytes().decode()
        theirs = [line for line in text.split("\n") if line.strip() and not _is_ours(line, interface)]
        assert [line for line in without.split("\n") if line.strip() and not _is_ours(line, interface)] == theirs
        assert [line for line in block.split("\n") if line.strip() and not _is_ours(line, interface)] == theirs
        assert f"# mesh {interface}: " not in [line[: len(f"# mesh {interface}: ")] for line in without.split("\n")
                                               if _is_ours(line, interface)]  # fmt: skip
        if not any(_is_ours(line, interface) for line in text.split("\n")):
            assert without == text


@pytest.mark.parametrize(("one", "other"), [("wg.1", "wg01"), ("wg01", "wg.1")])
def test_names_of_one_interface_leave_those_of_another_alone(host: HostProgram, one: str, other: str) -> None:
    """Also where the name of one is a pattern that matches that of the other."""
    host.etc("hosts", "127.0.0.1 localhost\n")
    lay = "for i in {} {}; do mkdir -p $base/$i/run; echo fd00::1 bernard.$i >$base/$i/run/names; done"
    use = "interface={0} home=$base/{0}"
    ended = host.run(
        f"{lay.format(one, other)}; {use.format(other)}; names_apply run; {use.format(one)}; names_apply run; "
        f"names_apply none; cat /etc/hosts; {use.format(other)}; names_are_there run && echo there"
    )
    assert ended.stdout == (
        f"127.0.0.1 localhost\n# mesh {other}: begin\nfd00::1 bernard.{other}\n# mesh {other}: end\nthere\n"
    )


def test_hosts_whose_names_are_the_same_number_are_told_apart(host: HostProgram) -> None:
    """In every awk: 1e1 is 10 there, and nan is not even itself."""
    (host.home / "next").mkdir(parents=True)
    (host.home / "run").mkdir()
    host.stub("wg")
    for place, key in (("next", "a"), ("run", "b")):
        peers = [f"{name} {key}{number} fd00::{number} 192.0.2.{number}:51825 off fd00:{number}::/64 first\n"
                 for number, name in enumerate(_NUMBERS, 1)]  # fmt: skip
        (host.home / place / "peers").write_text("".join(peers))
        (host.home / place / "settings").write_text("host 10\npublic-key own\n")
        (host.home / place / "preshared-key").write_text("secret\n")
    (host.home / "turns").write_text("".join(f"{name}\n" for name in _NUMBERS))
    asked = f"for name in {' '.join(_NUMBERS)}; do"
    ended = host.run(
        f"{ORDERS}\nis_armed() {{ return 1; }}; {asked} exchange $name | sed 1d; aim $name; done; turns 1.00"
    )
    expected = []
    calls = []
    for number, _ in enumerate(_NUMBERS, 1):
        expected.append(f"fd00::{number}")
        calls.append(f"wg set testwg peer b{number} endpoint 192.0.2.{number}:51825")
    lines = ended.stdout.splitlines()
    assert lines[: len(expected)] == expected
    assert [call for call in host.calls() if " set " in call] == calls
    # Its own turn is told from the others', which come a little later.
    moments = {name: float(when) for when, name in (line.split() for line in lines[len(expected) :]) if name != "-"}
    assert set(moments) == set(_NUMBERS)
    assert [name for name in sorted(moments) if round(moments[name] - 1, 2) % 1.2 < 0.03] == ["10"]


def test_a_silent_peer_is_asked_for_by_its_exact_name(host: HostProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not by a number that its name looks like."""
    (host.home / "run").mkdir(parents=True)
    (host.home / "run/peers").write_text("".join(f"{name} k{number}\n" for number, name in enumerate(_NUMBERS)))
    listed = "".join(f"k{number}\\t192.0.2.{number}:51825\\n" for number in range(len(_NUMBERS)))
    host.stub("wg", f"printf '{listed}'")
    host.stub("ip", 'echo "$4 dev eth0 src $4"')
    (host.directory / "run/wireguard").mkdir()
    # The path of a socket has to be short.
    monkeypatch.chdir(host.directory / "run/wireguard")
    with socket.socket(socket.AF_UNIX) as there:
        there.bind("testwg.sock")
        asked = host.run(
            f"{ORDERS}\nis_armed() {{ return 1; }}; for name in {' '.join(_NUMBERS)}; do order_source $name; done"
        )
    assert asked.stdout.splitlines() == [f"source 192.0.2.{number}" for number in range(len(_NUMBERS))]


@pytest.mark.parametrize(("own", "other"), [("10", "1e1"), ("nan", "nan"), ("inf", "infinity")])
def test_a_route_that_leads_into_the_tunnel_itself_is_known_by_its_exact_name(
    host: HostProgram, own: str, other: str
) -> None:
    """And one that leads into another interface is not taken for it."""
    host.stub("ip", f'echo "$4 dev $(cat {host.directory}/device) src 192.0.2.1"')
    (host.directory / "device").write_text(own)
    host.run(f"interface={own}; leads_outside 192.0.2.9", fails=True)
    if own != other:
        (host.directory / "device").write_text(other)
        host.run(f"interface={own}; leads_outside 192.0.2.9")


def test_a_process_of_another_interface_is_not_taken_for_one_of_this(host: HostProgram) -> None:
    """Whose watchdog would be ended instead."""
    host.real("kill")
    ended = host.run(
        f"{ORDERS}\n/bin/sh -c 'sleep 5; :' /base/program guard wg01 & echo $! >$home/guard; sleep 0.3; "
        "interface=wg.1; is_process guard guard && echo mistaken; "
        "interface=wg01; is_process guard guard && echo found; kill $!"
    )
    assert ended.stdout == "found\n"


def test_a_file_is_ours_by_the_exact_name_of_the_stack(host: HostProgram) -> None:
    """Another stack's is not, whatever its name means as a pattern."""
    transaction = (PARTS / "core/transaction.sh").read_text()
    host.etc("wireguard/testwg.conf", "# Managed by mesh 5e1f; changes made here are overwritten.\n[Interface]\n")
    ended = host.run(
        f"{transaction}\nconfiguration=/etc/wireguard/testwg.conf; for mesh in '' 5e1f 5e.f '*' 6e1f '[5]e1f'; do "
        'is_our_configuration "$mesh" && echo "<$mesh>" || :; done'
    )
    assert ended.stdout == "<>\n<5e1f>\n"


def test_a_port_that_this_interface_opens_meanwhile_is_no_other_programs(host: HostProgram) -> None:
    """A host that has just booted brings its own up between two looks; with another program there, it is told."""
    host.stub("ss", "echo 'UNCONN 0 0 0.0.0.0:51825 0.0.0.0:*'")
    transaction = f"{(PARTS / 'wireguard/interface.sh').read_text()}{(PARTS / 'core/transaction.sh').read_text()}"
    host.stub(
        "wg", f"[ $2 != interfaces ] || {{ : >{host.directory}/up; exit; }}; [ -e {host.directory}/up ] && echo 51825"
    )
    host.run(f"{transaction}\ncheck_port 51825")
    host.stub("wg", "[ $2 = interfaces ]")
    ended = host.run(f"{transaction}\ncheck_port 51825", fails=True)
    assert ended.stderr == "UDP port 51825 is taken by another program; choose another port\n"


def test_no_word_is_expanded_as_a_pattern_of_file_names(host: HostProgram) -> None:
    """An endpoint in brackets is one, and 1:51825 may be a file; what is a list stays one."""
    (host.directory / "1:51825").touch()
    (host.directory / "2:51825").touch()
    host.stub("wg")
    ready = f"cd {host.directory}; ready=$home; echo 'peer K endpoint [2001:db8::1]:51825 allowed-ips *' >$ready/.all"
    host.run(f"{ORDERS}\n{ready}; set_worked_out listen-port 51825")
    assert host.calls() == ["wg set testwg listen-port 51825 peer K endpoint [2001:db8::1]:51825 allowed-ips *"]


def test_the_program_turns_patterns_of_file_names_off_and_means_them_in_one_place() -> None:
    """So that a forgotten quote can do no harm."""
    assert host_program.text().startswith("set -euf\n")
    assert len(re.findall(r"set \+f|set -o glob", host_program.text())) == 1


def test_patterns_of_our_own_find_what_they_are_to_find(host: HostProgram) -> None:
    """Also a link that leads nowhere, and an interface whose name begins with a dot."""
    ended = host.run(
        "mkdir -p $base/.wg $base/wg.1 $base/a-folder-of-somebody; ln -s nowhere $base/program-1; : >$base/lock; "
        ": >$base/.wg/exit; interfaces; of_interfaces exit; matching \"$base/program-?\"; matching '/nowhere/*'"
    )
    assert ended.stdout.split() == [
        ".wg", "testwg", "wg.1", f"{host.base}/.wg/exit", f"{host.base}/program-1",
    ]  # fmt: skip
