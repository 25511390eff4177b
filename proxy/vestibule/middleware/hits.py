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
    held = responder.blocked
    if not (held or seen.cookies) and is_part(text(b"sec-fetch-dest"), path, seen.status, seen.content_type):
        return None
    blocked: list[Blocked] = [(service, purpose, "", why) for service, purpose, why in held]
    blocked += [(service, purpose, "", "cookie") for service, purpose in seen.cookies.items()]
    return Hit(
        site=asked.snapshot.policy.config.site.name,
        time=asked.now,
        address=asked.known.address,
        method=asked.scope["method"],
        host=asked.visitor.host,
        path=path,
        query=query,
        status=seen.status,
        content_type=seen.content_type,
        size=seen.size,
        agent=text(b"user-agent"),
        language=asked.visitor.language,
        referrer=text(b"referer"),
        accept=text(b"accept"),
        fetch_dest=text(b"sec-fetch-dest"),
        fetch_mode=text(b"sec-fetch-mode"),
        fetch_site=text(b"sec-fetch-site"),
        fetch_user=text(b"sec-fetch-user"),
        purpose=text(b"sec-purpose") or text(b"purpose"),
        ch_ua=text(b"sec-ch-ua"),
        ch_platform=text(b"sec-ch-ua-platform"),
        objects=asked.visitor.objects,
        blocked=tuple(blocked),
        count=seen.count,
        asked=responder.asks,
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
