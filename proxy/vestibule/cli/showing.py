"""``vestibule catalogue show``: what the catalogue knows of a service."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from vestibule import catalogue
from vestibule.catalogue import Catalogue
from vestibule.core.errors import VestibuleError
from vestibule.core.services import Cookie, Service

MOST = 50
"""Services that are listed where several are meant."""
_UNITS = ((31_536_000, "year"), (2_628_000, "month"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_INDENT = 12


def show(name: str) -> None:
    """Print a service, or a line for each of several that ``name`` may mean. Raises VestibuleError for none."""
    known = catalogue.load()
    found = known.find(name)
    if not found:
        close = _close(name, known)
        hint = f"; did you mean {close}?" if close else ""
        raise VestibuleError(f"catalogue: nothing is known of {name}{hint}")
    if len(found) > 1:
        width = max(len(service.id) for service in found[:MOST])
        for service in found[:MOST]:
            print(f"{service.id.ljust(width)}  {service.name} ({service.purpose})")
        if len(found) > MOST:
            print(f"and {len(found) - MOST} more")
        return
    for line in _lines(found[0], known):
        print(line)


def _lines(service: Service, known: Catalogue) -> Iterator[str]:
    yield f"{service.id}: {service.name}"
    provider = ", ".join(filter(None, (service.provider, service.country)))
    reviewed = "by hand" if service.id in known.by_hand else "by nobody: hosts and category are as the sources have it"
    for title, value in (
        ("purpose", f"{service.purpose} ({service.category})"),
        ("visitors", service.sentence),
        ("provider", provider),
        ("policy", service.policy),
        ("reviewed", reviewed),
    ):
        if value:
            yield f"  {title:<9} {value}"
    yield from _list("hosts", service.hosts)
    yield from _list("paths", service.paths)
    yield from _list("scripts", service.inline)
    yield from _list("relays", service.relays)
    yield from _list("cookies", map(_cookie, service.cookies))
    yield from _list("storage", service.storage)


def _list(title: str, values: Iterable[str]) -> Iterator[str]:
    text = ", ".join(values)
    if text:
        lines = textwrap.wrap(text, 106, break_long_words=False, break_on_hyphens=False)
        yield f"  {title:<9} {lines[0]}"
        yield from (" " * _INDENT + line for line in lines[1:])


def _cookie(cookie: Cookie) -> str:
    details = [lasting(cookie.duration)] if cookie.duration is not None else []
    details += ["on its own hosts"] if cookie.third_party else []
    return f"{cookie.pattern} ({', '.join(details)})" if details else cookie.pattern


def lasting(seconds: int) -> str:
    """A duration in the largest unit that fits it whole: ``2 years``; 0 is the session."""
    if seconds == 0:
        return "session"
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size} {unit}" + ("" if seconds == size else "s")


def _close(name: str, known: Catalogue) -> str:
    import difflib

    return next(iter(difflib.get_close_matches(name, [service.id for service in known.services], n=1)), "")
