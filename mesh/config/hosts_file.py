"""The hosts in a file of their own, as a stack of more than some 500 needs.

Pulumi gives a program its configuration in one environment variable, and Linux allows no more than 128 KB there. The
model of a host is in `host_models`.
"""

from collections.abc import Mapping
from pathlib import Path

from mesh.errors import ConfigurationError, PlacedFault

__all__ = ["NO_VALUES", "read_hosts"]

_HOSTS_FILE = "mesh:hostsFile"
# What the YAML library lets through where a text has the form of a value and is none, such as the date 2026-99-99, a
# mapping as a key, or brackets in thousands.
NO_VALUES = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)


def read_hosts(inline: object, file: object, folder: Path) -> object:
    """Return the hosts of the stack file, or of the YAML file that it names relative to `folder`.

    Raises:
        ConfigurationError: If both are given, or the file cannot be read or holds no mapping.
    """
    if not file:
        # Pulumi hands out an empty mapping where the stack file has none.
        return inline or None
    if not isinstance(file, str):
        raise _refused("not usable; give the path of a YAML file of the project")
    if inline or inline == "":
        raise _refused("mesh:hosts is given too; keep all hosts in one of them")
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        hosts = YAML(typ="safe").load((folder / file).read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(f"{file!r}: {error.strerror}; name a file of the project") from None
    except (YAMLError, *NO_VALUES):
        raise _refused(f"{file!r} cannot be read as YAML; correct it") from None
    if not isinstance(hosts, Mapping):
        raise _refused(f"{file!r} is no mapping; name each host as below mesh:hosts")
    return hosts


def _refused(words: str) -> ConfigurationError:
    return ConfigurationError([PlacedFault(_HOSTS_FILE, words)])
