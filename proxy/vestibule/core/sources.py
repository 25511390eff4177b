"""Writes host sources of a content security policy (CSP Level 3, section 2.3.1), none wider than it may be."""

from __future__ import annotations

from itertools import islice

from vestibule.core.tables import is_address, suffixes

_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-:[]")


class Sources:
    """Collects policy sources, in order. closed: hosts that must not be covered by the ``*`` of a domain above."""

    def __init__(self, closed: set[str]) -> None:
        self._closed = closed
        self._barred = {parent for host in closed for parent in islice(suffixes(host), 1, None)}
        self._sources: dict[str, None] = {}

    def add(self, host: str, path: str = "", *, bare: bool = True, wide: bool = False) -> None:
        """Add a host (``bare``) and the names below it (``wide``). Where a closed host is below it, ``www.`` stands
        for these; what no policy may hold is left out."""
        if not host or set(host) - _CHARACTERS:
            return
        if bare:
            self._sources[host + path] = None
        if not wide or host.startswith("www.") or is_address(host) or ":" in host:
            return
        if host not in self._barred:
            self._sources[f"*.{host}{path}"] = None
        elif f"www.{host}" not in self._closed:
            self._sources[f"www.{host}{path}"] = None

    def collected(self) -> tuple[str, ...]:
        """Return the sources, in the order they were added, without those that another stands for already."""
        return tuple(source for source in self._sources if not self._is_covered(source))

    def _is_covered(self, source: str) -> bool:
        host, slash, _ = source.partition("/")
        if slash and host in self._sources:
            return True
        above = islice(suffixes(host.removeprefix("*.")), 1, None)
        return any(f"*.{parent}" in self._sources for parent in above)
