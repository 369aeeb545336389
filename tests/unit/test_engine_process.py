"""How a provider knows that its engine is gone."""

import socket

from mesh.rollout.engine_process import engine_is_alive


def test_an_engine_lives_as_long_as_it_listens() -> None:
    """At the address that is the provider's last argument."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = ["provider", f"127.0.0.1:{server.getsockname()[1]}"]
        assert engine_is_alive(arguments)
    assert not engine_is_alive(arguments)


def test_where_no_engine_is_named_none_is_missed() -> None:
    """As under the test monitor."""
    assert engine_is_alive(["pytest", "-x"])
