"""The numbers at the top of a page, as a table: what each is made of, and whether more of it is welcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from vestibule.dashboard.dimensions import keeps
from vestibule.dashboard.values import RARE


class Unit(StrEnum):
    """What a number is."""

    COUNT = "count"
    SHARE = "share"
    EACH = "each"
    WORD = "word"


@dataclass(frozen=True, slots=True)
class Part:
    """Facts of a kind, or those of them that have one value of a dimension."""

    kind: str
    by: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """top, below: what is counted, and by what it is divided, where it is no count. welcome: whether more of it is
    good; None where it is neither. drawn: whether it can be the graph."""

    id: str
    title: str
    help: str
    top: Part
    below: Part | None = None
    unit: Unit = Unit.COUNT
    welcome: bool | None = None
    drawn: bool = True

    def keeps(self, dimension: str) -> bool:
        """Whether all that it is made of is kept by a dimension, and not by one of its own."""
        parts = [part for part in (self.top, self.below) if part is not None]
        return all(keeps(part.kind, dimension) and part.by != dimension for part in parts)


_CHOSEN = ("accept", "reject", "save", RARE)
"""What somebody chose; a choice too rare to be named is one, too."""
_ALL = (
    Figure(
        "visitors",
        "Visitors",
        "Address-and-browser pairs, counted anew every day: over several days it is the sum of the days.",
        Part("view"),
        welcome=True,
    ),
    Figure(
        "visit",
        "Visits",
        "Pages seen by one visitor with no more than 30 minutes between them. A visit is counted when it has ended.",
        Part("visit"),
        welcome=True,
    ),
    Figure("view", "Views", "Pages that were shown.", Part("view"), welcome=True),
    Figure(
        "per-visit",
        "Views a visit",
        "Views divided by visits, of days that are over: today's last visits go on.",
        Part("view"),
        Part("visit"),
        Unit.EACH,
        True,
    ),
    Figure(
        "duration",
        "Time a visit",
        "What half of the visits last at least, from the first page to the last.",
        Part("visit", "duration"),
        unit=Unit.WORD,
        drawn=False,
    ),
    Figure(
        "bounce",
        "One page only",
        "Share of visits that ended on the page they began with.",
        Part("visit", "depth", ("1",)),
        Part("visit"),
        Unit.SHARE,
        False,
    ),
    Figure(
        "accepted",
        "Accepted",
        "Share of those who chose that accepted everything.",
        Part("consent", "choice", ("accept",)),
        Part("consent", "choice", _CHOSEN),
        Unit.SHARE,
    ),
    Figure(
        "rejected",
        "Rejected",
        "Share of those who chose that rejected everything.",
        Part("consent", "choice", ("reject",)),
        Part("consent", "choice", _CHOSEN),
        Unit.SHARE,
    ),
    Figure(
        "detailed",
        "Chose in detail",
        "Share of those who chose that agreed to some of it.",
        Part("consent", "choice", ("save",)),
        Part("consent", "choice", _CHOSEN),
        Unit.SHARE,
    ),
    Figure(
        "objected",
        "Objected",
        "Views of people whose browser, or who themselves, objected to being counted. Nothing else is known of them.",
        Part("consent", "choice", ("objection",)),
    ),
    Figure("blocked", "Blocked", "Third-party requests held back.", Part("blocked")),
    Figure("error", "Errors", "Answers with a status of 400 or more.", Part("error"), welcome=False),
    Figure(
        "asked",
        "Asked",
        "Views of pages that asked for a choice.",
        Part("asked"),
    ),
    Figure("consent", "Choices", "How often somebody decided.", Part("consent", "choice", _CHOSEN)),
    Figure("bot", "Requests", "Requests of crawlers and other programs.", Part("bot")),
)  # fmt: skip

FIGURES: Mapping[str, Figure] = {figure.id: figure for figure in _ALL}

DURATIONS = ("0-9 s", "10-59 s", "1-2 min", "3-9 min", "10-29 min", "30+ min")
"""The classes of a visit's duration, the shortest first."""
