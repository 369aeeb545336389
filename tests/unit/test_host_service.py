"""The tunnel's service: it comes up at boot and now, fails within a bound, and leaves /etc as it was."""

import pytest

from mesh.config import interface_name
from tests.host_program import HostProgram

# What a test has to see of /etc: names, modes, link targets and contents.
SNAPSHOT = """
snapshot() {
    (set +f
    cd /etc && for path in systemd/system systemd/system/* systemd/system/*.wants/* init.d/* runlevels/default/*; do
        [ -e "$path" ] || [ -L "$path" ] || continue
        ls -ld "$path" | awk '{ $2 = $5 = $6 = $7 = $8 = ""; print }'
        if [ -f "$path" ] && [ ! -L "$path" ]; then cat "$path"; fi
    done)
}
# The machine's own units are not this host's.
mount -t tmpfs none /etc/systemd/system
mount -t tmpfs none /etc/init.d
mkdir -p /etc/runlevels
mount -t tmpfs none /etc/runlevels
mkdir /etc/runlevels/default /etc/systemd/system/multi-user.target.wants
echo "[Unit]" >/etc/systemd/system/wg-quick@.service
: >/etc/systemd/system/multi-user.target.wants/ssh.service
"""
WANTS = "/etc/systemd/system/multi-user.target.wants"
# The interface is there while a file says so.
IP = 'case "$*" in "link show"*) [ -e {up} ] ;; "link delete"*) rm -f {up} ;; esac'


def with_systemd(host: HostProgram) -> HostProgram:
    """Make the host one that systemd has booted."""
    host.boots("systemd")
    host.real("mount")
    host.stub(
        "systemctl",
        f'case "$*" in "restart "*) touch {up(host)} ;; "stop "*) rm -f {up(host)} ;; esac',
    )
    host.stub("ip", IP.format(up=up(host)))
    host.stub("wg-quick", f"case $1 in up) touch {up(host)} ;; down) rm -f {up(host)} ;; esac")
    return host


def with_openrc(host: HostProgram) -> HostProgram:
    """Make the host one that OpenRC has booted."""
    host.boots("openrc")
    host.real("mount")
    host.stub("rc-service", f'case "$*" in *start) touch {up(host)} ;; *stop) rm -f {up(host)} ;; esac')
    host.stub(
        "rc-update",
        'links=/etc/runlevels/default; case "$*" in "-q add "*) ln -s /etc/init.d/$3 $links/$3 ;;\n'
        '"-q del "*) rm $links/$3 ;; esac',
    )
    host.stub("ip", IP.format(up=up(host)))
    return host


WITH = {"systemd": with_systemd, "openrc": with_openrc}


@pytest.fixture
def systemd(host: HostProgram) -> HostProgram:
    """Give a host that systemd has booted."""
    return with_systemd(host)


@pytest.fixture
def openrc(host: HostProgram) -> HostProgram:
    """Give a host that OpenRC has booted."""
    return with_openrc(host)


def up(host: HostProgram) -> str:
    """Return the file that stands for the interface."""
    return str(host.directory / "interface-is-up")


def changes(host: HostProgram) -> list[str]:
    """Return the calls since the last time that ask for more than a look."""
    return [
        call for call in host.calls() if not any(word in call for word in ("ip link show", "is-active", "reset-failed"))
    ]


def test_systemd_boots_our_step_and_then_the_tunnel(systemd: HostProgram) -> None:
    """Both are enabled without systemctl, by the links that it would make; units can be read by all."""
    lines = systemd.run(
        f"{SNAPSHOT} service_install; service_is_enabled; cd {WANTS}; ls -l; cat mesh-boot@testwg.service"
    ).stdout
    assert "mesh-boot@testwg.service -> /etc/systemd/system/mesh-boot@.service" in lines
    assert "wg-quick@testwg.service -> /etc/systemd/system/wg-quick@.service" in lines
    assert "Before=wg-quick@%i.service" in lines
    assert "ExecStart=/bin/sh /var/lib/mesh/program boot %i" in lines
    assert changes(systemd) == []


def test_systemd_reads_units_again_only_when_one_changed(systemd: HostProgram) -> None:
    """A new unit, a second installation and a second interface need no reload; a changed unit does."""
    systemd.run(
        f"{SNAPSHOT} unit=/etc/systemd/system/mesh-boot@.service; service_install; service_install; interface=other; "
        "service_install; echo changed >>$unit; service_install; grep -q changed $unit && exit 1; :"
    )
    assert changes(systemd) == ["systemctl daemon-reload"]


