"""What a host takes for the key and the settings of a wg-quick file that mesh did not write."""

import pytest

from tests.host_program import PARTS, HostProgram

_KEY = "QJ3GKuDn0Yp7zRsvkVgfH+2lZEl5pUeXG9cwBYKHq1E="
_FILE = "configuration=/etc/wireguard/testwg.conf"


@pytest.mark.parametrize("line", [f"PrivateKey = {_KEY}", f"privatekey={_KEY}\r", f"\tPrivateKey  =  {_KEY} # mine"])
def test_the_key_of_a_file_is_read_as_wg_quick_reads_it(host: HostProgram, line: str) -> None:
    """In any case, with spaces and comments."""
    host.etc("wireguard/testwg.conf", f"# by hand\n[Interface]\n{line}\nAddress = fd00::1/64\n")
    assert host.run(f"{_FILE}; configured_key").stdout == f"{_KEY}\n"


@pytest.mark.parametrize(
    ("line", "dropped"),
    [
        ("ListenPort = 51820", ""),
        ("MTU=1400 # small", ""),
        ("Table = auto", ""),
        ("SaveConfig = false", ""),
        ("SaveConfig = true", "SaveConfig\n"),
        ("# PostUp = reboot", ""),
        ("PostUp = iptables -A INPUT -j ACCEPT", "PostUp\n"),
        ("dns = 1.1.1.1", "dns\n"),
        ("Table = off", "Table\n"),
        (_KEY, "a line that is no setting\n"),
    ],
)
def test_a_setting_that_mesh_would_drop_is_named(host: HostProgram, line: str, dropped: str) -> None:
    """And a line that is none is not repeated, since it could be a key."""
    host.etc("wireguard/testwg.conf", f"[Interface]\n{line}\n\n[Peer]\nPublicKey = {_KEY}\nEndpoint = 1.2.3.4:5\n")
    assert host.run(f"{_FILE}; dropped_setting").stdout == dropped


_MAKERS = {
    "systemd/network/50-vpn.netdev": "[NetDev]\nName = wg-a.b\nKind=wireguard\n",
    "network/interfaces": "auto lo wg-a.b\niface wg-a.b inet6 static\n  pre-up ip link add dev wg-a.b type wireguard\n",
    "network/interfaces.d/vpn": "allow-hotplug wg-a.b\niface wg-a.b inet manual\n  up wg-quick up wg-a.b\n",
    "NetworkManager/system-connections/my vpn.nmconnection": "[connection]\ntype=wireguard\ninterface-name=wg-a.b\n",
    "netplan/60-vpn.yaml": "network:\n  tunnels:\n    wg-a.b:\n      mode: wireguard\n",
    "netplan/61-vpn.yaml": "network:\n  tunnels:\n    other:\n      mode: sit\n    'wg-a.b':\n      mode: sit\n",
}
_OTHERS = {
    "systemd/network/50-vpn.network": "[Match]\nName=wg-a.b\n",
    "systemd/network/51-vpn.netdev": "[NetDev]\nName=wg-axb\n",
    "network/interfaces": "iface wg-a.b2 inet manual\n# iface wg-a.b inet manual\n",
    # What runs when somebody else has brought it up, and what only somebody at the keyboard brings up.
    "network/interfaces.d/hook": "allow-hotplug wg-a.b\niface wg-a.b inet manual\n  up ip rule add pref 9 table 9\n",
    "network/interfaces.d/hand": "iface wg-a.b inet manual\n  pre-up ip link add wg-a.b type wireguard\n",
    "network/interfaces.d/old.bak": "auto wg-a.b\niface wg-a.b inet manual\n  up wg-quick up wg-a.b\n",
    "NetworkManager/system-connections/zone.nmconnection": "type=wireguard\ninterface-name=wg-a.b\nautoconnect=false\n",
    "NetworkManager/system-connections/wire.nmconnection": "type=ethernet\ninterface-name=wg-a.b\n",
    "NetworkManager/system-connections/vpn.bak": "type=wireguard\ninterface-name=wg-a.b\n",
    "netplan/62-vpn.yaml": "network:\n  tunnels:\n    wg-a.bc:\n",
    "netplan/63-vpn.yaml": "network:\n  ethernets:\n    eth0:\n      routes: {}\n    wg-a.b:\n      match: {}\n",
    "netplan/64-vpn.yaml": "network:\n  tunnels:\n    other:\n      wg-a.b:\n        mode: sit\n",
    "netplan/65-vpn.yaml.old": "network:\n  tunnels:\n    wg-a.b:\n",
}


