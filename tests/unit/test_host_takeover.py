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
