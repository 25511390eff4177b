"""What is decided by the origin of an address alone, as it is written: most of what a page refers to.

Most addresses are plainly written and many share a host, so a gate that can decide by the origin alone is asked once
for each (`gate.OriginGate`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from vestibule.core import urls
from vestibule.core.html import elements
from vestibule.core.html.gate import BY_URL, ByUrl, Gate, Gated, Held, mark
from vestibule.core.html.grammar import compile_bytes
from vestibule.core.html.unless import Unless

MOST_VERDICTS = 4096
"""Verdicts remembered in one page; beyond, the gate is asked again."""

Known = tuple[Held, bytes] | bytes | Literal[False] | None
"""What `Origins.origins` knows of an origin; of one that is held back the entry to be listed, and the attribute that
says so."""

# Whose host stands there as it is, whatever follows it.
_PLAIN = compile_bytes(
    r"(https?:)?//((?:[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?\.)+[a-z](?:[a-z0-9\-]*[a-z0-9])?)(?=[/?#]|\Z)"
)
# What can't but stay with the base's host: "/path", "path/…", "path.ext", "?query" and "#fragment".
_OWN = compile_bytes(r"/(?=[A-Za-z0-9_.\-?#~%]|\Z)|[A-Za-z0-9_.\-]++(?=[/?#]|\Z)|[?#]|\Z")


class Origins:
    """What is known of origins under the bases of one page."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._origin: Callable[[str, str], Gated | ByUrl | Unless | None] | None = getattr(gate, "origin", None)
        self._bases: list[urls.Url | None] = []
        self._own = self._scheme = b""
        self._origins: dict[tuple[bytes | None, bytes, str], Gated | ByUrl | Unless | None] = {}
        self.origins: dict[str, dict[bytes | None, Known]] = {}
        """Kind → origin as it is written → what is known of it: None that it is open, a table that it is `Unless` …,
        what holds it back, or False that it doesn't decide. Of the base's own ``b"/"`` for paths from the root on,
        ``b""`` for any."""
        self._marks: dict[str, bytes] = {}
        self._captured: dict[tuple[bytes, str], Gated | ByUrl | Unless | None] = {}

    def start_with(self, bases: tuple[urls.Url | None, ...]) -> None:
        """Judge by these bases, of which the first is the likeliest."""
        self._bases = list(bases)
        self._own = _origin(bases[0])
        scheme, slashes, _ = self._own.partition(b"//")
        self._scheme = scheme + slashes
        self._origins.clear()
        self._captured.clear()
        self.origins = {kind: {None: None} for kind in elements.KINDS}

    @property
    def plain(self) -> bool:
        """Whether addresses can be judged by their origins as they are written."""
        return self._origin is not None and len(self._bases) == 1

    def opens(self, origins: Iterable[bytes | None], kind: str) -> bool:
        """Whether all of some origins are open to a kind, whatever the address; what is, is remembered."""
        known = self.origins[kind]
        for origin in origins:
            if known.get(origin, False) is not None:
                if origin is None or self.origin(origin, kind) is not None:
                    return False
                if len(known) < MOST_VERDICTS:
                    known[origin] = None
        return True

    def origin(self, origin: bytes, kind: str) -> Gated | ByUrl | Unless | None:
        """Decide by an origin as `glance` captures it."""
        key = (origin, kind)
        if key in self._captured:
            return self._captured[key]
        plain = _PLAIN.match(origin)
        gated: Gated | ByUrl | Unless | None = BY_URL
        if plain is not None:
            gated = self._by_origin(plain[1], plain[2], kind)
        elif not origin:
            gated = self._by_origin(b"", b"", kind)
        if len(self._captured) < MOST_VERDICTS:
            self._captured[key] = gated
        return gated

    def mark(self, gated: Gated) -> bytes:
        """`mark`, remembered."""
        service = gated.service
        if service not in self._marks:
            if len(self._marks) >= MOST_VERDICTS:
                self._marks.clear()
            self._marks[service] = mark(gated)
        return self._marks[service]

    def by_beginning(self, value: bytes, kind: str) -> tuple[Gated | ByUrl | None, bytes]:
        """Decide by how an address begins, where that is written plainly; with its host, if it names one."""
        plain = _PLAIN.match(value)
        if plain is not None:
            scheme, host = plain.groups()
            end = plain.end()
        elif len(self._bases) == 1 and _OWN.match(value):
            scheme = host = b""
            end = 0
        else:
            return BY_URL, b""
        gated = self._by_origin(scheme, host, kind)
        if isinstance(gated, Unless):
            passes = gated.passes(value[end:]) and (host or value[:1] == b"/" or self._passes(gated))
            return None if passes else BY_URL, host
        return gated, host

    def _passes(self, unless: Unless) -> bool:
        """Whether the base's path is such that those relative to it can be told by themselves."""
        base = self._bases[0]
        return base is not None and unless.passes(base.target.path.encode())

    def _by_origin(self, scheme: bytes | None, host: bytes, kind: str) -> Gated | ByUrl | Unless | None:
        """Decide by the origin, where the gate needs no more; no host: the base's."""
        key = (scheme, host, kind)
        if key in self._origins:
            return self._origins[key]
        gated = self._ask(scheme, host, kind)
        if len(self._origins) < MOST_VERDICTS:
            self._origins[key] = gated
        return gated

    def _ask(self, scheme: bytes | None, host: bytes, kind: str) -> Gated | ByUrl | Unless | None:
        """Likewise, without remembering it."""
        if not host:
            origin = self._own
        elif scheme is None:
            origin = self._scheme + host if self._scheme else b""
        else:
            origin = b"%b//%b" % (scheme, host)
        return self._origin(origin.decode(), kind) if origin and self._origin is not None else BY_URL

    def learn_origin(self, origin: bytes, kind: str) -> None:
        """Find out what `origins` is to know of an origin, as far as there is room for more."""
        known = self.origins[kind]
        if len(known) >= MOST_VERDICTS:
            return
        gated: Gated | ByUrl | Unless | None
        if len(origin) < 2:
            gated = self._by_origin(b"", b"", kind)
            if gated is None:
                known[b""] = known[b"/"] = None
            else:
                decided = isinstance(gated, Unless) and (origin or self._passes(gated))
                known[origin] = gated.table if decided and isinstance(gated, Unless) else False
            return
        plain = _PLAIN.match(origin)
        gated = BY_URL if plain is None else self._ask(plain[1], plain[2], kind)
        if gated is None:
            known[origin] = None
        elif isinstance(gated, Gated):
            host = origin[origin.index(b"//") + 2 :].decode()
            known[origin] = Held(gated, kind, host), self.mark(gated)
        else:
            known[origin] = gated.table if isinstance(gated, Unless) else False


def _origin(url: urls.Url | None) -> bytes:
    if url is None or not url.target.host:
        return b""
    target = url.target
    return (f"{target.scheme}://{target.host}" + ("" if target.port is None else f":{target.port}")).encode()
