"""Asks for all that the dashboard page shows and shapes it for the template.

Every question has a time limit and may fail by itself: the page says then where something is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from vestibule.core.errors import VestibuleError
from vestibule.dashboard import chart, periods
from vestibule.dashboard.address import Address
from vestibule.dashboard.backend import Backend
from vestibule.dashboard.chart import Chart
from vestibule.dashboard.dimensions import PLURALS, keeps, name_of
from vestibule.dashboard.panels import PANELS, Panel, Tab
from vestibule.dashboard.periods import Period
from vestibule.dashboard.settings import Settings
from vestibule.dashboard.values import can_filter, labelled, number, percent, visible

TIMEOUT = 10.0
"""Seconds that one question may take."""
SHOWN = 9
"""Rows of a panel."""
LIVE_MINUTES = 30
LONGEST_HOURLY = 31
"""Days of a period up to which today is compared by the hour."""
INTERNAL = ("referrer", "internal")

_WELCOME = {"view": True, "error": False}

Answer = Mapping[str, Any]


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
    id: str
    title: str
    noun: str
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


@dataclass(frozen=True, slots=True)
class Change:
    """A number against the one of the period before, in words. trend: up, down, same, or empty. good: whether that is
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
class Live:
    """The last minutes; None for the chart where they can't be had."""

    chart: Chart | None
    total: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Page:
    address: Address
    tiles: tuple[Tile, ...]
    graph: Chart | None
    graph_note: str
    graph_title: str
    panels: tuple[PanelView, ...]
    live: Live
    provisional: bool
    alerts: tuple[str, ...]


