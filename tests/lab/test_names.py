"""Interfaces that are called as files of ours, or as patterns of each other, are interfaces like any other."""

import re

import pytest

from mesh.config.interface_name import is_interface_name
from mesh.remote import host_program
from tests.lab.hosts import Host, HostSpec
from tests.lab.lab import Lab
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, wait_until


def _names_of_our_files() -> list[str]:
    """Return each name of a file in the folder that interfaces share that an interface can have."""
    text = host_program.text()
    found = set(re.findall(r"\$\(common\)/([\w.-]*\w)", text))
    # The two that end in the IP version.
    found |= {f"{name}{version}" for name in re.findall(r"\$\(common\)/([\w.-]+-)\$", text) for version in (4, 6)}
    found |= {"run", "next", "new", "units.new", ".mesh.new"}
    return sorted(name for name in found if is_interface_name(name))


def test_the_names_are_found_in_the_code() -> None:
    """Those that the version before could not take away are among them."""
    assert {"units", "timer-units", "made-wants", "forwarding-4", "forwarding-6"} <= set(_names_of_our_files())


def _forget(host: Host, names: list[str]) -> None:
    """Take from a host what a failed test left."""
    for name in names:
        host.run(
            f"ip link del dev {name}; rm -f /etc/wireguard/{name}.conf /etc/systemd/system/*.wants/*@{name}.*",
            check=False,
        )
    host.run("rm -rf /var/lib/mesh /etc/systemd/system/mesh-*@.*; systemctl daemon-reload", check=False)


@pytest.mark.parametrize("kind", ["files of ours", "patterns"])
def test_interfaces_of_any_name_come_up_boot_and_leave_nothing(stack: Stack, lab: Lab, kind: str) -> None:
    """Under systemd and OpenRC, all of them at once on each host."""
    names = (
        _names_of_our_files()
        if kind == "files of ours"
        else ["wg.1", "wg01", "...", ".wg", "1e1", "10", "nan", "wg.sh"]
    )
    lab.add([HostSpec("openrc", 12, root="bookworm-busybox")])
    hosts = {name: lab.hosts[name] for name in ("bernard", "openrc")}
    try:
        before = {name: snapshot(host) for name, host in hosts.items()}
        mesh = {"hosts": list(hosts), "deadline": 120, "names": True}
        stack.write({name: {**mesh, "port": 52000 + number} for number, name in enumerate(names)})
        stack.up()
        for host in hosts.values():
            host.reboot()
        wait_until(lambda: all(not stack.silent(name) for name in names), 90)
        for host in hosts.values():
            assert sorted(host.run("wg show interfaces").split()) == sorted(names)
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
        # One goes, and takes nothing of the others.
        rest = names[1:]
        stack.write({name: {**mesh, "port": 52000 + number} for number, name in enumerate(names) if name in rest})
        stack.up()
        assert all(not stack.silent(name) for name in rest)
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
        assert "not wiped" not in stack.destroy().output
        assert {name: difference(before[name], snapshot(host)) for name, host in hosts.items()} == dict.fromkeys(
            hosts, ""
        )
    finally:
        _forget(lab.hosts["bernard"], names)
        lab.hosts.pop("openrc").remove()
