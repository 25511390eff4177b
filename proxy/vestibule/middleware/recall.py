"""What is known of requests that came before with the same headers.

A browser sends the same headers with request after request: those of a page's pictures differ in their addresses alone.
Who asks, what becomes of the headers on their way to the site, and what the recorder is told of them is worked out for
the first one and holds for those that follow within seconds. It lives in memory, in bounds of size and time, and no
longer than the configuration that it follows from.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from starlette.types import Scope

from vestibule.core.consent import Choice
from vestibule.core.forwarding import client_address
from vestibule.core.headers import hashable
from vestibule.core.memo import Recent, Same
from vestibule.core.services import Verdict
from vestibule.middleware.request import Header, Prepared, prepare
from vestibule.middleware.snapshot import Snapshot
from vestibule.privacy.origin import is_navigation
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.removing import is_own
from vestibule.privacy.visitor import CHOICE_COOKIE, Visitor, read

KEPT = 2.0
"""Seconds that what is known is held for true: a choice may expire, and what others revoke must take effect."""

MAX_KNOWN = 256
MAX_KNOWN_BYTES = 4096
"""Requests remembered, and bytes of headers of each. When there are more, all are forgotten."""

MAX_PLAIN = 32
MAX_TARGET = 256
"""Addresses that each knows to be nothing out of the way, and characters of one."""

MAX_TEXT = 2048
"""Bytes of a header that are counted; no browser sends more, and many hits may wait for the recorder."""

UPGRADED = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Known:
    """choice: the one that holds, their own or their browser's. address: the client's, in full. sent: the headers as
    they came, the last of a name. plain: addresses at which nothing stands between them and the site, with the paths
    that the server made of these."""

    visitor: Visitor
    choice: Choice | None
    address: str
    prepared: Prepared
    sent: dict[bytes, bytes]
    plain: dict[str, str] = field(default_factory=dict)

    def closed(self, policy: SitePolicy, target: str) -> Verdict | None:
        """What the rules say of an address that is closed to them, None of all others: paths of the site's own may only
        pass data on to a service."""
        host = self.visitor.host
        host = policy.config.site.hosts[0] if host in policy.local else host
        verdict = policy.rules.decide(host, target, self.prepared.wanted_for)
        return None if verdict.open(self.choice) else verdict

    def note_plain(self, target: str, path: str) -> None:
        """Remember that nothing stands between them and the site at an address."""
        if len(self.plain) < MAX_PLAIN and len(target) <= MAX_TARGET:
            self.plain[target] = path

    def text(self, name: bytes) -> str:
        """A header as text, as far as it is counted; empty where there is none."""
        return self.sent.get(name, b"")[:MAX_TEXT].decode("latin-1")


class Recall:
    """See the module."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._known: Recent[tuple[object, ...], Known] = Recent(MAX_KNOWN, KEPT)
        self._same: Same[Known] = Same(MAX_KNOWN, KEPT)

    def of(self, scope: Scope, now: float) -> Known | None:
        """Whatever a request says of itself but for its address; None where it is for another host."""
        peer = scope.get("client")
        address, scheme = peer[0] if peer else None, scope.get("scheme", "http")
        fields, whose = scope["headers"], (address, scheme)
        known = self._same.get(fields, whose, now)
        if known is not None:
            return known
        headers = hashable(fields)
        known = self._known.get((whose, headers), now)
        if known is None:
            known = self._make(address, scheme, headers, now)
            if known is None or not _may_be_kept(known, headers):
                return known
            self._known.put((whose, headers), known)
        # Not longer than the other one does: both were begun anew by the first request after their time.
        if headers is fields:
            self._same.put(headers, whose, known)
        return known

    def _make(self, peer: str | None, scheme: str, headers: tuple[Header, ...], now: float) -> Known | None:
        snapshot = self.snapshot
        policy = snapshot.policy
        client = client_address(peer, headers, policy.config.trusted_proxies, UPGRADED[scheme])
        visitor = read(policy, client.scheme, client.host, headers, int(now))
        if not policy.answers_for(visitor.host):
            return None
        if visitor.cookies:
            visitor = snapshot.sign_ins.recognise(visitor, now)
        prepared = prepare(snapshot, visitor, headers)
        sent = dict(headers)
        if visitor.sign_in is not None and not is_navigation(sent):
            visitor = replace(visitor, sign_in=replace(visitor.sign_in, shown=False))
        return Known(visitor, visitor.effective, client.address, prepared, sent)


def _may_be_kept(known: Known, headers: tuple[Header, ...]) -> bool:
    """Whether the next request with these headers means the same: none with a body of its own, and none whose cookies
    of ours are more than a choice (whether one is still good is asked anew each time)."""
    if b"content-length" in known.sent or b"transfer-encoding" in known.sent:
        return False
    if any(is_own(pair.name) and not pair.name.endswith(CHOICE_COOKIE) for pair in known.visitor.cookies):
        return False
    return sum(len(name) + len(value) for name, value in headers) <= MAX_KNOWN_BYTES
