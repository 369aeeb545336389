"""The map of a mesh as geometry: a box for each site on an ellipse, its hosts in it, and lines between the boxes.

What the lines say is the worst of the pairs that they stand for, so that a silent one is seen among hundreds.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, sin, sqrt

from mesh.cli.page.content import PageMesh

__all__ = ["Box", "Dot", "Link", "SiteMap", "draw_map"]

# In pixels: a letter, a row of a box, what is around them, and the least space between boxes and around all.
_LETTER, _ROW, _PAD, _TITLE, _GAP, _EDGE = 7, 22, 10, 20, 46, 16
_LONGEST = 18
# The most participants without a site that stand each for themselves, and where there are sites.
_MOST_ALONE, _MOST_BESIDE_SITES = 16, 4
# Which state of a pair is shown first.
_WORST = "skrucm"


@dataclass(frozen=True, slots=True)
class Dot:
    """A participant, by its number, with the name as it fits."""

    number: int
    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Box:
    """The participants of a site, or those of none."""

    x: float
    y: float
    width: float
    height: float
    title: str
    is_site: bool
    worst: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """All pairs between two boxes: the worst state, and how many directions have which."""

    x1: float
    y1: float
    x2: float
    y2: float
    worst: str
    title: str


@dataclass(frozen=True, slots=True)
class SiteMap:
    """The whole map; `links` are to be drawn first."""

    x: int
    y: int
    width: int
    height: int
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]


def _groups(mesh: PageMesh) -> list[tuple[str, bool, list[int]]]:
    """Return title, whether it is a site, and participants of each box."""
    sites: dict[tuple[str, bool], list[int]] = {}
    alone = sum(not host.site for host in mesh.hosts)
    most = _MOST_ALONE if alone == len(mesh.hosts) else _MOST_BESIDE_SITES
    for number, host in enumerate(mesh.hosts):
        if host.site:
            sites.setdefault((host.site, True), []).append(number)
        elif alone <= most:
            sites[f"\0{number}", False] = [number]
        else:
            kind = "not managed" if host.state == "not-managed" else "no site" if host.endpoint else "roaming"
            sites.setdefault((kind, False), []).append(number)
    return [("" if title.startswith("\0") else title, is_site, numbers) for (title, is_site), numbers in sites.items()]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _size(mesh: PageMesh, title: str, numbers: Sequence[int]) -> tuple[int, float, float, float]:
    """Return how many columns a box has, how wide one is, and its width and height."""
    cell = 24 + _LETTER * max(len(_short(mesh.hosts[number].name)) for number in numbers)
    columns = max(1, min(len(numbers), round(sqrt(len(numbers) * _ROW * 1.6 / cell))))
    rows = -(-len(numbers) // columns)
    width = max(columns * cell, _LETTER * 1.1 * len(_short(title))) + 2 * _PAD
    return columns, cell, width, rows * _ROW + (_TITLE if title else 0) + _PAD


def _places(sizes: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the middle of each box, on the smallest ellipse where none lies over another."""
    if len(sizes) == 1:
        return [(0.0, 0.0)]
    around = [hypot(*size) + _GAP for size in sizes]
    whole, radius = sum(around), 60.0
    while True:
        places, angle = [], -pi / 2 - around[0] / whole * pi
        for share in around:
            middle = angle + share / whole * pi
            places.append((1.45 * radius * cos(middle), 0.8 * radius * sin(middle)))
            angle += share / whole * 2 * pi
        if not any(
            abs(places[one][0] - places[other][0]) < (sizes[one][0] + sizes[other][0]) / 2 + _GAP
            and abs(places[one][1] - places[other][1]) < (sizes[one][1] + sizes[other][1]) / 2 + _GAP
            # Neighbours first, which are the last to come apart.
            for step in range(1, len(sizes) // 2 + 1)
            for one, other in enumerate([*range(step, len(sizes)), *range(step)])
        ):
            return places
        radius *= 1.06


def _between(mesh: PageMesh, groups: Sequence[Sequence[int]]) -> dict[tuple[int, int], Counter[str]]:
    """Return how many directions between two groups, by their places, have which state; the first is not the greater.

    One dead host is silent for everybody, and would hide what else is; so it counts only where there is nothing else.
    All are counted in one go, since where each host has a site of its own, there are as many groups as hosts.
    """
    place = {number: group for group, numbers in enumerate(groups) for number in numbers}
    dead = {number for number, host in enumerate(mesh.hosts) if host.state == "unreachable"}
    of_all, of_living = defaultdict[tuple[int, int], Counter[str]](Counter), dict[tuple[int, int], Counter[str]]()
    for here, row in enumerate(mesh.states):
        for there, letter in enumerate(row):
            if letter in _WORST:
                one, other = place[here], place[there]
                pair = (one, other) if one <= other else (other, one)
                if here in dead or there in dead:
                    of_all[pair][letter] += 1
                elif pair in of_living:
                    of_living[pair][letter] += 1
                else:
                    of_living[pair] = Counter(letter)
    return of_all | of_living


def _worst(counted: Counter[str]) -> str:
    return next((letter for letter in _WORST if counted[letter]), "")


def draw_map(mesh: PageMesh) -> SiteMap:
    """Return where everything is."""
    groups = _groups(mesh)
    sizes = [_size(mesh, title, numbers) for title, _, numbers in groups]
    places = _places([(width, height) for *_, width, height in sizes])
    between = _between(mesh, [numbers for *_, numbers in groups])
    boxes: list[Box] = []
    for (title, is_site, numbers), (columns, cell, width, height), (x, y) in zip(groups, sizes, places, strict=True):
        left, top = x - width / 2, y - height / 2
        first = top + (_TITLE if title else 0) + _PAD / 2 + _ROW / 2
        dots = tuple(
            Dot(
                number,
                round(left + _PAD + place % columns * cell + 6, 1),
                round(first + place // columns * _ROW, 1),
                _short(mesh.hosts[number].name),
            )
            for place, number in enumerate(numbers)
        )
        inside = _worst(between.get((len(boxes), len(boxes)), Counter()))
        boxes.append(Box(round(left, 1), round(top, 1), round(width, 1), height, _short(title), is_site, inside, dots))
    middles = [(round(x, 1), round(y, 1)) for x, y in places]
    links = []
    for (other, one), counted in sorted(between.items(), key=lambda found: found[0][::-1]):
        if other != one and (worst := _worst(counted)) != "c":
            links.append(Link(*middles[one], *middles[other], worst, _title(counted)))
    # What is wrong is drawn over what is not.
    links.sort(key=lambda link: -_WORST.index(link.worst))
    left = round(min(box.x for box in boxes)) - _EDGE
    top = round(min(box.y for box in boxes)) - _EDGE
    right = round(max(box.x + box.width for box in boxes)) + _EDGE
    bottom = round(max(box.y + box.height for box in boxes)) + _EDGE
    return SiteMap(left, top, right - left, bottom - top, tuple(boxes), tuple(links))


def _title(counted: Counter[str]) -> str:
    words = {"u": "up", "r": "over the relay", "s": "silent", "k": "unknown", "c": "cannot meet", "m": "not managed"}
    return ", ".join(f"{counted[letter]} {words[letter]}" for letter in _WORST if counted[letter])
