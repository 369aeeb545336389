"""What the program spares of what the SDK does."""

import gc
from collections.abc import Iterator
from typing import Any

import pulumi
import pulumi.log
import pytest

from mesh.component.sdk_costs import spare_sdk_costs


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # So that all is the SDK's own again for the next test.
    monkeypatch.setattr(pulumi.log, "debug", pulumi.log.debug)
    monkeypatch.setattr(pulumi, "run", lambda _: None)
    yield
    gc.enable()


def test_debug_messages_of_the_sdk_are_not_sent_and_all_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would be a call to the engine, also where nobody asked for them."""
    sent: list[Any] = []
    monkeypatch.setattr(pulumi.log, "get_engine", lambda: type("Engine", (), {"Log": staticmethod(sent.append)}))
    pulumi.log.debug("before")
    spare_sdk_costs()
    pulumi.log.debug("registering resource")
    pulumi.log.warn("a warning")
    pulumi.log.error("an error")
    assert [request.message for request in sent] == ["before", "a warning", "an error"]


def test_an_sdk_that_has_no_entrypoint_to_register_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest that the project takes has none."""
    monkeypatch.delattr(pulumi, "run")
    spare_sdk_costs()
    assert not gc.isenabled()
