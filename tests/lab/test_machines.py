"""Virtual machines of the lab boot, reboot and lose power as real hosts do, and nothing of them is left."""

from pathlib import Path

from tests.lab import lab as lab_module
from tests.lab.conftest import PREFIX, skip_without
from tests.lab.hosts import HostSpec
from tests.lab.lab import Lab, require_machines

_SPECS = [HostSpec("bernard", 1, root="trixie-kernel", kind="machine", nat=True), HostSpec("carol", 2)]


def test_a_machine_lives_as_a_host_and_leaves_nothing(tmp_path: Path) -> None:
    """It has a kernel of its own, its place on the wires, its files; not what only ran, and no trace at the end."""
    skip_without(require_machines, "trixie-kernel")
    (tmp_path / "roots").symlink_to(lab_module.lab_directory() / "roots")
    with Lab(_SPECS, prefix=f"{PREFIX}m", directory=tmp_path) as lab:
        bernard, carol = lab.hosts["bernard"], lab.hosts["carol"]
        assert bernard.run("uname -r") != carol.run("uname -r")
        assert bernard.run("hostname; systemctl is-system-running").split() == ["bernard", "running"]
        bernard.run("ping -q -c 1 -W 5 203.0.113.2")
        bernard.run("echo kept >/root/synced; sync; nft add table inet runtime")
        bernard.reboot()
        assert bernard.run("cat /root/synced; nft list tables") == "kept\n"
        # By what was never written, no more than by a plug.
        bernard.run("echo lost >/root/unsynced")
        bernard.power_cut()
        assert bernard.processes() == []
        bernard.start()
        bernard.wait_until_ssh()
        assert bernard.run("cat /root/synced; test -s /root/unsynced || echo gone") == "kept\ngone\n"
        bernard.run("ping -q -c 1 -W 5 203.0.113.2")
        processes = [pid for host in lab.hosts.values() for pid in host.processes()]
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    # Taps and bridges are gone with their namespaces, and the machine's own network never had any.
    assert not list(Path("/run/netns").glob(f"{PREFIX}m-*"))
    assert not list(Path("/sys/class/net").glob("t-*"))
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{PREFIX}m-*"))
    assert [path.name for path in tmp_path.iterdir()] == ["roots"]
