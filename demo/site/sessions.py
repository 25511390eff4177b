"""Who is signed in to the demo: random ids in memory, a bounded number of them, gone with the process."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict

EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}")
"""Narrow on purpose: the address goes into a response header, so nothing that could end a line may pass."""


class Sessions:
    """Session ids and the e-mail addresses they stand for. At `limit` the one unused for longest is signed out."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._emails: OrderedDict[str, str] = OrderedDict()

    def open(self, email: str) -> str:
        token = secrets.token_urlsafe(24)
        self._emails[token] = email
        while len(self._emails) > self._limit:
            self._emails.popitem(last=False)
        return token

    def email(self, token: str | None) -> str | None:
        if token is None or token not in self._emails:
            return None
        self._emails.move_to_end(token)
        return self._emails[token]

    def close(self, token: str | None) -> None:
        if token is not None:
            self._emails.pop(token, None)
