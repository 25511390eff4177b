"""Movements between pages as a drawing: where people come from on the left, where they go on the right.

The drawing is between two lists of links; it is one SVG of curves whose widths are shares, and holds no text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vestibule.dashboard.address import Address
from vestibule.dashboard.values import can_filter, labelled, visible
from vestibule.dashboard.words import Words

WIDTH = 100
ROW = 30
"""Height of a row of the lists, in the units of the drawing."""
MOST = 7


@dataclass(frozen=True, slots=True)
class Step:
    """One page that people come from or go to. href: the page's own movements."""

    label: str
    value: str
    count: int
    visitors: int
    href: str | None


@dataclass(frozen=True, slots=True)
class Ribbon:
    """path: SVG path data of a curve. width: its stroke."""

    path: str
    width: float


@dataclass(frozen=True, slots=True)
class Flow:
    """page: its label. come_paths, go_paths: the drawings to the left and to the right of it, ``height`` high."""

    page: str
    come: tuple[Step, ...]
    go: tuple[Step, ...]
    come_paths: tuple[Ribbon, ...]
    go_paths: tuple[Ribbon, ...]
    height: int


def draw(page: str, come: Mapping[str, Any], go: Mapping[str, Any], address: Address, words: Words) -> Flow:
    """Return the drawing of two breakdowns, each with its largest rows."""
    left, right = _steps("previous", come["rows"], address, words), _steps("page", go["rows"], address, words)
    height = max(len(left), len(right), 1) * ROW
    largest = max((step.count for step in (*left, *right)), default=1) or 1
    return Flow(
        page=visible(page),
        come=left,
        go=right,
        come_paths=_ribbons(left, height, largest, towards=True),
        go_paths=_ribbons(right, height, largest, towards=False),
        height=height,
    )


def _steps(dimension: str, rows: Sequence[Mapping[str, Any]], address: Address, words: Words) -> tuple[Step, ...]:
    found = []
    for row in rows[:MOST]:
        value = str(row["value"])
        href = address.with_where(("page", value)).href if can_filter(value) and value.startswith("/") else None
        name = words("Entry of the visit") if value == "(none)" else labelled(dimension, value, words)[0]
        found.append(Step(name, visible(value, 600), int(row["count"]), int(row["visitors"]), href))
    return tuple(found)


def _ribbons(steps: Sequence[Step], height: int, largest: int, *, towards: bool) -> tuple[Ribbon, ...]:
    middle = height / 2
    found = []
    for index, step in enumerate(steps):
        y = index * ROW + ROW / 2
        start, end = (y, middle) if towards else (middle, y)
        path = f"M0 {start:.1f}C{WIDTH / 2} {start:.1f} {WIDTH / 2} {end:.1f} {WIDTH} {end:.1f}"
        found.append(Ribbon(path, round(max(step.count / largest * (ROW - 8), 1.5), 1)))
    return tuple(found)
