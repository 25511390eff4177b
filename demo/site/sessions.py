"""Who is signed in to the demo: random ids in memory, a bounded number of them, gone with the process."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping

EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}")
"""Narrow on purpose: the address goes into a response header, so nothing that could end a line may pass."""


class Sessions:
    """Session ids and the e-mail addresses they stand for. At `limit` the one unused for longest is signed out."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._emails: OrderedDict[str, str] = OrderedDict()
        self._preferences: dict[str, dict[str, object]] = {}

    def open(self, email: str, preferences: Mapping[str, object] | None = None) -> str:
        token = secrets.token_urlsafe(24)
        self._emails[token] = email
        self._preferences[token] = dict(preferences or {})
        while len(self._emails) > self._limit:
            self._preferences.pop(self._emails.popitem(last=False)[0], None)
        return token

    def email(self, token: str | None) -> str | None:
        if token is None or token not in self._emails:
            return None
        self._emails.move_to_end(token)
        return self._emails[token]

    def preferences(self, token: str | None) -> dict[str, object]:
        """What the one who is signed in prefers; may be changed in place."""
        return self._preferences.get(token or "", {})

    def close(self, token: str | None) -> None:
        if token is not None:
            self._emails.pop(token, None)
            self._preferences.pop(token, None)
