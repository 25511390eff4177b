"""What becomes of a request's headers on their way to the site."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from vestibule.core import caching
from vestibule.core.codings import CODINGS
from vestibule.core.consent import ASKED, Choice
from vestibule.core.cookies import Pair, serialize_cookie
from vestibule.middleware.snapshot import Snapshot
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.removing import is_own
from vestibule.privacy.visitor import Visitor

Header = tuple[bytes, bytes]

_DOCUMENTS = frozenset({b"document", b"iframe", b"frame", b"fencedframe", b"embed", b"object"})
_WORKERS = frozenset({b"worker", b"sharedworker", b"serviceworker", b"audioworklet", b"paintworklet"})


class Kind(NamedTuple):
    """What a request is for. document: the answer may be a page that is shown. top: in a window of its own. worker: it
    is a service worker's script (Service Workers, section 4.2: ``Service-Worker: script``). runs: the answer may run
    under its own policy, as documents and workers do; other parts run under that of their page."""

    document: bool
    top: bool
    worker: bool
    runs: bool

    @property
    def wanted_for(self) -> str:
        """As the rules are asked: a visitor's way through the site, a frame, or a part of a page."""
        return "navigate" if self.top else "frame" if self.document else "relay"


@dataclass(frozen=True, slots=True)
class Prepared:
    """headers: for the site. kind: what the request is for. revalidates: the browser sent one of our entity tags.
    refused: names of cookies that were left out. lock: the policy that the answer carries. variant: see
    ``Snapshot.variant``; empty where no page is expected."""

    headers: tuple[Header, ...]
    kind: Kind
    revalidates: bool
    refused: tuple[str, ...]
    lock: Header | None
    variant: str

    @property
    def document(self) -> bool:
        return self.kind.document

    @property
    def top(self) -> bool:
        return self.kind.top

    @property
    def worker(self) -> bool:
        return self.kind.worker

    @property
    def wanted_for(self) -> str:
        return self.kind.wanted_for


def prepare(snapshot: Snapshot, visitor: Visitor, headers: Sequence[Header]) -> Prepared:
    """The headers for the site: without refused cookies and forged words of ours, with the visitor's choice."""
    kind = _kind(headers)
    kept: list[Header] = []
    variant = ""
    if kind.runs or any(name == b"if-none-match" for name, _ in headers):
        variant = snapshot.variant(visitor, kind.wanted_for)
    revalidates = False
    for item in headers:
        name, value = item
        if name == b"cookie" or name == b"accept-encoding" or is_ours(name):
            continue
        if name == b"connection":
            kept.append((name, _unnamed(value)))
            continue
        if name == b"if-none-match":
            tags, ours = caching.unwrap(value.decode("latin-1"), variant)
            revalidates = revalidates or (ours and bool(tags))
            if tags and (ours or not kind.runs):
                kept.append((name, tags.encode("latin-1")))
            continue
        # A part of a page cannot be rewritten, and a date says nothing of the choice it was seen under.
        if kind.runs and name in (b"range", b"if-range", b"if-modified-since"):
            continue
        kept.append(item)
    cookies, refused = sifted(snapshot.policy, visitor.cookies, visitor.effective)
    if cookies:
        kept.append((b"cookie", cookies))
    kept.append((b"accept-encoding", _accepted(headers)))
    kept.append((b"vestibule-consent", _consent(visitor)))
    # The policy of what does not run by itself is the same for all: any cache may keep it.
    lock = snapshot.lock(visitor) if kind.runs else snapshot.closed(visitor)
    return Prepared(tuple(kept), kind, revalidates, refused, lock, variant)


def is_ours(name: bytes) -> bool:
    """Whether a header would be taken for one of ours, by an app, too, that folds letter case, ``_`` and the like."""
    return name[:1] in b"vV" and _ODD.sub(b"-", name.lower()).startswith(b"vestibule-")


_ODD = re.compile(rb"[^a-z0-9]")
_OURS = (b"vestibule-", b"sec-gpc", b"dnt", b"cookie")


def _unnamed(connection: bytes) -> bytes:
    """``Connection`` without the headers that a client may not take away by calling them hop-by-hop."""
    tokens = [token.strip() for token in connection.split(b",")]
    return b", ".join(token for token in tokens if not token.lower().startswith(_OURS)) or b"keep-alive"


def _kind(headers: Sequence[Header]) -> Kind:
    """What a request is for. Browsers without Fetch Metadata are known by ``Accept``."""
    destination: bytes | None = None
    accept = b""
    worker = False
    for name, value in headers:
        if name == b"sec-fetch-dest":
            destination = value.strip()
        elif name == b"accept":
            accept = value
        elif name == b"service-worker":
            worker = value.strip() == b"script"
    if destination is None:
        html = b"text/html" in accept
        return Kind(html, html, worker, html or worker)
    document = destination in _DOCUMENTS
    return Kind(document, destination == b"document", worker, document or worker or destination in _WORKERS)


def sifted(policy: SitePolicy, pairs: Sequence[Pair], choice: Choice | None) -> tuple[bytes, tuple[str, ...]]:
    """The site's cookies among those of a request, as they are sent on under a choice, and the names of the refused."""
    if not pairs:
        return b"", ()
    theirs = [pair for pair in pairs if not _own(pair[0])]
    kept, refused = policy.cookies.sift(theirs, choice)
    cookies = serialize_cookie(theirs if policy.observe else kept).encode("latin-1")
    # One without a name cannot be removed by its name.
    return cookies, tuple(filter(None, dict.fromkeys([pair[0] for pair in refused])))


_own = lru_cache(maxsize=2048)(is_own)


def _accepted(headers: Sequence[Header]) -> bytes:
    """The codings that both the browser and the rewriter know; a page in another could not be read."""
    offered = b",".join(value for name, value in headers if name == b"accept-encoding").decode("latin-1").lower()
    found = []
    for part in offered.split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in CODINGS and weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            found.append(coding.strip())
    return ", ".join(found).encode() or b"identity"


def _consent(visitor: Visitor) -> bytes:
    choice = visitor.effective
    return ",".join(f"{purpose}={int(choice is not None and choice.grants(purpose))}" for purpose in ASKED).encode()