async def guarded(question: Awaitable[Answer]) -> Answer | None:
    """Return the answer, or None where the store fails or takes too long."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await question
    except (VestibuleError, TimeoutError):
        return None


class Composer:
    """Composes pages of one site."""

    def __init__(self, backend: Backend, settings: Settings) -> None:
        self._backend = backend
        self._settings = settings

    async def page(self, address: Address, now: datetime) -> Page:
        """``now``: the site's local time."""
        panels = asyncio.gather(*(self._panel(panel, address, SHOWN) for panel in PANELS))
        health, live, graph, tiles = await asyncio.gather(
            guarded(self._backend.health()), self.live(now), self._graph(address, now), self._tiles(address, now)
        )
        return Page(
            address=address,
            tiles=tiles,
            graph=graph,
            graph_note=_graph_note(address),
            graph_title=PLURALS[address.graph],
            panels=tuple(await panels),
            live=live,
            provisional=address.period.includes(now.date()),
            alerts=alerts(health),
        )

    async def details(self, panel: Panel, address: Address, limit: int) -> PanelView:
        return await self._panel(panel, address, limit)

    async def live(self, now: datetime) -> Live:
        """Views of the last half hour by minute."""
        start = periods.Period("custom", now.date(), now.date())
        if now.hour == 0 and now.minute < LIVE_MINUTES:
            start = Period("custom", start.before().start, now.date())
        answer = await guarded(self._timeseries("view", "minute", start, None))
        if answer is None:
            return Live(None, 0, LIVE_MINUTES)
        drawn = chart.draw(chart.by_minute(chart.counts_of(answer["points"], 16), now, LIVE_MINUTES), ticks=2)
        return Live(drawn, drawn.total, LIVE_MINUTES)

    def _timeseries(self, kind: str, interval: str, period: Period, where: tuple[str, str] | None) -> Awaitable[Answer]:
        return self._backend.timeseries(
            site=self._settings.site, kind=kind, interval=interval, start=period.start, end=period.end, where=where
        )

    def _breakdown(self, tab: Tab, period: Period, where: tuple[str, str] | None, limit: int) -> Awaitable[Answer]:
        return self._backend.breakdown(
            site=self._settings.site,
            kind=tab.kind,
            by=tab.by,
            start=period.start,
            end=period.end,
            where=where,
            limit=limit,
            # A level can't be asked together with a filter: its rows are leaves then.
            level=tab.level if where is None else None,
        )

    async def _graph(self, address: Address, now: datetime) -> Chart | None:
        period, where = address.period, address.where
        if where is not None and not keeps(address.graph, where[0]):
            return None
        answer = await guarded(self._timeseries(address.graph, period.interval, period, where))
        if answer is None:
            return None
        if period.interval == "hour":
            return chart.draw(chart.by_hour(chart.counts_of(answer["points"], 16), period, now))
        return chart.draw(chart.by_day(chart.counts_of(answer["points"], 10), period, now.date()))

    async def _tiles(self, address: Address, now: datetime) -> tuple[Tile, ...]:
        visitors, views, blocked, errors, consent = await asyncio.gather(
            self._visitors(address, now),
            self._total("view", address, now),
            self._total("blocked", address, now),
            self._total("error", address, now),
            self._accepted(address),
        )
        return (
            Tile(
                "visitors",
                "Visitors",
                _shown(visitors and visitors[0]),
                "Address-and-browser pairs, counted anew every day: over several days it is the sum of the days.",
                change=_change(*(visitors or (None, None)), more_is_good=True),
            ),
            self._counted("view", "Views", "Pages that were shown.", views, address),
            Tile(
                "consent",
                "Accepted",
                "–" if consent is None else percent(consent),
                "Share of those who chose that accepted everything.",
            ),
            self._counted("blocked", "Blocked", "Third-party requests held back.", blocked, address),
            self._counted("error", "Errors", "Answers with a status of 400 or more.", errors, address),
        )

    def _counted(self, kind: str, title: str, help_: str, pair: tuple[int, int] | None, address: Address) -> Tile:
        now, before = pair if pair is not None else (None, None)
        if address.where is not None and not now:
            # What is released says nothing of too few: none of it does not mean that there was none.
            now = None
        return Tile(
            kind,
            title,
            _shown(now),
            help_,
            href=address.with_graph(kind).href,
            active=address.graph == kind,
            change=_change(now, before, more_is_good=_WELCOME.get(kind)),
        )

    async def _total(self, kind: str, address: Address, now: datetime) -> tuple[int, int] | None:
        """Return the facts of the period and of the one before; of that only as many hours as today has had."""
        period, where = address.period, address.where
        if where is not None and not keeps(kind, where[0]):
            return None
        both = Period("custom", period.before().start, period.end)
        # Hours tell how much of today to compare; a filter's hours are too few to add up to its days.
        hourly = where is None and period.includes(now.date()) and period.days <= LONGEST_HOURLY
        answer = await guarded(self._timeseries(kind, "hour" if hourly else "day", both, where))
        if answer is None:
            return None
        split = period.start.isoformat()
        until = (now - timedelta(days=period.days)).strftime("%Y-%m-%dT%H:%M") if hourly else split
        counts = chart.counts_of(answer["points"], 16)
        total = sum(count for time, count in counts.items() if time >= split)
        return total, sum(count for time, count in counts.items() if time < until)

    async def _visitors(self, address: Address, now: datetime) -> tuple[int, int | None] | None:
        """Return the visitors of the period and of the one before, summed over days; no comparison for a short period
        with today in it: half a day against a whole one would tell of a fall that is none."""
        period, where = address.period, address.where
        if where is not None and not keeps("view", where[0]):
            return None
        both = Period("custom", period.before().start, period.end)
        answer = await guarded(self._timeseries("view", "day", both, where))
        if answer is None:
            return None
        split = period.start.isoformat()
        days = [(str(point["time"]), int(point.get("visitors", 0))) for point in answer["points"]]
        total = sum(visitors for day, visitors in days if day >= split)
        if period.includes(now.date()) and period.days <= 2:
            return total, None
        return total, sum(visitors for day, visitors in days if day < split)

    async def _accepted(self, address: Address) -> float | None:
        where = address.where
        if where is not None and (where[0] == "choice" or not keeps("consent", where[0])):
            return None
        answer = await guarded(self._breakdown(Tab("consent", "choice", ""), address.period, where, 100))
        if answer is None:
            return None
        counts = {str(row["value"]): int(row["count"]) for row in answer["rows"]}
        chosen = sum(counts.get(choice, 0) for choice in ("accept", "reject", "save"))
        return counts.get("accept", 0) / chosen if chosen else None

    async def _panel(self, panel: Panel, address: Address, limit: int) -> PanelView:
        tab = _chosen(panel, address)
        where = address.where
        if where is not None and where[0] == tab.by:
            # A breakdown by what is filtered is that one row: the others stay, so that one can go on to a sibling.
            where = None
        view = _frame(panel, tab, address)
        if where is not None and not keeps(tab.kind, where[0]):
            return _with(view, State.INAPPLICABLE, note=f"{PLURALS[tab.kind]} are not kept by {name_of(where[0])}.")
        answer = await guarded(self._breakdown(tab, address.period, where, limit + 1))
        if answer is None:
            return _with(view, State.UNAVAILABLE)
        return _filled(view, tab, address, answer, limit)


