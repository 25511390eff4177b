"""Asks for all that a page of the dashboard shows and shapes it for the template.

Every question has a time limit and may fail by itself: the page says then where something is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from vestibule.core.errors import VestibuleError
from vestibule.dashboard import chart, crawlers, flow, worldmap
from vestibule.dashboard.address import Address, Against
from vestibule.dashboard.asking import TIMEOUT, Answer, Asking, Where, guarded
from vestibule.dashboard.backend import Backend
from vestibule.dashboard.chart import Chart
from vestibule.dashboard.dimensions import PLURALS, keeps, name_of
from vestibule.dashboard.figures import FIGURES, Figure, Unit
from vestibule.dashboard.flow import Flow
from vestibule.dashboard.measuring import Measured, Measuring, year_before
from vestibule.dashboard.memory import Memory
from vestibule.dashboard.office import Note, Office, Table
from vestibule.dashboard.panels import BY_ID, VIEWS_BY_ID, Panel, Shape, Tab
from vestibule.dashboard.periods import Period
from vestibule.dashboard.settings import Settings
from vestibule.dashboard.values import can_filter, labelled, visible
from vestibule.dashboard.words import Words
from vestibule.dashboard.worldmap import Heat

__all__ = ["TIMEOUT", "Composer", "Page", "State", "guarded"]

SHOWN = 9
"""Rows of a panel."""
SHOWN_WITH_MAP = 5
LIVE_MINUTES = 30
INTERNAL = ("referrer", "internal")
MOST_DAYS_MISSING = 4
"""Days at the beginning of a period without a view, in which a small site may just have had none."""
MOST_NOTES = 1000
MOST_NAMES = 1000
LARGEST_MAP = 260
"""Countries that a map may colour."""


class State(StrEnum):
    """What a panel has to show."""

    READY = "ready"
    EMPTY = "empty"
    FEW = "few"
    UNAVAILABLE = "unavailable"
    INAPPLICABLE = "inapplicable"


@dataclass(frozen=True, slots=True)
class Row:
    """tag: group of the value, or empty. value: as stored, for the hover text. share: of the largest row, 0 to 100.
    href: the page filtered by it."""

    label: str
    tag: str
    value: str
    count: int
    visitors: int
    share: float
    href: str | None = None
    active: bool = False


@dataclass(frozen=True, slots=True)
class TabLink:
    name: str
    href: str
    active: bool


@dataclass(frozen=True, slots=True)
class PanelView:
    """noun, people: what the two columns of numbers count."""

    id: str
    title: str
    noun: str
    people: str
    by: str
    state: State
    tabs: tuple[TabLink, ...]
    hint: str
    rows: tuple[Row, ...] = ()
    rare: tuple[int, int] = (0, 0)
    more: int = 0
    provisional: bool = False
    csv: str = ""
    details: str = ""
    note: str = ""
    heat: tuple[Heat, ...] = ()
    flow: Flow | None = None
    shape: Shape = Shape.TABLE


@dataclass(frozen=True, slots=True)
class Change:
    """A number against the one it is compared with, in words. trend: up, down, same, or empty. good: whether that is
    welcome; None where it is neither."""

    words: str = ""
    trend: str = ""
    good: bool | None = None


@dataclass(frozen=True, slots=True)
class Tile:
    """href: the page with this number in the graph, where it has one."""

    id: str
    title: str
    value: str
    help: str
    href: str | None = None
    active: bool = False
    change: Change = Change()


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers of the graph and of what it is compared with, by time; None where they can't be had. reason: why they are
    not kept so, see ``Measuring.series``. comparable: whether one counted already when the other period began."""

    counts: Mapping[str, float] | None = None
    earlier: Mapping[str, float] | None = None
    reason: str = ""
    comparable: bool = True


@dataclass(frozen=True, slots=True)
class Live:
    """The last minutes; None for the chart where they can't be had."""

    chart: Chart | None
    total: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Page:
    """against: the period that numbers are compared with, if any; comparable: whether one counted then already. notes:
    those of the period's days."""

    address: Address
    tiles: tuple[Tile, ...]
    graph: Chart | None
    graph_note: str
    graph_title: str
    graph_unit: Unit
    panels: tuple[PanelView, ...]
    live: Live
    provisional: bool
    alerts: tuple[str, ...]
    against: Period | None
    notes: tuple[Note, ...]
    snapshot: str
    comparable: bool = True


