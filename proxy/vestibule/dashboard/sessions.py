"""The session cookie of staff: signed, temporary or kept, bound to the password it was given for.

The cookie holds a name, a time and a fingerprint of the password's hash, so that a changed password or a removed
account ends every session. Signing out is remembered in memory until the session would have ended by itself; after a
restart of the process a copy of such a cookie counts again for the rest of its time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer

LIFETIME = 12 * 3600
KEPT = 30 * 86_400
"""Seconds that a session lasts, and one that is to be kept; both end for good, however often they are used."""
REVOKED_KEPT = 10_000
MAX_TOKEN = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """name: the account's. id: random, tells sessions of one account apart. time: seconds since the epoch. kept: the
    box was ticked, so that it outlives the browser. role: of somebody that a provider vouched for, who has no account
    here; fingerprint is then the provider's."""

    name: str
    fingerprint: str
    id: str
    time: int
    kept: bool = False
    role: str = ""

    @property
    def lifetime(self) -> int:
        return KEPT if self.kept else LIFETIME


def fingerprint(password_hash: str) -> str:
    """Return what changes with the password and says nothing of it."""
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]


class Sessions:
    """Signs and reads session cookies. ``secrets``: newest first."""

    def __init__(self, secrets: Sequence[str], site: str) -> None:
        if not secrets or not all(secrets):
            raise ValueError("at least one secret is needed, and none may be empty")
        self._serializer = URLSafeSerializer(
            list(reversed(secrets)),
            salt=f"vestibule.admin:{site}",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )
        # Bounded: at the bound the oldest is forgotten.
        self._revoked: OrderedDict[str, None] = OrderedDict()

    def dumps(self, session: Session) -> str:
        raw = [session.name, session.fingerprint, session.id, session.time, session.kept, session.role]
        return str(self._serializer.dumps(raw))

    def loads(self, token: str, now: int) -> Session | None:
        """Return the session, or None where it is forged, over or signed out of."""
        if not token or len(token) > MAX_TOKEN:
            return None
        try:
            raw = self._serializer.loads(token)
        except BadData:
            return None
        match raw:
            case [str(name), str(mark), str(id_), int(time), bool(kept), str(role)]:
                session = Session(name, mark, id_, time, kept, role)
                in_time = -300 <= now - time < session.lifetime
                return session if in_time and id_ not in self._revoked else None
        return None

    def revoke(self, session: Session) -> None:
        self._revoked[session.id] = None
        while len(self._revoked) > REVOKED_KEPT:
            self._revoked.popitem(last=False)


def belongs(session: Session, password_hash: str) -> bool:
    """Whether a session was begun with the password that holds now."""
    return hmac.compare_digest(session.fingerprint, fingerprint(password_hash))
