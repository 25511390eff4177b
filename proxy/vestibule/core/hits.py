"""What goes into counting and what comes out: hits, facts, why a hit was dropped, and what is needed to tell."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from functools import partial
from itertools import product
from types import MappingProxyType, NoneType
from typing import Any, NamedTuple, Protocol

from vestibule.core import networks
from vestibule.core.agents import Agent
from vestibule.core.memo import Memo
from vestibule.core.pages import Folder, clean
from vestibule.core.trees import Trees

NONE = "(none)"
UNKNOWN = "(unknown)"
MAX_TEXTS = 5_000
"""Texts and languages remembered."""
MAX_MINUTES = 2_000
"""Minutes whose hour is remembered."""

FIRST_TIME = 31_536_000
"""1971-01-01, UTC: ClickHouse's ``Date`` and ``DateTime`` begin with 1970, which is at another time in each zone."""
LAST_TIME = 4_291_747_200
"""2106-01-01, UTC, which is too late already: ClickHouse's ``DateTime`` ends on 2106-02-07, its ``Date`` in 2149."""


def storable(time: float) -> bool:
    """Whether the store has room for a time (seconds since the epoch, UTC) and for its day in every time zone."""
    return FIRST_TIME <= time < LAST_TIME


DIMENSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "view": (
            "page",
            "referrer",
            "campaign",
            "medium",
            "hour",
            "country",
            "network",
            "language",
            "browser",
            "os",
            "device",
            "previous",
        ),
        "visit": ("entry", "exit", "referrer", "campaign", "country", "device", "depth", "duration"),
        "client": ("timezone", "screen", "page", "country", "device"),
        "error": ("status", "page", "referrer", "browser"),
        "file": ("path", "type", "referrer", "country"),
        "event": ("name", "value", "page"),
        "outbound": ("host", "page"),
        "pixel": ("name", "country"),
        "consent": ("choice", "purpose", "surface", "language", "country"),
        "asked": (),
        "blocked": ("service", "purpose", "page", "reason"),
        "bot": ("name", "page", "status"),
    }
)
"""The dimensions of each kind, in the order in which they are written down."""


class Hit(NamedTuple):
    """What a worker saw of one exchange. It lives in memory only. (A tuple, since workers make one for each request.)

    time: seconds since the epoch, UTC. address: in full; it is truncated before anything is kept.
    path, query: as requested, still percent-encoded. content_type: of the answer. size: bytes of the body sent.
    objects: ``""``, or the signal that objects to counting: ``gpc``, ``dnt``, ``objection``.
    blocked: ``(service, purpose, page, reason)`` of what was held back; an empty page means this one.
    kind: ``""`` for an exchange with the site, else an explicit fact, whose dimensions are in ``event``.
    count: False where the site answered ``Vestibule-Count: no``. asked: the page asked for a choice.
    """

    site: str
    time: float
    address: str = ""
    method: str = "GET"
    host: str = ""
    path: str = "/"
    query: str = ""
    status: int = 200
    content_type: str = ""
    size: int = 0
    agent: str = ""
    language: str = ""
    referrer: str = ""
    accept: str = ""
    fetch_dest: str = ""
    fetch_mode: str = ""
    fetch_site: str = ""
    fetch_user: str = ""
    purpose: str = ""
    ch_ua: str = ""
    ch_platform: str = ""
    objects: str = ""
    blocked: tuple[tuple[str, str, str, str], ...] = ()
    event: tuple[tuple[str, str], ...] | None = None
    kind: str = ""
    count: bool = True  # type: ignore[assignment]  # hides the method of tuples, which nobody needs here
    asked: bool = False

    def to_json(self) -> list[Any]:
        """Return the fields as a flat list, in the order of the class, for ``json.dumps``."""
        return list(self)

    @classmethod
    def from_json(cls, row: Any) -> Hit:
        """Return the hit of a list that :meth:`to_json` made. Raises ValueError where it is none: every field is there
        and of its type, and the time within some thousand years, so that it is on a day. (Whether that day can be
        stored is asked when it is counted, see :func:`storable`: then it is known why it was dropped.)"""
        if type(row) is not list or tuple(map(type, row)) not in _SHAPES:
            raise ValueError("not a hit: not as many fields, or of other types")
        if not -_FAR < row[_TIME] < _FAR:
            raise ValueError("not a hit: its time is on no day")
        values = list(row)
        values[_BLOCKED] = tuple(_texts(each, 4) for each in row[_BLOCKED])
        if row[_EVENT] is not None:
            values[_EVENT] = tuple(_texts(each, 2) for each in row[_EVENT])
        return cls._make(values)


