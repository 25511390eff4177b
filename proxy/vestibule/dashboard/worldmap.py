"""Which countries of the map are coloured how. The map itself is a file with a path for each country, by its code."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from vestibule.assets import static
from vestibule.dashboard.address import Address
from vestibule.dashboard.words import Words

LEVELS = 5


@dataclass(frozen=True, slots=True)
class Heat:
    """level: 1 to ``LEVELS``, by the root of the count. href: the page filtered by the country."""

    code: str
    title: str
    level: int
    href: str


@cache
def drawn() -> frozenset[str]:
    """Return the codes that the map has a path for; the smallest countries have none."""
    text = (static() / "dashboard" / "world.svg").read_text(encoding="utf-8")
    return frozenset(re.findall(r'<path id="([A-Z]{2})"', text))


@cache
def box() -> str:
    """Return the map's view box."""
    text = (static() / "dashboard" / "world.svg").read_text(encoding="utf-8")
    found = re.search(r'viewBox="([0-9. -]+)"', text)
    assert found is not None
    return found[1]


def heats(rows: Sequence[Mapping[str, Any]], address: Address, words: Words) -> tuple[Heat, ...]:
    """Return the countries of a breakdown that the map has."""
    known = [(str(row["value"]), int(row["count"])) for row in rows if str(row["value"]) in drawn()]
    largest = max((count for _, count in known), default=1)
    return tuple(
        Heat(
            code,
            f"{words.country(code) or code}: {words.number(count)}",
            max(1, math.ceil(LEVELS * math.sqrt(count / largest))),
            address.with_where(None if address.where == ("country", code) else ("country", code)).href,
        )
        for code, count in known
        if count
    )
