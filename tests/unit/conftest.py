"""Fixtures of this level only; what they do is told where they come from."""

from tests.host_program import host

__all__ = ["host"]
