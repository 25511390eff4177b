"""Cookies: what browsers send, what the site sets, and how to change or remove that.

Follows the parsing algorithm of RFC 6265bis (section 5.6), which is what browsers do, rather than its grammar, which
is what servers should do. Text is latin-1, one character a byte, so that any byte survives a round trip.

Two things are stricter than the standard. A cookie without a name is none, as it was in RFC 6265: it cannot be declared
or removed by name, and may pass for any other cookie. And NUL, CR and LF end a ``Set-Cookie`` where they stand, so that
no value can begin another header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from vestibule.core.cookie_dates import parse_date

_WHITESPACE = " \t"
_END = re.compile(r"[\x00\r\n]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MAX_AGE = re.compile(r"-?\d+", re.ASCII)
MAX_PAIR = 4096
"""Browsers ignore a cookie whose name and value together are longer (RFC 6265bis, section 5.6)."""
MAX_ATTRIBUTE = 1024
"""Browsers ignore an attribute with a longer value; the cookie stays."""
LONGEST = 400 * 86_400
"""Seconds that browsers keep a cookie at most (RFC 6265bis, section 5.5)."""
EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"


class Pair(NamedTuple):
    """A cookie as a browser sends it. A cookie without a name has ``name == ""``."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self[0]}={self[1]}" if self[0] else _nameless(self[1])


def parse_cookie(header: str) -> tuple[Pair, ...]:
    """Read a ``Cookie`` header: pairs in the order in which they stand, duplicates kept."""
    if _is_tidy(header):
        parts = [part.partition("=") for part in header.split("; ")]
        return tuple([_make(Pair, (name, value) if equals else ("", name)) for name, equals, value in parts])
    pairs = []
    for part in header.split(";"):
        name, equals, value = part.strip(_WHITESPACE).partition("=")
        if equals:
            pairs.append(Pair(name.rstrip(_WHITESPACE), value.lstrip(_WHITESPACE)))
        elif name:
            pairs.append(Pair("", name))
    return tuple(pairs)


_make = tuple.__new__
_ODD_ENDS = frozenset(" ;")


def _is_tidy(header: str) -> bool:
    """Whether a header is as browsers write most: pairs with ``; `` between them, and no other space."""
    if not header or header[0] in _ODD_ENDS or header[-1] in _ODD_ENDS or "\t" in header:
        return False
    return header.count(" ") == header.count(";") == header.count("; ")


def serialize_cookie(pairs: Iterable[Pair]) -> str:
    """Write a ``Cookie`` header."""
    return "; ".join([f"{name}={value}" if name else _nameless(value) for name, value in pairs])


def _nameless(value: str) -> str:
    """A cookie without a name, so that nobody takes the beginning of its value for one."""
    return f"={value}" if not value or "=" in value else value


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A cookie that a server sets. ``attributes`` keeps every attribute as written, in order, unknown ones included;
    the last of a name counts."""

    name: str
    value: str
    attributes: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def parse(cls, header: str) -> SetCookie | None:
        """Read a ``Set-Cookie`` header, or None where nothing is set."""
        end = _END.search(header)
        if end is not None:
            header = header[: end.start()]
        if _CONTROL.search(header):
            return None
        first, *rest = header.split(";")
        name, equals, value = first.partition("=")
        name, value = name.strip(_WHITESPACE), value.strip(_WHITESPACE)
        if not equals or not name or len(name) + len(value) > MAX_PAIR:
            return None
        attributes = []
        for part in rest:
            key, equals, text = part.partition("=")
            if key.strip(_WHITESPACE):
                attributes.append((key.strip(_WHITESPACE), text.strip(_WHITESPACE) if equals else None))
        return cls(name, value, tuple(attributes))

    def get(self, attribute: str) -> str | None:
        """The value of the last attribute of that name ('' for one without a value), or None."""
        wanted = attribute.lower()
        for key, value in reversed(self.attributes):
            if key.lower() == wanted and len(value or "") <= MAX_ATTRIBUTE:
                return value or ""
        return None

    @property
    def same_site(self) -> str:
        """strict, lax, none, or empty where it says nothing that browsers understand."""
        value = (self.get("samesite") or "").lower()
        return value if value in ("strict", "lax", "none") else ""

    def replace(self, attribute: str, value: str | None) -> SetCookie:
        """The same cookie with one attribute set ('' for one without a value), or with None without it."""
        rest = tuple(item for item in self.attributes if item[0].lower() != attribute.lower())
        return SetCookie(self.name, self.value, rest if value is None else (*rest, (attribute, value or None)))

    def ends(self, now: int) -> int | None:
        """When browsers forget it (seconds since the epoch, at most 400 days ahead); None: when they are closed.

        ``Max-Age`` goes before ``Expires``; one that cannot be read is as good as none.
        """
        for age in reversed([value or "" for key, value in self.attributes if key.lower() == "max-age"]):
            if len(age) <= MAX_ATTRIBUTE and _MAX_AGE.fullmatch(age):
                return now + min(int(age), LONGEST) if int(age) > 0 else 0
        for text in reversed([value or "" for key, value in self.attributes if key.lower() == "expires"]):
            date = parse_date(text)
            if date is not None:
                return min(date, now + LONGEST)
        return None

    def removes(self, now: int) -> bool:
        """Whether browsers forget the cookie at once."""
        ends = self.ends(now)
        return ends is not None and ends <= now

    def __str__(self) -> str:
        head = f"{self.name}={self.value}" if self.name else self.value
        tail = (f"; {key}" if value is None else f"; {key}={value}" for key, value in self.attributes)
        return head + "".join(tail)


# -- making it stricter

READ_BY_SCRIPTS = frozenset(
    {"csrf", "csrf-token", "csrf_token", "csrftoken", "x-csrf-token", "xsrf", "xsrf-token", "_csrf", "_xsrf"}
)
"""Names, in lower case and without prefix, of tokens against forged requests that the site's own scripts must read."""


