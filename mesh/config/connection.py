"""How SSH reaches a machine, as the state has it.

It is apart from the models, since the process of the providers needs it in each run, and needs no pydantic.
"""

from typing import NotRequired, TypedDict

__all__ = ["HOST_KEY_TYPES", "Connection"]

HOST_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


class Connection(TypedDict):
    """How SSH reaches a machine, as the state has it: `hostKey` is type and base64, `sudo` whether commands need it."""

    address: str
    port: int
    user: str
    sudo: bool
    hostKey: str
    bastion: NotRequired["Connection"]
