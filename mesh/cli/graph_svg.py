"""A mesh as an SVG picture: its participants and the networks behind them on a circle, site by site."""

from collections.abc import Iterator
from math import cos, pi, radians, sin
from xml.sax.saxutils import escape

from mesh.cli.graph import Drawing
from mesh.errors import visible

__all__ = ["svg"]

# In pixels: between two neighbours on the circle, and how wide a letter is.
_STEP, _LETTER = 34, 7
# More labels than these stand close, so that they are turned like spokes.
_MANY = 12
_LEGEND = "lines: green within a site, dotted over the relay, orange to an exit node, brown to a network"
_FAULTY = "; red: does not answer, or is not as planned"
_STYLE = """
text { font: 13px sans-serif;fill: #222 } text .more { fill: #666;font-size: 11px } .title { font-size: 20px }
.site { font-weight: bold;text-anchor: middle;paint-order: stroke;stroke: #fff;stroke-width: 4px }
line { stroke: #9ab;stroke-width: 1 } .local { stroke: #2a7;stroke-width: 2 } .relayed { stroke-dasharray: 2 4 }
.exit { stroke: #c63;stroke-width: 2 } .network { stroke: #963 } path { stroke: #2a72;stroke-width: 30;fill: none }
circle { fill: #36a;stroke: #36a } circle.roaming { fill: #fff } circle.relay { fill: #a3a;stroke: #a3a }
circle.exit { fill: #c63;stroke: #c63 } circle.peer { fill: #fff;stroke: #888;stroke-dasharray: 3 2 }
circle.network { fill: #963;stroke: #963 }
line.silent { stroke: #d22;stroke-width: 2 } circle.faulty { stroke: #d22;stroke-width: 4 }
@media (prefers-color-scheme: dark) {
  svg { background: #111 } .site { stroke: #111 }
  text { fill: #ddd } text .more { fill: #999 } circle.roaming, circle.peer { fill: #111 } }
"""


def _text(text: str) -> str:
    return escape(visible(text))


def _angles(drawing: Drawing) -> tuple[list[float], list[tuple[str, float, float]]]:
    """Return the angle of each node in degrees, and the sites with the angles at which they begin and end."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for site, numbers in drawing.sites().items():
        for number in numbers:
            apart = not site and drawing.nodes[number].kind in ("peer", "network")
            groups.setdefault((site, apart), []).append(number)
    # A free place behind each group keeps it apart.
    step = 360 / sum(len(numbers) + 1 for numbers in groups.values())
    angles = [0.0] * len(drawing.nodes)
    sites = []
    place = 0.5
    for (site, _), numbers in groups.items():
        for number in numbers:
            angles[number] = place * step
            place += 1
        if site:
            sites.append((site, (place - len(numbers) - 0.3) * step, (place - 0.7) * step))
        place += 1
    return angles, sites


def svg(drawing: Drawing) -> str:
    """Return the picture, whose details are shown where the pointer rests."""
    angles, sites = _angles(drawing)
    radius = max(120.0, (len(angles) + len(sites) + 2) * _STEP / (2 * pi))
    is_turned = len(angles) > _MANY
    half = radius + 40 + _LETTER * max(len(" ".join(node.lines)) for node in drawing.nodes)

    def at(angle: float, length: float = radius) -> tuple[str, str]:
        return f"{length * cos(radians(angle)):.1f}", f"{length * sin(radians(angle)):.1f}"

    def body() -> Iterator[str]:
        for _, begin, end in sites:
            (x1, y1), (x2, y2) = at(begin), at(end)
            arc = f"A{radius:.1f} {radius:.1f} 0 {int(end - begin > 180)} 1"
            yield f'<path d="M{x1} {y1}{arc} {x2} {y2}"/>'
        for number, (one, other, kind) in enumerate(drawing.lines):
            (x1, y1), (x2, y2) = at(angles[one]), at(angles[other])
            silent = " silent" if number in drawing.silent else ""
            yield f'<line class="{kind}{silent}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
        for site, begin, end in sites:
            x, y = at((begin + end) / 2, radius - 40)
            yield f'<text class="site" x="{x}" y="{y}">{_text(site)}</text>'
        for number, (node, angle) in enumerate(zip(drawing.nodes, angles, strict=True)):
            x, y = at(angle)
            faulty = " faulty" if number in drawing.faulty else ""
            is_left = 90 < angle % 360 < 270
            turn = (angle + 180 * is_left) * is_turned
            words = [_text(node.lines[0]), f'<tspan class="more">{_text(" ".join(node.lines[1:]))}</tspan>']
            yield f'<g transform="translate({x} {y}) rotate({turn:.1f})"><title>{_text(", ".join(node.lines))}</title>'
            yield f'<circle class="{node.kind}{faulty}" r="7"/>'
            yield f'<text x="{-12 if is_left else 12}" y="4" text-anchor="{"end" if is_left else "start"}">'
            yield f"{' '.join(reversed(words) if is_left else words)}</text></g>"

    height = half if is_turned else radius + 100
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-half:.0f} {-height:.0f} {2 * half:.0f} {2 * height:.0f}">'
    )
    corner = f'x="{20 - half:.0f}" y="{30 - height:.0f}"'
    legend = _LEGEND + _FAULTY * bool(drawing.faulty or drawing.silent)
    title = f'<text class="title" {corner}>{_text(drawing.title)}<tspan class="more" dx="12">{legend}</tspan></text>'
    return "\n".join([head, f"<style>{_STYLE}</style>", title, *body(), "</svg>"]) + "\n"
