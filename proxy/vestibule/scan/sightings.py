"""What was seen of a site, before anyone judges it. Everything is bounded: beyond the bounds it is counted as lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

MAX_PAGES = 5
"""Pages that are named for each thing seen; more only repeat it."""
MAX_SEEN = 5000
"""Different addresses, cookies or keys that are kept."""


class How(StrEnum):
    """By what an address was found."""

    MARKUP = "markup"
    HEADER = "header"
    STYLE = "style"
    INLINE = "inline script"
    BROWSER = "browser"
    MENTION = "mentioned"
    """Written in a script as text: it may be contacted, and it may not."""


@dataclass(frozen=True, slots=True)
class Contact:
    """An address that is loaded. kind: as in ``core.html.elements.KINDS``. inside: host of the foreign frame that loads
    it, '' for the site's own pages."""

    url: str
    kind: str
    how: How
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """A service whose inline script was seen."""

    service: str


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A cookie that was set. host: whose it is, without a leading dot. lasts: seconds, 0 for the session. scripts:
    whether scripts can read it."""

    name: str
    host: str
    scripts: bool = field(compare=False, default=True)
    lasts: int = field(compare=False, default=0)


@dataclass(frozen=True, slots=True)
class Stored:
    """A key that scripts keep in the browser. area: ``local``, ``session``, ``indexeddb`` or ``cache``."""

    area: str
    key: str
    host: str


Sighting = Contact | Signature | SetCookie | Stored


class Sightings:
    """Each thing seen, with the pages it was seen on (at most ``MAX_PAGES``)."""

    def __init__(self) -> None:
        self.seen: dict[Sighting, list[str]] = {}
        self.lost = 0
        """What came beyond the bounds."""

    def add(self, sighting: Sighting, page: str) -> None:
        pages = self.seen.get(sighting)
        if pages is None:
            if len(self.seen) >= MAX_SEEN:
                self.lost += 1
                return
            pages = self.seen[sighting] = []
        if page not in pages and len(pages) < MAX_PAGES:
            pages.append(page)
