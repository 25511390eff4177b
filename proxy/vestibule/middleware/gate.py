"""What the rewriter asks of each address and inline script, answered for one visitor."""

from __future__ import annotations

from vestibule.core.html.gate import BY_URL, ByUrl, Gated
from vestibule.core.html.unless import Unless
from vestibule.core.services import UNKNOWN, Verdict
from vestibule.core.urls import resolve
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.verdicts import host_of, verdict_of
from vestibule.privacy.visitor import Visitor

MAX_BLOCKED = 64
MAX_ORIGINS = 4096


class Origins:
    """What the rules say of whole origins, seen from pages of the site. Pages of a site name the same ones again and
    again: what was said is remembered, in bounds."""

    def __init__(self, policy: SitePolicy) -> None:
        self._policy = policy
        self._said: dict[tuple[str, str, str, str], Verdict | Unless | ByUrl] = {}

    def of(self, visitor: Visitor, origin: str, kind: str) -> Verdict | Unless | ByUrl:
        """The verdict on all of an origin's addresses, or on what it depends."""
        key = (visitor.scheme, visitor.authority, origin, kind)
        said = self._said.get(key)
        if said is None:
            said = self._ask(visitor, origin, kind)
            if len(self._said) >= MAX_ORIGINS:
                self._said.clear()
            self._said[key] = said
        return said

    def _ask(self, visitor: Visitor, origin: str, kind: str) -> Verdict | Unless | ByUrl:
        target = resolve(origin, origin)
        if target is None or not target.host:
            return BY_URL
        rules, host = self._policy.rules, host_of(self._policy, visitor, target)
        words = rules.relay_words(host)
        return rules.decide_host(host, kind) or BY_URL if words is None else Unless(words)


class Gate:
    """Decides for one response, and keeps what it held back, to be counted."""

    def __init__(self, policy: SitePolicy, visitor: Visitor, origins: Origins) -> None:
        self._policy = policy
        self._origins = origins
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

    def origin(self, origin: str, kind: str) -> Gated | ByUrl | Unless | None:
        """What stands in the way of every address of an origin, or that it depends on the address, and how."""
        said = self._origins.of(self._visitor, origin, kind)
        if not isinstance(said, Verdict):
            return said
        return None if said.open(self._choice) else self._hold(said, "url")

    def inline(self, text: bytes) -> Gated | None:
        """What stands in the way of running an inline script."""
        verdict = self._policy.rules.decide_inline(text)
        return None if verdict is None or verdict.open(self._choice) else self._hold(verdict, "inline")

    def _hold(self, verdict: Verdict | None, reason: str) -> Gated | None:
        service = verdict.key if verdict else UNKNOWN
        purpose = verdict.purpose.value if verdict else "marketing"
        if len(self.blocked) < MAX_BLOCKED:
            self.blocked[(service, purpose, reason)] = None
        if self._policy.observe:
            return None
        return Gated(service, verdict.name if verdict else "?", purpose)
