"""Cookies: what browsers send, what the site sets, and which of them may pass.

Follows the parsing algorithm of RFC 6265bis (section 5.6), which is what browsers do, rather than its grammar, which
is what servers should do. Text is latin-1, one character a byte, so that any byte survives a round trip.

Two things are stricter than the standard. A cookie without a name is none, as it was in RFC 6265: it cannot be declared
or removed by name, and may pass for any other cookie. And NUL, CR and LF end a ``Set-Cookie`` where they stand, so that
no value can begin another header.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from vestibule.core.consent import Choice, Purpose, State
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


# -- what a browser makes of it


@dataclass(frozen=True, slots=True)
class Stored:
    """A cookie in a browser's jar. domain: in lower case, without a leading dot. ends: None with the browser.
    same_site: strict, lax, none, or empty for the browser's default."""

    name: str
    value: str
    domain: str
    host_only: bool
    path: str
    ends: int | None
    secure: bool
    http_only: bool
    same_site: str
    partitioned: bool

    def goes_to(self, host: str, path: str, *, secure: bool) -> bool:
        """Whether it is sent with a request there (RFC 6265bis, section 5.8; ``SameSite`` is not looked at)."""
        host = host.lower()
        if host != self.domain and (self.host_only or not domain_matches(host, self.domain)):
            return False
        return path_matches(path, self.path) and (secure or not self.secure)


def store(
    cookie: SetCookie, host: str, path: str, *, secure: bool, now: int, is_suffix: Callable[[str], bool]
) -> Stored | None:
    """What a browser keeps of a cookie (RFC 6265bis, section 5.7), None where it takes it for none of its business.

    host, path, secure: of the request that it came on. is_suffix: whether anybody may register names below a domain.
    A ``Domain`` without a value is ignored, as RFC 6265 (section 5.2.3) has it.
    """
    host = host.lower()
    wanted = [value for key, value in cookie.attributes if key.lower() == "domain" and value]
    domain = wanted[-1].removeprefix(".").lower() if wanted else ""
    if domain and is_suffix(domain):
        if domain != host:
            return None
        domain = ""
    if domain and not domain_matches(host, domain):
        return None
    folder = cookie.get("path") or ""
    stored = Stored(
        cookie.name,
        cookie.value,
        domain or host,
        not domain,
        folder if folder.startswith("/") else default_path(path),
        cookie.ends(now),
        cookie.get("secure") is not None,
        cookie.get("httponly") is not None,
        _same_site(cookie),
        cookie.get("partitioned") is not None,
    )
    if stored.secure and not secure:
        return None
    if not stored.secure and (stored.same_site == "none" or stored.partitioned):
        return None
    return stored if _keeps_its_prefix(stored) else None


def _same_site(cookie: SetCookie) -> str:
    value = (cookie.get("samesite") or "").lower()
    return value if value in ("strict", "lax", "none") else ""


def _keeps_its_prefix(stored: Stored) -> bool:
    """RFC 6265bis, section 4.1.3: what a name promises must be so; letter case does not matter."""
    name = stored.name.lower()
    whole = stored.host_only and stored.path == "/"
    if name.startswith("__host-http-"):
        return stored.secure and stored.http_only and whole
    if name.startswith("__host-"):
        return stored.secure and whole
    if name.startswith("__http-"):
        return stored.secure and stored.http_only
    return stored.secure or not name.startswith("__secure-")


def domain_matches(host: str, domain: str) -> bool:
    """RFC 6265bis, section 5.1.3, of names in lower case; an address matches only itself."""
    if host == domain:
        return True
    return host.endswith("." + domain) and not host.rpartition(".")[2].isdigit() and ":" not in host


def path_matches(path: str, folder: str) -> bool:
    """RFC 6265bis, section 5.1.4. path: of a request, without its query."""
    path = path or "/"
    return path == folder or (path.startswith(folder) and (folder.endswith("/") or path[len(folder)] == "/"))


def default_path(path: str) -> str:
    """RFC 6265bis, section 5.1.4: the folder that a request's path lies in."""
    return path[: path.rfind("/")] or "/" if path.startswith("/") else "/"


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
    return cookie if _same_site(cookie) else cookie.replace("SameSite", "Lax")


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


# -- the site's policy


@dataclass(frozen=True, slots=True)
class Declared:
    """What the configuration says of a cookie. harden: make it stricter. scripts: the site's scripts must read it."""

    purpose: Purpose
    harden: bool = True
    scripts: bool = False


