"""Fills panels: asks for what a panel's tab shows and shapes it into rows, a map or a drawing of movements."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vestibule.dashboard import crawlers, flow, worldmap
from vestibule.dashboard.address import Address
from vestibule.dashboard.asking import Answer, Asking, Where
from vestibule.dashboard.dimensions import PLURALS, keeps, name_of
from vestibule.dashboard.panels import Panel, Shape, Tab
from vestibule.dashboard.parts import PanelView, Row, State, TabLink
from vestibule.dashboard.periods import Period
from vestibule.dashboard.values import can_filter, labelled, visible
from vestibule.dashboard.words import Words

SHOWN = 9
"""Rows of a panel."""
SHOWN_WITH_MAP = 5
INTERNAL = ("referrer", "internal")
MOST_NAMES = 1000
LARGEST_MAP = 260
"""Countries that a map may colour."""


class Filling:
    """Fills the panels of one page."""

    def __init__(self, asking: Asking, words: Words) -> None:
        self._asking = asking
        self._words = words

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
        return await self._asking.breakdown(
            tab.kind, tab.by, period, where=where, limit=limit, level=tab.level if where is None else None
        )

    async def _movements(self, view: PanelView, address: Address) -> PanelView:
        """From where and to where people go from the filter's page, or from the most read one."""
        page = address.where[1] if address.where is not None and address.where[0] == "page" else ""
        if address.where is not None and not page:
            note = self._words("Movements relate two pages, and a stored number relates at most two attributes.")
            return replace(view, state=State.INAPPLICABLE, note=note)
        if not page:
            top = await self._asking.breakdown("view", "page", address.period, limit=SHOWN + 1)
            if top is None:
                return replace(view, state=State.UNAVAILABLE)
            page = next((str(row["value"]) for row in top["rows"] if can_filter(str(row["value"]))), "")
            if not page:
                return replace(view, state=State.EMPTY)
        come, go = await asyncio.gather(
            self._asking.breakdown("view", "previous", address.period, where=("page", page), limit=SHOWN),
            self._asking.breakdown("view", "page", address.period, where=("previous", page), limit=SHOWN),
        )
        if come is None or go is None:
            return replace(view, state=State.UNAVAILABLE)
        drawn = flow.draw(page, come, go, address, self._words)
        if not drawn.come and not drawn.go:
            return replace(view, state=State.FEW if come["rare"]["count"] else State.EMPTY, rare=_rare(come))
        come_from, go_on = address.with_where(("page", page)), address.with_where(("previous", page))
        return replace(
            view,
            state=State.READY,
            flow=drawn,
            provisional=bool(come.get("provisional") or go.get("provisional")),
            csv=come_from.api(Tab("view", "previous", "")),
            csv_on=go_on.api(Tab("view", "page", "")),
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


def _chosen(panel: Panel, address: Address) -> Tab:
    wanted = address.tabs.get(panel.id)
    return next((tab for tab in panel.tabs if tab.id == wanted), panel.tabs[0])


def _rare(answer: Answer) -> tuple[int, int]:
    return int(answer["rare"]["count"]), int(answer["rare"]["visitors"])
