"""Guest roots: Debian file systems made once by mmdebstrap and shared, read-only, by all hosts of a kind."""

import fcntl
import hashlib
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.busybox import settle_for_busybox
from tests.lab.foreign import configure_as, packages_of
from tests.lab.images import make_bootable

__all__ = ["RECIPES", "Recipe", "ensure_root"]

_BASE = "openssh-server iproute2 iputils-ping procps kmod netbase ca-certificates sudo util-linux"
_SYSTEMD = f"systemd systemd-sysv dbus libpam-systemd {_BASE}"
_WIREGUARD = "wireguard-tools wireguard-go"
# Without a manager for each user who logs in, which takes an emulated processor seconds.
_MACHINE = f"systemd systemd-sysv dbus {_BASE} wireguard-tools nftables"


@dataclass(frozen=True)
class Recipe:
    """What a root is made of; `fetched` packages are put into /var/cache/lab of the root, not installed."""

    suite: str
    packages: str
    fetched: str = ""
    # For virtual machines, which need a kernel and more.
    boots: bool = field(default=False, repr=False)
    # Whether busybox is its shell and every tool that it has.
    busybox: bool = field(default=False, repr=False)
    # Another processor, in Debian's words; the packages and the settings are then those of a root of this one.
    architecture: str = field(default="", repr=False)
    same_as: str = field(default="", repr=False)

    @property
    def digest(self) -> str:
        """Name the recipe, so that a changed one is built anew."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:8]


RECIPES = {
    # Without that manager too (decision 95); other roots have it.
    "trixie": Recipe("trixie", f"systemd systemd-sysv dbus {_BASE} {_WIREGUARD} nftables"),
    # What Ansible needs on a host; we do not.
    "trixie-python": Recipe("trixie", f"{_SYSTEMD} {_WIREGUARD} nftables python3"),
    "trixie-iperf3": Recipe("trixie", f"{_SYSTEMD} {_WIREGUARD} nftables iperf3"),
    # Login shells of every family.
    "trixie-shells": Recipe("trixie", f"{_SYSTEMD} {_WIREGUARD} nftables fish tcsh zsh"),
    "bookworm": Recipe("bookworm", f"{_SYSTEMD} {_WIREGUARD} nftables"),
    "trixie-bare": Recipe("trixie", f"{_SYSTEMD} nftables", fetched=_WIREGUARD),
    # The package managers of other families, which install from a repository that a test makes of the fetched files.
    "trixie-managers": Recipe(
        "trixie",
        f"{_SYSTEMD} nftables dnf zypper pacman-package-manager makepkg libarchive-tools rpm createrepo-c zstd",
        fetched=_WIREGUARD,
    ),
    # And what else makes interfaces at boot.
    "trixie-networkmanager": Recipe("trixie", f"{_SYSTEMD} {_WIREGUARD} nftables network-manager ifupdown netplan.io"),
    "trixie-ufw": Recipe("trixie", f"{_SYSTEMD} {_WIREGUARD} ufw iptables"),
    # A router needs nft too, which our program installs.
    "trixie-ufw-only": Recipe(
        "trixie",
        f"{_SYSTEMD} {_WIREGUARD} ufw iptables",
        fetched="nftables libnftables1 libjansson4 libedit2 libbsd0 libmd0 libnftnl11 libmnl0 libxtables12 libgmp10",
    ),
    "bookworm-firewalld": Recipe("bookworm", f"{_SYSTEMD} {_WIREGUARD} firewalld nftables"),
    "trixie-kernel": Recipe("trixie", f"{_MACHINE} linux-image-amd64 busybox-static qemu-guest-agent", boots=True),
    "trixie-arm64": Recipe("trixie", "linux-image-arm64", boots=True, architecture="arm64", same_as="trixie-kernel"),
    # As far as Debian goes; Alpine's own packages are in no registry of Debian's.
    "bookworm-busybox": Recipe("bookworm", f"openrc sysvinit-core {_BASE} {_WIREGUARD} nftables busybox", busybox=True),
    "bookworm-openrc": Recipe("bookworm", f"openrc sysvinit-core {_BASE} {_WIREGUARD} nftables"),
}


def ensure_root(name: str, folder: Path) -> Path:
    """Return the root called `name` below `folder`, making it first if it is not there: half a minute of computing."""
    recipe = RECIPES[name]
    root = folder / f"{name}-{recipe.digest}"
    if root.is_dir():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{root.name}.lock").open("w") as lock:
        # Another process may be making it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            print(f"lab: making the root {name}, once", flush=True)
            _make(recipe, root)
    return root


def _make(recipe: Recipe, root: Path) -> None:
    building = root.with_name(f"{root.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    hooks = []
    if recipe.fetched:
        # A repository of files inside the guest: its package manager then works without any network.
        script = (
            'mkdir -p "$1/var/cache/lab"; chroot "$1" sh -ec "cd /var/cache/lab; apt-get download -q '
            f"{recipe.fetched} bash; for f in *.deb; do "
            "dpkg-deb -f \\$f; echo Filename: ./\\$f; echo Size: \\$(wc -c <\\$f); "
            'echo SHA256: \\$(sha256sum \\$f | cut -d\\  -f1); echo; done >Packages"; '
            'echo "deb [trusted=yes] file:/var/cache/lab ./" >"$1/lab.list"'
        )
        hooks = ["--customize-hook=" + script]
    packages, options = recipe.packages.split(), ["--variant=apt", *hooks]
    if recipe.same_as:
        same = ensure_root(recipe.same_as, root.parent)
        packages += packages_of(same)
        # Nothing of it can run here, so nothing of it is set up.
        options = ["--variant=extract", f"--architectures={recipe.architecture}", "--skip=check/qemu"]
    command = ["mmdebstrap", "--quiet", *options, f"--include={','.join(packages)}", recipe.suite, str(building)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # Where a process of the guest was still about to end, mmdebstrap could not take its /proc away.
    for mount in Path("/proc/self/mounts").read_text().splitlines():
        if (place := mount.split()[1]).startswith(f"{building}/"):
            subprocess.run(["umount", place], check=True)
    if done.returncode:
        shutil.rmtree(building, ignore_errors=True)
        raise RuntimeError(f"lab: mmdebstrap failed for {root.name}:\n{done.stderr[-2000:]}")
    if recipe.fetched:
        for old in (building / "etc/apt").rglob("*.sources"):
            old.unlink()
        (building / "lab.list").replace(building / "etc/apt/sources.list")
    if recipe.busybox:
        settle_for_busybox(building)
    if recipe.same_as:
        configure_as(same, building)
    elif recipe.boots:
        make_bootable(building)
    building.replace(root)
