"""What the program sends to the engine of what the SDK has to say."""

from typing import Any

import pulumi.log
import pytest

from mesh.component.sdk_debug import leave_out_sdk_debug


def test_debug_messages_of_the_sdk_are_not_sent_and_all_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would be a call to the engine, also where nobody asked for them."""
    sent: list[Any] = []
    monkeypatch.setattr(pulumi.log, "get_engine", lambda: type("Engine", (), {"Log": staticmethod(sent.append)}))
    # So that it is the SDK's own again for the next test.
    monkeypatch.setattr(pulumi.log, "debug", pulumi.log.debug)
    pulumi.log.debug("before")
    leave_out_sdk_debug()
    pulumi.log.debug("registering resource")
    pulumi.log.warn("a warning")
    pulumi.log.error("an error")
    assert [request.message for request in sent] == ["before", "a warning", "an error"]
