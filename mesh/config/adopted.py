"""Keys that exist already and are taken over, as `mesh:adopted` of the stack's configuration has them: encrypted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mesh.config.hosts_file import NO_VALUES
from mesh.config.models import Configuration, Interfaces
from mesh.config.sections import ADOPTED, is_encrypted, sections_in_file
from mesh.config.validation import join_path
from mesh.errors import ConfigurationError, PlacedFault, show_name
from mesh.wireguard import keys

__all__ = ["Adopted", "adopted_in_file", "examine_adopted", "faults_in_clear", "read_adopted"]

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
    found, faults = examine_adopted(adopted, configuration.interfaces)
    if faults:
        raise ConfigurationError(faults)
    return found


def examine_adopted(adopted: object, interfaces: Interfaces | None) -> tuple[Adopted, list[PlacedFault]]:
    """Return the keys of `mesh:adopted` that can be used, and every fault.

    A value that is encrypted still is passed over. So are names, where it is not known which `interfaces` there are.
    """
    if adopted is None or is_encrypted(adopted):
        return Adopted(), []
    if not isinstance(adopted, Mapping):
        return Adopted(), [PlacedFault(ADOPTED, "not a mapping; give keys by interface/host, or by interface")]
    private_keys: dict[tuple[str, str], str] = {}
    preshared_keys: dict[str, str] = {}
    faults: list[PlacedFault] = []
    for name, value in adopted.items():
        interface, slash, host = name.partition("/") if isinstance(name, str) else ("", "", "")
        words = _wrong_owner(interface, host if slash else None, interfaces) or _wrong_key(value)
        if words:
            faults.append(PlacedFault(join_path(ADOPTED, name), words))
        elif is_encrypted(value):
            continue
        elif slash:
            private_keys[interface, host] = value
        else:
            preshared_keys[interface] = value
    faults.extend(_shared_private_keys(private_keys, interfaces or {}))
    return Adopted(MappingProxyType(private_keys), MappingProxyType(preshared_keys)), faults


def _wrong_owner(name: str, host: str | None, interfaces: Interfaces | None) -> str:
    if interfaces is None:
        return ""
    interface = interfaces.get(name)
    if interface is None:
        return "no interface of that name; name it as in mesh:interfaces, or remove the key"
    if host is None or host in interface.hosts or interface.is_unsure("hosts"):
        return ""
    return f"{show_name(host)} is no host of that interface; correct the name or remove the key"


def _wrong_key(value: object) -> str:
    if is_encrypted(value):
        return ""
    if not isinstance(value, str) or not keys.is_key(value):
        return "not a WireGuard key; give 44 characters of base64, as wg prints them"
    return "all zeros, which is no key to WireGuard; remove it to have one made" if value == keys.ZERO_KEY else ""


def _shared_private_keys(private_keys: Mapping[tuple[str, str], str], interfaces: Interfaces) -> Iterator[PlacedFault]:
    # WireGuard drops a peer that has the host's own public key, and takes two of one key for one, without an error.
    owners = {
        (name, peer.public_key): f"peer {called!r}"
        for name, interface in interfaces.items()
        for called, peer in interface.peers.items()
    }
    for (interface, host), private_key in private_keys.items():
        own = f"host {host!r}"
        other = owners.setdefault((interface, keys.public_key_of(private_key)), own)
        if other != own:
            yield PlacedFault(
                join_path(ADOPTED, f"{interface}/{host}"),
                f"the key of {other} too; each needs its own, so remove one to have it made",
            )


def adopted_in_file(file: Path) -> object:
    """Return what a stack file has as `mesh:adopted`, encrypted or not; None where it has none, or is not there.

    Raises:
        ConfigurationError: If it cannot be read as YAML, so that nobody knows what is in clear there.
    """
    if not file.is_file():
        return None
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        # The configuration may be in another file; the default one is then there for the salt alone.
        content = YAML(typ="safe").load(file.read_text(encoding="utf-8")) or {}
    except (YAMLError, *NO_VALUES):
        raise ConfigurationError([PlacedFault(ADOPTED, f"{file.name!r} cannot be read as YAML; correct it")]) from None
    return sections_in_file(content.get("config") or {}).get(ADOPTED)


def faults_in_clear(adopted: object, *, is_secret: bool, written: object) -> list[PlacedFault]:
    """Return a fault for each key of `mesh:adopted` that lies in clear in the stack file.

    `is_secret` is what the engine says of the whole, which is so for one encrypted key among others, so that what is
    `written` in the file counts too, if it is known.
    """
    if not adopted:
        return []
    places = _in_clear(written, ADOPTED) if is_secret else [ADOPTED]
    return [PlacedFault(place, _IN_CLEAR) for place in places]


def _in_clear(written: object, path: str) -> Iterator[str]:
    if isinstance(written, str):
        yield path
    elif isinstance(written, Mapping) and not is_encrypted(written):
        for name, value in written.items():
            yield from _in_clear(value, join_path(path, str(name)))
