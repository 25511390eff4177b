"""From answers to figures: totals with what they are compared with, and series for the graph."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from vestibule.dashboard import chart
from vestibule.dashboard.asking import Asking, Where
from vestibule.dashboard.dimensions import KINDS, keeps
from vestibule.dashboard.figures import DURATIONS, FIGURES, Figure, Part, Unit
from vestibule.dashboard.periods import Period

LONGEST_HOURLY = 31
"""Days of a period up to which today is compared by the hour."""

Pair = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Measured:
    """value and before: of the period and of the one it is compared with; None where it can't be told.
    word: instead of a number."""

    value: float | None = None
    before: float | None = None
    word: str = ""


class Measuring:
    """Measures for one page. against: the period to compare with, if any. ``now``: the site's local time."""

    def __init__(
        self, asking: Asking, period: Period, against: Period | None, where: Where | None, now: datetime
    ) -> None:
        self._asking = asking
        self._period = period
        self._against = against
        self._where = where
        self._now = now

    async def figure(self, figure: Figure) -> Measured:
        if self._where is not None and not figure.keeps(self._where[0]):
            return Measured()
        if figure.unit is Unit.WORD:
            return await self._median()
        if figure.id == "visitors":
            return Measured(*await self._visitors())
        if figure.unit is Unit.COUNT:
            value, before = await self._part(figure.top)
            if self._where is not None and not value:
                # What is released says nothing of too few: none of it does not mean that there was none.
                value = None
            return Measured(value, before)
        assert figure.below is not None
        if figure.top.by and not figure.below.by:
            return Measured(*await self._both(lambda period: self._share_of(figure.top, period)))
        top, below = await asyncio.gather(self._part(figure.top), self._part(figure.below))
        return Measured(_share(top[0], below[0]), _share(top[1], below[1]))

    async def series(self, graph: str, period: Period) -> Mapping[str, float] | None:
        """Return the graph's values by time, or None where they can't be had. Raises LookupError where they are not
        kept so, with ``where`` or ``hour`` as the reason."""
        figure = FIGURES.get(graph)
        if self._where is not None and not (
            keeps(graph, self._where[0]) if graph in KINDS else FIGURES[graph].keeps(self._where[0])
        ):
            raise LookupError("where")
        hourly = period.interval == "hour"
        if hourly and self._where is not None and not keeps(graph, "hour"):
            raise LookupError("hour")
        if figure is None or (figure.unit is Unit.COUNT and not figure.top.by and graph != "visitors"):
            return await self._counts(graph, period, self._where)
        if hourly and (graph == "visitors" or figure.top.by):
            raise LookupError("hour")
        if graph == "visitors":
            answer = await self._asking.timeseries("view", "day", period, self._where)
            return (
                None
                if answer is None
                else {str(point["time"]): int(point.get("visitors", 0)) for point in answer["points"]}
            )
        if figure.top.by and self._where is not None:
            raise LookupError("where")
        top, below = await asyncio.gather(
            self._part_series(figure.top, period), self._part_series(figure.below, period)
        )
        if top is None or (figure.below is not None and below is None):
            return None
        if below is None:
            return top
        shares = {time: top.get(time, 0) / count for time, count in below.items() if count}
        return {time: min(share, 1.0) for time, share in shares.items()} if figure.unit is Unit.SHARE else shares

    async def _part_series(self, part: Part | None, period: Period) -> Mapping[str, float] | None:
        if part is None:
            return None
        if not part.by:
            return await self._counts(part.kind, period, self._where)
        each = await asyncio.gather(*(self._counts(part.kind, period, (part.by, value)) for value in part.values))
        total: dict[str, float] = {}
        for counts in each:
            if counts is None:
                return None
            for time, count in counts.items():
                total[time] = total.get(time, 0) + count
        return total

    async def _counts(self, kind: str, period: Period, where: Where | None) -> Mapping[str, float] | None:
        answer = await self._asking.timeseries(kind, period.interval, period, where)
        length = 16 if period.interval == "hour" else 10
        return None if answer is None else chart.counts_of(answer["points"], length)

    async def _part(self, part: Part) -> Pair:
        if not part.by:
            return await self._total(part.kind)
        return await self._both(lambda period: self._selected(part, period))

    async def _both(self, measure: Callable[[Period], Awaitable[float | None]]) -> Pair:
        now, before = await asyncio.gather(
            measure(self._period), measure(self._against) if self._against else _nothing()
        )
        return now, before

    async def _selected(self, part: Part, period: Period) -> float | None:
        found = await self._parted(part, period)
        return None if found is None else found[0]

    async def _share_of(self, part: Part, period: Period) -> float | None:
        """The share of all facts of the kind. These are taken from the same breakdown, not from the totals: of an open
        day a released number is smaller than the live total, and of one to compare with there are more hours."""
        found = await self._parted(part, period)
        return None if found is None else _share(*found)

    async def _parted(self, part: Part, period: Period) -> tuple[int, int] | None:
        """How many facts have one of the values, and how many there are."""
        answer = await self._asking.breakdown(part.kind, part.by, period, where=self._where)
        if answer is None:
            return None
        counts = {str(row["value"]): int(row["count"]) for row in answer["rows"]}
        selected = sum(counts.get(value, 0) for value in part.values)
        return selected, sum(counts.values()) + int(answer["rare"]["count"])

    async def _total(self, kind: str) -> Pair:
        """Return the facts of both periods; of the one compared with only as many hours as today has had."""
        today = self._period.includes(self._now.date())
        # Hours tell how much of today to compare; a filter's hours are too few to add up to its days.
        hourly = self._where is None and today and self._period.days <= LONGEST_HOURLY
        now, before = await asyncio.gather(
            self._sum(kind, "day", self._period, None),
            self._sum(kind, "hour" if hourly else "day", self._against, self._until(self._against) if hourly else None)
            if self._against
            else _nothing(),
        )
        return now, before

    def _until(self, against: Period | None) -> str | None:
        """Return the time in the period compared with that is now in this one."""
        if against is None:
            return None
        return (self._now - (self._period.start - against.start)).strftime("%Y-%m-%dT%H:%M")

    async def _sum(self, kind: str, interval: str, period: Period, until: str | None) -> float | None:
        answer = await self._asking.timeseries(kind, interval, period, self._where)
        if answer is None:
            return None
        counts = chart.counts_of(answer["points"], 16)
        return sum(count for time, count in counts.items() if until is None or time < until)

    async def _visitors(self) -> Pair:
        """Visitors summed over days; no comparison for a short period with today in it: half a day against a whole one
        would tell of a fall that is none."""
        now, before = await asyncio.gather(
            self._day_visitors(self._period), self._day_visitors(self._against) if self._against else _nothing()
        )
        if self._period.includes(self._now.date()) and self._period.days <= 2:
            return now, None
        return now, before

    async def _day_visitors(self, period: Period) -> float | None:
        answer = await self._asking.timeseries("view", "day", period, self._where)
        return None if answer is None else sum(int(point.get("visitors", 0)) for point in answer["points"])

    async def _median(self) -> Measured:
        """The class that half of the visits reach: their durations are kept in classes only."""
        answer = await self._asking.breakdown("visit", "duration", self._period, where=self._where)
        if answer is None:
            return Measured()
        counts = {str(row["value"]): int(row["count"]) for row in answer["rows"]}
        half = sum(counts.get(name, 0) for name in DURATIONS) / 2
        passed = 0
        for name in DURATIONS:
            passed += counts.get(name, 0)
            if half and passed >= half:
                return Measured(word=name)
        return Measured()


def year_before(period: Period) -> Period:
    """Return the same weekdays of the year before: 52 weeks earlier."""
    shift = timedelta(weeks=52 * max(1, -(-period.days // 364)))
    return Period("custom", period.start - shift, period.end - shift)


def _share(top: float | None, below: float | None) -> float | None:
    return None if top is None or not below else top / below


async def _nothing() -> None:
    return None
