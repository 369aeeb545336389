"""The file of an unmanaged peer as a QR code, read back from the characters of the terminal."""

import io

import pytest
import segno

from mesh.cli.peer_file import show_qr_code
from mesh.errors import MeshError

FILE = """[Interface]
# phone
PrivateKey = GOjTCL4FtwMsPlVFGXLpPlsUmQrqjVrIqyfbWPyw2F8=
Address = fd00:ff56:cec8:f3c2::1/64
"""
PEER = """
[Peer]
# h{0}
PublicKey = kDHtsGU1sV4xS/137o7Jmr50d06GPGXpgaLr67ZrXys=
AllowedIPs = fd00:cf56:156f:{0}::/64
"""
# Which of the two modules of a character are light, the upper one first: a terminal draws light on dark.
_LIGHT = {"█": (True, True), "▀": (True, False), "▄": (False, True), " ": (False, False)}
_BORDER = 4


def read_modules(drawn: str) -> list[list[bool]]:
    """Return the modules of a code, dark ones true, without the light border that a reader needs around it."""
    rows = [[not _LIGHT[character][half] for character in line] for line in drawn.splitlines() for half in (0, 1)]
    # The last line may be half a row beyond the border.
    size = len(rows[0])
    assert len(rows) - size in (0, 1)
    inside = [row[_BORDER:-_BORDER] for row in rows[_BORDER : size - _BORDER]]
    assert sum(map(sum, rows[:size])) == sum(map(sum, inside)), "the border is not light"
    return inside


@pytest.mark.parametrize("peers", [0, 1, 3, 20])
def test_the_code_that_a_terminal_shows_is_that_of_the_file_byte_for_byte(peers: int) -> None:
    """Module by module, with a border as wide as a phone needs it."""
    text = FILE + "".join(PEER.format(number) for number in range(peers))
    out = io.StringIO()
    show_qr_code(text, out)
    wanted = segno.make(text.encode(), error="l", micro=False, mode="byte")
    assert read_modules(out.getvalue()) == [list(map(bool, row)) for row in wanted.matrix]


def test_a_file_that_no_code_can_hold_is_told_with_what_to_do() -> None:
    """Nothing is drawn then."""
    out = io.StringIO()
    with pytest.raises(MeshError, match="are more than a QR code holds; give the peer fewer peers"):
        show_qr_code("x" * 2954, out)
    assert out.getvalue() == ""
