"""A lab: several booted hosts with wires between them, made at once and taken away without a trace."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tests.lab.abandoned import clear_abandoned
from tests.lab.hosts import Host, HostSpec
from tests.lab.images import ensure_image
from tests.lab.kinds import host_of
from tests.lab.network import Network
from tests.lab.qemu import MACHINE_TOOLS
from tests.lab.roots import ensure_root

__all__ = [
    "Lab",
    "LabUnavailableError",
    "default_hosts",
    "ensure_root",
    "lab_directory",
    "missing_tools",
    "require_lab",
    "require_machines",
]

_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
# A booted systemd uses eight; the default of 128 would end at 14 hosts.
_INOTIFY_NEEDED = 8192

_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "ping": "iputils-ping",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
}

_NAMES = ("bernard", "carol", "dora", "edgeworth")


class LabUnavailableError(Exception):
    """This machine cannot run booted hosts; the message says what is missing."""


def missing_tools(*, machines: bool = False) -> list[str]:
    """Return the Debian packages that the lab, or one with virtual machines, needs and this machine lacks."""
    tools = {**_TOOLS, **(MACHINE_TOOLS if machines else {})}
    return sorted({package for tool, package in tools.items() if shutil.which(tool) is None})


def require_lab() -> None:
    """Raise LabUnavailableError unless this machine can run booted hosts."""
    if os.geteuid() != 0:
        raise LabUnavailableError("needs root")
    if packages := missing_tools():
        raise LabUnavailableError(f"needs the packages {' '.join(packages)}; python -m tests.lab prepare installs them")
    if not Path("/dev/net/tun").exists():
        raise LabUnavailableError("needs /dev/net/tun")
    probe = subprocess.run(["unshare", "-m", "-n", "true"], check=False, capture_output=True, text=True)
    if probe.returncode:
        raise LabUnavailableError("needs the right to make namespaces")


def require_machines(*roots: str) -> None:
    """Raise LabUnavailableError unless this machine can run virtual ones in a lab, from images of these roots."""
    require_lab()
    if packages := missing_tools(machines=True):
        raise LabUnavailableError(
            f"needs the packages {' '.join(packages)}; python -m tests.lab prepare --machines installs them"
        )
    try:
        for name in roots:
            ensure_image(ensure_root(name, lab_directory() / "roots"))
    except RuntimeError as error:
        raise LabUnavailableError(f"has no image of a guest, and none can be made: {error}") from error


def lab_directory() -> Path:
    """Return where roots and hosts are kept."""
    return Path(os.environ.get("MESH_LAB_DIRECTORY") or Path(__file__).parents[2] / ".lab").absolute()


def default_hosts(count: int, nat: int = 1) -> list[HostSpec]:
    """Return `count` hosts of which `nat` are behind NAT; edgeworth, the seed's roaming host, is the first of these."""
    names = [*_NAMES, *(f"h{number}" for number in range(5, count + 1))][:count]
    roaming = [name for name in ("edgeworth", *reversed(names)) if name in names][:nat]
    return [HostSpec(name, number, nat=name in roaming) for number, name in enumerate(names, 1)]


