"""What the recorder is told of a request. It leaves this process only towards the recorder, in memory."""

from __future__ import annotations

from collections.abc import Iterable

from vestibule.core.visit import Hit, is_part
from vestibule.middleware.asked import Asked
from vestibule.middleware.response import Responder

Blocked = tuple[str, str, str, str]
"""Service, purpose, page ('' for this one), reason."""


def of_exchange(asked: Asked, responder: Responder) -> Hit | None:
    """An exchange with the site, with what was held back in it; None for a mere part of a page."""
    text = asked.known.text
    seen = responder.seen
    path, _, query = asked.target.partition("?")
    dest = text(b"sec-fetch-dest")
    blocked: tuple[Blocked, ...] = ()
    if responder.blocked or seen.cookies:
        blocked = (
            *((service, purpose, "", why) for service, purpose, why in responder.blocked),
            *((service, purpose, "", "cookie") for service, purpose in seen.cookies.items()),
        )
    elif is_part(dest, path, seen.status, seen.content_type):
        return None
    visitor = asked.known.visitor
    # In the order of the class, not by name: a page waits for this, and names would make it take twice as long.
    return Hit(
        asked.snapshot.policy.config.site.name,
        asked.now,
        asked.known.address,
        asked.scope["method"],
        visitor.host,
        path,
        query,
        seen.status,
        seen.content_type,
        seen.size,
        text(b"user-agent"),
        visitor.language,
        text(b"referer"),
        text(b"accept"),
        dest,
        text(b"sec-fetch-mode"),
        text(b"sec-fetch-site"),
        text(b"sec-fetch-user"),
        text(b"sec-purpose") or text(b"purpose") or text(b"x-moz"),
        text(b"sec-ch-ua"),
        text(b"sec-ch-ua-platform"),
        visitor.objects,
        blocked,
        None,
        "",
        seen.count,
        responder.asks,
    )


def of_event(asked: Asked, kind: str, event: Iterable[tuple[str, str]], blocked: tuple[Blocked, ...] = ()) -> Hit:
    """Something that is counted for itself: a choice, a pixel, what the policy held back."""
    text = asked.known.text
    return Hit(
        site=asked.snapshot.policy.config.site.name,
        time=asked.now,
        address=asked.known.address,
        method=asked.scope["method"],
        host=asked.visitor.host,
        path=asked.scope["path"],
        agent=text(b"user-agent"),
        referrer=text(b"referer"),
        language=asked.visitor.language,
        kind=kind,
        event=tuple(event),
        blocked=blocked,
        objects=asked.visitor.objects,
    )
