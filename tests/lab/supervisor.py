"""Keep one host booted: what a power button, a reboot and a mains socket would do. Runs detached, one for each host."""

import json
import sys
from pathlib import Path

from tests.lab.hosts import HostSpec
from tests.lab.kinds import host_of
from tests.lab.network import Network

# What systemd-nspawn ends with when its guest asked for a reboot.
_REBOOT = 133


def main() -> None:
    """Boot until the guest powers off or is unplugged."""
    folder, prefix, root, spec = sys.argv[1:]
    host = host_of(HostSpec(**json.loads(spec)), Path(folder), Network(prefix), Path(root))
    while True:
        ended = host.boot_once()
        # A host that is off answers nothing, and a boot finds no address, rule or tunnel of the boot before.
        host.network.disconnect(host.name)
        if ended != _REBOOT:
            return
        host.connect()


main()
