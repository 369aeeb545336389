"""What lies in /var/lib/mesh: no interface is in the way of a file of ours, and what an earlier version left moves."""

import re
from pathlib import Path

import pytest

from mesh.config.interface_name import is_interface_name
from mesh.remote import host_program
from tests.host_program import PARTS, HostProgram
from tests.unit.test_host_service import SNAPSHOT, WITH

ORDERS = "".join(
    (PARTS / f"{part}.sh").read_text() for part in ("wireguard/interface", "core/transaction", "core/recovery")
)
# What a host has that the version before the folder set up: records beside the interface, a program that boots.
EARLIER = """
rm -rf $base; mkdir -p $home/run
for name in units timer-units made-wants made-timer-wants made-etc-wireguard forwarding-4 forwarding-6; do
    echo "record $name" >$base/$name
done
: >$base/lock; : >$base/hosts.new; : >$base/packages.log; : >$base/testwg-start.log
echo old >$base/program-0123456789abcdef; ln -s program-0123456789abcdef $base/program
program=$base/program-fedcba9876543210 version=$program; echo new >$program
"""
RECORDS = [
    "forwarding-4",
    "forwarding-6",
    "made-etc-wireguard",
    "made-timer-wants",
    "made-wants",
    "timer-units",
    "units",
]


def test_nothing_of_ours_lies_where_an_interface_could() -> None:
    """Every name beside the folders of interfaces, wherever the code has one, is refused or too long for one."""
    sources = "\n".join(file.read_text() for file in Path(host_program.__file__).parent.glob("*.py"))
    # A version of the program is named by 16 digits.
    sources = sources.replace("{digest()}", "0123456789abcdef")
    names = {*re.findall(r"\$base/([\w.-]*)", host_program.text()), *re.findall(r"DIRECTORY\}/([\w.-]*)", sources)}
    names.discard("program-")
    # An interface's own folder is named by a variable; of dots is the beginning of a pattern.
    names -= {"", ".", ".."}
    assert {"lock", "program", "shared-by-interfaces"} <= names
    assert [name for name in names if is_interface_name(name)] == []
    # Temporary files and links too.
    assert {name for name in names if is_interface_name(f"{name}.new")} == {"lock", "program"}
    assert not re.search(r"\$base/(lock|program)\.new", host_program.text())


def test_what_another_interface_tries_to_write_is_no_file_of_an_earlier_version(host: HostProgram) -> None:
    """It is gone before anybody could move it."""
    assert host.run(f"{ORDERS} : >$base/.mesh-tried-by-12; scattered; : >$base/units; scattered").stdout == "units\n"


def test_what_an_earlier_version_left_is_gathered_and_boots_with_this_version(host: HostProgram) -> None:
    """Records keep what they say, what was begun and not finished goes, and another time nothing happens."""
    ended = host.run(
        f"{ORDERS}{EARLIER} common; gather; gather; common; cd $base; ls; readlink program; ls shared-by-interfaces; "
        "cat shared-by-interfaces/forwarding-4"
    )
    before, after, *rest = ended.stdout.splitlines()
    assert (before, after) == (str(host.base), str(host.shared))
    assert rest == [
        *["lock", "program", "program-0123456789abcdef", "program-fedcba9876543210", "shared-by-interfaces", "testwg"],
        "program-fedcba9876543210",
        *RECORDS,
        "record forwarding-4",
    ]


