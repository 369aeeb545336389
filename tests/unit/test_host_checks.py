"""What a rollout will need is tried before anything switches, and what is missing is told as what it is."""

import hashlib
import re
import subprocess
from collections.abc import Sequence

import pytest

from mesh.remote import host_program
from tests.host_program import PARTS, HostProgram, what_is_missing
from tests.unit.test_host_service import SNAPSHOT, WITH

READ_ONLY = "Read-only file system; mount it so that it can be written"
IMMUTABLE = (
    "Operation not permitted; see by lsattr whether it or its folder is immutable, and let it be written by chattr -i"
)
FULL = "No space left on device; make room on its disk"
# A folder of its own, in which everything can be set.
FOLDER = """
mkdir -p $base/etc; mount -t tmpfs -o size=128k none $base/etc; cd $base/etc; echo text >file; touch -d 2020-02-02 file
"""


def with_mounts(host: HostProgram) -> HostProgram:
    """Give the host what makes files that cannot be written."""
    host.real("mount", "umount", "chattr", "stat", "find", "touch")
    return host


@pytest.mark.parametrize(
    ("spoil", "path", "cause"),
    [
        (":", "file", ""),
        (":", "new", ""),
        (":", "folder/that/is/not/there/yet", ""),
        ("mount -o remount,ro $base/etc", "file", READ_ONLY),
        ("mount -o remount,ro $base/etc", "folder/new", READ_ONLY),
        ("chattr +i file", "file", IMMUTABLE),
        ("chattr +a file", "file", IMMUTABLE),
        ("chattr +i file", "new", ""),
        ("chattr +i .", "new", IMMUTABLE),
        ("dd if=/dev/zero of=full bs=1k 2>/dev/null || :", "new", FULL),
        ("mkdir folder; mount -t tmpfs -o ro none folder", "folder/new", READ_ONLY),
        ("ln -s nowhere link", "link/new", "{etc}/link is a link that leads nowhere; make the folder that it leads to"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_with_the_cause(
    host: HostProgram, spoil: str, path: str, cause: str
) -> None:
    """Nothing is left of having tried, and a file that is there is not changed."""
    ended = with_mounts(host).run(
        f"{FOLDER} {spoil}; look() {{ find . -type f -exec stat -c '%n %s %Y %a' {{}} +; }}; before=$(look); "
        f'(check_writable $base/etc/{path} 8) || :; [ "$before" = "$(look)" ] || look; chattr -ia . file 2>/dev/null'
        " || :; umount $base/etc/folder 2>/dev/null || :"
    )
    assert ended.stdout == ""
    assert ended.stderr == (
        f"cannot write {host.base}/etc/{path}: {cause.format(etc=f'{host.base}/etc')}\n" if cause else ""
    )


def test_a_folder_from_which_nothing_can_be_taken_is_named(host: HostProgram) -> None:
    """A file can be laid there, and renamed to nothing."""
    ended = with_mounts(host).run(
        f"{FOLDER} mkdir more; chattr +a more; (check_writable $base/etc/file 8 $base/etc/more/new 8) || :; "
        "chattr -a more; ls -A"
    )
    assert ended.stderr == f"cannot write {host.base}/etc/more: {IMMUTABLE}\n"
    assert ended.stdout == "file\nmore\n"


def test_what_was_tried_before_a_failure_is_taken_away_too(host: HostProgram) -> None:
    """All trials of an order are taken away at its end."""
    ended = with_mounts(host).run(
        f"{FOLDER} (check_writable $base/etc/file 8 $home/run/new 8 $base/etc/new 500) || :; ls -A . $home"
    )
    assert ended.stderr == f"cannot write {host.base}/etc/new: {FULL}\n"
    assert ".mesh" not in ended.stdout


def test_two_interfaces_that_try_the_same_place_at_once_are_in_nobodys_way(host: HostProgram) -> None:
    """Several meshes of a host are rolled out at the same time."""
    tries = 'for i in $(seq 1 40); do check_writable "$base/etc/file" 8; done'
    script = host.directory / "tries"
    parts = "".join((PARTS / f"{part}.sh").read_text() for part in ("core/places", "core/checks"))
    script.write_text(f'set -euf\nbase={host.base}\nfail() {{ echo "$*"; exit 1; }}\n{parts}\n{tries}\n')
    shell = " ".join(host.shell)
    ended = with_mounts(host).run(f"{FOLDER} for i in 1 2 3 4; do {shell} {script} & done; wait; ls -A")
    assert ended.stdout == "file\n"


def test_room_is_needed_for_all_that_will_be_written(host: HostProgram) -> None:
    """And small files are no trouble where there is little."""
    ended = with_mounts(host).run(
        f"{FOLDER} check_writable $base/etc/file 0; check_writable $base/etc/file 500", fails=True
    )
    assert ended.stderr == f"cannot write {host.base}/etc/file: {FULL}\n"


PLACES = {
    "systemd": [
        "/etc/wireguard",
        "/etc/systemd/system/multi-user.target.wants",
        "/etc/systemd/system/timers.target.wants",
    ],
    "openrc": ["/etc/wireguard", "/etc/init.d", "/etc/runlevels/default"],
}


@pytest.mark.parametrize(("init", "place"), [(init, place) for init, places in PLACES.items() for place in places])
def test_every_place_that_will_be_written_is_tried(host: HostProgram, init: str, place: str) -> None:
    """The first that cannot be is named."""
    with_mounts(WITH[init](host))
    ready = f"{SNAPSHOT} configuration=/etc/wireguard/testwg.conf; check_files 16; mkdir -p {place}"
    ended = host.run(f"{ready}; mount -t tmpfs -o ro none {place}; check_files 16", fails=True)
    assert re.fullmatch(rf"cannot write {place}/[^:]+: {READ_ONLY}\n", ended.stderr)


@pytest.mark.parametrize("init", WITH)
def test_a_unit_that_is_immutable_stops_only_who_has_to_write_it(host: HostProgram, init: str) -> None:
    """One that is right already is not written again."""
    with_mounts(WITH[init](host))
    unit = {"systemd": "/etc/systemd/system/mesh-boot@.service", "openrc": "/etc/init.d/mesh-boot"}[init]
    ready = f"{SNAPSHOT} configuration=/etc/wireguard/testwg.conf; service_install; "
    host.run(f"{ready} chattr +i {unit}; check_files 16")
    ended = host.run(f"{ready} echo edited >>{unit}; chattr +i {unit}; check_files 16", fails=True)
    assert ended.stderr == f"cannot write {unit}: {IMMUTABLE}\n"


def test_names_are_written_only_where_they_differ(host: HostProgram) -> None:
    """So a file that nobody can write stands in no way until it has to be written."""
    host.etc("hosts", "127.0.0.1 localhost\n")
    with_mounts(host)
    immutable = (
        "configuration=$base/wg/testwg.conf; mkdir -p $home/incoming $base/wg $base/t; mount -t tmpfs none $base/t; "
        "cp /etc/hosts $base/t/hosts; hosts_file=$base/t/hosts; chattr +i $base/t/hosts"
    )
    host.run(f"{immutable}; check_files 16; chattr -i $base/t/hosts")
    names = "echo fd00::1 bernard.testwg >$home/incoming/names"
    ended = host.run(f"{immutable}; {names}; (check_files 16) || :; chattr -i $base/t/hosts")
    assert ended.stderr == f"cannot write {host.base}/t/hosts: {IMMUTABLE}\n"


def test_a_host_without_the_tunnels_unit_says_so_before_anything_switches(host: HostProgram) -> None:
    """The tunnel would not come up at boot."""
    with_mounts(WITH["systemd"](host))
    hidden = "configuration=/etc/wireguard/testwg.conf; tunnel_unit() { return 1; }"
    assert "wireguard-tools brought no wg-quick@.service" in host.run(f"{hidden}; check_files 16", fails=True).stderr


@pytest.mark.parametrize("which", ["all", "default", "testwg"])
def test_ipv6_that_is_turned_off_is_told(host: HostProgram, which: str) -> None:
    """By the switch that counts: the interface's own, or the one that a new interface gets."""
    host.real("ip")
    switch = f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6"
    ended = host.run(f"ip link add testwg type veth; check_ipv6; echo 1 >{switch}; check_ipv6", fails=True)
    shown = "default" if which == "default" else "testwg"
    assert ended.stderr == (
        f"IPv6 is turned off on this host (net/ipv6/conf/{shown}/disable_ipv6 is 1), and a mesh is IPv6 inside; set it "
        "to 0 by sysctl, also where that is done at boot (/etc/sysctl.d)\n"
    )


def test_wireguard_go_needs_a_device_and_the_kernels_wireguard_does_not(host: HostProgram) -> None:
    """The cause is the device, and not that an interface is not found later."""
    host.stub("ip", 'case "$*" in "link add"*) exit 2 ;; esac')
    host.stub("modprobe", "exit 1")
    host.real("mount")
    hidden = "mkdir -p /dev/net; mount -t tmpfs none /dev/net"
    ended = host.run(f"{hidden}; check_tunnel", fails=True)
    assert ended.stderr == (
        "this kernel has no WireGuard, and wireguard-go cannot open /dev/net/tun (No such file or directory); load the "
        "module tun, or give this container that device\n"
    )
    assert "modprobe -q tun" in host.calls()
    host.run(f"{hidden}; : >/dev/net/tun; check_tunnel")
    host.stub("ip")
    host.run(f"{hidden}; check_tunnel")


def test_a_firewall_that_could_not_be_opened_is_told(host: HostProgram) -> None:
    """A rule of the user that ufw would not let us change, and a kernel that takes no rules."""
    host.stub("ufw", "echo 'ufw deny 51825/udp'")
    host.etc("ufw/ufw.conf", "ENABLED=yes\n")
    assert "ufw has a rule of its own against 51825/udp" in host.run("check_firewall 51825", fails=True).stderr
    host.etc("ufw/ufw.conf", "ENABLED=no\n")
    ruleset = (
        "table inet f { # handle 1\\nchain i { # handle 1\\ntype filter hook input priority 0; policy drop;\\n}\\n}\\n"
    )
    host.stub("nft", f"case \"$*\" in '-a -t list ruleset') printf '{ruleset}' ;; *) exit 1 ;; esac")
    assert "nft cannot open 51825/udp" in host.run("check_firewall 51825", fails=True).stderr
    assert host.calls()[-1] == "nft -c -f -"


ROUTES = """
mkdir -p "$home/incoming"
printf 'behind 192.168.10.0/24 plain\\nbehind 2001:db8:5::/64 masquerade\\n' >"$home/incoming/settings"
printf 'carol K fd00::2 - off fd00::/64,10.20.0.2/32 first\\n' >"$home/incoming/peers"
mkdir "$base/sys"; mount -t tmpfs none "$base/sys"; echo 0 >"$base/sys/4"; echo 0 >"$base/sys/6"
forwarding_switch() { echo "$base/sys/$forwarding_version"; }
"""


def test_a_host_that_cannot_forward_is_told(host: HostProgram) -> None:
    """A container whose switches are not its own, or a kernel that cannot masquerade; a router needs no switch."""
    host.real("nft", "mount")
    shut = "mount -o remount,ro $base/sys"
    assert host.run(f"{ROUTES} check_forwarding; nft list ruleset; cat $base/sys/4").stdout == "0\n"
    (host.base / "sys").rmdir()
    ended = host.run(f"{ROUTES} {shut}; check_forwarding", fails=True)
    assert ended.stderr.startswith(
        f"forwarding: {host.base}/sys/4 cannot be set (Read-only file system); let this host"
    )
    (host.base / "sys").rmdir()
    host.run(f"{ROUTES} echo 1 >$base/sys/4; echo 1 >$base/sys/6; {shut}; check_forwarding")
    (host.base / "sys").rmdir()
    host.stub("nft", "exit 1")
    assert "cannot filter or masquerade" in host.run(f"{ROUTES} check_forwarding", fails=True).stderr


def test_an_error_of_the_shell_is_told_without_its_place_in_our_text() -> None:
    """In the words of each shell; what else begins with a path stays as it is."""
    (expression,) = re.findall(r"^no_place='(.*)'$", host_program.text(), re.MULTILINE)
    said = {
        "/var/lib/mesh/program-0123456789abcdef: 1498: cannot create /etc/x: Read-only file system":
            "cannot create /etc/x: Read-only file system",
        "/var/lib/mesh/program-0123456789abcdef.new: line 12: /etc/x: Read-only file system":
            "/etc/x: Read-only file system",
        "/etc/x: 12: something": "/etc/x: 12: something",
    }  # fmt: skip
    done = subprocess.run(["sed", expression], input="\n".join(said), text=True, check=True, capture_output=True)
    assert done.stdout.splitlines() == list(said.values())


def _alone(script: str, command: Sequence[str], text: bytes = b"") -> str:
    missing = what_is_missing()
    if missing:
        pytest.skip(missing)
    # The host program goes to a folder that only this process sees.
    mounts = f"mkdir -p /mnt/mesh; mount -t tmpfs none /mnt; mkdir -p /mnt/mesh /var/lib/mesh; {script}"
    done = subprocess.run(
        ["unshare", "-mn", "sh", "-c", f'{mounts}; exec "$@"', "sh", *command],
        input=text or host_program.packed(), capture_output=True, check=False,
    )  # fmt: skip
    return done.stdout.decode()


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ("mount -t tmpfs -o ro none /var/lib", "Read-only file system"),
        ("mount -t tmpfs -o size=64k none /var/lib", "No space left on device"),
    ],
)
def test_a_host_that_cannot_keep_the_program_says_why(script: str, cause: str) -> None:
    """And not that its disk is full, where it is not."""
    said = _alone(script, ["sh", "-c", host_program.invocation("testwg")])
    assert said == (
        f".packed\n.error the host program cannot be written below /var/lib/mesh: {cause}; let root write there, with "
        "room on the disk, and run it again\n"
    )


def test_a_host_without_gzip_takes_the_program_as_it_is() -> None:
    """Either way it is whole."""
    tools = "sh cat head mkdir mv rm sha256sum timeout wc"
    link = f'for tool in {tools}; do ln -s "$(command -v $tool)" /mnt/tools; done'
    alone = f"mount -t tmpfs none /var/lib; mkdir /mnt/tools; {link}"
    begin = f"({host_program.invocation('testwg')}) 2>/dev/null | head -n 1"
    look = f"sha256sum </var/lib/mesh/program-{host_program.program_digest()}"
    text = host_program.text().encode()
    whole = hashlib.sha256(text).hexdigest()
    assert _alone(alone, ["sh", "-c", f"{begin}; {look}"]).split() == [".packed", whole, "-"]
    plain = _alone(alone, ["sh", "-c", f"PATH=/mnt/tools; {begin}; {look}"], text)
    assert plain.split() == [".program", whole, "-"]


def test_a_host_that_can_keep_nothing_any_more_says_why() -> None:
    """It has the program, from when it could."""
    keep = f"mount -t tmpfs none /var/lib; mkdir -p /var/lib/mesh/testwg; head -c {len(host_program.text().encode())} >"
    path = f"/var/lib/mesh/program-{host_program.program_digest()}"
    said = _alone(
        f"{keep}{path}; mount -o remount,ro /var/lib",
        ["sh", "-c", host_program.invocation("testwg")],
        host_program.text().encode(),
    )
    assert said == f".error cannot write /var/lib/mesh/testwg/session: {READ_ONLY}\n"
