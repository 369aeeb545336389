"""A small server on loopback, which asks the hosts again while somebody looks."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer

from mesh.cli.http_server import CLIENT_SECONDS, ManyClients
from mesh.cli.page.content import Page
from mesh.cli.page.render import policy, show_page
from mesh.errors import MeshError

__all__ = ["PageServer"]

_LOOPBACK = "127.0.0.1"


class PageServer(ManyClients, HTTPServer):
    """Has the latest page; `ask` makes a newer one, at most once in `every` seconds."""

    def __init__(self, ask: Callable[[], Page], port: int, every: int) -> None:
        """Ask once, and listen.

        Raises:
            MeshError: If nothing can be asked, or the port is not free.
        """
        self._ask, self._every = ask, every
        self._looked = threading.Event()
        self._ended = threading.Event()
        self._take(ask())
        try:
            super().__init__((_LOOPBACK, port), _Handler)
        except OSError as problem:
            raise MeshError(
                f"--port: {port}: {problem.strerror}; give another one, or 0 for any that is free"
            ) from None
        # Another site may give its own name this address, so that a browser takes the page for that site's.
        self.names = {f"{name}:{self.server_port}" for name in (_LOOPBACK, "localhost")}

    def _take(self, page: Page) -> None:
        self.latest = page.made, show_page(page, every=self._every)

    def look(self) -> tuple[str, str]:
        """Return when the latest page was made, and the page; there will be a newer one."""
        self._looked.set()
        return self.latest

    def renew(self, say: Callable[[str], None]) -> None:
        """Go on asking until the server is ended; what fails leaves the page that there is."""
        while not self._ended.wait(self._every):
            # Nobody is asked for a page that nobody looks at.
            self._looked.wait()
            self._looked.clear()
            if self._ended.is_set():
                return
            try:
                self._take(self._ask())
            except (MeshError, OSError) as error:
                say(f"warning: {error}")

    def end(self) -> None:
        """Stop both; to be called from another thread than that of `serve_forever`."""
        self._ended.set()
        self._looked.set()
        self.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        """Give the page, or when it was made."""
        if self.headers.get("Host", "").lower() not in self.server.names:
            self._reply(HTTPStatus.FORBIDDEN, "text/plain", "give the address that mesh page printed\n")
            return
        made, html = self.server.look()
        match self.path.partition("?")[0]:
            case "/":
                self._reply(HTTPStatus.OK, "text/html", html)
            case "/made":
                self._reply(HTTPStatus.OK, "text/plain", made)
            case _:
                self._reply(HTTPStatus.NOT_FOUND, "text/plain", "there is one page here, /\n")

    def _reply(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind};charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy(served=True))
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""
