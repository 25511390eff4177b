"""What the admin app asks of the process that owns the store: the seam between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, Protocol


class Role(StrEnum):
    """What a member of staff may do; each role may do what the ones before it may."""

    VIEWER = "viewer"
    ENGINEER = "engineer"
    OFFICER = "officer"


class Account(Protocol):
    """A member of staff. ``password_hash`` is argon2's encoded form, ``role`` a ``Role``'s value."""

    @property
    def name(self) -> str: ...

    @property
    def password_hash(self) -> str: ...

    @property
    def role(self) -> str: ...


class Backend(Protocol):
    """Numbers, health and accounts. Days are those of the site's time zone, ``start`` and ``end`` both included.

    Every method may raise ``StoreError``; a page shows then what it has, the API answers 503.
    """

    async def breakdown(
        self,
        *,
        site: str,
        kind: str,
        by: str,
        start: date,
        end: date,
        where: tuple[str, str] | None = None,
        limit: int = 100,
        level: int | None = None,
    ) -> Mapping[str, Any]:
        """Return ``{"rows": [{"value", "count", "visitors"}], "rare": {"count", "visitors"}, "provisional": bool}``,
        rows by falling count. ``rare`` is what is not released by name. ``level`` asks a tree at a level counted from
        its top (0: ``Chrome`` instead of ``Chrome 142``), not together with ``where``, which is never by ``by``."""
        ...

    async def timeseries(
        self, *, site: str, kind: str, interval: str, start: date, end: date, where: tuple[str, str] | None = None
    ) -> Mapping[str, Any]:
        """Return ``{"points": [{"time", "count"}]}``: ISO 8601 local times of the site (``2026-11-22T10:00``,
        ``2026-11-22`` for days), rising; times without a fact may be left out. ``interval``: minute, hour or day; by
        minute there is no ``where``. Days have ``visitors`` too, as released."""
        ...

    async def answers(self, asked: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any] | None]:
        """Answer many questions at once, each what ``breakdown`` takes, or, where it has no ``by``, ``timeseries``.
        None stands for what could not be answered, where the others could."""
        ...

    async def health(self) -> Mapping[str, Any]:
        """Return ``{"store": "ok" or what is wrong, "spool": {...numbers...}, "config": {...}}``, and with ``snapshot``
        when the open days were released last, in seconds since the epoch."""
        ...

    async def consent_record(self, record: str) -> Mapping[str, Any] | None:
        """Return a consent record by its id, or None."""
        ...

    async def user(self, name: str) -> Account | None: ...

    async def users(self) -> Sequence[Account]: ...

    async def add_user(self, name: str, password_hash: str, role: str) -> None:
        """Add an account, or replace the one of that name."""
        ...

    async def remove_user(self, name: str) -> bool:
        """Return whether there was one."""
        ...
