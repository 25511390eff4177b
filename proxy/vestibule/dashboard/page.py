"""Composes a page of the dashboard: asks for all that it shows, at once, and puts it together for the template.

Every question has a time limit and may fail by itself: the page says then where something is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from vestibule.core.errors import VestibuleError
from vestibule.dashboard import chart
from vestibule.dashboard.address import Address
from vestibule.dashboard.asking import TIMEOUT, Answer, Asking
from vestibule.dashboard.backend import Backend
from vestibule.dashboard.dimensions import PLURALS
from vestibule.dashboard.figures import FIGURES, Unit
from vestibule.dashboard.filling import SHOWN, Filling
from vestibule.dashboard.hall import Hall, against_of, formatted
from vestibule.dashboard.memory import Memory
from vestibule.dashboard.office import Note, Office, Table
from vestibule.dashboard.panels import BY_ID, VIEWS_BY_ID, Panel
from vestibule.dashboard.parts import Change, Live, Page, PanelView, Series
from vestibule.dashboard.periods import Period
from vestibule.dashboard.settings import Settings
from vestibule.dashboard.values import visible
from vestibule.dashboard.words import Words

LIVE_MINUTES = 30
MOST_NOTES = 1000


class Composer:
    """Composes the pages of one request."""

    def __init__(
        self,
        backend: Backend,
        settings: Settings,
        words: Words,
        office: Office | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.asking = Asking(backend, settings.site, memory)
        self._filling = Filling(self.asking, words)
        self._zone = ZoneInfo(settings.timezone)
        self._words = words
        self._office = office
        self._noted: asyncio.Future[tuple[Note, ...]] | None = None

    async def page(self, address: Address, now: datetime) -> Page:
        """``now``: the site's local time."""
        view = VIEWS_BY_ID[address.view]
        hall = Hall(self.asking, self._words, address, now)
        # All at once, so that the store is asked once for what belongs together.
        panels, tiles, series, health, live, notes = await asyncio.gather(
            asyncio.gather(*(self._filling.panel(BY_ID[name], address, SHOWN) for name in view.panels)),
            hall.tiles([FIGURES[name] for name in view.tiles]),
            hall.series() if view.tiles else _no_series(),
            self.asking.health(),
            self.live(now),
            self.notes(address.period),
        )
        if not series.comparable:
            tiles = [replace(tile, change=Change() if tile.change.trend else tile.change) for tile in tiles]
        graph, note = hall.graph(series, notes) if view.tiles else (None, "")
        figure = FIGURES.get(address.graph)
        return Page(
            address=address,
            tiles=tuple(tiles),
            graph=graph,
            graph_note=note,
            graph_title=self._words(figure.title if figure else PLURALS[address.graph]),
            graph_unit=figure.unit if figure else Unit.COUNT,
            panels=tuple(panels),
            live=live,
            provisional=address.period.includes(now.date()),
            alerts=self.alerts(health),
            against=against_of(address),
            notes=notes,
            snapshot=self._snapshot(health, now),
            comparable=series.comparable,
        )

    async def details(self, panel: Panel, address: Address, limit: int) -> PanelView:
        """A panel with up to so many rows."""
        return await self._filling.panel(panel, address, limit)

    async def live(self, now: datetime) -> Live:
        """Views of the last half hour by minute."""
        start = Period("custom", now.date(), now.date())
        if now.hour == 0 and now.minute < LIVE_MINUTES:
            start = Period("custom", start.before().start, now.date())
        answer = await self.asking.timeseries("view", "minute", start)
        if answer is None:
            return Live(None, 0, LIVE_MINUTES)
        drawn = chart.draw(chart.by_minute(chart.counts_of(answer["points"], 16), now, LIVE_MINUTES), ticks=2)
        return Live(drawn, int(drawn.total), LIVE_MINUTES)

    async def notes(self, period: Period) -> tuple[Note, ...]:
        """Return the notes on the period's days, in their order; none where they can't be had."""
        if self._noted is None:
            self._noted = asyncio.ensure_future(self._notes())
        first, last = period.start.isoformat(), period.end.isoformat()
        return tuple(note for note in await asyncio.shield(self._noted) if first <= note.day <= last)

    async def _notes(self) -> tuple[Note, ...]:
        if self._office is None:
            return ()
        try:
            async with asyncio.timeout(TIMEOUT):
                rows = await self._office.entries(Table.NOTES, MOST_NOTES)
        except (VestibuleError, TimeoutError):
            return ()
        return tuple(sorted(map(Note.of, rows), key=lambda note: note.day))

    def formatted(self, unit: Unit, value: float) -> str:
        return formatted(self._words, unit, value)

    def _snapshot(self, health: Answer | None, now: datetime) -> str:
        """Return the site's time at which the open days were released last, or nothing where that is not known."""
        found = health.get("snapshot") if health is not None else None
        if not isinstance(found, int) or not found:
            return ""
        time = datetime.fromtimestamp(found, self._zone).replace(tzinfo=None)
        return time.strftime("%H:%M") if time.date() == now.date() else time.strftime("%Y-%m-%d %H:%M")

    def alerts(self, health: Answer | None) -> tuple[str, ...]:
        """Return what the operator should know, in sentences."""
        if health is None:
            return (self._words("The state of the recorder can't be told."),)
        found = []
        store = str(health.get("store", "ok"))
        if store != "ok":
            told = self._words("The store does not answer; counting goes on and catches up later.")
            found.append(f"{told} {visible(store, 300)}")
        config = health.get("config")
        error = config.get("error") if isinstance(config, Mapping) else None
        if error:
            told = self._words("The changed configuration was refused, the one before holds.")
            found.append(f"{told} {visible(str(error), 300)}")
        return tuple(found)


async def _no_series() -> Series:
    return Series()
