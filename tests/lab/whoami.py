"""A machine that tells who asks: what the world behind a router or an exit node sees of a host."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.hosts import Host
from tests.lab.network import Network

__all__ = ["PORT", "asks", "reaches", "tells_who_asks"]

PORT = 7777
_SERVER = f"""
import socket
server = socket.create_server(("::", {PORT}), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    connection, address = server.accept()
    connection.sendall(address[0].removeprefix("::ffff:").encode() + b"\\n")
    connection.close()
"""


@contextmanager
def tells_who_asks(network: Network, space: str, *addresses: str) -> Iterator[None]:
    """Answer each connection to a namespace with the address that it comes from; `addresses` are its own meanwhile."""
    for address in addresses:
        network.ip(space, f"addr add {address} dev lo")
    server = subprocess.Popen(
        ["ip", "netns", "exec", network.space(space), sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield
    finally:
        server.kill()
        server.communicate()
        for address in addresses:
            network.ip(space, f"addr del {address} dev lo")


def asks(host: Host, address: str, seconds: int = 4) -> str:
    """Return the address that a host is seen with at `address`, empty if there is no way or no answer."""
    script = f"exec 3<>/dev/tcp/{address}/{PORT} && cat <&3"
    return host.run(f"timeout {seconds} bash -c '{script}' 2>/dev/null", check=False).strip()


def reaches(network: Network, space: str, address: str, port: int = 22) -> bool:
    """Tell whether a namespace gets a connection: to the SSH of a host, unless another port is named."""
    probe = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
    command = ["ip", "netns", "exec", network.space(space), sys.executable, "-c", probe, address, str(port)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
