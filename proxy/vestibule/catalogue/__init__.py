"""Shipped knowledge: third-party services with their hosts, scripts and cookies, and the country of an address.

Services come in two layers, and a service is in one of them only. Those that matter most are kept as JSON under
``services/``, one file a category, one block a service, reviewed by hand; what each key means is said at
:class:`vestibule.core.trackers.Service`. The others are in ``known.json``, one a line, which ``make catalogue`` writes
(``tools/catalogue.py``): name, category, hosts, and what little else the sources know.

A category stands for a purpose (``PURPOSES``); a reviewed block may name a stricter ``purpose``; nothing is necessary
but what takes payments, and that only where it was reviewed. Sources: ``NOTICE``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vestibule.core.purposes import Purpose

if TYPE_CHECKING:
    from vestibule.core.services import Service

PURPOSES: Mapping[str, Purpose] = {
    "advertising": Purpose.MARKETING,
    "marketing": Purpose.MARKETING,
    "social": Purpose.MARKETING,
    "tag-manager": Purpose.MARKETING,
    "analytics": Purpose.STATISTICS,
    "monitoring": Purpose.STATISTICS,
    "other": Purpose.MARKETING,
    "cdn": Purpose.PREFERENCES,
    "chat": Purpose.PREFERENCES,
    "consent": Purpose.PREFERENCES,
    "embeds": Purpose.PREFERENCES,
    "fonts": Purpose.PREFERENCES,
    "hosting": Purpose.PREFERENCES,
    "maps": Purpose.PREFERENCES,
    "security": Purpose.PREFERENCES,
    "utility": Purpose.PREFERENCES,
    "video": Purpose.PREFERENCES,
    "payment": Purpose.NECESSARY,
}
"""What a category of services is for, where its block says nothing else."""

SENTENCES: Mapping[str, str] = {
    "advertising": "Shows advertisements and measures what becomes of them.",
    "marketing": "Addresses visitors for the site's marketing and measures what becomes of it.",
    "social": "Connects the page with a social network.",
    "tag-manager": "Loads further scripts that are chosen elsewhere.",
    "analytics": "Counts visits and follows how pages are used.",
    "monitoring": "Watches how fast pages are, and what goes wrong on them.",
    "cdn": "Provides code libraries and files that pages are built with.",
    "chat": "Lets visitors talk to the people behind the site.",
    "consent": "Asks visitors for their consent.",
    "embeds": "Shows content of others in the page.",
    "fonts": "Provides fonts that pages are set in.",
    "hosting": "Provides parts of the page from the provider's own servers.",
    "maps": "Shows maps.",
    "other": "Does something for the page that nobody has looked at yet.",
    "security": "Tells people from programs.",
    "utility": "Provides a function that the page makes use of.",
    "video": "Plays videos.",
}
"""What visitors read of a service that nobody has reviewed, by its category."""

_FOLDER = Path(__file__).parent
_KNOWN = "known.json"
# How the files are laid out, which tests hold them to: a block begins with its id, on a line of its own.
_KNOWN_ID = re.compile(r'\n"([^"]+)":\{')
_REVIEWED_ID = re.compile(r'\n  "([^"]+)": \{')


class Catalogue:
    """All services: those reviewed by hand, by category, then in the order of the files; then the others, by id.

    by_hand: the ids of those that were reviewed.
    """

    __slots__ = ("_by_id", "by_hand", "services")

    def __init__(self, services: tuple[Service, ...], by_hand: frozenset[str]) -> None:
        self.services: Final = services
        self.by_hand: Final = by_hand
        self._by_id: Final = {service.id: service for service in services}

    def get(self, id_: str) -> Service | None:
        """The service of that id."""
        return self._by_id.get(id_)

    def find(self, text: str) -> tuple[Service, ...]:
        """Return the services whose id, name, provider or host holds ``text``, in any case; an exact id stands
        alone."""
        exact = self.get(text)
        if exact is not None:
            return (exact,)
        wanted = text.casefold()
        return tuple(
            service
            for service in self.services
            if any(wanted in known.casefold() for known in (service.id, service.name, service.provider, *service.hosts))
        )


@cache
def load() -> Catalogue:
    """Read the whole catalogue: some twenty milliseconds, once a process. It never changes, and all sites of an
    instance share what it holds."""
    from vestibule.catalogue import blocks

    by_hand = reviewed()
    others = [blocks.known(id_, block) for id_, block in _read(_KNOWN).items()]
    return Catalogue((*by_hand.services, *others), by_hand.by_hand)


def reviewed() -> Catalogue:
    """Read the layer that was reviewed by hand, alone."""
    from vestibule.catalogue import blocks

    services = [
        blocks.service(id_, category, block)
        for category, name in _reviewed_files()
        for id_, block in _read(name).items()
    ]
    return Catalogue(tuple(services), frozenset(service.id for service in services))


def ids() -> frozenset[str]:
    """Return the ids of all services, for a fraction of what reading their blocks takes."""
    found = _KNOWN_ID.findall((_FOLDER / _KNOWN).read_text("utf-8"))
    for _, name in _reviewed_files():
        found += _REVIEWED_ID.findall((_FOLDER / name).read_text("utf-8"))
    return frozenset(found)


def country_database() -> Path:
    """Return the path of the shipped country database (MaxMind's Country layout, for ``geoip2``).

    Networks are cut at /24 and /48: look addresses up truncated, as they are kept.
    """
    return _FOLDER / "country.mmdb"


def continents() -> Mapping[str, str]:
    """Return ISO 3166-1 alpha-2 country code → continent code (AF, AN, AS, EU, NA, OC, SA)."""
    folded: dict[str, list[str]] = _read("continents.json")
    return {country: continent for continent, countries in folded.items() for country in countries}


def _read(name: str) -> dict[str, Any]:
    import json  # not for those who only ask which ids there are

    found: dict[str, Any] = json.loads((_FOLDER / name).read_text("utf-8"))
    return found


def _reviewed_files() -> Iterator[tuple[str, str]]:
    """Category and name of each file of those reviewed by hand."""
    for category in sorted(PURPOSES):
        name = f"services/{category}.json"
        if (_FOLDER / name).exists():
            yield category, name
