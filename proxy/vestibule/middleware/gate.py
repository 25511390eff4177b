"""What the rewriter asks of each address and inline script, answered for one visitor."""

from __future__ import annotations

from vestibule.core.html.judge import BY_URL, ByUrl, Gated
from vestibule.core.trackers import Verdict
from vestibule.core.urls import Target, resolve
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.visitor import Visitor

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
MAX_BLOCKED = 64


class Gate:
    """Decides for one response, and keeps what it held back, to be counted."""

    def __init__(self, policy: SitePolicy, visitor: Visitor) -> None:
        self._policy = policy
        self._choice = visitor.effective
        self._visitor = visitor
        port = visitor.authority.rpartition(":")[2]
        self._port = int(port) if port.isdigit() and ":" in visitor.authority else _PORTS[visitor.scheme]
        self.blocked: dict[tuple[str, str, str], None] = {}

    def url(self, url: str, kind: str) -> Gated | None:
        """What stands in the way of loading an absolute address; None if nothing does."""
        target = resolve(url, url)
        if target is None:
            return self._hold(None, "url")  # what cannot be read may mean anything to a browser
        if not target.host:
            return None
        query = url.partition("#")[0].partition("?")[2]
        path = f"{target.path}?{query}" if query else target.path
        verdict = self._policy.rules.decide(self._host(target), path, kind)
        return None if verdict.open(self._choice) else self._hold(verdict, "url")

    def origin(self, origin: str, kind: str) -> Gated | ByUrl | None:
        """What stands in the way of every address of an origin, or that it depends on the address."""
        target = resolve(origin, origin)
        verdict = self._policy.rules.decide_host(self._host(target), kind) if target and target.host else None
        if verdict is None:
            return BY_URL
        return None if verdict.open(self._choice) else self._hold(verdict, "url")

    def inline(self, text: bytes) -> Gated | None:
        """What stands in the way of running an inline script."""
        verdict = self._policy.rules.decide_inline(text)
        return None if verdict is None or verdict.open(self._choice) else self._hold(verdict, "inline")

    def _host(self, target: Target) -> str:
        visitor = self._visitor
        if target.host == visitor.host and target.port in (None, self._port):
            return self._policy.config.site.hosts[0] if visitor.host in self._policy.local else target.host
        usual = _PORTS.get(target.scheme)
        return target.host if target.port in (None, usual, self._port) else f"{target.host}:{target.port}"

    def _hold(self, verdict: Verdict | None, reason: str) -> Gated | None:
        service = (verdict.service or f"unknown:{verdict.host}") if verdict else "unknown:"
        purpose = verdict.purpose.value if verdict else "marketing"
        if len(self.blocked) < MAX_BLOCKED:
            self.blocked[(service, purpose, reason)] = None
        if self._policy.observe:
            return None
        return Gated(service, verdict.name if verdict else "?", purpose)
