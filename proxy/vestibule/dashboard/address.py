"""What the page's address says: period, filter, graph and open tabs; and addresses that say something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from urllib.parse import urlencode

from vestibule.dashboard import periods
from vestibule.dashboard.dimensions import DIMENSIONS, KINDS, keeps
from vestibule.dashboard.periods import Period

GRAPHS = tuple(KINDS)
LONGEST_VALUE = 1000


@dataclass(frozen=True, slots=True)
class Address:
    """where: the one filter, dimension and value. tabs: the dimension shown by panel id, where not its first."""

    period: Period
    where: tuple[str, str] | None = None
    graph: str = "view"
    tabs: Mapping[str, str] = field(default_factory=dict)

    def query(self) -> str:
        pairs: list[tuple[str, str]] = []
        if self.period.name == "custom":
            pairs += [("from", self.period.start.isoformat()), ("to", self.period.end.isoformat())]
        elif self.period.name != periods.DEFAULT:
            pairs.append(("period", self.period.name))
        if self.where is not None:
            pairs.append(("where", ":".join(self.where)))
        if self.graph != default_graph(self.where):
            pairs.append(("graph", self.graph))
        pairs += sorted((f"tab-{panel}", by) for panel, by in self.tabs.items())
        return urlencode(pairs)

    @property
    def href(self) -> str:
        query = self.query()
        return f"/?{query}" if query else "/"

    def with_period(self, period: Period) -> Address:
        return replace(self, period=period)

    def with_where(self, where: tuple[str, str] | None) -> Address:
        """Filter by ``where``, or not at all; a graph that can't be filtered so gives way to one that can."""
        graph = self.graph
        if graph == default_graph(self.where) or (where is not None and not keeps(graph, where[0])):
            graph = default_graph(where)
        return replace(self, where=where, graph=graph)

    def with_graph(self, graph: str) -> Address:
        return replace(self, graph=graph)

    def with_tab(self, panel: str, by: str | None) -> Address:
        tabs = {name: value for name, value in self.tabs.items() if name != panel}
        return replace(self, tabs=tabs if by is None else {**tabs, panel: by})

    def api(self, kind: str, by: str, *, level: int | None = None, limit: int = 1000) -> str:
        """Return the address of the same numbers as CSV."""
        pairs = [
            ("kind", kind),
            ("by", by),
            ("from", self.period.start.isoformat()),
            ("to", self.period.end.isoformat()),
        ]
        if self.where is not None and self.where[0] != by:
            pairs.append(("where", ":".join(self.where)))
        elif level is not None:
            pairs.append(("level", str(level)))
        return "/api/v1/breakdown?" + urlencode([*pairs, ("limit", str(limit)), ("format", "csv")])


def default_graph(where: tuple[str, str] | None) -> str:
    """Return the first kind that can be filtered so: ``view`` for most."""
    return "view" if where is None else next(kind for kind in KINDS if keeps(kind, where[0]))


def parse_where(text: str) -> tuple[str, str] | None:
    """Return dimension and value of ``country:DE``; the value may hold colons. None where it is neither."""
    dimension, colon, value = text.partition(":")
    if not colon or dimension not in DIMENSIONS or not value or len(value) > LONGEST_VALUE:
        return None
    return dimension, value


def parse(query: Mapping[str, str], today: date, tabs: Mapping[str, tuple[str, ...]]) -> Address:
    """Read the page's query; what it says wrongly counts as not said. ``tabs``: the choices of each panel."""
    period = None
    if "from" in query:
        period = periods.between(query["from"], query.get("to", today.isoformat()), today)
    period = period or periods.named(query.get("period", ""), today) or periods.named(periods.DEFAULT, today)
    assert period is not None
    chosen = {panel: query[f"tab-{panel}"] for panel in tabs if query.get(f"tab-{panel}") in tabs[panel]}
    where, graph = parse_where(query.get("where", "")), query.get("graph", "")
    return Address(
        period=period,
        where=where,
        graph=graph if graph in GRAPHS else default_graph(where),
        tabs=chosen,
    )
