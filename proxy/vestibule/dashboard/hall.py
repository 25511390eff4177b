"""The hall at the top of a page: the tiles with the period's numbers, and the graph of the chosen one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vestibule.dashboard import chart
from vestibule.dashboard.address import Address, Against
from vestibule.dashboard.asking import Asking
from vestibule.dashboard.chart import Chart
from vestibule.dashboard.dimensions import PLURALS, name_of
from vestibule.dashboard.figures import FIGURES, Figure, Unit
from vestibule.dashboard.measuring import Measured, Measuring, year_before
from vestibule.dashboard.office import Note
from vestibule.dashboard.parts import Change, Series, Tile
from vestibule.dashboard.periods import Period
from vestibule.dashboard.values import visible
from vestibule.dashboard.words import Words

MOST_DAYS_MISSING = 4
"""Days at the beginning of a period without a view, in which a small site may just have had none."""


def against_of(address: Address) -> Period | None:
    """Return the period that an address compares with."""
    if address.against is Against.NOTHING:
        return None
    return year_before(address.period) if address.against is Against.YEAR else address.period.before()


def counted(days: Mapping[str, float], period: Period) -> bool:
    """Whether one counted on the first days of a period already: else all seems to have risen since. days: views by
    ISO date."""
    first = min((day[:10] for day, views in days.items() if views), default="")
    late = period.start + timedelta(days=min(period.days // 7, MOST_DAYS_MISSING))
    return bool(first) and first <= late.isoformat()


class Hall:
    """The tiles and the graph of one page. ``now``: the site's local time."""

    def __init__(self, asking: Asking, words: Words, address: Address, now: datetime) -> None:
        self._words = words
        self._address = address
        self._now = now
        self._against = against_of(address)
        self._asking = asking
        self._measuring = Measuring(asking, address.period, self._against, address.where, now)

    async def tiles(self, figures: Sequence[Figure]) -> list[Tile]:
        return await asyncio.gather(*(self._tile(figure) for figure in figures))

    async def series(self) -> Series:
        """The numbers of the graph."""
        found, comparable = await asyncio.gather(self._drawn(), self._comparable())
        return found if comparable else replace(found, earlier=None, comparable=False)

    def graph(self, series: Series, notes: Sequence[Note]) -> tuple[Chart | None, str]:
        """Return the graph, or None and why there is none."""
        if series.reason:
            return None, self._not_kept(series.reason)
        if series.counts is None:
            return None, self._words("The store does not answer. Counting goes on; reload in a moment.")
        points = self._points(series.counts, self._address.period)
        if series.earlier is not None and self._against is not None:
            points = chart.compared(points, self._points(series.earlier, self._against))
        by_day: dict[str, list[str]] = {}
        for note in notes:
            by_day.setdefault(note.day, []).append(visible(note.text))
        return chart.draw(chart.noted(points, by_day)), ""

    async def _comparable(self) -> bool:
        if self._against is None:
            return True
        answer = await self._asking.timeseries("view", "day", self._against)
        return answer is None or counted(chart.counts_of(answer["points"], 10), self._against)

    async def _drawn(self) -> Series:
        try:
            counts, earlier = await asyncio.gather(
                self._measuring.series(self._address.graph, self._address.period), self._earlier()
            )
        except LookupError as reason:
            return Series(reason=str(reason.args[0]))
        return Series(counts, earlier)

    async def _earlier(self) -> Mapping[str, float] | None:
        return None if self._against is None else await self._measuring.series(self._address.graph, self._against)

    def _points(self, counts: Mapping[str, float], period: Period) -> list[chart.Point]:
        figure = FIGURES.get(self._address.graph)
        # Where nothing was counted there are none; but there is no share of nothing.
        gaps = figure is not None and figure.unit is not Unit.COUNT
        if period.interval == "hour":
            return chart.by_hour(counts, period, self._now, self._words.day)
        return chart.by_day(counts, period, self._now.date(), self._words.day, gaps=gaps)

    def _not_kept(self, reason: str) -> str:
        where, figure = self._address.where, FIGURES.get(self._address.graph)
        noun = self._words(figure.title if figure else PLURALS[self._address.graph])
        if reason == "hour":
            return self._words("{kind} are known by the day. Choose three days or more.", kind=noun)
        dimension = self._words(name_of(where[0])) if where else ""
        return self._words("{kind} are not kept by {dimension}.", kind=noun, dimension=dimension)

    async def _tile(self, figure: Figure) -> Tile:
        found = await self._measuring.figure(figure)
        return Tile(
            figure.id,
            self._words(figure.title),
            self._shown(figure.unit, found),
            self._words(figure.help),
            href=self._address.with_graph(figure.id).href if figure.drawn else None,
            active=self._address.graph == figure.id,
            change=self._change(figure, found),
        )

    def _shown(self, unit: Unit, found: Measured) -> str:
        if unit is Unit.WORD:
            return self._words(found.word).replace("-", "–") if found.word else "–"
        return "–" if found.value is None else formatted(self._words, unit, found.value)

    def _change(self, figure: Figure, found: Measured) -> Change:
        where = self._address.where
        if where is not None and not figure.keeps(where[0]):
            return Change(self._words("not by {dimension}", dimension=self._words(name_of(where[0]))))
        if found.open:
            return Change(self._words("known tomorrow"))
        return difference(self._words, figure, found)


def formatted(words: Words, unit: Unit, value: float) -> str:
    """Return a number as people read it."""
    if unit is Unit.SHARE:
        return words.percent(value)
    return words.decimal(value) if unit is Unit.EACH else words.number(value)


def difference(words: Words, figure: Figure, found: Measured) -> Change:
    """Return how a figure differs; nothing where there was nothing to compare. Shares differ by points."""
    now, before = found.like if found.like is not None else found.value, found.before
    if now is None or before is None or (not before and figure.unit is not Unit.SHARE):
        return Change()
    if figure.unit is Unit.SHARE:
        points = round((now - before) * 100)
        if not points:
            return Change(words("as before"), "same")
        text, rises = words("{number} points", number=abs(points)), points > 0
    else:
        share = (now - before) / before
        if abs(share) < 0.005:
            return Change(words("as before"), "same")
        text = f"{abs(share) * 100:.0f} %" if abs(share) < 10 else f"× {now / before:.0f}"
        rises = share > 0
    good = None if figure.welcome is None else figure.welcome is rises
    return Change(text, "up" if rises else "down", good)