def test_a_host_without_the_tunnels_unit_says_so(systemd: HostProgram) -> None:
    """Nothing is enabled that could not start."""
    hidden = "rm /etc/systemd/system/wg-quick@.service; tunnel_unit() { return 1; }"
    assert (
        "wireguard-tools brought no wg-quick@.service"
        in systemd.run(f"{SNAPSHOT} {hidden}; service_install", fails=True).stderr
    )


@pytest.mark.parametrize("init", WITH)
def test_etc_is_byte_for_byte_as_before(host: HostProgram, init: str) -> None:
    """The last interface takes the shared part with it; one that is not the last leaves it."""
    WITH[init](host)
    ended = host.run(
        f"{SNAPSHOT} snapshot; echo ====; service_install; interface=other; service_install; service_remove not-last; "
        "interface=testwg; service_is_enabled; service_remove last; snapshot; service_is_enabled && exit 1; :"
    )
    before, after = ended.stdout.split("====\n")
    assert before == after
    assert "multi-user.target.wants" in before
    assert list(host.shared.iterdir()) == []


def test_a_folder_that_we_made_goes_with_us(systemd: HostProgram) -> None:
    """A host that had no multi-user.target.wants has none afterwards."""
    ended = systemd.run(
        f"{SNAPSHOT} rm -r {WANTS}; service_install; ls -ld {WANTS}; service_remove last; ls -d {WANTS} || echo gone"
    )
    assert ended.stdout.startswith("drwxr-xr-x")
    assert ended.stdout.endswith("gone\n")


def test_openrc_gets_scripts_of_its_own_where_wg_quick_has_none(openrc: HostProgram) -> None:
    """Both are executable, in the default runlevel, and our step comes before the tunnel."""
    lines = openrc.run(
        f"{SNAPSHOT} service_install; service_install; service_is_enabled; ls -l /etc/init.d; cat /etc/init.d/mesh-boot"
    ).stdout
    assert "-rwxr-xr-x" in next(line for line in lines.splitlines() if line.endswith(" wg-quick.testwg"))
    assert "mesh-boot.testwg -> mesh-boot" in lines
    assert 'before "wg-quick.$interface"' in lines
    assert changes(openrc) == ["rc-update -q add mesh-boot.testwg default", "rc-update -q add wg-quick.testwg default"]


def test_openrc_takes_the_distributions_own_script(openrc: HostProgram) -> None:
    """Alpine's script is made to be linked to."""
    lines = openrc.run(f"{SNAPSHOT} : >/etc/init.d/wg-quick; service_install; ls -l /etc/init.d").stdout
    assert "wg-quick.testwg -> wg-quick" in lines


def test_interfaces_that_come_up_at_one_moment_write_their_scripts_each(openrc: HostProgram) -> None:
    """Another one writes the same files just before this one has put its own in place."""
    other = "(unset -f chmod; interface=other; rm -f /etc/init.d/wg-quick.other; openrc_scripts)"
    openrc.run(
        f'chmod() {{ {other}; command chmod "$@"; }}; openrc_scripts; unset -f chmod; '
        "for of in testwg other; do [ -x /etc/init.d/wg-quick.$of ]; done; [ -x /etc/init.d/mesh-boot ]; "
        '[ -z "$(ls -A /etc/init.d | grep new)" ]'
    )


@pytest.mark.parametrize(
    ("init", "start"),
    [("systemd", "systemctl restart wg-quick@testwg"), ("openrc", "rc-service wg-quick.testwg start")],
)
def test_the_init_system_brings_the_tunnel_up(host: HostProgram, init: str, start: str) -> None:
    """It does so once; a tunnel that is up is not started again."""
    WITH[init](host)
    host.run("service_start; service_start")
    assert [call for call in changes(host) if " zap" not in call] == [start]


def test_a_unit_that_failed_too_often_is_tried_all_the_same(systemd: HostProgram) -> None:
    """Systemd refuses it without asking wg-quick, until its failures are forgotten."""
    refused = systemd.directory / "refused"
    refused.touch()
    systemd.stub(
        "systemctl",
        f'case "$*" in "restart "*) [ ! -e {refused} ] && touch {up(systemd)} ;; reset-failed*) rm -f {refused} ;; '
        "show*) echo start-limit-hit ;; esac",
    )
    systemd.run("service_start")
    assert changes(systemd)[-1] == "systemctl restart wg-quick@testwg"


