"""Which class a host of each kind is of."""

from pathlib import Path

from tests.lab.containers import Container
from tests.lab.hosts import Host, HostSpec
from tests.lab.machines import VirtualMachine
from tests.lab.network import Network

__all__ = ["host_of"]

_KINDS: dict[str, type[Host]] = {"container": Container, "machine": VirtualMachine}


def host_of(spec: HostSpec, folder: Path, network: Network, root: Path) -> Host:
    """Return the host that `spec` describes, whose files are in `folder`."""
    return _KINDS[spec.kind](spec, folder, network, root)
