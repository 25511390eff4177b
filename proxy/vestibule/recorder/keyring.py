"""The days' keys: one random salt a site and day, shared through the store by all recorders.

The salt is agreed upon before a day begins wherever possible. Where the store is away, the salt that this process
remembers is used, or a new one, which the store gets as soon as it can be reached. Should another recorder have been
faster, its salt is used from then on: a visitor whom both saw in that time may then count twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

from vestibule.core.keys import SALT_BYTES, DayKeys, day_keys

Day = tuple[str, str]
"""A site and a day (ISO 8601)."""


class Keyring:
    """Keys in memory, for the hot path. secret: the newest of the deployment's."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._keys: dict[Day, DayKeys] = {}
        self._salts: dict[Day, bytes] = {}
        self._unconfirmed: set[Day] = set()
        self.closed: set[Day] = set()
        """Days that take no more facts."""

    @property
    def keys(self) -> Mapping[Day, DayKeys]:
        """The keys of the days that facts may come from."""
        return MappingProxyType(self._keys)

    @property
    def unconfirmed(self) -> frozenset[Day]:
        """Days whose salt the store has not seen yet."""
        return frozenset(self._unconfirmed)

    def knows(self, day: Day) -> bool:
        return day in self._keys or day in self.closed

    def use(self, day: Day, salt: bytes, *, confirmed: bool) -> None:
        """Take up a day's salt. confirmed: the store has it."""
        if self._salts.get(day) != salt:
            self._salts[day] = salt
            self._keys[day] = day_keys(self._secret, salt, *day)
        if confirmed:
            self._unconfirmed.discard(day)
        else:
            self._unconfirmed.add(day)

    def close(self, day: Day) -> None:
        """Forget the keys of a day: no fact of it will be counted again."""
        self.closed.add(day)
        self._unconfirmed.discard(day)
        self._keys.pop(day, None)
        self._salts.pop(day, None)


def new_salt() -> bytes:
    """Return a random salt."""
    return secrets.token_bytes(SALT_BYTES)


def iso(site: str, day: date) -> Day:
    return site, day.isoformat()