class Lab:
    """Booted hosts by name; use as a context manager, or `up`, `attach` and `down`."""

    def __init__(self, specs: Iterable[HostSpec], *, prefix: str = "mesh", directory: Path | None = None) -> None:
        """Describe a lab below `directory`; its namespaces begin with `prefix`."""
        self.directory = (directory or lab_directory()) / f"hosts-{prefix}"
        self.roots = (directory or lab_directory()) / "roots"
        self.network = Network(prefix)
        self.specs = list(specs)
        self.hosts: dict[str, Host] = {}

    @classmethod
    def attach(cls, *, prefix: str = "mesh", directory: Path | None = None) -> "Lab":
        """Return the lab that an earlier process made.

        Raises:
            FileNotFoundError: If there is none.
        """
        lab = cls([], prefix=prefix, directory=directory)
        saved = json.loads((lab.directory / "lab.json").read_text())
        lab.specs = [HostSpec(**spec) for spec in saved["hosts"]]
        lab.hosts = {spec.name: lab._host(spec) for spec in lab.specs}
        return lab

    @property
    def ssh_key(self) -> Path:
        """The private key that opens every host."""
        return self.directory / "id"

    @property
    def control_namespace(self) -> str:
        """Where pulumi and ssh have to run to reach the hosts."""
        return self.network.space("ctl")

    def command(self, *command: str) -> list[str]:
        """Return a command that runs in the control namespace."""
        # Not by `ip netns exec`: it hides /sys/fs/cgroup, and with it every process of the lab.
        return ["nsenter", f"--net=/run/netns/{self.control_namespace}", *command]

    def _host(self, spec: HostSpec) -> Host:
        return host_of(spec, self.directory / spec.name, self.network, ensure_root(spec.root, self.roots))

    def up(self) -> "Lab":
        """Make and boot everything; returns when every host greets over SSH."""
        require_lab()
        if (self.directory / "lab.json").exists():
            # A lab that was cut off leaves its record, and with it the way to clear it.
            Lab.attach(prefix=self.network.prefix, directory=self.directory.parent).down()
        clear_abandoned(self.network)
        if taken := self.network.names():
            # Before anything is begun, since clearing up would take the other lab's namespaces away.
            raise RuntimeError(
                f"lab: {taken[0]} exists, another lab made it; choose another prefix or take that lab down"
            )
        for root in sorted({spec.root for spec in self.specs}):
            ensure_root(root, self.roots)
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.ssh_key.exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(self.ssh_key)], check=True
            )
        # The lab that is taken away last restores what was there before the first.
        others = filter(None, map(_inotify_before, self._others()))
        before = min([int(_INOTIFY.read_text()), *others])
        if int(_INOTIFY.read_text()) < _INOTIFY_NEEDED:
            _INOTIFY.write_text(str(_INOTIFY_NEEDED))
        self._record(before, self.specs)
        self.network.make_core()
        self.add(self.specs)
        return self

    def _record(self, inotify: int, specs: Iterable[HostSpec]) -> None:
        saved = {"inotify": inotify, "hosts": [asdict(spec) for spec in specs]}
        # Another lab that begins now reads all of it or nothing.
        (self.directory / "lab.new").write_text(json.dumps(saved, indent=1))
        (self.directory / "lab.new").rename(self.directory / "lab.json")

    def add(self, specs: Sequence[HostSpec]) -> None:
        """Boot more hosts."""
        fresh = {spec.name: self._host(spec) for spec in specs}
        self.hosts.update(fresh)
        # Before they boot, since a lab that is cut off is cleared by its record.
        if (before := _inotify_before(self.directory / "lab.json")) is not None:
            self._record(before, [host.spec for host in self.hosts.values()])
        public_key = self.ssh_key.with_suffix(".pub").read_text()

        def boot(host: Host) -> None:
            host.prepare(public_key)
            host.start()

        try:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(boot, fresh.values()))
                list(pool.map(lambda host: host.wait_until_ssh(), fresh.values()))
        except BaseException:
            # A host that did not come up would be an obstacle to every later test of this lab.
            for name, host in fresh.items():
                host.remove()
                del self.hosts[name]
            raise

    def down(self) -> None:
        """Take everything away, and raise if anything is left."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda host: host.remove(), self.hosts.values()))
        self.network.remove()
        if not self._others():
            _INOTIFY.write_text(str(_inotify_before(self.directory / "lab.json") or _INOTIFY_NEEDED))
        shutil.rmtree(self.directory)
        left = [f"{host.name}: {thing}" for host in self.hosts.values() for thing in host.leftovers()]
        left += [f"namespace {name}" for name in self.network.names()]
        if left:
            raise RuntimeError("lab: left behind: " + "; ".join(left))

    def _others(self) -> list[Path]:
        records = self.directory.parent.glob("hosts-*/lab.json")
        return [record for record in records if record.parent != self.directory]

    def __enter__(self) -> "Lab":
        """Bring the lab up, or take away what was begun."""
        try:
            return self.up()
        except BaseException:
            # Without a record nothing was begun, and what is missing is the error to tell.
            if (self.directory / "lab.json").exists():
                self.down()
            raise

    def __exit__(self, *_: object) -> None:
        """Take the lab away."""
        self.down()


def _inotify_before(record: Path) -> int | None:
    try:
        return int(json.loads(record.read_text())["inotify"])
    except FileNotFoundError:
        # That lab was taken away just now.
        return None
