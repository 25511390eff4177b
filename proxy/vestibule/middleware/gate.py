"""What the rewriter asks of each address and inline script, answered for one visitor."""

from __future__ import annotations

from vestibule.core.html.judge import BY_URL, ByUrl, Gated
from vestibule.core.trackers import Verdict
from vestibule.core.urls import resolve
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.verdicts import host_of, verdict_of
from vestibule.privacy.visitor import Visitor

MAX_BLOCKED = 64


class Gate:
    """Decides for one response, and keeps what it held back, to be counted."""

    def __init__(self, policy: SitePolicy, visitor: Visitor) -> None:
        self._policy = policy
        self._choice = visitor.effective
        self._visitor = visitor
        self.blocked: dict[tuple[str, str, str], None] = {}

    def url(self, url: str, kind: str) -> Gated | None:
        """What stands in the way of loading an absolute address; None if nothing does."""
        verdict = verdict_of(self._policy, self._visitor, url, kind)
        if verdict is not None:
            return None if verdict.open(self._choice) else self._hold(verdict, "url")
        # What cannot be read may mean anything to a browser; what names no host contacts nobody.
        return self._hold(None, "url") if resolve(url, url) is None else None

    def origin(self, origin: str, kind: str) -> Gated | ByUrl | None:
        """What stands in the way of every address of an origin, or that it depends on the address."""
        target = resolve(origin, origin)
        if target is None or not target.host:
            return BY_URL
        verdict = self._policy.rules.decide_host(host_of(self._policy, self._visitor, target), kind)
        if verdict is None:
            return BY_URL
        return None if verdict.open(self._choice) else self._hold(verdict, "url")

    def inline(self, text: bytes) -> Gated | None:
        """What stands in the way of running an inline script."""
        verdict = self._policy.rules.decide_inline(text)
        return None if verdict is None or verdict.open(self._choice) else self._hold(verdict, "inline")

    def _hold(self, verdict: Verdict | None, reason: str) -> Gated | None:
        service = (verdict.service or f"unknown:{verdict.host}") if verdict else "unknown:"
        purpose = verdict.purpose.value if verdict else "marketing"
        if len(self.blocked) < MAX_BLOCKED:
            self.blocked[(service, purpose, reason)] = None
        if self._policy.observe:
            return None
        return Gated(service, verdict.name if verdict else "?", purpose)
