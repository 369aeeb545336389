"""What the servers of commands have in common: many clients at once, none of which disturbs another or the terminal."""

import sys
from socketserver import ThreadingMixIn
from typing import Any

__all__ = ["CLIENT_SECONDS", "ManyClients"]

# Whoever connects and says nothing, or takes nothing, is not waited for any longer.
CLIENT_SECONDS = 10


class ManyClients(ThreadingMixIn):
    """Serves each client in a thread of its own."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away, as browsers, port scans and impatient scrapes do."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)  # type: ignore[misc]
