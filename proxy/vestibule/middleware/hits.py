"""What the recorder is told of a request. It leaves this process only towards the recorder, in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from starlette.types import Scope

from vestibule.core.visit import Hit, is_part
from vestibule.middleware.recall import Known
from vestibule.middleware.response import Responder
from vestibule.middleware.snapshot import Snapshot
from vestibule.privacy.visitor import Visitor

Blocked = tuple[str, str, str, str]
"""Service, purpose, page ('' for this one), reason."""


class Asked(NamedTuple):
    """A request as it is seen here. now: seconds since the epoch, UTC. target: path and query as the browser wrote
    them."""

    snapshot: Snapshot
    scope: Scope
    known: Known
    now: float
    target: str

    @property
    def visitor(self) -> Visitor:
        return self.known.visitor


def target_of(scope: Scope) -> str:
    """Path and query as the browser wrote them."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    path = raw.partition(b"?")[0].decode("latin-1")
    query: bytes = scope.get("query_string", b"")
    return f"{path}?{query.decode('latin-1')}" if query else path


def of_exchange(asked: Asked, responder: Responder) -> Hit | None:
    """An exchange with the site, with what was held back in it; None for a mere part of a page."""
    text = asked.known.text
    seen = responder.seen
    path, _, query = asked.target.partition("?")
    held = responder.blocked or seen.cookies
    if not held and is_part(text(b"sec-fetch-dest"), path, seen.status, seen.content_type):
        return None
    blocked: list[Blocked] = [(service, purpose, "", why) for service, purpose, why in responder.blocked]
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
        ch_mobile=text(b"sec-ch-ua-mobile"),
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