@dataclass(frozen=True, slots=True)
class CookieVerdict:
    """What the policy says of a cookie, and by which rule. session: it is what the site knows a signed-in visitor by.
    harden: make it stricter; http_only: keep it from scripts, too."""

    name: str
    purpose: Purpose
    state: State
    service: str | None
    rule: str
    session: bool = False
    harden: bool = False
    http_only: bool = False

    def passes(self, choice: Choice | None) -> bool:
        """Whether the cookie may be set and sent under this choice."""
        if self.state is State.ALLOW:
            return True
        return self.state is State.ASK and choice is not None and choice.grants(self.purpose, self.service)


class CookiePolicy:
    """Decides on cookies by name: declared by the site, known from the catalogue, or unknown.

    declared: the site's own cookies (``*`` stands for any characters). service: looks a name up in the catalogue and
    returns (service id, purpose, state of that service), or None. unknown: for all other names. sessions: names of the
    cookies that the site knows a signed-in visitor by; they are necessary without being declared.
    """

    def __init__(
        self,
        declared: Mapping[str, Declared],
        service: Callable[[str], tuple[str, Purpose, State] | None],
        unknown: State,
        sessions: Iterable[str] = (),
    ) -> None:
        self._declared = _Names(declared)
        self._sessions = _Names(dict.fromkeys(sessions, Declared(Purpose.NECESSARY)))
        self._service = service
        self._unknown = unknown
        # Cookie names come from the network: the cache is bounded.
        self.decide: Callable[[str], CookieVerdict] = lru_cache(maxsize=2048)(self._decide)

    def sift(self, pairs: Iterable[Pair], choice: Choice | None) -> tuple[list[Pair], list[Pair]]:
        """Those that pass under this choice, and those that don't. The same as ``decide`` and ``passes`` for each, in
        one go, since every request with cookies comes by."""
        decide, allow, ask = self.decide, State.ALLOW, State.ASK
        passing, refused = [], []
        for pair in pairs:
            verdict = decide(pair[0])
            state = verdict.state
            if state is allow or (state is ask and choice is not None and verdict.passes(choice)):
                passing.append(pair)
            else:
                refused.append(pair)
        return passing, refused

    def _decide(self, name: str) -> CookieVerdict:
        if not name:
            return CookieVerdict(name, Purpose.MARKETING, State.BLOCK, None, "a cookie without a name")
        session, found = self._sessions.find(name), self._declared.find(name)
        if found is not None:
            return _declared(name, found[1], f"cookies.declare.{found[0]}: {found[1].purpose}", session is not None)
        if session is not None:
            return _declared(name, session[1], f"sign_in.cookies: {session[0]}", True)
        known = self._service(name)
        if known is not None:
            service, purpose, state = known
            necessary = purpose is Purpose.NECESSARY
            if necessary and state is State.ASK:
                state = State.ALLOW
            # Whose scripts it is for nobody can say here.
            return CookieVerdict(name, purpose, state, service, f"catalogue: a cookie of {service}", harden=necessary)
        return CookieVerdict(name, Purpose.MARKETING, self._unknown, None, f"cookies.unknown: {self._unknown}")


def _declared(name: str, declared: Declared, rule: str, session: bool) -> CookieVerdict:
    necessary = declared.purpose is Purpose.NECESSARY
    harden = necessary and declared.harden
    return CookieVerdict(
        name,
        declared.purpose,
        State.ALLOW if necessary else State.ASK,
        None,
        rule,
        session=session,
        harden=harden,
        http_only=harden and not declared.scripts,
    )


class _Names:
    """What is said of names, some of which stand for many."""

    def __init__(self, written: Mapping[str, Declared]) -> None:
        self._exact = {name: declared for name, declared in written.items() if "*" not in name}
        self._patterns = tuple(
            (re.compile(fnmatch.translate(name.replace("[", "[[]").replace("?", "[?]"))), name, declared)
            for name, declared in written.items()
            if "*" in name
        )

    def find(self, name: str) -> tuple[str, Declared] | None:
        """What is said of a name, and as what it is written."""
        exact = self._exact.get(name)
        if exact is not None:
            return name, exact
        for pattern, written, declared in self._patterns:
            if pattern.fullmatch(name):
                return written, declared
        return None


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
