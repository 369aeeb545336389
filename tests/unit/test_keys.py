"""What `mesh.keys` makes and refuses."""

import base64
import shutil
import subprocess

import pytest

from mesh.errors import InvalidKeyError
from mesh.wireguard.keys import KeyPair, generate_key_pair, generate_preshared_key, is_key, public_key_of

# RFC 7748, section 6.1.
RFC_7748 = [
    (
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
    ),
    (
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    ),
]
NO_KEYS = {
    "empty": "",
    "words": "not a key",
    "too short": base64.b64encode(bytes(31)).decode(),
    "too long": base64.b64encode(bytes(33)).decode(),
    "without its padding": "A" * 43,
    "with a line end": "A" * 43 + "=\n",
    "with stray bits at its end": "A" * 42 + "B=",
    "of the URL alphabet": "_" * 43 + "=",
    "outside ASCII": "é" * 44,
}


@pytest.mark.parametrize(("private", "public"), RFC_7748)
def test_public_keys_are_those_of_the_standard(private: str, public: str) -> None:
    """The derivation gives the published vectors."""
    encoded = base64.b64encode(bytes.fromhex(private)).decode()
    assert public_key_of(encoded) == base64.b64encode(bytes.fromhex(public)).decode()


def test_a_new_pair_belongs_together_and_is_new() -> None:
    """The public key is the private one's, and no two pairs are alike."""
    first, second = generate_key_pair(), generate_key_pair()
    assert public_key_of(first.private_key) == first.public_key
    assert first.private_key != second.private_key


def test_a_private_key_is_clamped_as_wg_writes_it() -> None:
    """The kernel shows the clamped form, so any other would look like drift for ever."""
    for _ in range(50):
        raw = base64.b64decode(generate_key_pair().private_key)
        assert (raw[0] & 7, raw[31] & 0b1100_0000) == (0, 0b0100_0000)


def test_preshared_keys_are_keys_and_never_repeat() -> None:
    """Each is 32 bytes of its own."""
    made = {generate_preshared_key() for _ in range(20)}
    assert len(made) == 20
    assert all(is_key(key) for key in made)


@pytest.mark.parametrize("text", NO_KEYS.values(), ids=NO_KEYS.keys())
def test_what_wg_would_not_print_is_no_key(text: str) -> None:
    """A text that is nearly a key is refused, and the refusal does not repeat it."""
    assert not is_key(text)
    with pytest.raises(InvalidKeyError, match="not base64 of 32 bytes; give 44 characters") as caught:
        public_key_of(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, b"A" * 44, ["A"]])
def test_what_is_no_text_is_no_key(value: object) -> None:
    """A value of another type is answered, not raised about."""
    assert not is_key(value)


def test_printing_a_pair_hides_the_private_key() -> None:
    """A log line or a traceback that shows a pair shows its public half only."""
    pair = generate_key_pair()
    for text in (repr(pair), str(pair), f"{pair}"):
        assert pair.private_key not in text
        assert pair.public_key in text


def test_a_pair_cannot_be_changed() -> None:
    """A key that was handed out stays what it was."""
    pair = KeyPair(private_key="a", public_key="b")
    with pytest.raises(AttributeError):
        pair.public_key = "c"  # type: ignore[misc]


@pytest.mark.skipif(shutil.which("wg") is None, reason="wg is not installed")
def test_wg_derives_the_same_public_key() -> None:
    """The tool that reads our keys on the hosts agrees with us."""
    pair = generate_key_pair()
    asked = subprocess.run(["wg", "pubkey"], input=pair.private_key, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == pair.public_key
