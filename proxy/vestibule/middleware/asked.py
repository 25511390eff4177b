"""A request as it is seen here."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Scope

from vestibule.middleware.passage import Passage
from vestibule.middleware.recall import Known
from vestibule.middleware.snapshot import Snapshot
from vestibule.privacy.visitor import Visitor


class Asked(NamedTuple):
    """A request as it is seen here. now: seconds since the epoch, UTC. target: path and query as the browser wrote
    them."""

    snapshot: Snapshot
    scope: Scope
    known: Known
    now: float
    target: str

    @property
    def visitor(self) -> Visitor:
        return self.known.visitor

    def passage(self) -> Passage:
        """Begin what an exchange has to do with signing in."""
        return Passage(self.snapshot.sign_ins, self.known.visitor, self.known.prepared, self.scope, self.now)


def target_of(scope: Scope) -> str:
    """Path and query as the browser wrote them."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    path = raw.partition(b"?")[0].decode("latin-1")
    query: bytes = scope.get("query_string", b"")
    return f"{path}?{query.decode('latin-1')}" if query else path