def _graph_note(address: Address) -> str:
    """Return why there is no graph."""
    if address.where is not None and not keeps(address.graph, address.where[0]):
        return f"{PLURALS[address.graph]} are not kept by {name_of(address.where[0])}."
    return "The store does not answer. Counting goes on; reload in a moment."


def alerts(health: Answer | None) -> tuple[str, ...]:
    """Return what the operator should know, in sentences."""
    if health is None:
        return ("The state of the recorder can't be told.",)
    found = []
    store = str(health.get("store", "ok"))
    if store != "ok":
        found.append(f"The store does not answer; counting goes on and catches up later. {visible(store, 300)}")
    config = health.get("config")
    error = config.get("error") if isinstance(config, Mapping) else None
    if error:
        found.append(f"The changed configuration was refused, the one before holds. {visible(str(error), 300)}")
    return tuple(found)


def _chosen(panel: Panel, address: Address) -> Tab:
    wanted = address.tabs.get(panel.id)
    return next((tab for tab in panel.tabs if tab.id == wanted), panel.tabs[0])


def _frame(panel: Panel, tab: Tab, address: Address) -> PanelView:
    first = panel.tabs[0]
    links = tuple(
        TabLink(one.name, address.with_tab(panel.id, None if one is first else one.id).href, one is tab)
        for one in panel.tabs
    )
    query = address.with_tab(panel.id, None if tab is first else tab.id).query()
    return PanelView(
        id=panel.id,
        title=panel.title,
        noun="Visits" if tab.kind == "visit" else PLURALS[tab.kind] if tab.kind in ("file", "outbound") else panel.noun,
        by=tab.by,
        state=State.EMPTY,
        tabs=links,
        hint=panel.hint,
        csv=address.api(tab.kind, tab.by, level=tab.level),
        details=f"/details/{panel.id}" + (f"?{query}" if query else ""),
    )


def _filled(view: PanelView, tab: Tab, address: Address, answer: Answer, limit: int) -> PanelView:
    rows: Sequence[Mapping[str, Any]] = answer["rows"]
    rare = (int(answer["rare"]["count"]), int(answer["rare"]["visitors"]))
    if not rows:
        return _with(view, State.FEW if rare[0] else State.EMPTY, rare=rare)
    # Going on within the site is no source; it stays as the last row, since the rows add up to the views.
    rows = sorted(rows, key=lambda row: (tab.by, row["value"]) == INTERNAL)
    largest = max((int(row["count"]) for row in rows if (tab.by, row["value"]) != INTERNAL), default=1) or 1
    return _with(
        view,
        State.READY,
        rows=tuple(_row(tab, address, row, largest) for row in rows[:limit]),
        rare=rare,
        more=max(0, len(rows) - limit),
        provisional=bool(answer.get("provisional")),
    )


def _row(tab: Tab, address: Address, row: Mapping[str, Any], largest: int) -> Row:
    value, count = str(row["value"]), int(row["count"])
    active = address.where == (tab.by, value)
    href = address.with_where(None if active else (tab.by, value)).href if can_filter(value) else None
    name, tag = labelled(tab.by, value)
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


def _with(view: PanelView, state: State, **changes: Any) -> PanelView:
    return replace(view, state=state, **changes)


def _shown(value: int | None) -> str:
    return "–" if value is None else number(value)


def _change(now: int | None, before: int | None, *, more_is_good: bool | None) -> Change:
    """Return the difference to the period before; nothing where there was nothing to compare."""
    if now is None or not before:
        return Change()
    share = (now - before) / before
    if abs(share) < 0.005:
        return Change("as before", "same")
    words = f"{abs(share):.0%}".replace("%", " %") if abs(share) < 10 else f"× {now / before:.0f}"
    good = None if more_is_good is None else more_is_good is (share > 0)
    return Change(words, "up" if share > 0 else "down", good)
