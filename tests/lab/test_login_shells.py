"""Hosts whose login shells are not sh, and print what they like, are hosts like any other."""

from collections.abc import Iterator

import pytest

from tests.lab.conftest import PREFIX
from tests.lab.hosts import HostSpec
from tests.lab.lab import Lab
from tests.lab.stack import Stack

# A title without a line feed, a greeting, and what a reply could look like.
_PRINTS = r"printf '\033]0;%s\007Welcome to über host\n.ok\n.error no\ntitle \007' x"
# Bytes that are not UTF-8 are no obstacle once a host is enrolled.
_LATIN = r"printf 'Gr\374\337e\n'"
_SHELLS = {
    "fish": ("/usr/bin/fish", ".config/fish/config.fish", _PRINTS),
    "tcsh": ("/usr/bin/tcsh", ".tcshrc", f"{_PRINTS}\nset prompt='%m!%# '"),
    "zsh": ("/usr/bin/zsh", ".zshenv", f"{_PRINTS}\nprint -n '%m %# '"),
    "bash": ("/bin/bash", ".bashrc", f"{_PRINTS}\nPS1='$ '; set -o vi; (sleep 60 >/dev/null 2>&1 &)"),
}
_SUDO_USER = "steward"


@pytest.fixture(scope="module")
def stack(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack on four hosts, each with another login shell; the user of tcsh works by a sudo that lectures."""
    assert engine
    specs = [
        HostSpec(name, number, root="trixie-shells", sudo_user=_SUDO_USER if name == "tcsh" else "")
        for number, name in enumerate(_SHELLS, 1)
    ]
    with Lab(specs, prefix=f"{PREFIX}s") as lab:
        for name, (shell, file, prints) in _SHELLS.items():
            user = lab.hosts[name].spec.sudo_user
            home = f"/home/{user}" if user else "/root"
            lab.hosts[name].run(f"usermod -s {shell} {user or 'root'}; mkdir -p {home}/.config/fish")
            lab.hosts[name].run(f"cat >{home}/{file}; chown -R {user or 'root'} {home}", text=f"{prints}\n")
        lab.hosts["tcsh"].run("cat >/etc/sudoers.d/lecture", text="Defaults lecture=always\n")
        yield Stack(lab, tmp_path_factory.mktemp("shells"))


def test_a_mesh_lives_from_scan_to_destroy_whatever_the_login_shells_are(stack: Stack) -> None:
    """Scan, preview, up, status, refresh, adopt after a lost state, a reinstalled host, destroy."""
    hosts = {name: stack.describe(host) for name, host in stack.lab.hosts.items()}
    for entry in hosts.values():
        del entry["ssh"]["hostKey"]
    stack.write({"testwg": {"hosts": list(_SHELLS), "port": 51825}}, hosts)
    said = stack.companion("scan", str(stack.file), "--yes").output
    assert "\033" not in said
    assert stack.file.read_text().count("x86_64-linux") == len(_SHELLS)
    bash = stack.lab.hosts["bash"]
    bash.run("cp /root/.bashrc /root/before && cat >>/root/.bashrc", text=f"{_LATIN}\n")
    assert "host 'bash': its start-up files (.bashrc and the like) print bytes that are not UTF-8" in stack.fail()
    bash.run("mv /root/before /root/.bashrc")
    stack.up()
    bash.run("cat >>/root/.bashrc", text=f"{_LATIN}\n")
    assert stack.silent("testwg") == []
    stack.companion("status")
    stack.run("preview", "--refresh", "--expect-no-changes")

    # From here on it is enrolled again.
    bash.run("sed -i '$d' /root/.bashrc")
    keys = stack.running_keys("testwg")
    stack.swap_state(stack.folder / "lost")
    stack.companion("adopt", str(stack.file), "--yes")
    stack.up()
    assert stack.running_keys("testwg") == keys
    stack.forget_adopted()

    bash.run("systemctl disable -q --now wg-quick@testwg; rm -rf /var/lib/mesh /etc/wireguard")
    told = stack.up("--refresh").output
    assert "bash: has no private key of testwg, and is enrolled again" in told
    assert stack.silent("testwg") == []
    stack.destroy()
    left = "ls -d /var/lib/mesh /etc/wireguard/*.conf 2>/dev/null"
    assert [name for name, host in stack.lab.hosts.items() if host.run(left, check=False)] == []
