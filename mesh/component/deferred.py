"""Values of hosts that are known only when another resource is made, such as the address of a cloud machine.

The plan is made before that, with a placeholder for each; the real values are put in where resources take outputs.
Which rules they break together is known when all are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pulumi import Output, RunError
from pulumi.runtime import is_dry_run
from pydantic import TypeAdapter, ValidationError

from mesh.config.external_fields import ExternalAddress, ExternalName
from mesh.config.fields import HostKey, SshAddress
from mesh.config.validation import join_path
from mesh.errors import ConfigurationError, PlacedFault
from mesh.wireguard.endpoint import join_endpoint

__all__ = ["DeferredValues"]

_NOT_YET = "an output, and the plan needs the value itself; give it as it is"
_NO_LIST = "an output of a list, and the plan needs to know how many there are; give a list of outputs"
# Fields of a host whose items may be outputs.
_LISTS = {("externalIps",), ("localIps",)}


def _placeholder_address(number: int) -> str:
    # Nobody's endpoint: RFC 2544.
    return str(IPv4Address("198.18.0.1") + number)


def _placeholder_of_other_version(number: int) -> str:
    # The same: RFC 5180.
    return str(IPv6Address("2001:2::1") + number)


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

    def __init__(self, hosts: Mapping[str, Any], known: Mapping[str, Any], check: Callable[[Any], object]) -> None:
        """Put a placeholder in the place of each output.

        `plain` are the hosts with the placeholders, and `hosts` names those whose SSH address or key is not known yet.
        `known` are other sections, in which no value may come later. `check` raises a ConfigurationError for hosts that
        break rules, and is asked again when all values are known.

        Raises:
            ConfigurationError: Naming each place where the plan needs the value itself.
        """
        self.hosts: set[str] = set()
        self._outputs: dict[str, Output[str | None]] = {}
        # What stands for itself, by its placeholder: the addresses of a host are put in together.
        self._values: dict[str, Output[str]] = {}
        self._sources: dict[str, Any] = {}
        # No placeholder may be what a host has itself.
        self._taken = set(_texts_in(hosts))
        self._faults: list[PlacedFault] = [
            fault for place, value in known.items() for fault in _outputs_in(value, place)
        ]
        self.plain: Any = self._replace(hosts, ())
        if self._faults:
            raise ConfigurationError(self._faults)
        if self._values:
            self._checked = Output.all(**self._values).apply(partial(_check_all, self.plain, check))

    def _replace(self, value: Any, path: tuple[str, ...], *, is_item: bool = False) -> Any:
        if _comes_later(value):
            if path[1:] in _LISTS and not is_item:
                self._faults.append(PlacedFault(join_path("mesh:hosts", *path), _NO_LIST))
                return []
            return self._keep(value, path)
        if isinstance(value, Mapping):
            return {name: self._replace(entry, (*path, str(name))) for name, entry in value.items()}
        if isinstance(value, list | tuple):
            if path[1:] in _LISTS and len(value) > 1 and any(map(_comes_later, value)):
                return self._keep_addresses(value, path)
            return [self._replace(entry, path, is_item=True) for entry in value]
        return value

    def _keep_addresses(self, addresses: Sequence[Any], path: tuple[str, ...]) -> list[str]:
        """Keep several addresses of a host; the plan has an endpoint of each IP version, until it is known which is."""
        check = partial(_check, _ADDRESS, join_path("mesh:hosts", *path))
        values = [Output.from_input(address).apply(check) for address in addresses]
        first = self._new_placeholder(_placeholder_address)
        others = [self._new_placeholder(_placeholder_of_other_version) for _ in values[1:]]
        self._values |= dict(zip((first, *others), values, strict=True))
        self._outputs[first] = values[0]
        self._outputs |= dict.fromkeys(others, Output.all(*values).apply(_first_of_other_version))
        return [first, *others]

    def _keep(self, output: Any, path: tuple[str, ...]) -> str | None:
        place = join_path("mesh:hosts", *path)
        kind = _KINDS.get(path[-1:] if len(path) == 2 else path[-2:])
        if kind is None:
            self._faults.append(PlacedFault(place, _NOT_YET))
            return None
        make, adapter = kind
        placeholder = self._new_placeholder(make)
        value = Output.from_input(output).apply(partial(_check, adapter, place))
        self._values[placeholder] = self._outputs[placeholder] = value
        self._sources[placeholder] = output
        if adapter not in (_ADDRESS, _NAME):
            self.hosts.add(path[0])
        return placeholder

    def _new_placeholder(self, make: Callable[[int], str]) -> str:
        placeholder = next(made for made in map(make, count(len(self._values))) if made not in self._taken)
        self._taken.add(placeholder)
        return placeholder

    def source(self, value: str) -> Any:
        """Return the output that `value` stands for, or `value` itself."""
        return self._sources.get(value, value)

    def real(self, value: Any) -> Any:
        """Return `value`, plain data that follows from the plan, with outputs in the place of their placeholders."""
        return _with_texts(value, self._real_text) if self._outputs else value

    def _real_text(self, text: str) -> str | Output[Any]:
        if (output := self._outputs.get(text)) is not None:
            return self._after_check(output)
        address, _, port = text.rpartition(":")
        if (output := self._outputs.get(address.strip("[]"))) is not None:
            return self._after_check(output.apply(partial(_endpoint, port)))
        return text

    def _after_check(self, output: Output[Any]) -> Output[Any]:
        """Return the output, once all values together are right; it depends on its own machine alone."""

        async def wait() -> Output[Any]:
            if not is_dry_run() or await self._checked.is_known():
                await self._checked.future()
            return output

        return Output.from_input(wait())


def _comes_later(value: object) -> bool:
    return isinstance(value, Output) or isawaitable(value)


def _outputs_in(value: Any, *path: object) -> Iterator[PlacedFault]:
    if _comes_later(value):
        yield PlacedFault(join_path(*path), _NOT_YET)
    for name, entry in value.items() if isinstance(value, Mapping) else ():
        yield from _outputs_in(entry, *path, name)
    for number, entry in enumerate(value) if isinstance(value, list | tuple) else ():
        yield from _outputs_in(entry, *path, number)


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    entries = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for entry in entries:
        yield from _texts_in(entry)


def _first_of_other_version(addresses: Sequence[str]) -> str | None:
    versions = [ip_address(address).version for address in addresses]
    return next((address for address, each in zip(addresses, versions, strict=True) if each != versions[0]), None)


def _endpoint(port: str, host: str | None) -> str | None:
    return None if host is None else join_endpoint(host, port)


def _with_texts(value: Any, change: Callable[[str], Any]) -> Any:
    """Return plain data with what `change` makes of each text in it."""
    if isinstance(value, Mapping):
        return {name: _with_texts(entry, change) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_with_texts(entry, change) for entry in value]
    return change(value) if isinstance(value, str) else value


def _check_all(plain: Any, check: Callable[[Any], object], values: Mapping[str, str]) -> None:
    try:
        check(_with_texts(plain, lambda text: values.get(text, text)))
    except ConfigurationError as faults:
        # As below.
        raise RunError(str(faults)) from None


def _check(adapter: TypeAdapter[str], place: str, value: object) -> str:
    try:
        return adapter.validate_python(value)
    except ValidationError as problem:
        [error] = problem.errors(include_url=False, include_input=False, include_context=False)
        # The engine shows this as a line, and any other exception of the program as a traceback.
        raise RunError(f"{place}: {error['msg']}") from None
