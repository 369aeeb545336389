"""Keep one host booted: what a power button, a reboot and a mains socket would do. Runs detached, one for each host."""

import sys
from pathlib import Path

from tests.lab.hosts import Host, HostSpec
from tests.lab.network import Network

# What systemd-nspawn ends with when its guest asked for a reboot.
_REBOOT = 133


def main() -> None:
    """Boot until the guest powers off or is unplugged."""
    folder, prefix, root, name, number, root_name, nat, firewall, sudo_user, disk, startups = sys.argv[1:]
    spec = HostSpec(
        name, int(number), root_name, nat == "True", firewall, sudo_user, int(disk), startups == "True"
    )  # fmt: skip
    host = Host(spec, Path(folder), Network(prefix), Path(root))
    while True:
        ended = host.boot_once()
        # A host that is off answers nothing, and a boot finds no address, rule or tunnel of the boot before.
        host.network.disconnect(name)
        if ended != _REBOOT:
            return
        host.network.connect(name, spec.number, nat=spec.nat)


main()