@pytest.mark.parametrize("steps", range(14))
def test_gathering_that_is_cut_off_leaves_all_in_one_place_for_what_boots(host: HostProgram, steps: int) -> None:
    """Either nothing has moved and the earlier version boots, or this one does and finds all; then it goes on."""
    left = host.directory / "left"
    left.write_text(f"{steps}\n")
    count = f"left=$(cat {left}); [ $left -gt 0 ] || kill -9 $PPID; echo $((left - 1)) >{left}"
    host.real("cat", "kill")
    for tool in ("cp", "mv", "ln", "rm"):
        target = (host.directory / "tools" / tool).readlink()
        command = f"{target} {tool}" if target.name == "busybox" else str(target)
        host.stub(tool, f'{count}\nexec {command} "$@"')
    stubs = f"PATH={host.directory}/tools; {EARLIER} PATH={host.directory}/bin:$PATH"
    host.run(f"{ORDERS}{stubs}; (gather) || :")
    look = "version=$base/program-fedcba9876543210; program=$version; PATH=$(echo $PATH | sed 's/^[^:]*://')"
    ended = host.run(
        f"{ORDERS}{look}; readlink $base/program; for record in {' '.join(RECORDS)}; do cat $(common)/$record; done"
    )
    boots, *records = ended.stdout.splitlines()
    assert records == [f"record {name}" for name in RECORDS]
    if boots == "program-0123456789abcdef":
        assert host.run("common").stdout == f"{host.base}\n"
    ended = host.run(f"{ORDERS}{look}; gather; ls $base; ls $(common)")
    assert ended.stdout.split() == [
        *["lock", "program", "program-0123456789abcdef", "program-fedcba9876543210", "shared-by-interfaces", "testwg"],
        *RECORDS,
    ]


def test_a_process_of_an_earlier_version_finds_its_files_until_it_has_ended(host: HostProgram) -> None:
    """A guard of another interface would go back without knowing whether the host had forwarded before."""
    host.real("kill")
    ended = host.run(
        f"{ORDERS}{EARLIER} /bin/sh -c 'sleep 5; :' $base/program-0123456789abcdef guard other token & sleep 0.3; "
        "gather; common; kill $!; wait $! || :; gather; common"
    )
    assert ended.stdout.split() == [str(host.base), str(host.shared)]


def test_what_an_earlier_version_writes_later_replaces_nothing(host: HostProgram) -> None:
    """It had not found what was gathered: whether the host forwarded before, for one."""
    ended = host.run(
        f"{ORDERS}{EARLIER} gather; echo wrong >$base/forwarding-4; echo wrong >$base/other; gather; scattered; "
        "cat $(common)/forwarding-4 $(common)/other"
    )
    assert ended.stdout == "record forwarding-4\nwrong\n"


def test_a_new_host_has_the_folder_from_the_beginning(host: HostProgram) -> None:
    """And one of an earlier version not yet."""
    assert host.run("rm -rf $base/*; set +f; rm -rf $base/*; set -f; share; share; common").stdout == f"{host.shared}\n"
    assert host.run(f"{EARLIER} share; common").stdout == f"{host.base}\n"


def test_an_interface_that_is_called_as_a_record_is_in_nobodys_way(host: HostProgram) -> None:
    """The version before let it come up, and then could not take it away."""
    ended = host.run(
        f"{ORDERS}{EARLIER} rm $base/units; mkdir -p $base/units/run; interface=units; home=$base/units; gather; "
        "interfaces; record_files $(common)/units /etc/hostname; ls -d $(common)/units $home/run"
    )
    assert ended.stdout.split() == ["testwg", "units", f"{host.shared}/units", f"{host.base}/units/run"]


@pytest.mark.parametrize("init", WITH)
@pytest.mark.parametrize("name", ["new", "testwg.new", ".mesh.new"])
def test_an_interface_that_is_called_as_a_file_beside_another_is_in_nobodys_way(
    host: HostProgram, init: str, name: str
) -> None:
    """What is written beside a unit and renamed lay where the unit of such an interface is."""
    WITH[init](host)
    ended = host.run(
        f"{SNAPSHOT} snapshot; echo ====; interface={name}; home=$base/{name}; mkdir -p $home; service_install; "
        "interface=testwg; home=$base/testwg; service_install; service_is_enabled; "
        f"interface={name}; home=$base/{name}; service_install; service_is_enabled; interface=testwg; "
        "home=$base/testwg; service_remove not-last; "
        f"interface={name}; home=$base/{name}; service_is_enabled; service_remove last; snapshot"
    )
    before, after = ended.stdout.split("====\n")
    assert before == after
