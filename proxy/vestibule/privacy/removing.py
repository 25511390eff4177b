"""Which cookies go when a choice is made, and the headers that remove them.

A browser says a cookie's name only, not where it was set for, and sends to our own addresses only what is set for the
whole site. So cookies are removed for every domain and path they may have, the likeliest first; and those that a
withdrawn service is known to set are removed by their names from the folders of the page, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vestibule.core.consent import Choice
from vestibule.core.cookies import expiries
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.visitor import CHOICE_COOKIE, KEEP_COOKIE, Visitor

if TYPE_CHECKING:
    from vestibule.privacy.answers import Header

MAX_REMOVED = 64
MAX_REMOVALS = 2048
"""Bytes of an answer's headers that remove cookies: front servers refuse long headers (nginx by default from 4 KB on).
What is left over goes with the next answers: a browser no longer sends what was removed."""
MAX_OWN_REMOVALS = 3072
"""As MAX_REMOVALS, for an answer of our own, which has few other headers."""


def is_own(name: str) -> bool:
    """Whether a cookie is one of Vestibule's own, with whichever prefix."""
    bare = name.removeprefix("__Host-").removeprefix("__Secure-")
    return bare in (CHOICE_COOKIE, KEEP_COOKIE)


def on_choice(policy: SitePolicy, visitor: Visitor, choice: Choice | None, target: str) -> tuple[Header, ...]:
    """What removes the cookies that came and may not stay under ``choice``, and then, as far as there is room, those
    it takes away that are set for the folders of ``target`` alone, which is why they did not come."""
    came = tuple(
        dict.fromkeys(
            pair.name
            for pair in visitor.cookies
            if pair.name and not is_own(pair.name) and not policy.cookies.decide(pair.name).passes(choice)
        )
    )
    first = removals(policy, visitor, came, target, MAX_OWN_REMOVALS)
    room = MAX_OWN_REMOVALS - sum(map(_size, first))
    unseen = tuple(name for name in dict.fromkeys(_withdrawn(policy, visitor.effective, choice)) if name not in came)
    return first + tuple(_as_far(_below(policy, visitor, unseen, target), room))


def _withdrawn(policy: SitePolicy, before: Choice | None, after: Choice | None) -> Iterator[str]:
    """Names of the cookies of what was open before and is closed now: the site's own, and its services'."""
    if before is None:
        return
    named = list(policy.config.cookies.declare_)
    for service in policy.asked:
        if before.grants(service.purpose, service.id):
            named += [cookie.pattern for cookie in service.cookies if not cookie.third_party]
    for name in named:
        if "*" not in name:
            verdict = policy.cookies.decide(name)
            if verdict.passes(before) and not verdict.passes(after):
                yield name


def removals(
    policy: SitePolicy, visitor: Visitor, names: tuple[str, ...], target: str, room: int = MAX_REMOVALS
) -> tuple[Header, ...]:
    """``Set-Cookie`` headers that remove cookies of these names. target: the path (and query) they came with. room:
    bytes of headers at most."""
    if not names:
        return ()
    return _removals(names, visitor.host, _top(policy, visitor), _path(target), visitor.secure, room)


def _below(policy: SitePolicy, visitor: Visitor, names: tuple[str, ...], target: str) -> Iterator[Header]:
    """Removals for the folders of ``target`` alone, not for ``/``."""
    top, path = _top(policy, visitor), _path(target)
    for name in names[:MAX_REMOVED] if path.count("/") > 1 else ():
        for header in expiries(name, visitor.host, top, path, secure=visitor.secure):
            if not header.startswith(f"{name}=; Path=/;"):
                yield b"set-cookie", header.encode("latin-1")


def _top(policy: SitePolicy, visitor: Visitor) -> str:
    inside = visitor.host == policy.registrable or visitor.host.endswith("." + policy.registrable)
    return policy.registrable if inside else visitor.host


def _path(target: str) -> str:
    return urlsplit(target).path if target.startswith("/") else "/"


@lru_cache(maxsize=1024)
def _removals(names: tuple[str, ...], host: str, top: str, path: str, secure: bool, room: int) -> tuple[Header, ...]:
    """First the likeliest variant of each cookie, then the next of each."""
    variants = [expiries(name, host, top, path, secure=secure) for name in names[:MAX_REMOVED]]
    headers = (each for round_ in zip_longest(*variants) for each in round_ if each is not None)
    return tuple(_as_far(((b"set-cookie", header.encode("latin-1")) for header in headers), room))


def _as_far(headers: Iterable[Header], room: int) -> Iterator[Header]:
    for header in headers:
        room -= _size(header)
        if room < 0:
            return
        yield header


def _size(header: Header) -> int:
    return len(header[0]) + len(header[1]) + len(": \r\n")
