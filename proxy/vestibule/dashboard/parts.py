"""What a page of the dashboard consists of, ready for the template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from vestibule.dashboard.address import Address
from vestibule.dashboard.chart import Chart
from vestibule.dashboard.figures import Unit
from vestibule.dashboard.flow import Flow
from vestibule.dashboard.office import Note
from vestibule.dashboard.panels import Shape
from vestibule.dashboard.periods import Period
from vestibule.dashboard.worldmap import Heat


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
    """noun, people: what the two columns of numbers count. csv_on: of movements the way on; ``csv`` is where people
    came from."""

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
    csv_on: str = ""
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
