"""What was read of archived days: they change no more, so most of a long period needs not be read again.

It is remembered from the second time on that it is asked for: whoever looks once is answered by a single query over all
days. Bounded by rows and by time (old days are forgotten by the store itself, without anybody saying so): at the bound
of rows the answers that were used longest ago go first.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

MOST_ROWS = 100_000
REMEMBERED = 600.0

Rows = Sequence[Sequence[Any]]


class Settled:
    """Rows by what was asked for. Used by one thread, as the store is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST_ROWS) -> None:
        self._clock, self._most = clock, most
        self._kept: OrderedDict[object, tuple[float, Rows | None]] = OrderedDict()
        self._rows = 0
        self._swept = 0.0

    def get(self, key: object, read: Callable[[], Rows]) -> Rows | None:
        """Return what is remembered, or else what ``read`` finds; None the first time that it is asked for."""
        until, rows = self._kept.get(key, (0.0, None))
        if self._clock() >= until:
            self._keep(key, None)
            return None
        if rows is None:
            rows = read()
            self._keep(key, rows)
        else:
            self._kept.move_to_end(key)
        return rows

    def clear(self) -> None:
        self._kept.clear()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def _keep(self, key: object, rows: Rows | None) -> None:
        self._forget(key)
        now = self._clock()
        if now >= self._swept:
            for over in [each for each, (until, _) in self._kept.items() if now >= until]:
                self._forget(over)
            self._swept = now + REMEMBERED / 10
        self._kept[key] = now + REMEMBERED, rows
        self._rows += 1 + len(rows or ())
        while self._rows > self._most:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: object) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._rows -= 1 + len(kept[1] or ())
