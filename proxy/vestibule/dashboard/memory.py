"""Answers that were given lately: the store takes tens of milliseconds for each, and a page asks for two dozen.

An answer about days that are over is taken as it was for ``PAST`` seconds (a day is closed two hours after it ends, and
changes then for the last time); one that today or yesterday is in, for as long as the setting says, or, where all of it
was released, until something else is. What is remembered is bounded by its rows: at the bound the answers that were
used longest ago are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

PAST = 600
MOST_ROWS = 200_000

Answer = Mapping[str, Any]
Stamp = tuple[int, ...]
"""Of what was released last: as long as it is the same, so are all released numbers."""


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: Answer
    until: float
    rows: int
    stamp: Stamp | None


class Memory:
    """``clock``: seconds since the epoch; ``now``: the site's local time. recent: seconds for which an answer with
    today in it is taken as it was; 0: nothing is remembered at all."""

    def __init__(self, clock: Callable[[], float], now: Callable[[], datetime], recent: int) -> None:
        self._clock = clock
        self._now = now
        self._recent = recent
        self._kept: OrderedDict[object, _Kept] = OrderedDict()
        self._rows = 0

    def stamp(self, health: Answer | None) -> Stamp | None:
        """Return the stamp that the recorder's health tells of; None where it can't be told for sure."""
        found = health.get("snapshot") if health is not None else None
        # Its time is in whole seconds: within the same one there may be another.
        if health is None or not isinstance(found, int) or not 0 < found < int(self._clock()):
            return None
        days = health.get("days")
        closed = days.get("closed") if isinstance(days, Mapping) else None
        return (found, closed) if isinstance(closed, int) else (found,)

    def get(self, key: object, stamp: Stamp | None = None) -> Answer | None:
        """stamp: what is the last release now."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if self._clock() >= kept.until or kept.stamp not in (None, stamp):
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return kept.answer

    def put(self, key: object, end: date, answer: Answer, stamp: Stamp | None = None) -> None:
        """Remember an answer about days up to ``end``. stamp: where all of it was released, the last release before it
        was asked for."""
        if not self._recent:
            return
        self._forget(key)
        over = end < self._now().date() - timedelta(days=1)
        rows = 1 + len(answer.get("rows", ())) + len(answer.get("points", ()))
        lasting = PAST if over or stamp is not None else self._recent
        self._kept[key] = _Kept(answer, self._clock() + lasting, rows, None if over else stamp)
        self._rows += rows
        while self._rows > MOST_ROWS:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: object) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._rows -= kept.rows
