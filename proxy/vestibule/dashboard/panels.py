"""The panels and views of the dashboard, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    """How a panel is drawn, besides its table. KINDS: the table is of crawlers' kinds, and filters by none."""

    TABLE = "table"
    MAP = "map"
    FLOW = "flow"
    KINDS = "kinds"


@dataclass(frozen=True, slots=True)
class Tab:
    """One question of a panel: which kind of facts by which dimension. ``name`` is what the tab says. level: of the
    dimension's tree, counted from its top; None for its leaves. within: a filter that belongs to the question, so that
    no other can be laid over it."""

    kind: str
    by: str
    name: str
    level: int | None = None
    within: tuple[str, str] | None = None
    shape: Shape = Shape.TABLE

    @property
    def id(self) -> str:
        """Its name in the page's address."""
        suffix = "" if self.level is None else f"-{self.level}"
        suffix += "-kinds" if self.shape is Shape.KINDS else ""
        return f"{self.kind}-{self.by}{suffix}" + ("" if self.within is None else f"-{self.within[1]}")


@dataclass(frozen=True, slots=True)
class Panel:
    """noun: what its numbers count. hint: what an empty panel says would be here."""

    id: str
    title: str
    noun: str
    tabs: tuple[Tab, ...]
    hint: str


@dataclass(frozen=True, slots=True)
class View:
    """One page of the dashboard. tiles: ids of ``figures.FIGURES``. key: opens it."""

    id: str
    path: str
    title: str
    tiles: tuple[str, ...]
    panels: tuple[str, ...]
    key: str

    @property
    def graph(self) -> str:
        """What is drawn where nothing else is asked for."""
        return "view" if "view" in self.tiles or not self.tiles else self.tiles[0]


_NOT_FOUND = ("status", "404")
_BY_POLICY = ("reason", "csp")