_TIME, _BLOCKED, _EVENT = (Hit._fields.index(name) for name in ("time", "blocked", "event"))
_TYPES: Mapping[str, tuple[type, ...]] = {
    **{name: (type(value),) for name, value in Hit("", 0.0)._asdict().items()},
    "time": (float, int),
    "blocked": (list, tuple),
    "event": (NoneType, list, tuple),
}
_SHAPES = frozenset(product(*(_TYPES[name] for name in Hit._fields)))
"""The types of all fields as they may come."""
_FAR = 6e10
"""Seconds from 1970, about 1,900 years."""


def _texts(values: Any, number: int) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or len(values) != number or not all(type(text) is str for text in values):
        raise ValueError("not a hit: what was blocked and events are lists of texts")
    return tuple(values)


class Fact(NamedTuple):
    """One thing to count. (A tuple, since there is one for nearly every hit.)

    values: for each dimension the value and its ancestors, the nearest first.
    visitor: the text that identifies the visitor for today; it is keyed by the recorder at once and never stored.
    """

    site: str
    kind: str
    time: float
    values: Mapping[str, tuple[str, ...]]
    visitor: str


class Drop(StrEnum):
    """Why a hit is not counted, or not as a person's."""

    UNCOUNTED = "uncounted"
    METHOD = "method"
    STATUS = "status"
    ASSET = "asset"
    PREFETCH = "prefetch"
    OWN = "own"
    HEALTH = "health"
    SPAM = "spam"
    OBJECTION = "objection"
    BOT_AGENT = "bot-agent"
    BOT_VERSION = "bot-version"
    BOT_HEADERS = "bot-headers"
    MALFORMED = "malformed"


class Lookups(Protocol):
    """The tables and databases that facts are read from. Answers may be cached without end: nothing in them is new."""

    @property
    def trees(self) -> Trees: ...

    def agent(self, agent: str) -> Agent:
        """What a user agent string says; never raises."""

    def country(self, address: str) -> str:
        """The ISO 3166-1 code of a truncated address, or an empty text."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the site's configuration says about counting.

    hosts: the site's own names. first_party: more hosts that are ours, with all below them. timezone: where days begin.
    pages: patterns that fold pages. own: addresses or networks (CIDR) that are not counted; broken ones are left out.
    spam: more referring hosts, with all below them, whose visits are dropped.
    """

    hosts: frozenset[str] = frozenset()
    first_party: frozenset[str] = frozenset()
    timezone: tzinfo = UTC
    pages: Mapping[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    spam: frozenset[str] = frozenset()
    folder: Folder = field(init=False, repr=False, compare=False)
    hour: Callable[[int], str] = field(init=False, repr=False, compare=False)
    """The hour of the day, two digits, where the site is, of a minute since the epoch (UTC)."""
    language: Callable[[str], str] = field(init=False, repr=False, compare=False)
    text: Callable[[str], str] = field(init=False, repr=False, compare=False)
    own_networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Folder(self.pages))
        object.__setattr__(self, "hour", Memo(partial(_hour, self.timezone), MAX_MINUTES))
        object.__setattr__(self, "language", Memo(networks.language, MAX_TEXTS))
        object.__setattr__(self, "text", Memo(clean, MAX_TEXTS))
        object.__setattr__(self, "own_networks", tuple(_networks(self.own)))
        ours = {name.removeprefix("www.") for name in map(str.lower, self.hosts)}
        object.__setattr__(self, "hosts", frozenset(ours))
        object.__setattr__(self, "first_party", frozenset(map(str.lower, self.first_party)))


_MAPPED = 96
"""Bits before an IPv4 address that is mapped into IPv6."""


def _hour(zone: tzinfo, minute: int) -> str:
    return f"{datetime.fromtimestamp(minute * 60, zone).hour:02d}"


def _networks(texts: Iterable[str]) -> Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for text in texts:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
        # Addresses are compared as what they stand for, and so are networks of them (RFC 4291, section 2.5.5.2).
        if mapped is not None and network.prefixlen >= _MAPPED:
            yield ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED))
        else:
            yield network
