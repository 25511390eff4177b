"""Where each day of some logs ends: so it can be closed while the rest is counted.

Logs come in any order, hold parts of the same day, and may be several that were put together. So nothing is taken for
granted: they are read once before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import tzinfo
from pathlib import Path

from vestibule.cli.reading import Reading
from vestibule.core.errors import VestibuleError
from vestibule.core.hits import storable
from vestibule.recorder.pipeline import day_of

_STEP = 4096
"""Hits after which is told how far it has come."""


class Ahead:
    """logs: those that were read, in the order of their first hits. Those without any come last."""

    def __init__(
        self,
        logs: Iterable[Path],
        zone: tzinfo,
        opened: Callable[[Path], AbstractContextManager[Reading]],
        told: Callable[[Path, Reading], None],
    ) -> None:
        """zone: the site's. told: how far a log was read. Raises VestibuleError as ``reading.opened`` does."""
        begun: dict[Path, float] = {}
        ends: dict[Path, dict[str, int]] = {}
        self._beginnings: dict[Path, tuple[int, str]] = {}
        for path in logs:
            last: dict[str, int] = {}
            minute, day = -1, ""
            with opened(path) as log:
                for number, hit in enumerate(log.hits()):
                    if int(hit.time) // 60 != minute:
                        minute = int(hit.time) // 60
                        day = day_of(minute * 60, zone).isoformat() if storable(minute * 60) else ""
                    last[day] = log.tally.lines
                    begun[path] = min(begun.get(path, hit.time), hit.time)
                    if not number % _STEP:
                        told(path, log)
                if log.unlike:
                    raise VestibuleError(f"import: {path}: not one line of it is of the format {log.format}")
                told(path, log)
                self._beginnings[path] = log.beginning
            last.pop("", None)
            ends[path] = last
        self.logs = sorted(ends, key=lambda path: begun.get(path, float("inf")))
        self._ends: dict[str, tuple[int, int]] = {}
        for place, path in enumerate(self.logs):
            self._ends.update((day, (place, line)) for day, line in ends[path].items())

    @property
    def days(self) -> list[str]:
        """The days of which something comes."""
        return sorted(self._ends)

    def check(self, log: Path, reading: Reading) -> None:
        """Raise VestibuleError where a log is another one by now. It may have grown, also from nothing."""
        if not reading.begins(self._beginnings[log]):
            raise VestibuleError(f"import: {log} was replaced while logs were looked through; import it again")

    def done(self, log: Path, lines: int) -> list[str]:
        """The days (ISO 8601) of which nothing comes any more, now that so many lines of a log and all of the logs
        before it were counted. Each is told once."""
        reached = (self.logs.index(log), lines)
        found = sorted(day for day, end in self._ends.items() if end <= reached)
        for day in found:
            del self._ends[day]
        return found