@pytest.mark.parametrize(
    ("file", "text"), [*_MAKERS.items(), *_OTHERS.items()], ids=lambda word: word.split("\n")[-2:][0]
)
def test_what_else_makes_an_interface_of_this_name_at_boot_is_named(host: HostProgram, file: str, text: str) -> None:
    """Whichever of them does so; what only has settings for it, waits for somebody, or is not read makes none."""
    host.stub("ifup")
    host.stub("netplan")
    host.real("find")
    for service in ("systemd-networkd", "NetworkManager"):
        host.etc(f"systemd/system/multi-user.target.wants/{service}.service", "[Unit]\n")
    host.etc(file, text)
    said = host.run("interface=wg-a.b; other_maker").stdout
    assert said == (f"/etc/{file}\n" if _MAKERS.get(file) == text else "")


@pytest.mark.parametrize(("file", "text"), _MAKERS.items(), ids=lambda word: word.split("\n")[-2:][0])
def test_files_of_a_network_manager_that_does_not_run_make_nothing(host: HostProgram, file: str, text: str) -> None:
    """They are often left by another, or by the image of a cloud."""
    host.real("find")
    host.etc(file, text)
    assert host.run("interface=wg-a.b; other_maker").stdout == ""


def test_a_netdev_that_another_of_its_name_replaces_makes_nothing(host: HostProgram) -> None:
    """As where an administrator masks one of the distribution."""
    host.etc("systemd/system/multi-user.target.wants/systemd-networkd.service", "[Unit]\n")
    host.etc("systemd/network/50-vpn.netdev")
    (host.directory / "run/systemd/network").mkdir(parents=True)
    (host.directory / "run/systemd/network/50-vpn.netdev").write_text("[NetDev]\nName=testwg\n")
    assert host.run("other_maker").stdout == ""


def test_of_what_netplan_wrote_for_networkd_the_file_is_named_that_somebody_edits(host: HostProgram) -> None:
    """The other one is made anew at each boot."""
    host.stub("netplan")
    host.etc("systemd/system/multi-user.target.wants/systemd-networkd.service", "[Unit]\n")
    (host.directory / "run/systemd/network").mkdir(parents=True)
    written = host.directory / "run/systemd/network/10-netplan-testwg.netdev"
    written.write_text("[NetDev]\nName=testwg\n")
    assert host.run("other_maker").stdout == "/run/systemd/network/10-netplan-testwg.netdev\n"
    host.etc("netplan/60-vpn.yaml", "network:\n  tunnels:\n    testwg:\n      mode: wireguard\n")
    assert host.run("other_maker").stdout == "/etc/netplan/60-vpn.yaml\n"


def test_an_interface_that_something_else_brought_up_at_boot_makes_room(host: HostProgram) -> None:
    """Only one that is not the mesh itself, before this host was looked at, and of a mesh that was confirmed."""
    host.stub("ip")
    host.stub("wg", f"case $3 in public-key) cat {host.directory}/key ;; peers) cat {host.directory}/peers ;; esac")
    interface = (PARTS / "wireguard/interface.sh").read_text()

    def is_deleted(key: str, peers: str, before: str = "") -> bool:
        (host.directory / "key").write_text(f"{key}\n")
        (host.directory / "peers").write_text(peers)
        host.run(f"{interface}\n{before}\nclear_place")
        return "ip link delete dev testwg" in host.calls()

    assert not is_deleted("ours", "somebody\n")
    lay = 'mkdir -p "$home/run"; echo "public-key ours" >"$home/run/settings"; echo "carol hers" >"$home/run/peers"'
    assert is_deleted("theirs", "hers\n", lay)
    assert is_deleted("ours", "somebody\n")
    assert not is_deleted("ours", "somebody\nhers\n")
    # What cannot be removed is no reason to leave the firewall closed.
    host.stub("ip", '[ "$2" = show ]')
    assert is_deleted("theirs", "")
    assert not is_deleted("theirs", "", "mkdir -p /run/mesh/testwg")
