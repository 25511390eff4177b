"""Block lists: many filters in Adblock syntax, of which few are looked at for any one address.

Filters that name a host are found by it, the others by a word that addresses must hold, as blockers in browsers do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from vestibule.core.filters import ALL, Filter
from vestibule.core.patterns import tidy_path

_WORD = re.compile(r"[a-z0-9]{3,}")

_TYPES: dict[str, frozenset[str]] = {
    "script": frozenset({"script"}),
    "style": frozenset({"stylesheet"}),
    "image": frozenset({"image"}),
    "icon": frozenset({"image", "other"}),
    "media": frozenset({"media"}),
    "frame": frozenset({"subdocument"}),
    "object": frozenset({"object"}),
    "manifest": frozenset({"other"}),
    "ping": frozenset({"ping"}),
    "form": frozenset({"document", "subdocument"}),
    "navigate": frozenset({"document"}),
    "csp": frozenset({"ping", "other"}),
}
"""A kind of contact as the gate names it: what it may be in the lists' words. Others (hints) may be anything."""


@dataclass(slots=True)
class _Table:
    """Filters by what an address must hold to be matched by them."""

    hosts: dict[str, list[Filter]] = field(default_factory=dict)
    words: dict[str, list[Filter]] = field(default_factory=dict)
    rest: list[Filter] = field(default_factory=list)

    def add(self, one: Filter) -> None:
        if one.host is not None:
            self.hosts.setdefault(one.host, []).append(one)
        elif one.token is not None:
            self.words.setdefault(one.token, []).append(one)
        else:
            self.rest.append(one)

    def candidates(self, name: str, address: str) -> Iterable[Filter]:
        """name: a host without port. address: in lower case."""
        if self.hosts:
            labels = name
            while True:
                yield from self.hosts.get(labels, ())
                _, dot, labels = labels.partition(".")
                if not dot:
                    break
        if self.words:
            for word in set(_WORD.findall(address)):
                yield from self.words.get(word, ())
        yield from self.rest


class FilterList:
    """All lists of a configuration together: an exception in one holds against filters of all, as in browsers.

    filters: in the lists' order. is_own: whether a host (without port) is the site's, for ``third-party``.
    """

    def __init__(self, filters: Iterable[Filter], is_own: Callable[[str], bool]) -> None:
        self._is_own = is_own
        self._closing, self._exceptions = _Table(), _Table()
        for one in filters:
            (self._exceptions if one.exception else self._closing).add(one)

    def rule(self, host: str, path: str, kind: str) -> str | None:
        """The filter that closes an address, with file and line, or None. host: with ``:port`` where it has one.

        Where a path can be read in two ways, one that is closed will do, and an exception must hold for both. Pages of
        the site itself, which visitors go to, are the site's: a ``/ads/`` in a list does not mean them.
        """
        name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if kind in ("navigate", "form") and self._is_own(name):
            return None
        third, types = not self._is_own(name), _TYPES.get(kind, ALL)
        addresses = [f"https://{host}{reading}" for reading in dict.fromkeys((path, tidy_path(path)))]
        closing = None
        for address in addresses:
            for one in self._closing.candidates(name, address.lower()):
                if (closing is None or one.important) and types & one.types and _is_about(one, name, third, address):
                    closing = one
        if closing is None or (not closing.important and all(self._excepted(name, a, third, types) for a in addresses)):
            return None
        return f"{closing.where}: {closing.text}"

    def _excepted(self, name: str, address: str, third: bool, types: frozenset[str]) -> bool:
        return any(
            types <= one.types and _is_about(one, name, third, address)
            for one in self._exceptions.candidates(name, address.lower())
        )


def _is_about(one: Filter, name: str, third: bool, address: str) -> bool:
    if one.third_party is not None and one.third_party is not third:
        return False
    if any(name == spared or name.endswith("." + spared) for spared in one.spared):
        return False
    return one.matches(address if one.match_case else address.lower())
