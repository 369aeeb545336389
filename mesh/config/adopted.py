"""Keys that exist already and are taken over, as `mesh:adopted` of the stack's configuration has them: encrypted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mesh.config.models import Configuration
from mesh.config.validation import join_path
from mesh.errors import ConfigurationError, PlacedFault, show_name
from mesh.wireguard import keys

__all__ = ["Adopted", "read_adopted", "require_encrypted"]

_ADOPTED = "mesh:adopted"
_IN_CLEAR = (
    "in clear, where whoever reads the file has it; run pulumi config rm mesh:adopted, set it again with "
    "pulumi config set --secret, and raise rotation if the file was shared"
)


@dataclass(frozen=True, slots=True)
class Adopted:
    """Keys that exist already and are taken over instead of made, by interface and host; printing it shows none."""

    private_keys: Mapping[tuple[str, str], str] = field(default_factory=dict, repr=False)
    preshared_keys: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_adopted(adopted: object, configuration: Configuration) -> Adopted:
    """Return the keys of `mesh:adopted`: `testwg/bernard` names a private key and `testwg` a preshared key.

    Raises:
        ConfigurationError: With every fault at once; none repeats a key.
    """
    if adopted is None:
        return Adopted()
    if not isinstance(adopted, Mapping):
        raise ConfigurationError([PlacedFault(_ADOPTED, "not a mapping; give keys by interface/host, or by interface")])
    private_keys: dict[tuple[str, str], str] = {}
    preshared_keys: dict[str, str] = {}
    faults: list[PlacedFault] = []
    for name, value in adopted.items():
        path = join_path(_ADOPTED, name)
        interface_name, slash, host = name.partition("/") if isinstance(name, str) else ("", "", "")
        interface = configuration.interfaces.get(interface_name)
        if interface is None:
            faults.append(
                PlacedFault(path, "no interface of that name; name it as in mesh:interfaces, or remove the key")
            )
        elif slash and host not in interface.hosts:
            faults.append(
                PlacedFault(path, f"{show_name(host)} is no host of that interface; correct the name or remove the key")
            )
        elif not isinstance(value, str) or not keys.is_key(value):
            faults.append(PlacedFault(path, "not a WireGuard key; give 44 characters of base64, as wg prints them"))
        elif slash:
            private_keys[interface_name, host] = value
        elif value == keys.ZERO_KEY:
            faults.append(
                PlacedFault(path, "all zeros, which is no preshared key to WireGuard; remove it to have one made")
            )
        else:
            preshared_keys[interface_name] = value
    faults.extend(_shared_private_keys(private_keys))
    if faults:
        raise ConfigurationError(faults)
    return Adopted(MappingProxyType(private_keys), MappingProxyType(preshared_keys))


def _shared_private_keys(private_keys: Mapping[tuple[str, str], str]) -> list[PlacedFault]:
    # WireGuard drops a peer that has the host's own public key, without an error.
    owners: dict[tuple[str, str], str] = {}
    faults: list[PlacedFault] = []
    for (interface, host), private_key in private_keys.items():
        other = owners.setdefault((interface, keys.public_key_of(private_key)), host)
        if other != host:
            path = join_path(_ADOPTED, f"{interface}/{host}")
            faults.append(
                PlacedFault(
                    path, f"the key of host {other!r} too; each host needs its own, so remove one to have it made"
                )
            )
    return faults


def require_encrypted(adopted: object, *, is_secret: bool, file: Path) -> None:
    """Return if no key of `mesh:adopted` lies in clear in the stack file.

    `is_secret` is what the engine says of the whole, which is so for one encrypted key among others, so that `file` is
    asked too, if it is there.

    Raises:
        ConfigurationError: Naming each key that does.
    """
    if not adopted:
        return
    if not is_secret:
        raise ConfigurationError([PlacedFault(_ADOPTED, _IN_CLEAR)])
    if not file.is_file():
        return
    from ruamel.yaml import YAML  # noqa: PLC0415

    # The configuration may be in another file; the default one is then there for the salt alone.
    config = (YAML(typ="safe").load(file.read_text(encoding="utf-8")) or {}).get("config") or {}
    if faults := [PlacedFault(path, _IN_CLEAR) for path in _in_clear(config.get(_ADOPTED), _ADOPTED)]:
        raise ConfigurationError(faults)


def _in_clear(written: object, path: str) -> Iterator[str]:
    if isinstance(written, str):
        yield path
    elif isinstance(written, Mapping) and set(written) != {"secure"}:
        for name, value in written.items():
            yield from _in_clear(value, join_path(path, str(name)))