def harden(cookie: SetCookie, *, secure: bool, http_only: bool) -> SetCookie:
    """The cookie with ``SameSite=Lax`` where it says nothing that browsers understand, with ``Secure`` on https, and
    with ``HttpOnly`` where scripts need not read it. Never weaker than it was."""
    if secure and cookie.get("secure") is None:
        cookie = cookie.replace("Secure", "")
    if http_only and cookie.get("httponly") is None and not _is_read_by_scripts(cookie.name):
        cookie = cookie.replace("HttpOnly", "")
    return cookie if cookie.same_site else cookie.replace("SameSite", "Lax")


def _is_read_by_scripts(name: str) -> bool:
    return name.lower().removeprefix("__host-").removeprefix("__secure-") in READ_BY_SCRIPTS


def removal(cookie: SetCookie) -> SetCookie:
    """What removes the cookie, in the words that all browsers read alike. Which of two contradicting attributes counts,
    and what is a number or a date, they don't agree on: what removes it here could set it there."""
    bare = SetCookie(cookie.name, "", cookie.attributes)
    return bare.replace("Expires", EPOCH).replace("Max-Age", "0")


def temporary(cookie: SetCookie) -> SetCookie:
    """The cookie as one that ends with the browser."""
    return cookie.replace("Expires", None).replace("Max-Age", None)


def kept(cookie: SetCookie, seconds: int) -> SetCookie:
    """The cookie as one that is kept so long."""
    return cookie.replace("Expires", None).replace("Max-Age", str(seconds))


def expiries(name: str, host: str, registrable: str, path: str, *, secure: bool) -> tuple[str, ...]:
    """``Set-Cookie`` headers that remove a cookie wherever it may have been set.

    A browser names a cookie only, not its domain and path, so each variant is expired, the likeliest first: for ``/``,
    then each folder of ``path`` (four in all); host-only, then for every domain from ``registrable`` down to ``host``.
    On https all of these once more for partitioned cookies, which are others of the same name.
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
    # Browsers take a prefixed cookie's removal only with the attributes that its prefix asks for. Otherwise it is as
    # short as it can be, since many fit into few headers then.
    needs = "; Secure" if secure and name.lower().startswith("__") else ""
    if needs and name.lower().startswith(("__http-", "__host-http-")):
        needs += "; HttpOnly"
    partitioned = (f"{needs or '; Secure'}; Partitioned",) if secure else ()
    return tuple(
        f"{name}=; Path={folder}{f'; Domain={domain}' if domain else ''}; Max-Age=0{suffix}"
        for suffix in (needs, *partitioned)
        for folder in (folders[:1] if name.startswith("__Host-") else folders)
        for domain in domains
    )
