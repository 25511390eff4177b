"""Cookies: what browsers send, what the site sets, and which of them may pass.

Follows the parsing algorithm of RFC 6265bis (section 5.6), which is what browsers do, rather than its grammar, which
is what servers should do. Text is latin-1, one character a byte, so that any byte survives a round trip.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from vestibule.core.consent import Choice, Purpose, State

_WHITESPACE = " \t"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
MAX_PAIR = 4096
"""Browsers ignore a cookie whose name and value together are longer (RFC 6265bis, section 5.6)."""
EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"


@dataclass(frozen=True, slots=True)
class Pair:
    """A cookie as a browser sends it. A cookie without a name has ``name == ""``."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}" if self.name else self.value


def parse_cookie(header: str) -> tuple[Pair, ...]:
    """Read a ``Cookie`` header: pairs in the order in which they stand, duplicates kept."""
    return tuple(_pairs(header))


def _pairs(header: str) -> Iterator[Pair]:
    for part in header.split(";"):
        text = part.strip(_WHITESPACE)
        if text:
            name, equals, value = text.partition("=")
            yield Pair(name.rstrip(_WHITESPACE), value.lstrip(_WHITESPACE)) if equals else Pair("", text)


def serialize_cookie(pairs: Iterable[Pair]) -> str:
    """Write a ``Cookie`` header."""
    return "; ".join(map(str, pairs))


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A cookie that a server sets. ``attributes`` keeps every attribute as written, in order, unknown ones included;
    the last of a name counts."""

    name: str
    value: str
    attributes: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def parse(cls, header: str) -> SetCookie | None:
        """Read a ``Set-Cookie`` header, or None where browsers would ignore it."""
        if _CONTROL.search(header):
            return None
        first, *rest = header.split(";")
        name, equals, value = first.partition("=")
        if not equals:
            name, value = "", first
        name, value = name.strip(_WHITESPACE), value.strip(_WHITESPACE)
        if (not name and not value) or len(name) + len(value) > MAX_PAIR:
            return None
        attributes = []
        for part in rest:
            key, equals, text = part.partition("=")
            if key.strip(_WHITESPACE):
                attributes.append((key.strip(_WHITESPACE), text.strip(_WHITESPACE) if equals else None))
        return cls(name, value, tuple(attributes))

    def get(self, attribute: str) -> str | None:
        """The value of the last attribute of that name ('' for one without a value), or None."""
        for key, value in reversed(self.attributes):
            if key.lower() == attribute.lower():
                return value or ""
        return None

    def replace(self, attribute: str, value: str | None) -> SetCookie:
        """The same cookie with one attribute set (None: without it)."""
        rest = tuple(item for item in self.attributes if item[0].lower() != attribute.lower())
        return SetCookie(self.name, self.value, rest if value is None else (*rest, (attribute, value or None)))

    def __str__(self) -> str:
        head = f"{self.name}={self.value}" if self.name else self.value
        tail = (f"; {key}" if value is None else f"; {key}={value}" for key, value in self.attributes)
        return head + "".join(tail)


@dataclass(frozen=True, slots=True)
class CookieVerdict:
    """What the policy says of a cookie, and by which rule."""

    name: str
    purpose: Purpose
    state: State
    service: str | None
    rule: str

    def passes(self, choice: Choice | None) -> bool:
        """Whether the cookie may be set and sent under this choice."""
        if self.state is State.ALLOW:
            return True
        return self.state is State.ASK and choice is not None and choice.grants(self.purpose, self.service)


class CookiePolicy:
    """Decides on cookies by name: declared by the site, known from the catalogue, or unknown.

    declared: the site's own cookies (``*`` stands for any characters) and their purposes. service: looks a name up in
    the catalogue and returns (service id, purpose, state of that service), or None. unknown: for all other names.
    """

    def __init__(
        self,
        declared: Mapping[str, Purpose],
        service: Callable[[str], tuple[str, Purpose, State] | None],
        unknown: State,
    ) -> None:
        self._exact = {name: purpose for name, purpose in declared.items() if "*" not in name}
        self._patterns = tuple(
            (re.compile(fnmatch.translate(name.replace("[", "[[]").replace("?", "[?]"))), name, purpose)
            for name, purpose in declared.items()
            if "*" in name
        )
        self._service = service
        self._unknown = unknown
        # Cookie names come from the network: the cache is bounded.
        self.decide: Callable[[str], CookieVerdict] = lru_cache(maxsize=2048)(self._decide)

    def _decide(self, name: str) -> CookieVerdict:
        purpose = self._exact.get(name)
        if purpose is not None:
            return _declared(name, purpose, name)
        for pattern, written, of in self._patterns:
            if pattern.fullmatch(name):
                return _declared(name, of, written)
        known = self._service(name)
        if known is not None:
            service, purpose, state = known
            if purpose is Purpose.NECESSARY and state is State.ASK:
                state = State.ALLOW
            return CookieVerdict(name, purpose, state, service, f"catalogue: a cookie of {service}")
        return CookieVerdict(name, Purpose.MARKETING, self._unknown, None, f"cookies.unknown: {self._unknown}")


def _declared(name: str, purpose: Purpose, written: str) -> CookieVerdict:
    state = State.ALLOW if purpose is Purpose.NECESSARY else State.ASK
    return CookieVerdict(name, purpose, state, None, f"cookies.declare.{written}: {purpose}")


def expiries(name: str, host: str, registrable: str, path: str, *, secure: bool) -> tuple[str, ...]:
    """``Set-Cookie`` headers that remove a cookie wherever it may have been set.

    A browser names a cookie only, not its domain and path, so each variant is expired, the likeliest first: for ``/``,
    then each folder of ``path`` (four in all); host-only, then for every domain from ``registrable`` down to ``host``.
    """
    domains: list[str | None] = [None]
    if not name.startswith("__Host-"):
        labels = host.split(".")
        for index in reversed(range(len(labels))):
            domain = ".".join(labels[index:])
            if domain == registrable or domain.endswith("." + registrable):
                domains.append(domain)
    folders = ["/"]
    for segment in path.split("/")[1:-1][:3]:
        if segment and not set(segment) & set(";,\\ \t"):
            folders.append(f"{folders[-1].rstrip('/')}/{segment}")
    # Browsers take a prefixed cookie's removal only with the attributes that its prefix asks for.
    suffix = "; Secure" if secure else ""
    return tuple(
        f"{name}=; Path={folder}{f'; Domain={domain}' if domain else ''}; Expires={EPOCH}; Max-Age=0{suffix}"
        for folder in (folders[:1] if name.startswith("__Host-") else folders)
        for domain in domains
    )
