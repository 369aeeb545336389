"""A headless Chromium, driven by the DevTools protocol over two pipes, so that no other library is needed."""

import base64
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path
from select import select
from signal import SIGKILL
from typing import Any

import pytest

__all__ = ["Browser", "open_browser"]

_SECONDS = 60
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
          "--disable-background-networking", "--hide-scrollbars", "--remote-debugging-pipe")  # fmt: skip


class Browser:
    """One tab; `requests` are the addresses that it asked for, and `said` what its console has."""

    def __init__(self, orders: int, replies: int) -> None:
        """Use the two pipes, and open a tab."""
        self._orders, self._replies = orders, replies
        self._buffer, self._number, self._session = b"", 0, ""
        self.requests: list[str] = []
        self.said: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Give one order and return its result; what else the browser tells meanwhile is kept."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": params}
        if self._session:
            order["sessionId"] = self._session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while (reply := self._next()).get("id") != self._number:
            self._note(reply)
        assert "error" not in reply, reply
        result: dict[str, Any] = reply["result"]
        return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select([self._replies], [], [], _SECONDS)[0], "the browser says nothing"
            piece = os.read(self._replies, 1 << 20)
            assert piece, "the browser has ended"
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded":
                self.said.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.said.append(json.dumps(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.said.append(json.dumps(params["args"]))
            case "Page.loadEventFired":
                self._loaded = True

    def visit(self, url: str) -> None:
        """Go there, and wait until all is loaded."""
        self._loaded = False
        self.call("Page.navigate", url=url)
        while not self._loaded:
            self._note(self._next())

    def look(self, width: int, height: int = 900, *, dark: bool = False, touch: bool = False) -> None:
        """Have a window of this size, and light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, script: str) -> Any:
        """Return what an expression is in the page."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of the first element that fits."""
        box = self.run(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)});"
            "found.scrollIntoView({block: 'center', inline: 'center'}); const box = found.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def press(self, *keys: str) -> None:
        """Press keys, one after another."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            code = {"Enter": 13, "Escape": 27}.get(key, 0)
            for kind in ("keyDown", "keyUp"):
                more = text if kind == "keyDown" else {}
                self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    def screenshot(self, path: Path) -> None:
        """Keep a picture of what is to be seen."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Start a browser with its files in `folder`; a test is skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium on this machine")
    orders, our_orders = os.pipe()
    our_replies, replies = os.pipe()
    # The browser reads orders from 3 and answers on 4, so neither may be one of these.
    high = [fcntl(end, F_DUPFD_CLOEXEC, 10) for end in (orders, replies)]
    actions: list[Any] = [(os.POSIX_SPAWN_DUP2, end, place) for end, place in zip(high, (3, 4), strict=True)]
    actions.append((os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0))
    process = os.posix_spawn(
        program, [program, *_FLAGS, f"--user-data-dir={folder}"], os.environ, file_actions=actions, setsid=True
    )
    for end in (orders, replies, *high):
        os.close(end)
    try:
        yield Browser(our_orders, our_replies)
    finally:
        # It ends when nobody orders anything any more; what it started is of its session.
        os.close(our_orders)
        os.close(our_replies)
        with suppress(ProcessLookupError):
            os.killpg(process, SIGKILL)
        os.waitpid(process, 0)
