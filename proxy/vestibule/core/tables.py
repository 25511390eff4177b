"""Tables that tell whom a host, a path of the site's own or a cookie name belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from vestibule.core.patterns import Glob, PathPattern
from vestibule.core.services import PURPOSES, Cookie, Service, Verdict


class Host:
    """What is known of one host name: the service that has it whole, and those that have parts of it.

    wins: whether a claim comes from the configuration, which goes before the catalogue's.
    """

    __slots__ = ("_claims", "_parts", "bare", "paths", "rank", "whole", "wide")

    def __init__(self) -> None:
        self.bare = False
        self.wide = False
        """Whether policies open the name itself, and the names below it."""
        self.rank = 1 << 30
        """Its place among the hosts of the service that names it first."""
        self.whole: str | None = None
        self.paths: tuple[tuple[PathPattern, str], ...] = ()
        self._claims: list[tuple[str, bool]] = []
        self._parts: dict[str, list[tuple[str, bool]]] = {}

    def claim(self, service: str, path: str | None, *, wins: bool) -> None:
        """Enter a service's claim to a part of the host; ``path`` None: to all of it."""
        claims = self._claims if path is None else self._parts.setdefault(path, [])
        claims.append((service, wins))

    def settle(self, rules: Mapping[str, Verdict]) -> None:
        """Give each part to one claimant: the configuration's before the catalogue's, then the strictest."""

        def winner(claims: list[tuple[str, bool]]) -> str:
            return max(claims, key=lambda claim: (claim[1], rules[claim[0]].strictness, claim[0]))[0]

        self.whole = winner(self._claims) if self._claims else None
        parts = [(PathPattern(path), winner(claims)) for path, claims in self._parts.items()]
        self.paths = tuple(sorted(parts, key=lambda part: part[0].weight, reverse=True))

    def find(self, path: str) -> str | None:
        """Return the service of the longest pattern that matches, else the one that has all of the host."""
        for pattern, service in self.paths:
            if pattern.matches(path):
                return service
        return self.whole

    def serves(self, services: frozenset[str]) -> bool:
        """Whether the host, or a path of it, belongs to any of these."""
        return self.whole in services or any(service in services for _, service in self.paths)


class HostTable:
    """All host names that services claim."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}

    def enter(self, service: Service, *, wins: bool) -> None:
        """Note what a service claims. wins: the configuration says so, which goes before the catalogue's."""
        narrowing = [path for path in service.paths if path.startswith("/")]
        for rank, name in enumerate(service.hosts):
            entry = self._host(name, rank, wide=wins)
            for path in narrowing or (None,):
                entry.claim(service.id, path, wins=wins)
        for rank, location in enumerate(service.paths):
            name, slash, path = location.partition("/")
            if name:
                self._host(name, rank, wide=wins).claim(service.id, slash + path, wins=wins)

    def settle(self, rules: Mapping[str, Verdict]) -> None:
        """Decide who has what several claim. rules: service id → what the configuration says of it."""
        for host in self.hosts.values():
            host.settle(rules)

    def find(self, name: str, path: str) -> tuple[str | None, bool]:
        """Return the service that a URL belongs to, and whether another path could belong to another: the longest
        suffix of the name that has an answer decides."""
        by_path = False
        for suffix in (name,) if is_address(name) else suffixes(name):
            entry = self.hosts.get(suffix)
            if entry is not None:
                by_path = by_path or bool(entry.paths)
                found = entry.find(path)
                if found is not None:
                    return found, by_path
        return None, by_path

    def _host(self, name: str, rank: int, *, wide: bool) -> Host:
        bare = name.removeprefix("*.")
        entry = self.hosts.setdefault(bare, Host())
        entry.rank = min(entry.rank, rank)
        entry.bare = entry.bare or bare == name
        entry.wide = entry.wide or bare != name or wide
        return entry


class RelayTable:
    """Paths on the site's own hosts behind which a service stands."""

    def __init__(self) -> None:
        self._by_last: dict[str, list[tuple[str, str]]] = {}
        self._others: list[tuple[str, PathPattern, str]] = []
        self.words: set[str] | None = set()
        """What a path cannot do without if anything is to match: one of its segments begins with one of these. None
        where some pattern names no beginning of a segment."""

    def enter(self, service: str, pattern: str, host: str = "") -> None:
        """Add a pattern of paths on ``host`` and below it; on all of the site's hosts where that is empty."""
        place, mark, _ = pattern.partition("?")
        word = max((part.partition("*")[0] for part in place.split("/")[1:]), key=len, default="")
        if mark and "*" in place:
            word = ""  # what follows the asterisk may then stand in the query
        if not word.isascii() or not 0 < len(word) < 256:
            self.words = None
        elif self.words is not None:
            self.words.add(word)
        tail = pattern.removeprefix("*")
        if not host and tail != pattern and tail.startswith("/") and not {"*", "?"} & set(tail):
            # Most patterns only name how a path ends: found by its last part instead of one by one.
            self._by_last.setdefault(tail.rpartition("/")[2], []).append((tail, service))
        else:
            self._others.append((host, PathPattern(pattern), service))

    def find(self, name: str, path: str) -> Iterator[str]:
        """Yield the services of all patterns that match."""
        plain = path.partition("?")[0]
        for tail, service in self._by_last.get(plain.rpartition("/")[2], ()):
            if plain.endswith(tail):
                yield service
        for host, pattern, service in self._others:
            if (not host or name == host or name.endswith("." + host)) and pattern.matches(path):
                yield service


class CookieTable:
    """Cookie names of the site's own domain, by exact name and by pattern.

    Where several services claim a name, one that is listed goes first, then the one of the strictest purpose.
    """

    def __init__(self, services: Iterable[Service], listed: frozenset[str]) -> None:
        self._exact: dict[str, Cookie] = {}
        globs: dict[str, Cookie] = {}
        for service in services:
            for cookie in service.cookies:
                if not cookie.third_party:
                    names = globs if "*" in cookie.pattern else self._exact
                    held = names.get(cookie.pattern)
                    if held is None or _claim(cookie, listed) > _claim(held, listed):
                        names[cookie.pattern] = cookie
        patterns = [(Glob(pattern), cookie) for pattern, cookie in globs.items()]
        self._patterns = sorted(patterns, key=lambda pair: pair[0].weight, reverse=True)

    def find(self, name: str) -> Cookie | None:
        """The cookie of that name; written out it goes before patterns, the pattern that names more before others."""
        exact = self._exact.get(name)
        if exact is not None:
            return exact
        return next((cookie for glob, cookie in self._patterns if glob.matches(name)), None)


def _claim(cookie: Cookie, listed: frozenset[str]) -> tuple[bool, int, str]:
    return cookie.service in listed, PURPOSES.index(cookie.purpose), cookie.service


def is_address(host: str) -> bool:
    """Whether a host is an IP address: in brackets, or with digits for its last label (URL Standard, "ends in a
    number")."""
    return host.startswith("[") or host.rpartition(".")[2].isdigit()


def suffixes(host: str) -> Iterator[str]:
    """Yield a host and the domains above it, the longest first."""
    yield host
    while "." in host:
        host = host.partition(".")[2]
        yield host
