"""Answers that were given lately: the store takes tens of milliseconds for each, and a page asks for two dozen.

An answer about days that are over is taken as it was for ``PAST`` seconds (a day is closed two hours after it ends, and
changes then for the last time); one that today or yesterday is in, for as long as the setting says. What is remembered
is bounded by its rows: at the bound the answers that were used longest ago are forgotten.
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


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: Answer
    until: float
    rows: int


class Memory:
    """``clock``: seconds since the epoch; ``now``: the site's local time. recent: seconds for which an answer with
    today in it is taken as it was; 0: nothing is remembered at all."""

    def __init__(self, clock: Callable[[], float], now: Callable[[], datetime], recent: int) -> None:
        self._clock = clock
        self._now = now
        self._recent = recent
        self._kept: OrderedDict[object, _Kept] = OrderedDict()
        self._rows = 0

    def get(self, key: object) -> Answer | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if self._clock() >= kept.until:
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return kept.answer

    def put(self, key: object, end: date, answer: Answer) -> None:
        """Remember an answer about days up to ``end``."""
        if not self._recent:
            return
        self._forget(key)
        over = end < self._now().date() - timedelta(days=1)
        rows = 1 + len(answer.get("rows", ())) + len(answer.get("points", ()))
        self._kept[key] = _Kept(answer, self._clock() + (PAST if over else self._recent), rows)
        self._rows += rows
        while self._rows > MOST_ROWS:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: object) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._rows -= kept.rows
