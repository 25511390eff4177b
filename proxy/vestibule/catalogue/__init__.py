"""Shipped knowledge: third-party services with their hosts, scripts and cookies, and the country of an address.

Services come in two layers, and a service is in one of them only. Those that matter most are kept as JSON under
``services/``, one file a category, one block a service, reviewed by hand; what each key means is said at
:class:`vestibule.core.trackers.Service`. The others are in ``known.json``, one a line, which ``make catalogue`` writes
(``tools/catalogue.py``): name, category, hosts, and what little else the sources know.

A category stands for a purpose (``PURPOSES``); a reviewed block may name a stricter ``purpose``; nothing is necessary
but what takes payments, and that only where it was reviewed. Sources: ``NOTICE``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vestibule.core.consent import Purpose
from vestibule.core.trackers import Cookie, Service

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
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "mo": 2_628_000, "y": 31_536_000}
_DURATION = re.compile(r"([0-9]{1,4})(s|min|h|d|mo|y)")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All services: those reviewed by hand, by category, then in the order of the files; then the others, by id."""

    services: tuple[Service, ...]
    by_hand: frozenset[str] = frozenset()
    """The ids of those that were reviewed."""
    _by_id: dict[str, Service] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._by_id.update((service.id, service) for service in self.services)

    def get(self, id_: str) -> Service | None:
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


def load() -> Catalogue:
    """Read the whole catalogue: some ten milliseconds; the caller keeps it."""
    by_hand = reviewed()
    others = [_known(id_, block) for id_, block in _read(_KNOWN).items()]
    return Catalogue((*by_hand.services, *others), by_hand.by_hand)


def reviewed() -> Catalogue:
    """Read the layer that was reviewed by hand, alone."""
    services = [_service(id_, category, block) for category, id_, block in _reviewed_blocks()]
    return Catalogue(tuple(services), frozenset(service.id for service in services))


def ids() -> frozenset[str]:
    """Return the ids of all services, for a fraction of what loading them takes."""
    return frozenset((*(id_ for _, id_, _ in _reviewed_blocks()), *_read(_KNOWN)))


def country_database() -> Path:
    """Return the path of the shipped country database (MaxMind's Country layout, for ``geoip2``).

    Networks are cut at /24 and /48: look addresses up truncated, as they are kept.
    """
    return _FOLDER / "country.mmdb"


def continents() -> Mapping[str, str]:
    """Return ISO 3166-1 alpha-2 country code → continent code (AF, AN, AS, EU, NA, OC, SA)."""
    folded: dict[str, list[str]] = json.loads((_FOLDER / "continents.json").read_text("utf-8"))
    return {country: continent for continent, countries in folded.items() for country in countries}


def duration(text: str | None) -> int | None:
    """Return the seconds of ``2y``, ``13mo``, ``90d``, ``24h``, ``30min``, ``10s`` or ``session`` (0); None stays
    None. A month has 30 days and 10 hours, a year 365 days. Raises ValueError for other text."""
    if text is None:
        return None
    if text == "session":
        return 0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a duration: {text!r}")
    return int(match[1]) * _SECONDS[match[2]]


def _read(name: str) -> dict[str, dict[str, Any]]:
    blocks: dict[str, dict[str, Any]] = json.loads((_FOLDER / name).read_text("utf-8"))
    return blocks


def _reviewed_blocks() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for category in sorted(PURPOSES):
        if (_FOLDER / "services" / f"{category}.json").exists():
            for id_, block in _read(f"services/{category}.json").items():
                yield category, id_, block


def _known(id_: str, block: Mapping[str, Any]) -> Service:
    """A service of ``known.json``: how long its cookies last is not known."""
    category = block["category"]
    purpose = PURPOSES[category]
    return Service(
        id=id_,
        name=block["name"],
        purpose=purpose,
        provider=block.get("provider", block["name"]),
        policy=block.get("policy", ""),
        sentence=SENTENCES[category],
        hosts=tuple(block.get("hosts", ())),
        cookies=tuple(
            Cookie(pattern, purpose, None, id_, third_party=key == "third_party_cookies")
            for key in ("cookies", "third_party_cookies")
            for pattern in block.get(key, ())
        ),
        category=category,
    )


def _service(id_: str, category: str, block: Mapping[str, Any]) -> Service:
    purpose = Purpose(block["purpose"]) if "purpose" in block else PURPOSES[category]
    cookies = [
        Cookie(pattern, purpose, duration(lasts), id_, third_party=key == "third_party_cookies")
        for key in ("cookies", "third_party_cookies")
        for pattern, lasts in block.get(key, {}).items()
    ]
    return Service(
        id=id_,
        name=block["name"],
        purpose=purpose,
        provider=block["provider"],
        country=block["country"],
        policy=block["policy"],
        sentence=block["sentence"],
        hosts=tuple(block.get("hosts", ())),
        paths=tuple(block.get("paths", ())),
        inline=tuple(block.get("inline", ())),
        cookies=tuple(cookies),
        storage=tuple(block.get("storage", ())),
        relays=tuple(block.get("relays", ())),
        category=category,
    )