def against_of(address: Address) -> Period | None:
    """Return the period that an address compares with."""
    if address.against is Against.NOTHING:
        return None
    return year_before(address.period) if address.against is Against.YEAR else address.period.before()


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
        self._zone = ZoneInfo(settings.timezone)
        self._settings = settings
        self._words = words
        self._office = office

    async def page(self, address: Address, now: datetime) -> Page:
        """``now``: the site's local time."""
        view = VIEWS_BY_ID[address.view]
        against = against_of(address)
        measuring = Measuring(self.asking, address.period, against, address.where, now)
        # All at once, so that the store is asked once for what belongs together.
        panels, tiles, series, health, live, notes = await asyncio.gather(
            asyncio.gather(*(self.panel(BY_ID[name], address, SHOWN) for name in view.panels)),
            asyncio.gather(*(self._tile(FIGURES[name], measuring, address) for name in view.tiles)),
            self._series(measuring, address, against) if view.tiles else _no_series(),
            self.asking.health(),
            self.live(now),
            self.notes(address.period),
        )
        if not series.comparable:
            tiles = [replace(tile, change=Change() if tile.change.trend else tile.change) for tile in tiles]
        graph, note = self._graph(series, address, against, notes, now) if view.tiles else (None, "")
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
            against=against,
            notes=notes,
            snapshot=self._snapshot(health, now),
            comparable=series.comparable,
        )

    async def _counted(self, against: Period | None) -> bool:
        """Whether one counted on the first days of a period already: else all seems to have risen since."""
        if against is None:
            return True
        answer = await self.asking.timeseries("view", "day", against)
        if answer is None:
            return True
        first = min((str(point["time"])[:10] for point in answer["points"] if point["count"]), default="")
        late = against.start + timedelta(days=min(against.days // 7, MOST_DAYS_MISSING))
        return bool(first) and first <= late.isoformat()

    async def details(self, panel: Panel, address: Address, limit: int) -> PanelView:
        return await self.panel(panel, address, limit)

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
        if self._office is None:
            return ()
        try:
            async with asyncio.timeout(TIMEOUT):
                rows = await self._office.entries(Table.NOTES, MOST_NOTES)
        except (VestibuleError, TimeoutError):
            return ()
        found = (Note.of(row) for row in rows)
        first, last = period.start.isoformat(), period.end.isoformat()
        return tuple(sorted((note for note in found if first <= note.day <= last), key=lambda note: note.day))

    async def before_and_after(self, day: date, period: Period) -> tuple[float | None, float | None]:
        """Return the share that accepted on the period's days before a day, and from it on."""
        before = Period("custom", period.start, day - timedelta(days=1))
        after = Period("custom", day, period.end)
        figure = FIGURES["accepted"]
        shares = []
        for part in (before, after):
            now = datetime.combine(part.end + timedelta(days=1), datetime.min.time())
            measured = (
                await Measuring(self.asking, part, None, None, now).figure(figure) if part.days > 0 else Measured()
            )
            shares.append(measured.value)
        return shares[0], shares[1]

    async def _series(self, measuring: Measuring, address: Address, against: Period | None) -> Series:
        found, comparable = await asyncio.gather(self._drawn(measuring, address, against), self._counted(against))
        return found if comparable else replace(found, earlier=None, comparable=False)

    async def _drawn(self, measuring: Measuring, address: Address, against: Period | None) -> Series:
        try:
            counts, earlier = await asyncio.gather(
                measuring.series(address.graph, address.period), self._earlier(measuring, address, against)
            )
        except LookupError as reason:
            return Series(reason=str(reason.args[0]))
        return Series(counts, earlier)

    async def _earlier(
        self, measuring: Measuring, address: Address, against: Period | None
    ) -> Mapping[str, float] | None:
        return None if against is None else await measuring.series(address.graph, against)

    def _graph(
        self, series: Series, address: Address, against: Period | None, notes: Sequence[Note], now: datetime
    ) -> tuple[Chart | None, str]:
        """Return the graph, or None and why there is none."""
        if series.reason:
            return None, self._not_kept(address, series.reason)
        if series.counts is None:
            return None, self._words("The store does not answer. Counting goes on; reload in a moment.")
        points = self._points(series.counts, address.period, now)
        if series.earlier is not None and against is not None:
            points = chart.compared(points, self._points(series.earlier, against, now))
        by_day: dict[str, list[str]] = {}
        for note in notes:
            by_day.setdefault(note.day, []).append(visible(note.text))
        return chart.draw(chart.noted(points, by_day)), ""

    def _snapshot(self, health: Answer | None, now: datetime) -> str:
        """Return the site's time at which the open days were released last, or nothing where that is not known."""
        found = health.get("snapshot") if health is not None else None
        if not isinstance(found, int) or not found:
            return ""
        time = datetime.fromtimestamp(found, self._zone).replace(tzinfo=None)
        return time.strftime("%H:%M") if time.date() == now.date() else time.strftime("%Y-%m-%d %H:%M")

    def _points(self, counts: Mapping[str, float], period: Period, now: datetime) -> list[chart.Point]:
        if period.interval == "hour":
            return chart.by_hour(counts, period, now, self._words.day)
        return chart.by_day(counts, period, now.date(), self._words.day)

    def _not_kept(self, address: Address, reason: str) -> str:
        figure = FIGURES.get(address.graph)
        noun = self._words(figure.title if figure else PLURALS[address.graph])
        if reason == "hour":
            return self._words("{kind} are known by the day. Choose three days or more.", kind=noun)
        dimension = self._words(name_of(address.where[0])) if address.where else ""
        return self._words("{kind} are not kept by {dimension}.", kind=noun, dimension=dimension)

    async def _tile(self, figure: Figure, measuring: Measuring, address: Address) -> Tile:
        found = await measuring.figure(figure)
        kept = address.where is None or figure.keeps(address.where[0])
        kept_by = self._words(name_of(address.where[0])) if address.where is not None else ""
        return Tile(
            figure.id,
            self._words(figure.title),
            self.shown(figure.unit, found),
            self._words(figure.help),
            href=address.with_graph(figure.id).href if figure.drawn else None,
            active=address.graph == figure.id,
            change=self._change(figure, found)
            if kept
            else Change(self._words("not by {dimension}", dimension=kept_by)),
        )

    def shown(self, unit: Unit, found: Measured) -> str:
        if unit is Unit.WORD:
            return self._words(found.word).replace("-", "–") if found.word else "–"
        return "–" if found.value is None else self.formatted(unit, found.value)

    def formatted(self, unit: Unit, value: float) -> str:
        if unit is Unit.SHARE:
            return self._words.percent(value)
        return self._words.decimal(value) if unit is Unit.EACH else self._words.number(value)

    def _change(self, figure: Figure, found: Measured) -> Change:
        """Return the difference; nothing where there was nothing to compare. Shares differ by points."""
        now, before = found.value, found.before
        if now is None or before is None or (not before and figure.unit is not Unit.SHARE):
            return Change()
        if figure.unit is Unit.SHARE:
            points = round((now - before) * 100)
            if not points:
                return Change(self._words("as before"), "same")
            words, rises = self._words("{number} points", number=abs(points)), points > 0
        else:
            share = (now - before) / before
            if abs(share) < 0.005:
                return Change(self._words("as before"), "same")
            words = f"{abs(share) * 100:.0f} %" if abs(share) < 10 else f"× {now / before:.0f}"
            rises = share > 0
        good = None if figure.welcome is None else figure.welcome is rises
        return Change(words, "up" if rises else "down", good)

    async def panel(self, panel: Panel, address: Address, limit: int) -> PanelView:
        tab = _chosen(panel, address)
        where = tab.within or address.where
        if tab.within is None and where is not None and where[0] == tab.by:
            # A breakdown by what is filtered is that one row: the others stay, so that one can go on to a sibling.
            where = None
        view = self._frame(panel, tab, address)
        if tab.within is not None and address.where not in (None, tab.within):
            note = self._words("This is a filter already, and a stored number relates at most two attributes.")
            return replace(view, state=State.INAPPLICABLE, note=note)
        if where is not None and not keeps(tab.kind, where[0]):
            kind, dimension = self._words(PLURALS[tab.kind]), self._words(name_of(where[0]))
            note = self._words("{kind} are not kept by {dimension}.", kind=kind, dimension=dimension)
            return replace(view, state=State.INAPPLICABLE, note=note)
        if tab.shape is Shape.FLOW:
            return await self._movements(view, address)
        # The map shows all countries, the table beside it the largest.
        asked = max(limit, {Shape.MAP: LARGEST_MAP, Shape.KINDS: MOST_NAMES}.get(tab.shape, 0))
        answer = await self._rows(tab, address.period, where, asked + 1)
        if answer is None:
            return replace(view, state=State.UNAVAILABLE)
        if tab.shape is Shape.KINDS:
            answer = crawlers.grouped(answer)
        shown = SHOWN_WITH_MAP if tab.shape is Shape.MAP and limit == SHOWN else limit
        return self._filled(view, tab, address, answer, shown)

    async def _rows(self, tab: Tab, period: Period, where: Where | None, limit: int) -> Answer | None:
        return await self.asking.breakdown(
            tab.kind, tab.by, period, where=where, limit=limit, level=tab.level if where is None else None
        )

    async def _movements(self, view: PanelView, address: Address) -> PanelView:
        """From where and to where people go from the filter's page, or from the most read one."""
        page = address.where[1] if address.where is not None and address.where[0] == "page" else ""
        if address.where is not None and not page:
            note = self._words("Movements relate two pages, and a stored number relates at most two attributes.")
            return replace(view, state=State.INAPPLICABLE, note=note)
        if not page:
            top = await self.asking.breakdown("view", "page", address.period, limit=SHOWN + 1)
            if top is None:
                return replace(view, state=State.UNAVAILABLE)
            page = next((str(row["value"]) for row in top["rows"] if can_filter(str(row["value"]))), "")
            if not page:
                return replace(view, state=State.EMPTY)
        come, go = await asyncio.gather(
            self.asking.breakdown("view", "previous", address.period, where=("page", page), limit=SHOWN),
            self.asking.breakdown("view", "page", address.period, where=("previous", page), limit=SHOWN),
        )
        if come is None or go is None:
            return replace(view, state=State.UNAVAILABLE)
        drawn = flow.draw(page, come, go, address, self._words)
        if not drawn.come and not drawn.go:
            return replace(view, state=State.FEW if come["rare"]["count"] else State.EMPTY, rare=_rare(come))
        where = address.with_where(("page", page))
        return replace(
            view,
            state=State.READY,
            flow=drawn,
            provisional=bool(come.get("provisional") or go.get("provisional")),
            csv=where.api(Tab("view", "previous", "")),
            details="",
        )

    def _frame(self, panel: Panel, tab: Tab, address: Address) -> PanelView:
        first = panel.tabs[0]
        links = tuple(
            TabLink(
                self._words(one.name), address.with_tab(panel.id, None if one is first else one.id).href, one is tab
            )
            for one in panel.tabs
        )
        query = address.with_tab(panel.id, None if tab is first else tab.id).query()
        noun = PLURALS[tab.kind] if tab.kind in ("visit", "file", "outbound", "pixel") else panel.noun
        return PanelView(
            id=panel.id,
            title=self._words(panel.title),
            noun=self._words(noun),
            people=self._words("Addresses") if tab.kind == "bot" else self._words("Visitors"),
            by=tab.by,
            state=State.EMPTY,
            tabs=links,
            hint=self._words(panel.hint),
            csv=address.api(tab),
            details=f"{address.base}/details/{panel.id}" + (f"?{query}" if query else ""),
            shape=tab.shape,
        )

    def _filled(self, view: PanelView, tab: Tab, address: Address, answer: Answer, limit: int) -> PanelView:
        rows: Sequence[Mapping[str, Any]] = answer["rows"]
        rare = _rare(answer)
        if not rows:
            return replace(view, state=State.FEW if rare[0] else State.EMPTY, rare=rare)
        # Going on within the site is no source; it stays as the last row, since the rows add up to the views.
        rows = sorted(rows, key=lambda row: (tab.by, row["value"]) == INTERNAL)
        largest = max((int(row["count"]) for row in rows if (tab.by, row["value"]) != INTERNAL), default=1) or 1
        shown = tuple(self._row(tab, address, row, largest) for row in rows[:limit])
        return replace(
            view,
            state=State.READY,
            rows=shown,
            rare=rare,
            more=max(0, len(rows) - limit),
            provisional=bool(answer.get("provisional")),
            heat=worldmap.heats(rows, address, self._words) if tab.shape is Shape.MAP else (),
        )

    def _row(self, tab: Tab, address: Address, row: Mapping[str, Any], largest: int) -> Row:
        value, count = str(row["value"]), int(row["count"])
        active = address.where == (tab.by, value)
        kinds = tab.shape is Shape.KINDS
        found = address.with_where(None if active else (tab.by, value))
        href = found.href if can_filter(value) and not kinds else None
        name, tag = labelled("crawler" if kinds else tab.by, value, self._words)
        return Row(
            label=name,
            tag=tag,
            value=visible(value, 600),
            count=count,
            visitors=int(row["visitors"]),
            share=0 if (tab.by, value) == INTERNAL else round(count / largest * 100, 1),
            href=href,
            active=active,
        )

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


def _chosen(panel: Panel, address: Address) -> Tab:
    wanted = address.tabs.get(panel.id)
    return next((tab for tab in panel.tabs if tab.id == wanted), panel.tabs[0])


def _rare(answer: Answer) -> tuple[int, int]:
    return int(answer["rare"]["count"]), int(answer["rare"]["visitors"])
