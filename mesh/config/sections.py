"""What may stand below `config` in the stack file: our sections by their names, and which of them is meant."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mesh.config.plain import plain, plain_of_text
from mesh.config.validation import nearest
from mesh.errors import PlacedFault, is_showable, show_name

__all__ = [
    "ADOPTED",
    "HOSTS",
    "HOSTS_FILE",
    "INTERFACES",
    "NAMESPACE",
    "ROTATION",
    "SECTIONS",
    "encrypted_faults",
    "is_encrypted",
    "name_of_section",
    "section_of",
    "sections_in_file",
    "sections_of_texts",
    "sections_with_encrypted",
    "unknown_sections",
]

NAMESPACE = "mesh"
HOSTS = "mesh:hosts"
HOSTS_FILE = "mesh:hostsFile"
INTERFACES = "mesh:interfaces"
ROTATION = "mesh:rotation"
ADOPTED = "mesh:adopted"

# In words.
SECTIONS = {
    HOSTS: "The machines, by host name: letters, digits and -, in labels joined by dots.",
    HOSTS_FILE: "Instead of mesh:hosts, a YAML file of the project that holds what would stand there. A stack of "
    "more than some 500 hosts needs it.",
    INTERFACES: "The meshes, by interface name of 1 to 15 characters. Each has its own keys and addresses.",
    ROTATION: "Raise it to rotate all keys of all interfaces. Without it: 1.",
    ADOPTED: "Keys that exist already and are taken over, a secret. IF/HOST names a private key, IF a preshared "
    "key. Remove it after the first up.",
}
# Pulumi hands out each section as a text, and these are JSON.
_OBJECTS = {HOSTS, INTERFACES, ADOPTED}


def sections_of_texts(texts: Mapping[str, object]) -> dict[str, object]:
    """Return what stands in each section, from the texts that Pulumi hands out by name; other namespaces' are left."""
    ours = {name: text for name, text in texts.items() if name.startswith(f"{NAMESPACE}:")}
    return {
        name: plain_of_text(text) if name in _OBJECTS and isinstance(text, str) else plain(text)
        for name, text in ours.items()
    }


def section_of(written: object) -> str:
    """Return the section that a name below `config` in a stack file is, as Pulumi would read it."""
    # A name alone is in the namespace of the project, and this is how Pulumi once wrote one with its namespace.
    name = str(written).replace(f"{NAMESPACE}:config:", f"{NAMESPACE}:", 1)
    return f"{NAMESPACE}:{name}" if f"{NAMESPACE}:{name}" in SECTIONS else name


def name_of_section(config: Mapping[Any, object], section: str) -> str:
    """Return how a section is called below `config` in a stack file; by its full name where it is not there."""
    return next((str(name) for name in config if section_of(name) == section), section)


def sections_in_file(config: Mapping[Any, object]) -> dict[str, object]:
    """Return the same of what lies below `config` in a stack file, whose names and values Pulumi would read so."""
    sections = {}
    for written, value in config.items():
        name = section_of(written)
        if name.startswith(f"{NAMESPACE}:"):
            sections[name] = "" if value is None else plain(value)
    return sections


def is_encrypted(value: object) -> bool:
    """Tell whether this stands for an encrypted value in a stack file."""
    return isinstance(value, Mapping) and set(value) == {"secure"}


def sections_with_encrypted(sections: Mapping[str, object]) -> list[str]:
    """Return the sections of a stack file in which a value is encrypted, at any depth."""

    def holds(value: object) -> bool:
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        return is_encrypted(value) or any(map(holds, inner))

    return [name for name, value in sections.items() if holds(value)]


def encrypted_faults(names: Iterable[str]) -> Iterator[PlacedFault]:
    """Yield a fault for each of these sections, in which a value is encrypted, but for the keys."""
    for name in names:
        if name in SECTIONS and name != ADOPTED:
            yield PlacedFault(
                name,
                "a value here is encrypted, and the state and the hosts would have it in clear; "
                "set it again without --secret, or take it out",
            )


def unknown_sections(names: Iterable[str]) -> Iterator[PlacedFault]:
    """Yield a fault for each name that is no section, since Pulumi takes any."""
    for name in names:
        if name in SECTIONS:
            continue
        own = name.partition(":")[2]
        place = name if is_showable(own) else f"{NAMESPACE}:{show_name(own)}"
        close = nearest(own, [known.partition(":")[2] for known in SECTIONS])
        if close:
            yield PlacedFault(place, f"unknown section; did you mean {NAMESPACE}:{close}?")
        else:
            yield PlacedFault(place, f"unknown section; allowed are {', '.join(SECTIONS)}")