def test_without_an_init_system_wg_quick_does_it(host: HostProgram) -> None:
    """Up and down by wg-quick itself; there is nothing to enable."""
    host.stub("ip", IP.format(up=up(host)))
    host.stub("wg-quick", f"case $1 in up) touch {up(host)} ;; down) rm -f {up(host)} ;; esac")
    host.run("service_install; service_is_enabled; service_start; service_stop; service_remove last")
    assert changes(host) == ["wg-quick up testwg", "wg-quick down testwg"]


def test_a_tunnel_that_was_started_by_hand_is_stopped_too(systemd: HostProgram) -> None:
    """Its unit is inactive, so that stopping it does nothing; wg-quick then takes the interface down."""
    systemd.stub("systemctl")
    systemd.run(f"touch {up(systemd)}; service_stop; tunnel_is_up && exit 1; :")
    assert changes(systemd) == ["systemctl stop wg-quick@testwg", "wg-quick down testwg"]


def test_an_interface_that_wg_quick_cannot_take_down_is_deleted(systemd: HostProgram) -> None:
    """Its configuration may be gone by now."""
    systemd.stub("systemctl")
    systemd.stub("wg-quick", "exit 1")
    systemd.run(f"touch {up(systemd)}; service_stop")
    assert changes(systemd)[-1] == "ip link delete dev testwg"


def test_a_failed_start_says_why_without_what_wg_quotes(systemd: HostProgram) -> None:
    """The message of wg holds the key that it could not read."""
    key = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I="
    systemd.stub("systemctl", 'case "$*" in "start "*) exit 1 ;; esac')
    systemd.stub(
        "journalctl", f"echo \"Key is not the correct length or format: '{key}'\"; echo 'Line unrecognized: `{key}'"
    )
    ended = systemd.run("service_start", fails=True)
    assert "testwg does not come up by 'systemctl restart wg-quick@testwg'" in ended.stderr
    assert "Key is not the correct length" in ended.stderr
    assert key not in ended.stderr
    assert ended.stdout == ""


def test_a_start_that_hangs_ends(systemd: HostProgram) -> None:
    """The bound is the program's own; here the clock of `timeout` is turned forward."""
    systemd.stub("timeout", 'shift; case "$*" in "systemctl restart "*) exit 124 ;; esac; exec "$@"')
    ended = systemd.run("service_start", fails=True)
    assert "does not come up" in ended.stderr
    assert next(call for call in systemd.calls() if "start" in call) == "timeout 30 systemctl restart wg-quick@testwg"


def test_what_runs_on_keeps_neither_our_lock_nor_our_output(host: HostProgram) -> None:
    """A wireguard-go that held them would keep the next run out and this one waiting."""
    host.stub("ip", IP.format(up=up(host)))
    host.stub(
        "wg-quick",
        f"touch {up(host)}; (: >&9) 2>/dev/null && touch {host.directory}/held\n"
        f"sleep 30 & echo $! >{host.directory}/daemon",
    )
    host.run('exec 9>"$base/lock"; service_start; kill "$(cat ' + f'{host.directory}/daemon)"')
    assert not (host.directory / "held").exists()


@pytest.mark.thorough
def test_ip_takes_every_interface_name_for_a_name(host: HostProgram) -> None:
    """As wg-quick asks it to make one; what is refused for being a word of ip is one."""
    host.real("ip", "mount")
    words = {
        word.replace("[", "").rstrip("]")
        for word in ["add", "all", "min_mtu", "peer", "set", "via", "wg0", *interface_name.WORDS_OF_IP.split()]
    }
    names = {word[:length] for word in words for length in range(1, min(15, len(word)) + 1)} - {"all", "-"}
    made = host.run(
        f"mount -t sysfs none /sys; for name in {' '.join(sorted(names))}; do ip link add $name type veth >/dev/null "
        "2>&1 || :; [ ! -e /sys/class/net/$name ] || echo $name; for link in $(ls /sys/class/net); do "
        "[ $link = lo ] || ip link delete dev $link 2>/dev/null || :; done; done"
    )
    assert set(made.stdout.split()) == {
        name for name in names if "a word of ip" not in interface_name.interface_name_fault(name)
    }
