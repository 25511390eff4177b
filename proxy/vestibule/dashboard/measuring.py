"""From answers to figures: totals with what they are compared with, and series for the graph."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vestibule.dashboard import chart
from vestibule.dashboard.asking import Answer, Asking, Where
from vestibule.dashboard.dimensions import KINDS, keeps
from vestibule.dashboard.figures import DURATIONS, FIGURES, Figure, Part, Unit
from vestibule.dashboard.periods import Period
from vestibule.dashboard.values import RARE

LONGEST_HOURLY = 31
"""Days of a period up to which today is compared by the hour."""
LATE: Mapping[str, int] = {"visit": 1}
"""Hours after which facts of a kind are counted: a visit when it has ended, half an hour after its last page."""
SHARED_BY: Mapping[str, str] = {"visit": "depth"}
"""By which dimension all facts of a kind are added up, so that a share is of what was released with it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """value and before: of the period and of the one it is compared with; None where it can't be told. like: what of
    the period ``before`` is compared with, where that is not all of it: a day that is not over yet is no match for a
    whole one. word: instead of a number. open: it is known when the day is over."""

    value: float | None = None
    before: float | None = None
    like: float | None = None
    word: str = ""
    open: bool = False


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
        self._today = period.includes(now.date())
        # Days of the period that are over, and as many of those that they are compared with.
        self._over = _cut(period) if self._today else period
        self._before = _cut(against) if against and self._today else against

    async def figure(self, figure: Figure) -> Measured:
        if self._where is not None and not figure.keeps(self._where[0]):
            return Measured()
        if figure.unit is Unit.WORD:
            return await self._median()
        if figure.id == "visitors":
            return _told(await self._days("view", "visitors"))
        if figure.unit is Unit.EACH:
            return await self._each(figure)
        if figure.unit is Unit.COUNT:
            found = await (self._total(figure.top.kind) if not figure.top.by else self._part(figure.top))
            return found if self._where is None else _told(found)
        below = figure.below
        assert below is not None
        shares = [self._share(figure.top, below, period) for period in (self._period, self._against) if period]
        now, *before = await asyncio.gather(*shares)
        return Measured(now, before[0] if before else None)

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
        if figure.below is None:
            return await self._part_series(figure.top, period)
        if figure.unit is Unit.EACH:
            return await self._each_series(figure.top, figure.below, period)
        return await self._share_series(figure.top, figure.below, period)

    async def _each_series(self, top: Part, below: Part, period: Period) -> Mapping[str, float] | None:
        """Of days that are over: what goes on is counted above, but not yet below."""
        if period.interval == "hour":
            raise LookupError("hour")
        above, count = await asyncio.gather(self._part_series(top, period), self._part_series(below, period))
        if above is None or count is None:
            return None
        today = self._now.date().isoformat()
        return {day: above.get(day, 0) / number for day, number in count.items() if number and day != today}

    async def _share_series(self, top: Part, below: Part, period: Period) -> Mapping[str, float] | None:
        """Shares by day, but of days on which it is not told whether there were any."""
        rare = Part(top.kind, top.by, (RARE,))
        some, all_, hidden = await asyncio.gather(*(self._part_series(part, period) for part in (top, below, rare)))
        if some is None or all_ is None or hidden is None:
            return None
        shares = {
            day: some.get(day, 0) / number
            for day, number in all_.items()
            if number and (day in some or not hidden.get(day))
        }
        return {day: min(share, 1.0) for day, share in shares.items()}

    async def _part_series(self, part: Part, period: Period) -> Mapping[str, float] | None:
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

    async def _share(self, top: Part, below: Part, period: Period) -> float | None:
        """A share among what was released together: of an open day a released number is smaller than the live total."""
        some, all_ = await asyncio.gather(self._selected(top, period), self._selected(below, period))
        return None if some is None or not all_ else some / all_

    async def _part(self, part: Part) -> Measured:
        now, like, before = await asyncio.gather(
            self._selected(part, self._period),
            self._selected(part, self._over) if self._over and self._against else _nothing(),
            self._selected(part, self._before) if self._before else _nothing(),
        )
        return Measured(now, None if like is None else before, like)

    async def _selected(self, part: Part, period: Period) -> float | None:
        """How many facts have one of the values; of a part without any, how many there are. None where it is not told:
        all values may be among what is too rare."""
        answer = await self._asking.breakdown(part.kind, part.by or SHARED_BY[part.kind], period, where=self._where)
        if answer is None:
            return None
        counts = {str(row["value"]): int(row["count"]) for row in answer["rows"]}
        counts[RARE] = int(answer["rare"]["count"])
        if not part.by:
            return sum(counts.values())
        if counts[RARE] and RARE not in part.values and not any(value in counts for value in part.values):
            return None
        return sum(counts.get(value, 0) for value in part.values)

    async def _total(self, kind: str) -> Measured:
        """The facts of both periods; of today and of the day that it is compared with only hours that are over."""
        found = await self._days(kind, "count")
        # Hours are known without a filter; in a long period they make no difference.
        if self._where is not None or not self._today or self._against is None or self._period.days > LONGEST_HOURLY:
            return found
        today, other = (Period("custom", period.end, period.end) for period in (self._period, self._against))
        now, before = await asyncio.gather(*(self._asking.timeseries(kind, "hour", day) for day in (today, other)))
        hour = self._now.hour - LATE.get(kind, 0)
        parts = (_sum(now, "count", f"{today.end}T{hour:02}"), _sum(before, "count", f"{other.end}T{hour:02}"))
        if parts[0] is None or parts[1] is None or hour < 0:
            return found
        return replace(found, like=(found.like or 0) + parts[0], before=(found.before or 0) + parts[1])

    async def _days(self, kind: str, column: str) -> Measured:
        """A column of days, summed up; of these only days that are over are compared."""
        now, before = await asyncio.gather(
            self._asking.timeseries(kind, "day", self._period, self._where),
            self._asking.timeseries(kind, "day", self._against, self._where) if self._against else _nothing(),
        )
        until = (self._before.end + timedelta(days=1)).isoformat() if self._before else ""
        like = _sum(now, column, self._now.date().isoformat()) if self._over and self._today else None
        return Measured(_sum(now, column), _sum(before, column, until) if self._before else None, like)

    async def _each(self, figure: Figure) -> Measured:
        """Views of days that are over by visits of these: a visit is counted when it has ended, a view at once."""
        assert figure.below is not None
        top, below = await asyncio.gather(*(self._days(part.kind, "count") for part in (figure.top, figure.below)))
        if self._over is None:
            return Measured(open=True)
        over = (top.like, below.like) if self._today else (top.value, below.value)
        return Measured(_ratio(*over), _ratio(top.before, below.before))

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


def _cut(period: Period) -> Period | None:
    """A period without its last day."""
    return Period("custom", period.start, period.end - timedelta(days=1)) if period.days > 1 else None


def year_before(period: Period) -> Period:
    """Return the same weekdays of the year before: 52 weeks earlier."""
    shift = timedelta(weeks=52 * max(1, -(-period.days // 364)))
    return Period("custom", period.start - shift, period.end - shift)


def _sum(answer: Answer | None, column: str, until: str = "~") -> float | None:
    """The sum of a column of points before a time (ISO 8601)."""
    if answer is None:
        return None
    return sum(int(point.get(column, 0)) for point in answer["points"] if str(point["time"]) < until)


def _ratio(top: float | None, below: float | None) -> float | None:
    return None if top is None or not below else top / below


def _told(found: Measured) -> Measured:
    """What is released says nothing of too few: none of it does not mean that there was none."""
    compared = found.value if found.like is None else found.like
    return replace(found, value=found.value or None, before=found.before if compared else None)


async def _nothing() -> None:
    return None
