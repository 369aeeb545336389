"""The host's block of names in /etc/hosts comes and goes, and the rest of the file stays byte for byte."""

import pytest

from tests.host_program import HostProgram

BEGIN, END = "# mesh testwg: begin", "# mesh testwg: end"
NAMES = """
mkdir -p "$home/next" "$home/later" "$home/none"
printf 'fd00::1 bernard.testwg\\nfd00::2 carol.testwg\\n' >"$home/next/names"
printf 'fd00::1 bernard.testwg\\n' >"$home/later/names"
"""


@pytest.mark.parametrize("text", ["127.0.0.1 localhost\n", "127.0.0.1 localhost", "\n\n", "", "::1 ip6\n\n\n"])
def test_names_come_and_go_and_leave_the_file_as_it_was(host: HostProgram, text: str) -> None:
    """Also one whose last line does not end, and a block of another interface in between."""
    host.etc("hosts", text)
    other = "interface=other home=$base/other; mkdir -p $home/run; echo 'fd01::1 x.other' >$home/run/names"
    script = (
        f"{NAMES} names_apply next; cat /etc/hosts; echo ====; ({other}; names_apply run); names_apply later; "
        f"cat /etc/hosts; echo ====; ({other}; names_apply none); names_apply none; cat /etc/hosts; echo ===="
    )
    first, second, last, _ = host.run(script).stdout.split("====\n")
    assert f"{BEGIN}" in first
    assert f"fd00::1 bernard.testwg\nfd00::2 carol.testwg\n{END}\n" in first
    assert "fd00::2" not in second
    assert "fd01::1 x.other" in second
    assert last == text


def test_what_differs_from_the_confirmed_names_is_told(host: HostProgram) -> None:
    """Somebody's own lines are nobody's concern."""
    host.etc("hosts", "127.0.0.1 localhost")
    ask = "names_are_there next && echo well || echo not"
    script = (
        f"{NAMES} {ask}; names_apply next; {ask}; echo '10.0.0.1 mine' >>/etc/hosts; {ask}; "
        f"sed -i s/fd00::2/fd00::3/ /etc/hosts; {ask}; names_apply next; {ask}; "
        "names_are_there none && echo well || echo not"
    )
    assert host.run(script).stdout.split() == ["not", "well", "well", "not", "well", "not"]


def test_owner_and_mode_of_the_file_stay(host: HostProgram) -> None:
    """Everybody reads it, and nothing of ours lies beside it."""
    host.etc("hosts", "127.0.0.1 localhost\n")
    ended = host.run(f"{NAMES} chmod 644 /etc/hosts; names_apply next; ls -l /etc/hosts; ls /etc/hosts.mesh || :")
    assert ended.stdout.startswith("-rw-r--r--")
    assert "hosts.mesh" not in ended.stdout.replace("/etc/hosts\n", "")
