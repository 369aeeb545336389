"""The host tells which of its files are not as they were confirmed, and changes none by looking."""

import os
import re
import socket
import time

import pytest

from tests.host_program import PARTS, HostProgram
from tests.unit.test_host_service import SNAPSHOT, WITH

# A host on which a configuration and a program were confirmed.
CONFIRMED = """
configuration=/etc/wireguard/testwg.conf
mkdir -p /etc/wireguard "$home/run"
echo '[Interface]' >$configuration
digest_of $configuration >"$home/run/configuration"
echo 'exit 0' >"$base/text"
name=program-$(digest_of "$base/text" | cut -c 1-16)
mv "$base/text" "$base/$name"
ln -sfn "$name" "$base/program"
"""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("true", ""),
        ("touch $configuration", ""),
        ("chmod 400 $configuration", ""),
        ("echo '# mine' >>$configuration", "differs edited /etc/wireguard/testwg.conf\n"),
        ("rm $configuration", "differs missing /etc/wireguard/testwg.conf\n"),
        ("chmod 640 $configuration", "differs readable /etc/wireguard/testwg.conf\n"),
        ("echo exit 1 >$base/program", "differs edited {base}/program\n"),
        ("set +f; rm $base/program-*; set -f", "differs missing {base}/program\n"),
        ("rm $base/program", "differs missing {base}/program\n"),
        ("echo '# mine' >>$configuration; rm $home/run/configuration", ""),
    ],
)
def test_each_file_that_is_not_as_it_was_confirmed_is_named(host: HostProgram, command: str, said: str) -> None:
    """Bytes and readers count, times do not; a host that an earlier version confirmed has nothing to compare."""
    ended = host.run(f"{CONFIRMED}\n{command}\naudit_files")
    assert ended.stdout == said.format(base=host.base)


@pytest.mark.parametrize("init", WITH)
def test_a_service_file_is_compared_with_what_was_installed(host: HostProgram, init: str) -> None:
    """Not with what this version would install, so a later one finds no drift."""
    WITH[init](host)
    file = {"systemd": "/etc/systemd/system/mesh-boot@.service", "openrc": "/etc/init.d/wg-quick.testwg"}[init]
    script = f"{SNAPSHOT}{CONFIRMED}service_install; audit_files; echo ====; echo '# mine' >>{file}; audit_files"
    first, second = host.run(script).stdout.split("====\n")
    assert first == ""
    assert second == f"differs edited {file}\n"


@pytest.mark.parametrize("order", ["status", "audit"])
def test_an_interface_that_is_not_there_is_a_difference_whoever_asks(host: HostProgram, order: str) -> None:
    """And no failure of the host, which could be asked."""
    ended = host.run(f"{CONFIRMED}\nunsettled() {{ :; }}\nservice_is_enabled() {{ :; }}\norder_{order} salt")
    assert ended.returncode == 0
    assert "differs absent" in ended.stdout.splitlines()


_UNITS = ("wg-quick@testwg.service", "mesh-boot@testwg.service", "mesh-keep@testwg.service", "mesh-keep@testwg.timer")


@pytest.mark.parametrize("unit", _UNITS)
@pytest.mark.parametrize("how", ["ln -s /dev/null", ": >"])
def test_a_masked_unit_is_not_enabled_until_it_is_installed_again(host: HostProgram, unit: str, how: str) -> None:
    """`systemctl mask` leaves the links that enable it, and an empty file is a mask too."""
    WITH["systemd"](host)
    mask = f"{how} /etc/systemd/system/{unit}"
    ask = "service_is_enabled && echo enabled || echo not"
    host.stub("systemctl")
    ended = host.run(f"{SNAPSHOT}service_install; {ask}; {mask}; {ask}; service_install; {ask}")
    assert ended.stdout.split() == ["enabled", "not", "enabled"]
    assert "systemctl daemon-reload" in host.calls()


def test_a_mask_of_all_tunnels_is_reported_and_not_taken_away(host: HostProgram) -> None:
    """It is of wg-quick's own template, which other interfaces use too."""
    WITH["systemd"](host)
    host.stub("systemctl")
    mask = "ln -sf /dev/null /etc/systemd/system/wg-quick@.service"
    ask = "service_is_enabled && echo enabled || echo not"
    script = f"{SNAPSHOT}service_install; {ask}; {mask}; {ask}; (check_files 16) || ls -l /etc/systemd/system"
    ended = host.run(f"{script}\nconfiguration=/etc/wireguard/testwg.conf")
    assert ended.stdout.split()[:2] == ["enabled", "not"]
    assert "wg-quick@.service -> /dev/null" in ended.stdout


# What the rest of the program has for them.
ASKED = (PARTS / "wireguard/interface.sh").read_text() + (
    'tell_time() { uptime=5000.00; }\nfirst_word() { [ ! -r "$1" ] || read -r word <"$1"; echo "${word:-$2}"; }\n'
)


def test_the_socket_of_a_userspace_wireguard_tells_its_kind_and_age(
    host: HostProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever brought it up; one from a date that is yet to come tells no age."""
    (host.directory / "run/wireguard").mkdir()
    # The path of a socket has to be short.
    monkeypatch.chdir(host.directory / "run/wireguard")
    with socket.socket(socket.AF_UNIX) as there:
        there.bind("testwg.sock")
        began = int(time.time()) - 100
        os.utime("testwg.sock", (began, began))
        program, kind, packets, age = host.run(f"{ASKED}{CONFIRMED}describe_interface").stdout.splitlines()
        os.utime("testwg.sock", (began + 9000, began + 9000))
        assert "age" not in host.run(f"{ASKED}describe_interface").stdout
    assert re.fullmatch("program [0-9a-f]{16}", program)
    assert (kind, packets) == ("wireguard userspace", "packets 0 0")
    assert 100 <= int(age.removeprefix("age ")) < 160


@pytest.mark.parametrize(("state", "told"), [("active", ["age 4000"]), ("inactive", [])])
def test_systemd_tells_the_age_of_an_interface_of_the_kernel(host: HostProgram, state: str, told: list[str]) -> None:
    """Where its service is what brought it up."""
    host.boots("systemd")
    host.stub("systemctl", f"echo ActiveState={state}; echo ActiveEnterTimestampMonotonic=1000000000")
    said = host.run(f"{ASKED}ln -s elsewhere $base/program; describe_interface").stdout.splitlines()
    assert said == ["wireguard kernel", "packets 0 0", *told]
    assert host.calls() == ["systemctl show -p ActiveState -p ActiveEnterTimestampMonotonic wg-quick@testwg"]


def test_openrc_tells_the_age_by_the_link_of_a_started_service(host: HostProgram) -> None:
    """And where nothing tells it, it is not told."""
    host.boots("openrc")
    assert host.run(f"{ASKED}describe_interface").stdout.splitlines() == ["wireguard kernel", "packets 0 0"]
    link = host.directory / "run/openrc/started/wg-quick.testwg"
    link.parent.mkdir()
    link.symlink_to("/etc/init.d/wg-quick")
    began = int(time.time()) - 100
    os.utime(link, (began, began), follow_symlinks=False)
    said = host.run(f"{ASKED}describe_interface").stdout.splitlines()
    assert said[:2] == ["wireguard kernel", "packets 0 0"]
    assert 100 <= int(said[2].removeprefix("age ")) < 160
