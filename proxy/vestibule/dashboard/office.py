"""What the admin app keeps besides numbers: notes on days, API tokens, shared links, and who changed what.

It is the seam to whoever stores it. Where a process composes the app without an office, what needs one says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

LONGEST_NOTE = 200
LONGEST_NAME = 64


class Table(StrEnum):
    """The four tables. Of ``audit`` nothing is ever removed but by age."""

    NOTES = "annotations"
    TOKENS = "tokens"
    SHARES = "shares"
    AUDIT = "audit"


class Office(Protocol):
    """Small tables of one site, each row an id and an object that JSON can carry. Every method may raise StoreError."""

    async def entries(self, table: Table, limit: int = 1000) -> Sequence[Mapping[str, Any]]:
        """Return the rows, the newest first, each with its ``id`` in it."""
        ...

    async def put(self, table: Table, id_: str, row: Mapping[str, Any]) -> None: ...

    async def remove(self, table: Table, id_: str) -> bool:
        """Return whether there was such a row."""
        ...

    async def days(self) -> Mapping[str, Any]:
        """Return ``{"open": [ISO dates], "closed": how many, "last": ISO date of the last closed day or ""}``."""
        ...


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened on a day: ``day`` is its ISO date. by: who noted it, or empty for Vestibule itself."""

    id: str
    day: str
    text: str
    by: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Note:
        return cls(str(row["id"]), str(row.get("day", "")), str(row.get("text", "")), str(row.get("by", "")))


@dataclass(frozen=True, slots=True)
class Token:
    """An API token. digest: SHA-256 of it, in hexadecimal digits; the token itself is shown once. created: seconds
    since the epoch."""

    id: str
    name: str
    owner: str
    digest: str
    created: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Token:
        return cls(
            str(row["id"]),
            str(row.get("name", "")),
            str(row.get("owner", "")),
            str(row.get("digest", "")),
            int(row.get("created", 0)),
        )


@dataclass(frozen=True, slots=True)
class Share:
    """A link that shows the numbers, and nothing else, to whoever has it. until: seconds since the epoch."""

    id: str
    name: str
    owner: str
    until: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Share:
        return cls(str(row["id"]), str(row.get("name", "")), str(row.get("owner", "")), int(row.get("until", 0)))


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what. time: seconds since the epoch. action: a name such as ``token.add``; about: what it was done to."""

    time: int
    who: str
    action: str
    about: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Entry:
        return cls(
            int(row.get("time", 0)), str(row.get("who", "")), str(row.get("action", "")), str(row.get("about", ""))
        )
