"""Everything that follows from one configuration; a reload makes a new one, and running requests keep theirs."""

from __future__ import annotations

import hashlib

from starlette.types import Send

from vestibule.core.consent import Choice
from vestibule.core.csp import lock
from vestibule.middleware.gate import Origins
from vestibule.middleware.repeated import Pages
from vestibule.middleware.sign_in import SignIns
from vestibule.privacy.banner import Banner
from vestibule.privacy.endpoints import Endpoints
from vestibule.privacy.exchange import Records
from vestibule.privacy.guard import epilogue, squeezed
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.sign_in import Revoked
from vestibule.privacy.texts import choose
from vestibule.privacy.visitor import Visitor

Header = tuple[bytes, bytes]
REPORT = "/_privacy/csp"
_MAX_LOCKS = 512


class Snapshot:
    """One configuration, with what is computed from it once."""

    def __init__(self, policy: SitePolicy, records: Records, revoked: Revoked) -> None:
        self.policy = policy
        self.sign_ins = SignIns(policy, records.keep, revoked)
        self.banner = Banner(policy)
        self.endpoints = Endpoints(policy, self.banner, records)
        self._worker = squeezed("worker.js")
        self.origins = Origins(policy)
        self.pages = Pages()
        self._locks: dict[object, Header | None] = {}

    def variant(self, visitor: Visitor, kind: str) -> str:
        """A short name of all that makes a visitor's page differ from another's, and from their own of another kind.
        kind: what it is wanted for."""
        choice = visitor.effective
        notice = self.policy.notice(visitor.now)
        seen = visitor.kept.notice if visitor.kept is not None else ""
        # Whether it is their browser that refuses, or they themselves: only the one is said.
        signal = visitor.signal if visitor.choice is None else ""
        asked = (signal, visitor.added, visitor.asked_again, seen, notice and notice.effective.isoformat())
        parts = (
            self.policy.config.revision,
            self.banner.style.digest,
            self.banner.script.digest,
            self.banner.answer.digest,
            "asked" if choice is None else repr((sorted(choice.purposes), sorted(choice.services.items()))),
            choose(visitor.language),
            visitor.origin,
            kind,
            repr(asked),
        )
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()

    def lock(self, visitor: Visitor) -> Header | None:
        """The second Content-Security-Policy for this visitor; None where nothing is closed or it is switched off."""
        return self._lock(visitor, visitor.effective)

    def closed(self, visitor: Visitor) -> Header | None:
        """The policy for whoever has chosen nothing, on this visitor's host."""
        return self._lock(visitor, None)

    def _lock(self, visitor: Visitor, choice: Choice | None) -> Header | None:
        key = (visitor.origin, None if choice is None else (choice.purposes, tuple(sorted(choice.services.items()))))
        if key in self._locks:
            return self._locks[key]
        made = self._make_lock(choice, visitor)
        if len(self._locks) >= _MAX_LOCKS:
            self._locks.clear()
        self._locks[key] = made
        return made

    def epilogue(self, visitor: Visitor) -> bytes:
        """What comes at the end of a service worker's script; empty where no policy is enforced."""
        if self.policy.config.csp != "enforce" or self.policy.observe:
            return b""
        lock = self.lock(visitor)
        return epilogue(self._worker, "" if lock is None else lock[1].decode("latin-1"))

    async def arrive(self, visitor: Visitor, target: str, send: Send, *, head: bool) -> None:
        """Answer a browser that was led on after signing in, see ``SignIns.arrive``."""
        style = f"/_privacy/centre.css?v={self.banner.centre_style.digest}"
        await self.sign_ins.arrive(visitor, target, style, send, head=head)

    def _make_lock(self, choice: Choice | None, visitor: Visitor) -> Header | None:
        config = self.policy.config
        allowed = self.policy.rules.allowed_hosts(choice)
        if config.csp == "off" or "*" in allowed:
            return None
        report_only = config.csp == "report" or self.policy.observe
        name = b"content-security-policy-report-only" if report_only else b"content-security-policy"
        return name, lock((visitor.authority,), allowed, REPORT, secure=visitor.secure).encode("latin-1")
