"""What a host takes for the key and the settings of a wg-quick file that mesh did not write."""

import pytest

from tests.host_program import HostProgram

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
    "network/interfaces": "auto lo\niface wg-a.b inet6 static\n",
    "network/interfaces.d/vpn": "  iface wg-a.b inet manual\n",
    "NetworkManager/system-connections/my vpn.nmconnection": "[connection]\ntype=wireguard\ninterface-name=wg-a.b\n",
    "netplan/60-vpn.yaml": "network:\n  tunnels:\n    wg-a.b:\n      mode: wireguard\n",
    "netplan/61-vpn.yaml": "network:\n  tunnels:\n    'wg-a.b':\n      mode: wireguard\n",
}
_OTHERS = {
    "systemd/network/50-vpn.network": "[Match]\nName=wg-a.b\n",
    "systemd/network/51-vpn.netdev": "[NetDev]\nName=wg-axb\n",
    "network/interfaces": "iface wg-a.b2 inet manual\n# iface wg-a.b inet manual\n",
    "netplan/60-vpn.yaml": "network:\n  tunnels:\n    wg-a.bc:\n",
}


@pytest.mark.parametrize(
    ("file", "text"), [*_MAKERS.items(), *_OTHERS.items()], ids=lambda word: word.split("\n")[-2:][0]
)
def test_what_else_brings_up_an_interface_of_this_name_is_named(host: HostProgram, file: str, text: str) -> None:
    """Whichever of them does so at boot; settings of an interface that another one makes are none of it."""
    host.etc(file, text)
    said = host.run("interface=wg-a.b; other_maker").stdout
    assert said == (f"/etc/{file}\n" if _MAKERS.get(file) == text else "")


def test_an_interface_that_something_else_brought_up_at_boot_makes_room(host: HostProgram) -> None:
    """Only before this host was looked at for the first time since, and only of a mesh that was confirmed."""
    host.stub("ip")
    deleted = "ip link delete dev testwg"
    host.run("clear_place")
    assert deleted not in host.calls()
    host.run('mkdir -p "$home/run"; clear_place')
    assert deleted in host.calls()
    host.run("mkdir -p /run/mesh/testwg; clear_place")
    assert deleted not in host.calls()
