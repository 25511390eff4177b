"""From a request to facts: what is counted of one exchange, and why the rest is dropped.

A hit is what a worker saw. It passes an ordered list of ``drop_*`` steps, each of which may end it for one reason; what
is left becomes facts, whose dimensions are filled by one ``put_*`` step each. Facts live in memory only. Nothing here
reads a clock, a file or a socket: time comes with the hit, tables and databases behind :class:`Lookups`.
"""

from __future__ import annotations

from collections.abc import Iterable

from vestibule.core.contents import VIEW, is_asset, is_part
from vestibule.core.dimensions import STEPS, path_of, previous_of, put_page, put_status
from vestibule.core.drops import AFTER_ASSET, DROPS, EXPLICIT_DROPS, bot
from vestibule.core.hits import DIMENSIONS, NONE, UNKNOWN, Drop, Fact, Hit, Lookups, Settings
from vestibule.core.pages import clean
from vestibule.core.seen import Seen

__all__ = [
    "DIMENSIONS",
    "EXPLICIT",
    "Drop",
    "Fact",
    "Hit",
    "Lookups",
    "Settings",
    "depth",
    "duration",
    "facts",
    "is_asset",
    "is_part",
]

MAX_BLOCKED = 64
"""Blocked things of one hit that are counted; the rest is not."""

EXPLICIT = frozenset({"view", "client", "event", "outbound", "pixel", "consent", "blocked"})
"""Kinds that a hit may name."""


def facts(hit: Hit, settings: Settings, lookups: Lookups) -> tuple[tuple[Fact, ...], Drop | None]:
    """Return the facts of a hit, and why it was dropped where it was.

    A drop may leave facts: an objection leaves one of kind ``consent``, a bot one of kind ``bot``; what was held back
    on an asset is counted though the asset isn't. Never raises on any hit.
    """
    kind = hit.kind
    if kind and kind not in EXPLICIT:
        return (), Drop.MALFORMED
    seen = Seen(hit, settings, lookups)
    reason: Drop | None = None
    for drop in EXPLICIT_DROPS if kind else DROPS:
        reason = drop(seen)
        if reason is not None:
            break
    if reason is None:
        blocked = tuple(_blocked(seen)) if hit.blocked else ()
        if seen.kind == VIEW and hit.asked:
            blocked = (_asked(seen), *blocked)
        return (blocked if seen.kind == "blocked" else (_fact(seen), *blocked)), None
    return tuple(_left(seen, reason)), reason


def _fact(seen: Seen) -> Fact:
    lines = seen.trees.lines
    values = {dimension: lines[dimension][put(seen)] for dimension, put in STEPS[seen.kind]}
    return Fact(seen.hit.site, seen.kind, seen.hit.time, values, seen.visitor)


def _left(seen: Seen, reason: Drop) -> Iterable[Fact]:
    """What is counted of a dropped hit."""
    hit = seen.hit
    if reason is Drop.OBJECTION:
        if seen.kind in (VIEW, "consent"):
            surface = clean(seen.told("surface")) or "signal"
            yield Fact(hit.site, "consent", hit.time, {"choice": ("objection",), "surface": (surface,)}, seen.visitor)
    elif reason.startswith("bot"):
        name = bot(seen)[1]
        line = seen.trees.line
        yield Fact(
            hit.site,
            "bot",
            hit.time,
            {
                "name": (name,),
                "page": line("page", put_page(seen)),
                "status": line("status", put_status(seen)),
            },
            seen.visitor,
        )
    elif reason is Drop.ASSET and hit.blocked and not any(drop(seen) for drop in AFTER_ASSET):
        yield from _blocked(seen)


def _asked(seen: Seen) -> Fact:
    """A page that asked for a choice: against these the choices can be held that were made.

    It is a kind of its own and says nothing of who was asked. Each such fact stands beside a view: with the same
    language, say, the views less these would tell of the few in that language who had chosen before, however few they
    were; and among the choices, of which all else has a language, it would be what must not be told of the rest.
    """
    return Fact(seen.hit.site, "asked", seen.hit.time, {}, seen.visitor)


def _blocked(seen: Seen) -> Iterable[Fact]:
    hit, line = seen.hit, seen.trees.line
    here = put_page(seen) if seen.kind else previous_of(seen)
    for service, purpose, page, reason in hit.blocked[:MAX_BLOCKED]:
        yield Fact(
            hit.site,
            "blocked",
            hit.time,
            {
                "service": (clean(service) or UNKNOWN,),
                "purpose": (clean(purpose) or NONE,),
                "page": line("page", seen.settings.folder.fold(path_of(page)) if page else here),
                "reason": (clean(reason) or NONE,),
            },
            seen.visitor,
        )


def depth(views: int) -> str:
    """Return the class of a visit's depth: the number of pages, from five on in classes."""
    if views < 5:
        return str(views)
    return "5-9" if views < 10 else "10-19" if views < 20 else "20+"


def duration(seconds: float) -> str:
    """Return the class of a visit's duration, first to last page."""
    for bound, name in ((10, "0-9 s"), (60, "10-59 s"), (180, "1-2 min"), (600, "3-9 min"), (1800, "10-29 min")):
        if seconds < bound:
            return name
    return "30+ min"
