"""What is answered under ``/_privacy`` and ``/.well-known``: the choice, the centre, and the parts of the banner."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import zip_longest
from typing import Protocol
from urllib.parse import urlsplit

from starlette.types import Receive, Scope, Send

from vestibule.core.consent import ASKED, Choice
from vestibule.core.cookies import expiries
from vestibule.core.errors import LinkError
from vestibule.privacy import answers, centre, embedding
from vestibule.privacy.answers import Header
from vestibule.privacy.banner import Banner, words
from vestibule.privacy.forms import MAX_BODY, parse_answer, to_choice
from vestibule.privacy.guard import purposes
from vestibule.privacy.origin import from_own_pages, local_path
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.recording import consent_record
from vestibule.privacy.visitor import CHOICE_COOKIE, KEEP_COOKIE, Visitor, cookie_name

PREFIX = "/_privacy/"
WELL_KNOWN = ("/.well-known/gpc.json",)
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
"""A transparent GIF of 1x1 points, 43 bytes."""
MAX_REPORT = 32 << 10
GPC_SINCE = "2026-11-22"
"""The day since which Global Privacy Control has been answered as it is now (the specification's ``lastUpdate``)."""
MAX_REMOVED = 40
MAX_REMOVALS = 2048
"""Bytes of an answer's headers that remove cookies: front servers refuse long headers (nginx by default from 4 KB on).
What is left over goes with the next answers: a browser no longer sends what was removed."""


class Counter(Protocol):
    """Counts what happens here."""

    def event(self, kind: str, event: Iterable[tuple[str, str]]) -> None:
        """A fact of its own: its kind and dimensions."""

    def blocked(self, service: str, purpose: str, reason: str) -> None:
        """Something that the policy held back."""


class Records(Protocol):
    """Keeps consent records durably."""

    async def keep(self, record: Mapping[str, object]) -> None:
        """Return once the record is on disk. Raises LinkError where it cannot be kept."""


Handler = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request to our own addresses."""

    def __init__(self, visitor: Visitor, scope: Scope, receive: Receive, send: Send, counter: Counter) -> None:
        self.visitor = visitor
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope.get("query_string", b"").decode("latin-1")
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.receive = receive
        self.send = send
        self.counter = counter


class Endpoints:
    """Answers for one configuration."""

    def __init__(self, policy: SitePolicy, banner: Banner, records: Records) -> None:
        self._policy = policy
        self._banner = banner
        self._records = records
        self._routes: dict[str, dict[str, Handler]] = {
            "/_privacy/": {"GET": self._centre},
            "/_privacy/consent": {"GET": self._state, "POST": self._choose},
            "/_privacy/data": {"GET": self._data},
            "/_privacy/erase": {"POST": self._erase},
            "/_privacy/frame": {"GET": self._frame},
            "/_privacy/csp": {"POST": self._report},
            "/_privacy/banner.js": {"GET": self._script},
            "/_privacy/banner.css": {"GET": self._style},
            "/_privacy/centre.css": {"GET": self._centre_style},
            "/.well-known/gpc.json": {"GET": self._gpc},
        }

    @staticmethod
    def owns(path: str) -> bool:
        """Whether a path is ours to answer."""
        return path.startswith(PREFIX) or path in WELL_KNOWN or path == PREFIX[:-1]

    async def __call__(self, exchange: Exchange) -> None:
        methods = self._routes.get(exchange.path)
        if exchange.path == PREFIX[:-1]:
            await answers.answer(exchange.send, 308, b"", "", [(b"location", PREFIX.encode())])
        elif exchange.path.startswith("/_privacy/pixel/") and exchange.path.endswith(".gif"):
            await self._pixel(exchange)
        elif methods is None:
            await answers.answer_text(exchange.send, 404, "There is nothing at this address.")
        else:
            method = "GET" if exchange.method == "HEAD" and "GET" in methods else exchange.method
            handler = methods.get(method)
            if handler is None:
                allow = ", ".join(sorted(methods)).encode()
                await answers.answer_text(exchange.send, 405, "Not allowed here.", [(b"allow", allow)])
            elif method == "POST" and not self._is_own(exchange):
                await answers.answer_text(exchange.send, 403, "Only this site's own pages may do this.")
            else:
                try:
                    await handler(exchange)
                except answers.TooLargeError as error:
                    await answers.answer_text(exchange.send, 413, str(error), [(b"connection", b"close")])

    def _is_own(self, exchange: Exchange) -> bool:
        return from_own_pages(exchange.headers, exchange.visitor.origin)

    # The choice

    async def _state(self, exchange: Exchange) -> None:
        await answers.answer_json(exchange.send, 200, self._as_json(exchange.visitor.effective, exchange.visitor))

    async def _choose(self, exchange: Exchange) -> None:
        visitor = exchange.visitor
        body = await answers.read_body(exchange.receive, MAX_BODY)
        given = parse_answer(body, exchange.headers.get(b"content-type", b"").decode("latin-1"))
        if given is None:
            await answers.answer_text(
                exchange.send, 400, "A form with choice=accept, reject or save is expected, or JSON with purposes."
            )
            return
        choice = to_choice(self._policy, given, visitor.choice, visitor.now, secrets.token_urlsafe(16))
        texts = words(visitor.language)
        try:
            await self._records.keep(consent_record(self._policy, choice, given.surface, texts))
        except LinkError:
            # Only a grant needs proof; a refusal must not depend on our disk.
            if not choice.refuses_all:
                again = "Your choice could not be kept; please try again."
                await answers.answer_text(exchange.send, 503, again, [(b"retry-after", b"5")])
                return
        exchange.counter.event(
            "consent",
            (
                ("choice", choice.label),
                ("surface", given.surface.value),
                ("language", texts.tag),
                ("purpose", "+".join(purpose.value for purpose in ASKED if purpose in choice.purposes) or "none"),
            ),
        )
        headers = [(b"set-cookie", self._cookie(choice, visitor)), *self.expire_refused(visitor, choice, given.next)]
        if self._wants_json(exchange):
            guard = self._banner.guard
            told = {
                "open": guard.opened(given.held, choice, visitor),
                "lost": guard.loses(visitor.effective, choice),
            }
            await answers.answer_json(exchange.send, 200, {**self._as_json(choice, visitor), **told}, headers)
            return
        location = local_path(given.next).encode()
        await answers.answer(exchange.send, 303, b"", "", [(b"location", location), *answers.PRIVATE, *headers])

    def _cookie(self, choice: Choice, visitor: Visitor) -> bytes:
        config = self._policy.config
        name = cookie_name(CHOICE_COOKIE, secure=visitor.secure, domain=config.cookies.domain)
        parts = [
            f"{name}={self._policy.signer.dumps(choice)}",
            "Path=/",
            f"Max-Age={config.consent.keep_for}",
            "HttpOnly",
            "SameSite=Lax",
        ]
        if visitor.secure:
            parts.append("Secure")
        if config.cookies.domain:
            parts.append(f"Domain={config.cookies.domain}")
        return "; ".join(parts).encode("latin-1")

    def expire_refused(self, visitor: Visitor, choice: Choice | None, path: str = "/") -> tuple[Header, ...]:
        """``Set-Cookie`` headers that remove what came and may not stay under ``choice``."""
        refused = dict.fromkeys(
            pair.name
            for pair in visitor.cookies
            if pair.name and not is_own(pair.name) and not self._policy.cookies.decide(pair.name).passes(choice)
        )
        return self.removals(visitor, tuple(refused), path)

    def removals(self, visitor: Visitor, names: tuple[str, ...], target: str) -> tuple[Header, ...]:
        """``Set-Cookie`` headers that remove cookies of these names. target: the path (and query) they came with."""
        if not names:
            return ()
        path = urlsplit(target).path if target.startswith("/") else "/"
        registrable = self._policy.registrable
        inside = visitor.host == registrable or visitor.host.endswith("." + registrable)
        top = registrable if inside else visitor.host
        return _removals(names, visitor.host, top, path, visitor.secure)

    @staticmethod
    def _wants_json(exchange: Exchange) -> bool:
        return (
            b"application/json" in exchange.headers.get(b"accept", b"")
            or exchange.headers.get(b"content-type", b"").partition(b";")[0].strip() == b"application/json"
        )

    def _as_json(self, choice: Choice | None, visitor: Visitor) -> dict[str, object]:
        return {
            "asked": choice is None,
            "purposes": purposes(choice),
            "services": dict(choice.services) if choice else {},
            "revision": self._policy.config.policy.revision,
            # A refusal by signal was never chosen: it has no revision of a policy, and no time.
            "time": datetime.fromtimestamp(choice.time, UTC).isoformat() if choice and choice.revision else None,
            "signal": visitor.signal or None,
            "record": choice.record if choice else None,
        }

    async def _frame(self, exchange: Exchange) -> None:
        """An embed that was let in when its page was there already, or the question whether it may."""
        visitor = exchange.visitor
        embed = embedding.read(self._policy, visitor, exchange.query)
        if embed is None or not embedding.may_be_shown(exchange.headers):
            await answers.answer_text(exchange.send, 403, "Only embeds in this site's own pages are shown here.")
            return
        target = f"{exchange.path}?{exchange.query}"
        page = embedding.render(self._banner, visitor, embed, target)
        headers = (*answers.PRIVATE, *embedding.headers(self._policy, visitor, embed))
        await answers.answer(
            exchange.send, 200, page, "text/html; charset=utf-8", headers, head=exchange.method == "HEAD"
        )

    # The visitor's own view

    async def _centre(self, exchange: Exchange) -> None:
        page = centre.render(self._policy, self._banner, exchange.visitor)
        headers = (*answers.PRIVATE, *answers.SECURITY)
        await answers.answer(
            exchange.send, 200, page, "text/html; charset=utf-8", headers, head=exchange.method == "HEAD"
        )

    async def _data(self, exchange: Exchange) -> None:
        held = [
            {"name": pair.name, "value": pair.value, "purpose": centre.purpose_of(self._policy, pair.name)}
            for pair in exchange.visitor.cookies
        ]
        data = {
            "site": self._policy.config.site.name,
            "cookies_in_your_browser": held,
            "choice": self._as_json(exchange.visitor.effective, exchange.visitor),
            "held_on_the_server": "Counts only, none of which, but a kind's total, stands for fewer than "
            f"{self._policy.config.analytics.k} visitors; and for a grant a consent record under the id above.",
            "contact": self._policy.config.policy.contact,
        }
        await answers.answer_json(
            exchange.send, 200, data, [(b"content-disposition", b'attachment; filename="privacy-data.json"')]
        )

    async def _erase(self, exchange: Exchange) -> None:
        await answers.read_body(exchange.receive, MAX_BODY)
        names = tuple(dict.fromkeys(pair.name for pair in exchange.visitor.cookies if pair.name))
        headers = [
            (b"location", PREFIX.encode()),
            # Storage that scripts hold goes with it where the browser knows the header (W3C Clear Site Data).
            (b"clear-site-data", b'"cookies", "storage"'),
            *answers.PRIVATE,
            *self.removals(exchange.visitor, names, "/"),
        ]
        await answers.answer(exchange.send, 303, b"", "", headers)

    # Parts, signals, reports

    async def _script(self, exchange: Exchange) -> None:
        await self._asset(exchange, self._banner.script.content, self._banner.script.content_type)

    async def _style(self, exchange: Exchange) -> None:
        await self._asset(exchange, self._banner.style.content, self._banner.style.content_type)

    async def _centre_style(self, exchange: Exchange) -> None:
        await self._asset(exchange, self._banner.centre_style.content, self._banner.centre_style.content_type)

    @staticmethod
    async def _asset(exchange: Exchange, content: bytes, content_type: str) -> None:
        headers = (*answers.IMMUTABLE, (b"x-content-type-options", b"nosniff"))
        await answers.answer(exchange.send, 200, content, content_type, headers, head=exchange.method == "HEAD")

    async def _gpc(self, exchange: Exchange) -> None:
        honoured = "gpc" in self._policy.config.consent.honour
        await answers.answer_json(exchange.send, 200, {"gpc": honoured, "lastUpdate": GPC_SINCE})

    async def _pixel(self, exchange: Exchange) -> None:
        name = exchange.path.removeprefix("/_privacy/pixel/").removesuffix(".gif")
        if exchange.method not in ("GET", "HEAD") or not name or len(name) > 64 or not _is_name(name):
            await answers.answer_text(exchange.send, 404, "There is nothing at this address.")
            return
        exchange.counter.event("pixel", (("name", name),))
        await answers.answer(exchange.send, 200, PIXEL, "image/gif", answers.PRIVATE, head=exchange.method == "HEAD")

    async def _report(self, exchange: Exchange) -> None:
        body = await answers.read_body(exchange.receive, MAX_REPORT)
        for host, path, kind in _violations(body):
            verdict = self._policy.rules.decide(host, path, kind)
            if not verdict.open(exchange.visitor.effective):
                exchange.counter.blocked(verdict.service or f"unknown:{verdict.host}", verdict.purpose.value, "csp")
        await answers.answer(exchange.send, 204, b"", "", ())


@lru_cache(maxsize=1024)
def _removals(names: tuple[str, ...], host: str, top: str, path: str, secure: bool) -> tuple[Header, ...]:
    """Removals, at most MAX_REMOVALS bytes: first the likeliest variant of each cookie, then the next of each."""
    variants = [expiries(name, host, top, path, secure=secure) for name in names[:MAX_REMOVED]]
    headers: list[Header] = []
    room = MAX_REMOVALS
    for header in (each for round_ in zip_longest(*variants) for each in round_ if each is not None):
        room -= len(header) + len("Set-Cookie: \r\n")
        if room < 0:
            break
        headers.append((b"set-cookie", header.encode("latin-1")))
    return tuple(headers)


def is_own(name: str) -> bool:
    """Whether a cookie is one of Vestibule's own, with whichever prefix."""
    bare = name.removeprefix("__Host-").removeprefix("__Secure-")
    return bare in (CHOICE_COOKIE, KEEP_COOKIE)


def _is_name(text: str) -> bool:
    return all(char.isascii() and (char.isalnum() or char in "-_.") for char in text)


def _violations(body: bytes) -> Iterable[tuple[str, str, str]]:
    """Host, path and kind of what a CSP report says was held back (CSP3, section 5.3)."""
    try:
        data = json.loads(body)
        report = data["csp-report"]
        blocked, directive = str(report["blocked-uri"]), str(report.get("effective-directive", ""))
        parts = urlsplit(blocked)
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname:
        yield parts.hostname, parts.path or "/", directive.partition("-")[0]
