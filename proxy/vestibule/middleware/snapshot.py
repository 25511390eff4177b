"""Everything that follows from one configuration; a reload makes a new one, and running requests keep theirs."""

from __future__ import annotations

import hashlib

from vestibule.core.consent import Choice
from vestibule.core.csp import lock
from vestibule.privacy.banner import Banner
from vestibule.privacy.endpoints import Endpoints, Records
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.texts import choose
from vestibule.privacy.visitor import Visitor

Header = tuple[bytes, bytes]
REPORT = "/_privacy/csp"
_MAX_LOCKS = 512


class Snapshot:
    """One configuration, with what is computed from it once."""

    def __init__(self, policy: SitePolicy, records: Records) -> None:
        self.policy = policy
        self.banner = Banner(policy)
        self.endpoints = Endpoints(policy, self.banner, records)
        self._locks: dict[object, Header | None] = {}

    def variant(self, visitor: Visitor) -> str:
        """A short name of all that makes a visitor's page differ from another's."""
        choice = visitor.effective
        parts = (
            self.policy.config.revision,
            self.banner.style.digest,
            self.banner.script.digest,
            "asked" if choice is None else repr((sorted(choice.purposes), sorted(choice.services.items()))),
            choose(visitor.language),
            visitor.origin,
        )
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()

    def lock(self, visitor: Visitor) -> Header | None:
        """The second Content-Security-Policy for this visitor; None where nothing is closed or it is switched off."""
        choice = visitor.effective
        key = (visitor.origin, None if choice is None else (choice.purposes, tuple(sorted(choice.services.items()))))
        if key in self._locks:
            return self._locks[key]
        made = self._make_lock(choice, visitor)
        if len(self._locks) < _MAX_LOCKS:
            self._locks[key] = made
        return made

    def _make_lock(self, choice: Choice | None, visitor: Visitor) -> Header | None:
        config = self.policy.config
        allowed = self.policy.rules.allowed_hosts(choice)
        if config.csp == "off" or "*" in allowed:
            return None
        report_only = config.csp == "report" or self.policy.observe
        name = b"content-security-policy-report-only" if report_only else b"content-security-policy"
        return name, lock((visitor.authority,), allowed, REPORT, secure=visitor.secure).encode("latin-1")
