"""Values of hosts that are known only when another resource is made, such as the address of a cloud machine.

The plan is made before that, with a placeholder for each; the real values are put in where resources take outputs.
"""

from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pulumi import Output, RunError
from pydantic import TypeAdapter, ValidationError

from mesh.config.external_fields import ExternalAddress, ExternalName
from mesh.config.fields import HostKey, SshAddress
from mesh.config.validation import join_path
from mesh.errors import ConfigurationError, PlacedFault
from mesh.wireguard.endpoint import join_endpoint

__all__ = ["DeferredValues"]


def _placeholder_address(number: int) -> str:
    # Nobody's endpoint: RFC 2544.
    return str(IPv4Address("198.18.0.1") + number)


def _placeholder_name(number: int) -> str:
    # Nobody's name: RFC 2606.
    return f"host-{number}.later.invalid"


def _placeholder_key(number: int) -> str:
    key = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big")).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


_ADDRESS: TypeAdapter[str] = TypeAdapter(ExternalAddress)
_NAME: TypeAdapter[str] = TypeAdapter(ExternalName)
_WAY: TypeAdapter[str] = TypeAdapter(SshAddress)
_KEY: TypeAdapter[str] = TypeAdapter(HostKey)
# Which fields may be outputs, by the end of their path; a list's items have the list's.
_KINDS: dict[tuple[str, ...], tuple[Callable[[int], str], TypeAdapter[str]]] = {
    ("externalIps",): (_placeholder_address, _ADDRESS),
    ("externalName",): (_placeholder_name, _NAME),
    ("localIps",): (_placeholder_address, _ADDRESS),
    ("ssh", "address"): (_placeholder_name, _WAY),
    ("ssh", "hostKey"): (_placeholder_key, _KEY),
    ("bastion", "address"): (_placeholder_name, _WAY),
    ("bastion", "hostKey"): (_placeholder_key, _KEY),
}


class DeferredValues:
    """The outputs among the values of some hosts."""

    def __init__(self, hosts: Mapping[str, Any]) -> None:
        """Put a placeholder in the place of each output.

        `plain` are the hosts with the placeholders, and `hosts` names those whose SSH address or key is not known yet.

        Raises:
            ConfigurationError: Naming each place where the plan needs the value itself.
        """
        self.hosts: set[str] = set()
        self._outputs: dict[str, Output[str]] = {}
        self._faults: list[PlacedFault] = []
        self.plain: Any = self._replace(hosts, ())
        if self._faults:
            raise ConfigurationError(self._faults)

    def _replace(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, Output):
            return self._keep(value, path)
        if isinstance(value, Mapping):
            return {name: self._replace(entry, (*path, str(name))) for name, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self._replace(entry, path) for entry in value]
        return value

    def _keep(self, output: Output[Any], path: tuple[str, ...]) -> str | None:
        place = join_path("mesh:hosts", *path)
        kind = _KINDS.get(path[-1:] if len(path) == 2 else path[-2:])
        if kind is None:
            self._faults.append(PlacedFault(place, "an output, and the plan needs the value itself; give it as it is"))
            return None
        make, adapter = kind
        placeholder = make(len(self._outputs))
        self._outputs[placeholder] = output.apply(partial(_check, adapter, place))
        if adapter not in (_ADDRESS, _NAME):
            self.hosts.add(path[0])
        return placeholder

    def real(self, value: Any) -> Any:
        """Return `value`, plain data that follows from the plan, with outputs in the place of their placeholders."""
        if isinstance(value, Mapping):
            return {name: self.real(entry) for name, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.real(entry) for entry in value]
        if not isinstance(value, str) or not self._outputs:
            return value
        if (output := self._outputs.get(value)) is not None:
            return output
        address, _, port = value.rpartition(":")
        if (output := self._outputs.get(address)) is not None:
            return output.apply(partial(_endpoint, port))
        return value


def _endpoint(port: str, host: str) -> str:
    return join_endpoint(host, port)


def _check(adapter: TypeAdapter[str], place: str, value: object) -> str:
    try:
        return adapter.validate_python(value)
    except ValidationError as problem:
        [error] = problem.errors(include_url=False, include_input=False, include_context=False)
        # The engine shows this as a line, and any other exception of the program as a traceback.
        raise RunError(f"{place}: {error['msg']}") from None