PANELS: tuple[Panel, ...] = (
    Panel(
        "sources",
        "Sources",
        "Views",
        (
            Tab("view", "referrer", "Sources", level=1),
            Tab("view", "referrer", "Channels", level=0),
            Tab("view", "referrer", "Links"),
            Tab("view", "campaign", "Campaigns"),
            Tab("view", "medium", "Media"),
        ),
        "Where visitors come from: search engines, social networks, other sites.",
    ),
    Panel(
        "pages",
        "Pages",
        "Views",
        (
            Tab("view", "page", "Top"),
            Tab("view", "page", "Folders", level=0),
            Tab("visit", "entry", "Entry"),
            Tab("visit", "exit", "Exit"),
            Tab("file", "path", "Downloads"),
            Tab("outbound", "host", "Outbound"),
        ),
        "What is read, where visits begin and end.",
    ),
    Panel(
        "movements",
        "Movements",
        "Views",
        (Tab("view", "previous", "From and to", shape=Shape.FLOW),),
        "Which page people come from and where they go next.",
    ),
    Panel(
        "places",
        "Places",
        "Views",
        (
            Tab("view", "country", "Countries", shape=Shape.MAP),
            Tab("view", "country", "Continents", level=0),
            Tab("view", "language", "Languages"),
            Tab("client", "timezone", "Time zones"),
            Tab("view", "network", "Networks"),
        ),
        "Countries and languages; addresses are kept only cut to their network.",
    ),
    Panel(
        "devices",
        "Devices",
        "Views",
        (
            Tab("view", "browser", "Browsers", level=0),
            Tab("view", "browser", "Versions"),
            Tab("view", "os", "Systems", level=0),
            Tab("view", "device", "Devices"),
            Tab("client", "screen", "Screens"),
        ),
        "Browsers and systems, with their major version where enough visitors have it; screens after consent.",
    ),
    Panel(
        "errors",
        "Errors",
        "Errors",
        (
            Tab("error", "page", "Pages"),
            Tab("error", "page", "Not found", within=_NOT_FOUND),
            Tab("error", "referrer", "Links to nothing", within=_NOT_FOUND),
            Tab("error", "page", "Failures", within=("status", "5xx")),
            Tab("error", "status", "Status"),
        ),
        "Pages that were not found or failed, by the true status.",
    ),
    Panel(
        "events",
        "Events",
        "Events",
        (
            Tab("event", "name", "Events"),
            Tab("event", "value", "Values"),
            Tab("event", "page", "Pages"),
            Tab("pixel", "name", "Pixels"),
            Tab("pixel", "country", "Pixels by country"),
        ),
        "What the site reports itself, after consent to statistics, and pixels in mails.",
    ),
    Panel(
        "choices",
        "Choices",
        "Choices",
        (Tab("consent", "choice", "Choices"),),
        "What visitors decided.",
    ),
    Panel(
        "purposes",
        "Purposes",
        "Choices",
        (
            Tab("consent", "purpose", "Agreed to"),
            Tab("consent", "purpose", "Chosen in detail", within=("choice", "save")),
        ),
        "Which purposes were agreed to.",
    ),
    Panel(
        "surfaces",
        "Where it was decided",
        "Choices",
        (
            Tab("consent", "surface", "Accepted", within=("choice", "accept")),
            Tab("consent", "surface", "Rejected", within=("choice", "reject")),
            Tab("consent", "surface", "Chosen in detail", within=("choice", "save")),
        ),
        "The banner, the privacy centre, a signal of the browser.",
    ),
    Panel(
        "askers",
        "Who decided",
        "Choices",
        (Tab("consent", "language", "Languages"), Tab("consent", "country", "Countries")),
        "Languages and countries of those who decided.",
    ),
    Panel(
        "blocked",
        "Blocked services",
        "Requests",
        (Tab("blocked", "service", "Services"),),
        "Third parties that were held back until the visitor agrees.",
    ),
    Panel(
        "holders",
        "Pages that load them",
        "Requests",
        (Tab("blocked", "page", "Pages"), Tab("blocked", "page", "Folders", level=0)),
        "Pages on which something was held back.",
    ),
    Panel(
        "reports",
        "Stopped by the policy",
        "Reports",
        (Tab("blocked", "service", "Services", within=_BY_POLICY), Tab("blocked", "page", "Pages", within=_BY_POLICY)),
        "What a script tried to load and the browser refused: Content-Security-Policy reports.",
    ),
    Panel(
        "reasons",
        "Why",
        "Requests",
        (Tab("blocked", "reason", "Reasons"), Tab("blocked", "purpose", "Purposes")),
        "What gave something away: its address, an inline script, a cookie.",
    ),
    Panel(
        "crawlers",
        "Crawlers",
        "Requests",
        (Tab("bot", "name", "Names"), Tab("bot", "name", "Kinds", shape=Shape.KINDS)),
        "Search engines, AI crawlers and other programs. They are in no other number.",
    ),
    Panel(
        "crawled",
        "Pages they read",
        "Requests",
        (Tab("bot", "page", "Pages"), Tab("bot", "page", "Folders", level=0)),
        "What crawlers ask for.",
    ),
    Panel(
        "answers",
        "Answers they got",
        "Requests",
        (Tab("bot", "status", "Status"), Tab("bot", "page", "Not found", within=_NOT_FOUND)),
        "The status of what crawlers asked for.",
    ),
)
BY_ID: Mapping[str, Panel] = {panel.id: panel for panel in PANELS}

VIEWS: tuple[View, ...] = (
    View(
        "overview",
        "/",
        "Overview",
        ("visitors", "visit", "view", "per-visit", "duration", "bounce", "accepted", "blocked"),
        ("sources", "pages", "movements", "places", "devices", "errors", "events"),
        "o",
    ),
    View(
        "consent",
        "/consent",
        "Consent",
        ("asked", "consent", "accepted", "rejected", "detailed", "objected"),
        ("choices", "purposes", "surfaces", "askers"),
        "c",
    ),
    View("trackers", "/trackers", "Trackers", ("blocked",), ("blocked", "holders", "reports", "reasons"), "t"),
    View("crawlers", "/crawlers", "Crawlers", ("bot",), ("crawlers", "crawled", "answers"), "b"),
    View("privacy", "/privacy", "Privacy", (), (), "p"),
)
VIEWS_BY_ID: Mapping[str, View] = {view.id: view for view in VIEWS}

TABS: Mapping[str, tuple[str, ...]] = {panel.id: tuple(tab.id for tab in panel.tabs) for panel in PANELS}

SHARED_VIEWS = ("overview", "consent", "crawlers")
"""Views that whoever has a shared link may see."""
SHARED: frozenset[tuple[str, str]] = frozenset(
    (tab.kind, tab.by) for view in SHARED_VIEWS for panel in VIEWS_BY_ID[view].panels for tab in BY_ID[panel].tabs
)
"""Kinds with the dimensions that these views ask for."""
