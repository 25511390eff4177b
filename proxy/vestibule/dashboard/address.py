"""What the page's address says: view, period, comparison, filter, graph and open tabs; and addresses that say else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from urllib.parse import urlencode

from vestibule.dashboard import periods
from vestibule.dashboard.dimensions import DIMENSIONS, KINDS, keeps
from vestibule.dashboard.figures import FIGURES
from vestibule.dashboard.panels import VIEWS_BY_ID, Tab
from vestibule.dashboard.periods import Period

GRAPHS = (*KINDS, *(name for name in FIGURES if name not in KINDS))
LONGEST_VALUE = 1000


class Against(StrEnum):
    """What numbers are compared with."""

    BEFORE = "before"
    YEAR = "year"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Address:
    """where: the one filter, dimension and value. tabs: the dimension shown by panel id, where not its first.
    base: what stands before every path, without a slash at its end: of a shared link, else nothing. misread: other days
    were asked for, which can't be shown."""

    period: Period
    where: tuple[str, str] | None = None
    graph: str = "view"
    tabs: Mapping[str, str] = field(default_factory=dict)
    view: str = "overview"
    against: Against = Against.BEFORE
    base: str = ""
    misread: bool = False

    def query(self) -> str:
        pairs: list[tuple[str, str]] = []
        if self.period.name == "custom":
            pairs += [("from", self.period.start.isoformat()), ("to", self.period.end.isoformat())]
        elif self.period.name != periods.DEFAULT:
            pairs.append(("period", self.period.name))
        if self.against is not Against.BEFORE:
            pairs.append(("against", self.against.value))
        if self.where is not None:
            pairs.append(("where", ":".join(self.where)))
        if self.graph != default_graph(self.where, self.view):
            pairs.append(("graph", self.graph))
        pairs += sorted((f"tab-{panel}", by) for panel, by in self.tabs.items())
        return urlencode(pairs)

    @property
    def path(self) -> str:
        return self.base + VIEWS_BY_ID[self.view].path

    @property
    def href(self) -> str:
        query = self.query()
        return f"{self.path}?{query}" if query else self.path

    def with_period(self, period: Period) -> Address:
        return replace(self, period=period)

    def with_against(self, against: Against) -> Address:
        return replace(self, against=against)

    def with_view(self, view: str) -> Address:
        """The same days of another view; a filter that says nothing there is left out by the view itself."""
        return replace(self, view=view, graph=default_graph(self.where, view), tabs={})

    def with_where(self, where: tuple[str, str] | None) -> Address:
        """Filter by ``where``, or not at all; a graph that can't be filtered so gives way to one that can."""
        graph = self.graph
        if graph == default_graph(self.where, self.view) or (where is not None and not graph_keeps(graph, where[0])):
            graph = default_graph(where, self.view)
        return replace(self, where=where, graph=graph)

    def with_graph(self, graph: str) -> Address:
        return replace(self, graph=graph)

    def with_tab(self, panel: str, by: str | None) -> Address:
        tabs = {name: value for name, value in self.tabs.items() if name != panel}
        return replace(self, tabs=tabs if by is None else {**tabs, panel: by})

    def api(self, tab: Tab, *, limit: int = 1000) -> str:
        """Return the address of the same numbers as CSV."""
        pairs = [
            ("kind", tab.kind),
            ("by", tab.by),
            ("from", self.period.start.isoformat()),
            ("to", self.period.end.isoformat()),
        ]
        where = tab.within or self.where
        if where is not None and where[0] != tab.by:
            pairs.append(("where", ":".join(where)))
        elif tab.level is not None:
            pairs.append(("level", str(tab.level)))
        return f"{self.base}/api/v1/breakdown?" + urlencode([*pairs, ("limit", str(limit)), ("format", "csv")])


def graph_keeps(graph: str, dimension: str) -> bool:
    """Whether a graph can be narrowed by a dimension."""
    return keeps(graph, dimension) if graph in KINDS else FIGURES[graph].keeps(dimension)


def default_graph(where: tuple[str, str] | None, view: str = "overview") -> str:
    """Return the view's own number where it can be filtered so, else the first kind that can."""
    graph = VIEWS_BY_ID[view].graph
    if where is None or graph_keeps(graph, where[0]):
        return graph
    return next(kind for kind in KINDS if keeps(kind, where[0]))


def parse_where(text: str) -> tuple[str, str] | None:
    """Return dimension and value of ``country:DE``; the value may hold colons. None where it is neither."""
    dimension, colon, value = text.partition(":")
    if not colon or dimension not in DIMENSIONS or not value or len(value) > LONGEST_VALUE:
        return None
    return dimension, value


def parse(
    query: Mapping[str, str],
    today: date,
    tabs: Mapping[str, tuple[str, ...]],
    view: str = "overview",
    base: str = "",
) -> Address:
    """Read the page's query; what it says wrongly counts as not said. ``tabs``: the choices of each panel."""
    period = None
    if "from" in query:
        period = periods.between(query["from"], query.get("to", today.isoformat()), today)
    misread = "from" in query and period is None
    period = period or periods.named(query.get("period", ""), today) or periods.named(periods.DEFAULT, today)
    assert period is not None
    chosen = {panel: query[f"tab-{panel}"] for panel in tabs if query.get(f"tab-{panel}") in tabs[panel]}
    where, graph = parse_where(query.get("where", "")), query.get("graph", "")
    against = query.get("against", "")
    return Address(
        period=period,
        where=where,
        graph=graph if graph in GRAPHS else default_graph(where, view),
        tabs=chosen,
        view=view,
        against=Against(against) if against in list(Against) else Against.BEFORE,
        base=base,
        misread=misread,
    )
