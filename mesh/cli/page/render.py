"""The page as one HTML file that asks nobody for anything.

The template escapes whatever it is given. Of scripts and styles, only our two run, by their digests; the policy forbids
everything else, so that not even a fault of ours could send a request. Data for the script is JSON without a character
that HTML reads.
"""

import json
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mesh.cli.page.content import NO_PAIR, PAIR_STATES, Page, PageHost, PageMesh, every_text
from mesh.cli.page.site_map import draw_map
from mesh.errors import visible

__all__ = ["policy", "show_page"]

# The most participants with which a cell of the matrix has place for a time, and for a sign.
_LARGE, _MEDIUM = 12, 40
_SIGNS = {"s": "\N{MULTIPLICATION SIGN}", "k": "?", "r": "↻", "c": "·", "m": "○"}


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _script() -> str:
    """Return our script, whose parts see each other, and nothing else does."""
    parts = "".join(map(_read, ("words.js", "panel.js", "marks.js", "page.js")))
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def policy(*, served: bool) -> str:
    """Return the Content-Security-Policy of the page; one that is served may ask its own server, and nobody else."""
    rules = [
        "default-src 'none'",
        f"style-src {_digest(_read('page.css'))}",
        f"script-src {_digest(_script())}",
        *(["connect-src 'self'"] if served else []),
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join(rules)


def _json(value: Any) -> Markup:
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    # Inside a script element nothing is an entity, so what could end it is written as JSON may.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - no character of it means anything to HTML


def _data(page: Page, every: int) -> dict[str, Any]:
    return {"made": page.made, "every": every, "states": PAIR_STATES, "meshes": [_mesh(mesh) for mesh in page.meshes]}


def _mesh(mesh: PageMesh) -> dict[str, Any]:
    return {
        "name": mesh.interface,
        "mtu": mesh.mtu,
        "hosts": [[host.name, host.site, host.tags, host.state, host.endpoint] for host in mesh.hosts],
        "states": mesh.states,
        "directions": [
            [
                each
                and [
                    each.endpoint, each.age, each.received, each.sent, each.pings, each.came, each.least, each.mean,
                    each.most, each.largest,
                ]
                for each in row
            ]
            for row in mesh.directions
        ],
    }  # fmt: skip


def _cell(mesh: PageMesh, row: int, column: int) -> tuple[str, str]:
    """Return the class and the text of a cell."""
    letter = "d" if row == column else mesh.states[row][column]
    seen = mesh.directions[row][column]
    if letter in "ur" and seen and seen.mean is not None and len(mesh.hosts) <= _MEDIUM:
        digits = 1 if seen.mean < 10 and len(mesh.hosts) <= _LARGE else 0
        return letter, f"{seen.mean:.{digits}f}"
    return ("n" if letter == NO_PAIR else letter), _SIGNS.get(letter, "")


def _key_words(host: PageHost) -> str:
    made = "" if host.key_days is None else f"{host.key_days} d old"
    if host.key_left is None:
        return made
    return f"{made}, {'expired' if host.key_left < 0 else f'{host.key_left} d left'}"


def show_page(page: Page, *, every: int = 0) -> str:
    """Return the page; one that is served asks its server after `every` seconds whether there is a newer one."""
    shown = every_text(page, visible)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_read("page.html.jinja"))
    return template.render(
        page=shown,
        policy=policy(served=every > 0),
        style=Markup(_read("page.css")),  # noqa: S704 - our own file
        script=Markup(_script()),  # noqa: S704 - our own file
        data=_json(_data(shown, every)),
        maps=[draw_map(mesh) for mesh in shown.meshes],
        cell=_cell,
        key_words=_key_words,
        size=lambda mesh: "large" if len(mesh.hosts) <= _LARGE else "medium" if len(mesh.hosts) <= _MEDIUM else "small",
        oldest=lambda mesh: max((host.key_days for host in mesh.hosts if host.key_days is not None), default=None),
        signs=_SIGNS,
        states=PAIR_STATES,
    )
