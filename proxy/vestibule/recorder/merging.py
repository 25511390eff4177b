"""Which parts of the spool are merged while they wait, and when: so that its size follows the number of different cells
and visitors, and not that of facts, whatever they come to, and each step takes bounded time and memory.

Parts lie at places of a tree. What was counted comes to its root, and there eight of a size merge into one. Of parts
that have become heavy, some wait at the root (an outage is mostly short, and then they are sent as they are); more are
cut, by what their cells are of, into eight that lie one place below each. There parts merge among each other, and what
is heavy even then is cut again. All that is known of a cell thus meets at a place sooner or later, while no step takes
more than ``STEP`` hashes, unless two parts alone have more (a cell cannot be cut). A hash is moved O(log) times.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

HEAVY = 250_000
"""Hashes from which on a part is cut rather than merged."""
STEP = 500_000
"""Hashes that are merged at once at most."""
ROOT = 0
DEEPEST = 4
"""How often a part is cut at most. 8⁴ places of heavy parts are more than a spool of any sensible limit holds."""
WAYS = 8

_FAN_IN_AT_ROOT = 8
_FAN_IN = 3
"""Below the root fewer, since all that is there may be of the same cells: what lies at a place is then three times as
much as if it were merged, at most."""


class Part(NamedTuple):
    """place: 0 is the root, those below place n are 8 n + 1 to 8 n + 8."""

    place: int
    hashes: int
    id: int


def depth(place: int) -> int:
    """How often what is at a place was cut."""
    cuts = 0
    while place > ROOT:
        place, cuts = (place - 1) // WAYS, cuts + 1
    return cuts


def below(place: int, way: int) -> int:
    """The place where the piece of a number (from 0) goes."""
    return place * WAYS + 1 + way


def due(parts: Iterable[Part], waiting: int) -> list[Part]:
    """Return what is to be done next: one part to be cut, several to be merged, or none.

    parts: all there are, those of a place together. waiting: how many hashes may wait at the root in heavy ones.
    """
    for place, there in groupby(parts, lambda part: part.place):
        chosen = _due(place, list(there), waiting if place == ROOT else 0)
        if chosen:
            return chosen
    return []


def _due(place: int, parts: list[Part], waiting: int) -> list[Part]:
    light = parts
    if depth(place) < DEEPEST:
        heavy = [part for part in parts if part.hashes >= HEAVY]
        if sum(part.hashes for part in heavy) > waiting:
            return [min(heavy, key=lambda part: part.id)]
        light = [part for part in parts if part.hashes < HEAVY]
    return _alike(light, _FAN_IN_AT_ROOT if place == ROOT else _FAN_IN)


def _alike(parts: list[Part], fan_in: int) -> list[Part]:
    """The largest part that all smaller ones together outweigh as ``fan_in`` of its size would, with these."""
    parts = sorted(parts, key=lambda part: -part.hashes)
    rest = sum(part.hashes for part in parts)
    for first in range(len(parts) - fan_in + 1):
        rest -= parts[first].hashes
        if rest >= (fan_in - 1) * parts[first].hashes:
            return _bounded(parts[first:])
    return []


def _bounded(parts: list[Part]) -> list[Part]:
    total = sum(part.hashes for part in parts)
    while len(parts) > 2 and total > STEP:
        total -= parts[0].hashes
        parts = parts[1:]
    return parts
