"""The panels of the page, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tab:
    """One question of a panel: which kind of facts by which dimension. ``name`` is what the tab says. level: of the
    dimension's tree, counted from its top; None for its leaves."""

    kind: str
    by: str
    name: str
    level: int | None = None

    @property
    def id(self) -> str:
        """Its name in the page's address."""
        return f"{self.kind}-{self.by}" + ("" if self.level is None else f"-{self.level}")


@dataclass(frozen=True, slots=True)
class Panel:
    """noun: what its numbers count. hint: what an empty panel says would be here."""

    id: str
    title: str
    noun: str
    tabs: tuple[Tab, ...]
    hint: str


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
        "browsers",
        "Browsers",
        "Views",
        (
            Tab("view", "browser", "Browsers", level=0),
            Tab("view", "browser", "Versions"),
            Tab("view", "os", "Systems", level=0),
        ),
        "Browsers and systems, with their major version where enough visitors have it.",
    ),
    Panel(
        "places",
        "Places",
        "Views",
        (
            Tab("view", "country", "Countries"),
            Tab("view", "country", "Continents", level=0),
            Tab("view", "language", "Languages"),
            Tab("view", "network", "Networks"),
        ),
        "Countries and languages; addresses are kept only cut to their network.",
    ),
    Panel(
        "devices",
        "Devices",
        "Views",
        (Tab("view", "device", "Devices"), Tab("client", "screen", "Screens"), Tab("client", "timezone", "Time zones")),
        "Phones, tablets, desktops; screens after consent to statistics.",
    ),
    Panel(
        "errors",
        "Errors",
        "Errors",
        (Tab("error", "page", "Pages"), Tab("error", "status", "Status"), Tab("error", "referrer", "Linked from")),
        "Pages that were not found or failed, by the true status.",
    ),
    Panel(
        "blocked",
        "Blocked services",
        "Requests",
        (
            Tab("blocked", "service", "Services"),
            Tab("blocked", "page", "Pages"),
            Tab("blocked", "purpose", "Purposes"),
            Tab("blocked", "reason", "Reasons"),
        ),
        "Third parties that were held back until the visitor agrees.",
    ),
    Panel(
        "consent",
        "Consent",
        "Choices",
        (
            Tab("consent", "choice", "Choices"),
            Tab("consent", "surface", "Where"),
            Tab("consent", "language", "Languages"),
            Tab("consent", "country", "Countries"),
        ),
        "What visitors decided when they were asked.",
    ),
)

TABS: Mapping[str, tuple[str, ...]] = {panel.id: tuple(tab.id for tab in panel.tabs) for panel in PANELS}
