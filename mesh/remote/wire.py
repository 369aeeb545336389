"""The strings and numbers of which SSH's messages are made (RFC 4251, section 5)."""

from collections.abc import Iterator

__all__ = ["pack", "pack_number", "unpack"]


def pack(*strings: bytes) -> bytes:
    """Return byte strings, each behind its length."""
    return b"".join(len(text).to_bytes(4, "big") + text for text in strings)


def pack_number(number: int) -> bytes:
    """Return a natural number as an mpint."""
    return pack(number.to_bytes(number.bit_length() // 8 + 1, "big") if number else b"")


def unpack(data: bytes, count: int) -> Iterator[bytes]:
    """Yield the first `count` byte strings of `data`, and at last what is behind them.

    Raises:
        ValueError: If there are fewer.
    """
    for _ in range(count):
        size = int.from_bytes(data[:4], "big")
        if len(data) < 4 + size:
            raise ValueError("cut off")
        yield data[4 : 4 + size]
        data = data[4 + size :]
    yield data
