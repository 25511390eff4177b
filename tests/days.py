"""Days of a site as the attacks on what is released need them: their facts, and who caused them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from bench.traffic import Traffic
from tests.released import SITE
from vestibule.catalogue import country_database
from vestibule.core.hits import Fact, Hit, Settings
from vestibule.core.visit import facts
from vestibule.recorder.lookups import Tables
from vestibule.recorder.sessions import Sessions

NOON = 1_795_305_600.0


@cache
def tables() -> Tables:
    return Tables(country_database())


def month(days: int, views: int, seed: int) -> list[list[Fact]]:
    """Days of a site whose visitors come back, and of which one in ten never does."""
    traffic = Traffic(random.Random(seed), visitors=views // 3, pages=300)
    return [counted(list(traffic.views(views, NOON + 86_400 * day)), seed + day) for day in range(days)]


def scattered(views: int, seed: int) -> list[Fact]:
    """A log in which hundreds of addresses occur once."""
    traffic = Traffic(random.Random(seed), visitors=40, pages=60, once=0.7)
    return counted(list(traffic.views(views, NOON)), seed)


def counted(hits: Sequence[Hit], seed: int) -> list[Fact]:
    """The facts of hits, spread over the hours of their day; visits included."""
    chosen, settings, sessions = random.Random(seed), Settings(hosts=frozenset({SITE})), Sessions()
    found: list[Fact] = []
    for hit in sorted(
        (hit._replace(time=hit.time + 3600 * chosen.randrange(-8, 8)) for hit in hits), key=lambda h: h.time
    ):
        for fact in facts(hit, settings, tables())[0]:
            found.append(fact)
            if fact.kind == "view":
                for ended in sessions.view(SITE, "d", fact.visitor.encode(), fact.time, fact.values):
                    found.append(Fact(SITE, "visit", ended.first, ended.values, ended.visitor.decode()))
    found += [Fact(SITE, "visit", ended.first, ended.values, ended.visitor.decode()) for ended in sessions.all()]
    return found
