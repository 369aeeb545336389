"""A host gets exactly the packages that it lacks, by the package manager that it has, or says what it cannot get."""

import re

import pytest

from tests.host_program import HostProgram

NEEDED = ("ip", "ping", "flock", "bash", "wg", "wg-quick", "wireguard-go")
# The package of each command, by manager; a command that is missing here is in the package of its own name.
PACKAGES = {
    "apt-get": {"ip": "iproute2", "ping": "iputils-ping"},
    "dnf": {"ip": "iproute", "ping": "iputils"},
    "apk": {"ip": "iproute2", "ping": "iputils"},
    "pacman": {"ip": "iproute2", "ping": "iputils"},
    "zypper": {"ip": "iproute2", "ping": "iputils"},
}
FOR_ALL = {"flock": "util-linux", "wg": "wireguard-tools", "wg-quick": "wireguard-tools"}
INSTALLS = {"apt-get": " install ", "dnf": " install ", "apk": " add ", "pacman": " -S ", "zypper": " install "}


def with_manager(host: HostProgram, manager: str, failures: int = 0) -> None:
    """Give the host a package manager that brings the commands of a package, after it has failed so often."""
    brings: dict[str, list[str]] = {}
    for command in NEEDED:
        package = PACKAGES[manager].get(command) or FOR_ALL.get(command, command)
        brings.setdefault(package, []).append(f"{host.directory}/bin/{command}")
    arms = "\n".join(f'*" {package} "*) bring {" ".join(commands)} ;;' for package, commands in brings.items())
    host.stub(
        manager,
        'bring() { for file; do printf "#!/bin/sh\\nexit 1\\n" >$file; chmod 755 $file; done; }\n'
        f'case " $* " in *"{INSTALLS[manager]}"*) ;; *) exit 0 ;; esac\n'
        f"echo try >>{host.directory}/tries\n"
        f'[ "$(grep -c try {host.directory}/tries)" -gt {failures} ] || {{ echo "E: no such thing"; exit 100; }}\n'
        f'case " $* " in\n{arms}\nesac',
    )


def with_all(host: HostProgram, *but: str) -> None:
    """Give the host everything that a tunnel needs, but these."""
    for command in NEEDED:
        if command not in but:
            host.stub(command, "exit 1")


def installed(calls: list[str]) -> list[str]:
    """Return the packages that were asked for, in order."""
    return [call.split()[-1] for call in calls if any(word in f"{call} " for word in INSTALLS.values())]


@pytest.mark.parametrize("manager", PACKAGES)
def test_an_empty_host_gets_all_that_a_tunnel_needs(host: HostProgram, manager: str) -> None:
    """Each package is asked for once, by its name in this distribution."""
    with_manager(host, manager)
    host.run("install_wireguard; for name in ip ping flock bash wg wg-quick wireguard-go; do command -v $name; done")
    names = PACKAGES[manager]
    assert installed(host.calls()) == [
        names["ip"],
        names["ping"],
        "util-linux",
        "bash",
        "wireguard-tools",
        "wireguard-go",
    ]


@pytest.mark.parametrize("manager", PACKAGES)
def test_a_complete_host_is_not_touched(host: HostProgram, manager: str) -> None:
    """No command is run at all, and nothing is said on standard output."""
    with_manager(host, manager)
    with_all(host)
    assert host.run("install_wireguard").stdout == ""
    assert host.calls() == []


def test_only_what_is_missing_is_installed(host: HostProgram) -> None:
    """A host that lacks ping gets ping, without recommended packages, questions or a wait without end."""
    with_manager(host, "apt-get")
    with_all(host, "ping")
    host.run("install_wireguard")
    (call,) = host.calls()
    assert call.endswith(" install iputils-ping")
    for option in ("--no-install-recommends", "DPkg::Lock::Timeout=60", "-y"):
        assert option in call


@pytest.mark.parametrize(
    ("manager", "refresh"),
    [
        ("apt-get", " update"),
        ("dnf", " makecache"),
        ("apk", " update"),
        ("pacman", " -Sy "),
        ("zypper", " refresh"),
    ],
    ids=["apt", "dnf", "apk", "pacman", "zypper"],
)
def test_lists_are_fetched_when_they_do_not_serve(host: HostProgram, manager: str, refresh: str) -> None:
    """A first failure fetches the lists and tries again; it is no failure of the host."""
    with_manager(host, manager, failures=1)
    with_all(host, "ping")
    host.run("install_wireguard")
    calls = host.calls()
    assert len(calls) == 3
    assert refresh in f"{calls[1]} "
    assert calls[0] == calls[2]


@pytest.mark.parametrize("manager", PACKAGES)
def test_a_package_that_cannot_be_had_is_named(host: HostProgram, manager: str) -> None:
    """With the manager, what it said last, and what to do; no log is left."""
    with_manager(host, manager, failures=9)
    with_all(host, "wg")
    ended = host.run("install_wireguard", fails=True)
    assert f"packages: {manager} cannot install wireguard-tools; install it by hand" in ended.stderr
    assert "E: no such thing" in ended.stderr
    assert not (host.home / "packages.log").exists()


def test_a_host_without_a_package_manager_says_what_to_install(host: HostProgram) -> None:
    """The message names the commands."""
    with_all(host, "wg")
    ended = host.run("install_wireguard", fails=True)
    assert "wg is missing and no package manager is known" in ended.stderr


def test_a_kernel_with_wireguard_needs_no_userspace_one(host: HostProgram) -> None:
    """Where the kernel makes the interface, wireguard-go is not installed, and the trial is undone."""
    with_manager(host, "apt-get")
    with_all(host, "wireguard-go")
    host.stub("ip")
    host.run("install_wireguard")
    words = [call.split()[:3] for call in host.calls()]
    assert words == [["ip", "link", "add"], ["ip", "link", "delete"]]


def test_a_loaded_module_is_seen_without_a_trial(host: HostProgram) -> None:
    """The module's folder is enough."""
    (host.directory / "module" / "wireguard").mkdir()
    host.stub("ip", "exit 1")
    assert "wireguard kernel" in host.run("describe_system").stdout
    assert host.calls() == []


@pytest.mark.parametrize("init", ["systemd", "openrc"])
def test_the_init_system_is_the_one_that_booted(host: HostProgram, init: str) -> None:
    """Commands that are merely installed do not count."""
    host.stub("systemctl")
    host.stub("rc-update")
    assert "init none" in host.run("describe_system").stdout
    host.boots(init)
    lines = host.run("describe_system").stdout.splitlines()
    assert re.fullmatch(r"system \w+-linux", lines[0])
    assert lines[1:] == [f"init {init}", "firewall none", "wireguard userspace"]


def test_nothing_that_is_installed_keeps_our_lock(host: HostProgram) -> None:
    """A daemon that a package starts would else hold descriptor 9 for good."""
    with_all(host, "ping")
    host.stub(
        "apt-get", f"(: >&9) 2>/dev/null && touch {host.directory}/held; ln -s /bin/true {host.directory}/bin/ping"
    )
    host.run('exec 9>"$base/lock"; install_wireguard')
    assert not (host.directory / "held").exists()
    assert (host.directory / "bin" / "ping").exists()
