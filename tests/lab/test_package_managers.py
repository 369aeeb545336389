"""WireGuard is installed by the package managers of other families: the real programs, with a repository of each.

The packages are made of the files of Debian's, since what is in them is not the point. No registry of apk is to be had
on Debian; `tests/unit/test_host_packages.py` has what stands for it.
"""

from collections.abc import Iterator

import pytest

from tests.lab.conftest import PREFIX
from tests.lab.hosts import HostSpec
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Stack, wait_until

_MANAGERS = ("dnf", "pacman", "zypper")
# One of the packages takes its time, as an upgrade does that somebody runs meanwhile.
_PACKAGES = "wireguard-tools wireguard-go slow"
_SLOW_SECONDS = 8
_UNPACKED = """set -e
cd /var/cache/lab
mkdir packages /root/slow
for package in wireguard-tools wireguard-go; do
    dpkg-deb -x $package*.deb /root/$package
    rm -r /root/$package/usr/share
done
"""
_RPM = f"""
for package in {_PACKAGES}; do
    {{
        printf '%s\\n' "Name: $package" 'Version: 1' 'Release: 1' 'Summary: of the lab' 'License: GPL' 'AutoReqProv: no'
        # What runs afterwards needs a shell, and no package of this root is known to have one.
        if [ $package = slow ]; then printf '%s\\n' 'Provides: /bin/sh' '%post' 'sleep {_SLOW_SECONDS}'; fi
        printf '%s\\n' '%description' 'Of the lab.' '%install' "cp -a /root/$package/. %{{buildroot}}"
        printf '%s\\n' '%files'
        (cd /root/$package && find . -type f | cut -c 2-)
    }} >$package.spec
    rpmbuild -bb --quiet --define '_rpmdir /var/cache/lab/packages' --define '_build_id_links none' \
        --define '__os_install_post %{{nil}}' --define 'debug_package %{{nil}}' $package.spec 2>&1
done
createrepo_c -q packages
"""
_REPOSITORY = {
    "dnf": f"""{_RPM}
mkdir -p /etc/yum.repos.d
printf '[lab]\\nname=lab\\nbaseurl=file:///var/cache/lab/packages\\ngpgcheck=0\\n' >/etc/yum.repos.d/lab.repo
""",
    "zypper": f"""{_RPM}
zypper --non-interactive --quiet addrepo --no-gpgcheck file:///var/cache/lab/packages lab 2>&1
""",
    "pacman": f"""
echo 'post_install() {{ sleep {_SLOW_SECONDS}; }}' >/root/slow/.INSTALL
for package in {_PACKAGES}; do
    printf '%s\\n' "pkgname = $package" 'pkgver = 1-1' 'arch = x86_64' 'size = 1' >/root/$package/.PKGINFO
    (cd /root/$package && tar --zstd -cf /var/cache/lab/packages/$package-1-1-x86_64.pkg.tar.zst $(ls -A))
done
repo-add -q packages/lab.db.tar.gz packages/*.zst
printf '[options]\\nArchitecture = x86_64\\nSigLevel = Never\\n[lab]\\nServer = file:///var/cache/lab/packages\\n' \
    >/etc/pacman.conf
""",
}
# Of pacman's repository: the files of the former version are gone, and the lists that the host has name them.
_NEW_VERSION = """set -e
cd /var/cache/lab/packages
rm -rf *wireguard-tools-1-1* /var/cache/pacman/pkg
sed -i 's/1-1/2-1/' /root/wireguard-tools/.PKGINFO
(cd /root/wireguard-tools && tar --zstd -cf /var/cache/lab/packages/wireguard-tools-2-1-x86_64.pkg.tar.zst $(ls -A))
repo-add -q lab.db.tar.gz wireguard-tools-2-1-x86_64.pkg.tar.zst
"""
# How an administrator installs and removes.
_INSTALL = {
    "dnf": "dnf -y install",
    "zypper": "zypper --non-interactive install",
    "pacman": "pacman -S --noconfirm",
}
_REMOVE = {"dnf": "rpm -e", "zypper": "rpm -e", "pacman": "pacman -R --noconfirm"}
# What each says of a package whose file is gone.
_WORDS = {"dnf": "has incorrect checksum", "zypper": "Problem occurred", "pacman": "failed to commit transaction"}


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack on three hosts, each without WireGuard and with a package manager of another family."""
    specs = [HostSpec(name, number, root="trixie-managers") for number, name in enumerate(_MANAGERS, 1)]
    with Lab(specs, prefix=f"{PREFIX}f") as lab:
        for name, host in lab.hosts.items():
            host.run(f"{_UNPACKED}{_REPOSITORY[name]}")
            for other in {"apt-get", *_MANAGERS} - {name}:
                host.run(f"mv /usr/bin/{other} /usr/bin/{other}.away")
        stack = RehearsedStack(lab, tmp_path_factory.mktemp("families"))
        stack.write({"testwg": {"hosts": list(_MANAGERS), "port": 51825}})
        yield stack


def test_each_package_manager_installs_what_a_host_lacks(families: Stack) -> None:
    """Every pair answers, and each manager knows the package as its own."""
    families.up()
    assert families.silent("testwg") == []
    for name in ("dnf", "zypper"):
        assert families.lab.hosts[name].run("rpm -q wireguard-tools wireguard-go").count("-1-1") == 2
    assert families.lab.hosts["pacman"].run("pacman -Qq").split() == ["wireguard-go", "wireguard-tools"]


def _take_away(families: Stack) -> None:
    families.destroy()
    for name, host in families.lab.hosts.items():
        host.run(f"{_REMOVE[name]} wireguard-tools")


def test_a_package_manager_that_is_at_work_is_waited_for(families: Stack) -> None:
    """Each has a lock of its own, and only some wait for it by themselves."""
    _take_away(families)
    hosts = families.lab.hosts.values()
    for name, host in families.lab.hosts.items():
        host.run(f"{_INSTALL[name]} slow >/root/slow.log 2>&1 &")
    wait_until(lambda: all(host.run(f"pgrep -f '^sleep {_SLOW_SECONDS}'", check=False) for host in hosts), 10)
    families.up()
    assert families.silent("testwg") == []
    for host in hosts:
        assert "error" not in host.run("cat /root/slow.log").lower()


def test_lists_of_pacman_that_are_out_of_date_are_told_and_an_upgrade_ends_it(families: Stack) -> None:
    """The mirror has another version than the lists name; as the page of what runs on a host says."""
    _take_away(families)
    pacman = families.lab.hosts["pacman"]
    pacman.run(_NEW_VERSION)
    said = families.fail()
    assert "packages: pacman cannot install wireguard-tools" in said
    assert "host 'dnf'" not in said
    pacman.run("pacman -Syu --noconfirm 2>&1")
    families.up()
    assert families.silent("testwg") == []
    assert pacman.run("pacman -Q wireguard-tools") == "wireguard-tools 2-1\n"


def test_a_package_that_is_not_to_be_had_is_told_with_the_manager_s_own_words(families: Stack) -> None:
    """For each host, and nothing is changed on any."""
    _take_away(families)
    for host in families.lab.hosts.values():
        host.run("rm -rf /var/cache/lab/packages /var/cache/pacman/pkg")
    said = families.fail()
    for name in _MANAGERS:
        [line] = [line for line in said.splitlines() if line.startswith(f"  host '{name}': ")]
        assert f"packages: {name} cannot install wireguard-tools; install it by hand" in line
        assert _WORDS[name] in line
    assert "testwg: nothing was changed" in said
