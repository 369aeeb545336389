"""The JSON schema of the stack file, and the line by which editors find it.

It is made from the models, and never refuses what they take. It takes more than they do where a rule needs several
entries (`rules`) or more than a pattern (`fields`).
"""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mesh.config.interface_name import interface_name_schema
from mesh.config.models import Host, Interface
from mesh.config.patterns import HOST_NAME
from mesh.config.sections import ADOPTED, HOSTS, HOSTS_FILE, INTERFACES, ROTATION, SECTIONS
from mesh.config.validation import accepts

__all__ = ["SCHEMA_FILE", "build_schema", "editor_line", "editor_line_in_project", "schema_text"]

# In the project's folder.
SCHEMA_FILE = "stacks/mesh.schema.json"

_NAMES = {"pattern": f"^({HOST_NAME})$", "maxLength": 253}
_SECRET = {"type": "object", "properties": {"secure": {"type": "string"}}, "required": ["secure"]}
_FULL = {"minItems": 1}


def _section(model: str, names: dict[str, Any], words: str) -> dict[str, Any]:
    return {
        "description": words,
        "type": "object",
        "propertyNames": names,
        "additionalProperties": {"$ref": f"#/$defs/{model}"},
    }


def _describe(definition: dict[str, Any], model: type[BaseModel]) -> None:
    """Say of each field what it means and what it takes; a title would only repeat its name."""
    definition.pop("title", None)
    for field in model.model_fields.values():
        prop = definition["properties"][field.alias]
        prop.pop("title", None)
        words = accepts(field)
        prop["description"] = f"{field.description} Takes {words}." if words else field.description


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """Return a model and all that its fields lead to."""
    found = {model}
    pending: list[Any] = [field.annotation for field in model.model_fields.values()]
    while pending:
        annotation = pending.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found |= _models(annotation)
        pending.extend(getattr(annotation, "__args__", ()))
    return found


def build_schema() -> dict[str, Any]:
    """Return the JSON schema, draft 2020-12, of a whole stack file."""
    wanted = sorted(_models(Host) | _models(Interface), key=lambda model: model.__name__)
    _, schema = models_json_schema([(model, "validation") for model in wanted], ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = schema["$defs"]
    for model in wanted:
        _describe(definitions[model.__name__], model)
    # A file that waits for its scan is not wrong yet: that fills in what `ssh` and the hosts know.
    for login in ("Bastion", "SshSettings"):
        definitions[login]["required"].remove("hostKey")
    definitions["SshSettings"]["required"].remove("address")
    definitions["Host"]["required"].remove("ssh")
    # One place each: peers could not know which is right, and without a site nobody uses local addresses.
    definitions["Host"]["not"] = {"required": ["externalIps", "externalName"], "properties": {"externalIps": _FULL}}
    definitions["Host"]["if"] = {"required": ["localIps"], "properties": {"localIps": _FULL}}
    definitions["Host"]["then"] = {"required": ["site"]}
    definitions["Peering"]["oneOf"] = [
        {"required": ["group"], "properties": {"group": _FULL, "hub": {"maxItems": 0}, "spokes": {"maxItems": 0}}},
        {"required": ["hub", "spokes"], "properties": {"hub": _FULL, "spokes": _FULL, "group": {"maxItems": 0}}},
    ]
    definitions["Interface"]["properties"]["hosts"] |= {"minItems": 1, "uniqueItems": True}
    definitions["Interface"]["properties"]["peers"]["propertyNames"] = _NAMES
    # A name alone is an entry in which everything is as usual.
    for names in ("members", "peers"):
        mapping = definitions["Interface"]["properties"][names]
        mapping["additionalProperties"] = {"anyOf": [mapping["additionalProperties"], {"type": "null"}]}
    hosts = _section("Host", _NAMES, SECTIONS[HOSTS])
    hosts["additionalProperties"] = {"anyOf": [hosts["additionalProperties"], {"type": "null"}]}
    sections: dict[str, Any] = {
        HOSTS: hosts,
        HOSTS_FILE: {"description": SECTIONS[HOSTS_FILE], "type": "string"},
        INTERFACES: _section("Interface", interface_name_schema(), SECTIONS[INTERFACES]),
        ROTATION: {
            "description": SECTIONS[ROTATION],
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
                {"type": "string", "pattern": "^[1-9][0-9]{0,9}$"},
            ],
        },
        ADOPTED: {
            "description": SECTIONS[ADOPTED],
            "anyOf": [_SECRET, {"type": "object", "additionalProperties": {"anyOf": [_SECRET, {"type": "string"}]}}],
        },
    }
    known = "|".join(name.partition(":")[2] for name in sections)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A stack file of mesh",
        "type": "object",
        "properties": {
            "config": {
                "type": ["object", "null"],
                "properties": sections,
                # Other namespaces are other programs' and Pulumi's own.
                "propertyNames": {"pattern": f"^(?!mesh:)|^mesh:(config:)?({known})$"},
            }
        },
        "$defs": definitions,
    }


def schema_text() -> str:
    """Return the schema as it stands in the project's `SCHEMA_FILE`."""
    return json.dumps(build_schema(), indent=2) + "\n"


def editor_line(stack_file: Path, folder: Path) -> str:
    """Return the first line of `stack_file`, without its end, by which editors check it against the project's schema.

    Editors with the YAML language server read it; to all others it is a comment.
    """
    relative = os.path.relpath(folder / SCHEMA_FILE, stack_file.resolve().parent)
    return f"# yaml-language-server: $schema={Path(relative).as_posix()}"


def editor_line_in_project(stack_file: Path) -> str:
    """Return `editor_line` with its end for a file that is to be written, or nothing if no project's schema is near."""
    folder = next((up for up in stack_file.resolve().parents if (up / SCHEMA_FILE).is_file()), None)
    return f"{editor_line(stack_file, folder)}\n" if folder else ""
