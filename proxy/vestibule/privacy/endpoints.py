"""What is answered under ``/_privacy`` and ``/.well-known``: the choice, the centre, and the parts of the banner."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from starlette.types import Receive, Scope, Send

from vestibule.core import beacons
from vestibule.core.consent import ASKED, Choice, Purpose
from vestibule.core.errors import LinkError
from vestibule.core.pixels import PIXEL, is_pixel_name
from vestibule.privacy import answers, centre, embedding, held, removing, sign_in
from vestibule.privacy.answers import Header
from vestibule.privacy.banner import Banner
from vestibule.privacy.forms import MAX_BODY, Answer, parse_answer, read_form, to_choice
from vestibule.privacy.guard import digest, parse_written, purposes, written
from vestibule.privacy.keeping import cookie, forgotten, remembered
from vestibule.privacy.origin import from_own_pages, is_navigation, local_path
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.receipts import receipt
from vestibule.privacy.recording import consent_record
from vestibule.privacy.removing import is_own
from vestibule.privacy.texts import Texts, choose
from vestibule.privacy.visitor import OBJECTION, Visitor

__all__ = ["PREFIX", "WELL_KNOWN", "Counter", "Endpoints", "Exchange", "Records", "is_own"]

PREFIX = "/_privacy/"
WELL_KNOWN = ("/.well-known/gpc.json", "/.well-known/vestibule.json")
MAX_REPORT = 32 << 10
GPC_SINCE = "2026-11-22"
"""The day since which Global Privacy Control has been answered as it is now (the specification's ``lastUpdate``)."""


_ALONE: tuple[Header, ...] = ((b"cross-origin-opener-policy", b"noopener-allow-popups"),)
"""A page that opens the centre in a window gets no hold of it to read there (HTML Standard, section 7.1.3.1)."""
_FOR_EYES = frozenset({"/_privacy/", "/_privacy/data"})
"""What tells the values of cookies: read by a script in a page, it would say what ``HttpOnly`` keeps from scripts."""


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

    @property
    def asked_language(self) -> str:
        """The language that the address asks for, as links from a page do that is in another than the browser's."""
        return parse_qs(self.query[:500], max_num_fields=20).get("lang", [""])[0] if "lang=" in self.query else ""

    @property
    def content_type(self) -> str:
        return self.headers.get(b"content-type", b"").decode("latin-1")

    @property
    def wants_json(self) -> bool:
        return (
            b"application/json" in self.headers.get(b"accept", b"")
            or self.content_type.partition(";")[0].strip() == "application/json"
        )


class Endpoints:
    """Answers for one configuration."""

    def __init__(self, policy: SitePolicy, banner: Banner, records: Records) -> None:
        self._policy = policy
        self._banner = banner
        self._records = records
        self._routes: dict[str, dict[str, Handler]] = {
            "/_privacy/": {"GET": self._centre},
            "/_privacy/consent": {"GET": self._state, "POST": self._choose},
            "/_privacy/clear": {"GET": self._clear},
            "/_privacy/receipt": {"GET": self._receipt},
            "/_privacy/data": {"GET": self._data},
            "/_privacy/erase": {"POST": self._erase},
            "/_privacy/object": {"POST": self._object},
            "/_privacy/notice": {"POST": self._notice},
            "/_privacy/sign-out": {"POST": self._sign_out},
            "/_privacy/frame": {"GET": self._frame},
            "/_privacy/event": {"POST": self._event},
            "/_privacy/csp": {"POST": self._report},
            "/_privacy/banner.js": {"GET": self._script},
            "/_privacy/answer.js": {"GET": self._answer_script},
            "/_privacy/count.js": {"GET": self._count_script},
            "/_privacy/banner.css": {"GET": self._style},
            "/_privacy/centre.css": {"GET": self._centre_style},
            "/.well-known/gpc.json": {"GET": self._gpc},
            "/.well-known/vestibule.json": {"GET": self._keys},
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
            elif exchange.path in _FOR_EYES and not is_navigation(exchange.headers):
                await answers.answer_text(exchange.send, 403, "This is for you to read, not for a script.")
            elif method == "POST" and not self._is_own(exchange):
                await answers.answer_text(exchange.send, 403, self._words(exchange)["error"]["foreign"])
            else:
                try:
                    await handler(exchange)
                except answers.TooLargeError as error:
                    await answers.answer_text(exchange.send, 413, str(error), [(b"connection", b"close")])

    def _is_own(self, exchange: Exchange) -> bool:
        return from_own_pages(exchange.headers, exchange.visitor.origin)

    def _words(self, exchange: Exchange) -> Texts:
        return self._policy.texts(choose(exchange.visitor.language, exchange.asked_language))

    # The choice

    async def _state(self, exchange: Exchange) -> None:
        """The state; with ``before``, what a page says it was made under, also whether that page has lost something."""
        visitor = exchange.visitor
        told = self._as_json(visitor.effective, visitor)
        if exchange.query.startswith("before="):
            before = parse_written(parse_qs(exchange.query[:MAX_BODY]).get("before", [""])[0])
            told |= self._for_script(visitor.effective) | {"lost": self._banner.guard.loses(before, visitor.effective)}
        await answers.answer_json(exchange.send, 200, told)

    async def _clear(self, exchange: Exchange) -> None:
        """Which keys of the browser's storage may not stay: it has a name (``v``) by which it may be cached."""
        leftovers = self._banner.guard.leftovers(exchange.visitor.effective)
        named = exchange.query == f"v={digest(leftovers)}"
        cached = ((b"cache-control", b"private, max-age=31536000, immutable"),) if named else answers.PRIVATE
        body = json.dumps({"clear": leftovers}).encode()
        headers = (*cached, *answers.SECURITY)
        await answers.answer(exchange.send, 200, body, "application/json", headers, head=exchange.method == "HEAD")

    async def _choose(self, exchange: Exchange) -> None:
        visitor = exchange.visitor
        body = await answers.read_body(exchange.receive, MAX_BODY)
        given = parse_answer(body, exchange.content_type)
        if given is None:
            await answers.answer_text(exchange.send, 400, self._words(exchange)["error"]["form"])
            return
        if given.shown not in ("", self._policy.shown) and not given.refuses:
            # Nobody agrees to what they were not shown: they are asked by what is asked today. A refusal always holds.
            await self._ask_again(exchange, given)
            return
        texts = self._policy.texts(given.language or choose(visitor.language))
        choice = replace(
            to_choice(self._policy, given, visitor.kept, visitor.now, secrets.token_urlsafe(16)),
            language=texts.tag,
            texts=self._policy.texts_digest(texts.tag)[:16],
            signal=visitor.signal,
        )
        try:
            await self._records.keep(consent_record(self._policy, choice))
        except LinkError:
            # Only a grant needs proof; a refusal must not depend on our disk.
            if not given.refuses and not choice.refuses_all:
                await answers.answer_text(exchange.send, 503, texts["error"]["again"], [(b"retry-after", b"5")])
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
        headers = [
            cookie(self._policy, visitor, choice),
            *removing.on_choice(self._policy, visitor, choice, given.next),
        ]
        if not exchange.wants_json:
            await self._lead_back(exchange, given.next, headers)
            return
        after, _ = self._policy.without_added(choice)
        guard = self._banner.guard
        told = {
            **self._for_script(after),
            "open": guard.opened(given.held, after, visitor),
            "lost": guard.loses(visitor.effective, after),
            "clear": guard.leftovers(after),
        }
        # What is told is what their cookie says from now on.
        now = replace(visitor, choice=after, kept=choice)
        await answers.answer_json(exchange.send, 200, {**self._as_json(after, now), **told}, headers)

    async def _ask_again(self, exchange: Exchange, given: Answer) -> None:
        if exchange.wants_json:
            # The script loads the page anew, which asks.
            effective = exchange.visitor.effective
            told = {**self._as_json(effective, exchange.visitor), **self._for_script(effective)}
            told |= {"open": [], "lost": True, "clear": ""}
            await answers.answer_json(exchange.send, 200, told)
        else:
            await self._lead_back(exchange, given.next, ())

    def _for_script(self, choice: Choice | None) -> dict[str, object]:
        """What only our script in pages wants to know."""
        return {"state": written(choice), "consent_mode": self._banner.guard.consent_mode(choice)}

    @staticmethod
    async def _lead_back(exchange: Exchange, target: str, headers: Iterable[Header]) -> None:
        location = local_path(target).encode()
        await answers.answer(exchange.send, 303, b"", "", [(b"location", location), *answers.PRIVATE, *headers])

    def removals(self, visitor: Visitor, names: tuple[str, ...], target: str) -> tuple[Header, ...]:
        """``Set-Cookie`` headers that remove cookies of these names. target: the path (and query) they came with."""
        return removing.removals(self._policy, visitor, names, target)

    def _as_json(self, choice: Choice | None, visitor: Visitor) -> dict[str, object]:
        return {
            "asked": choice is None or bool(visitor.added),
            "purposes": purposes(choice),
            "services": dict(choice.services) if choice else {},
            "revision": self._policy.config.policy.revision,
            # A refusal by signal was never chosen: it has no revision of a policy, and no time.
            "time": datetime.fromtimestamp(choice.time, UTC).isoformat() if choice and choice.revision else None,
            "signal": visitor.signal or None,
            "objection": visitor.kept is not None and visitor.kept.objects,
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
        query = parse_qs(exchange.query[:500], max_num_fields=20) if exchange.query.count("&") < 20 else {}
        language = choose(exchange.visitor.language, exchange.asked_language)
        page = centre.render(self._policy, self._banner, exchange.visitor, language, query.get("done", [""])[0])
        headers = (*answers.PRIVATE, *answers.SECURITY, *_ALONE)
        await answers.answer(
            exchange.send, 200, page, "text/html; charset=utf-8", headers, head=exchange.method == "HEAD"
        )

    async def _receipt(self, exchange: Exchange) -> None:
        signed = receipt(self._policy, exchange.visitor)
        if signed is None:
            await answers.answer_text(exchange.send, 404, self._words(exchange)["receipt"]["none"])
            return
        await answers.answer_json(exchange.send, 200, signed, [_attachment("consent-receipt.json")])

    async def _data(self, exchange: Exchange) -> None:
        found = held.data(self._policy, exchange.visitor, self._words(exchange))
        await answers.answer_json(exchange.send, 200, found, [_attachment("privacy-data.json")])

    async def _erase(self, exchange: Exchange) -> None:
        await answers.read_body(exchange.receive, MAX_BODY)
        visitor = exchange.visitor
        names = dict.fromkeys(pair.name for pair in visitor.cookies if pair.name)
        own = (forgotten(self._policy, visitor), sign_in.removal(self._policy, visitor))
        headers = [
            # Storage that scripts hold goes with it where the browser knows the header (W3C Clear Site Data).
            (b"clear-site-data", b'"cookies", "storage"'),
            # Our own go first and for certain: no later answer would remove them.
            *(header for header in own if header[1].partition(b"=")[0].decode("latin-1") in names),
            *removing.removals(
                self._policy,
                visitor,
                tuple(sorted(names, key=lambda name: not removing.is_own(name))),
                "/",
                removing.MAX_OWN_REMOVALS,
            ),
        ]
        await self._lead_back(exchange, self._centre_path(exchange, "erased"), headers)

    async def _object(self, exchange: Exchange) -> None:
        """Object to being counted, or take that back. It is kept in the choice cookie, and is no choice."""
        visitor = exchange.visitor
        fields = read_form(await answers.read_body(exchange.receive, MAX_BODY), exchange.content_type) or {}
        objects = fields.get("objection", [""])[0] != "withdraw"
        if objects:
            exchange.counter.event("consent", (("choice", OBJECTION), ("surface", "centre")))
        kept = remembered(visitor, objects=objects)
        headers = [cookie(self._policy, visitor, kept)]
        if exchange.wants_json:
            state = self._as_json(visitor.effective, replace(visitor, kept=kept))
            await answers.answer_json(exchange.send, 200, state, headers)
            return
        done = "objected" if objects else "counted"
        await self._lead_back(exchange, self._centre_path(exchange, done, "rights"), headers)

    async def _sign_out(self, exchange: Exchange) -> None:
        """Sign out on all devices that are kept signed in."""
        await answers.read_body(exchange.receive, MAX_BODY)
        kept, headers = await sign_in.sign_out_everywhere(self._policy, self._records.keep, exchange.visitor)
        done = "everywhere_done" if kept else "everywhere_failed"
        await self._lead_back(exchange, self._centre_path(exchange, done), headers)

    async def _notice(self, exchange: Exchange) -> None:
        """Dismiss an announcement: which one is kept in the choice cookie."""
        visitor = exchange.visitor
        fields = read_form(await answers.read_body(exchange.receive, MAX_BODY), exchange.content_type)
        notice = self._policy.notice(visitor.now)
        if fields is None or notice is None or fields.get("notice") != [notice.effective.isoformat()]:
            await answers.answer_text(exchange.send, 400, self._words(exchange)["error"]["form"])
            return
        kept = remembered(visitor, notice=notice.effective.isoformat())
        await self._lead_back(exchange, fields.get("next", ["/"])[0], [cookie(self._policy, visitor, kept)])

    @staticmethod
    def _centre_path(exchange: Exchange, done: str, part: str = "") -> str:
        language = choose(exchange.visitor.language, exchange.asked_language)
        return f"{PREFIX}?lang={language}&done={done}{'#' if part else ''}{part}"

    # Parts, signals, reports

    async def _script(self, exchange: Exchange) -> None:
        await self._asset(exchange, self._banner.script.content, self._banner.script.content_type)

    async def _answer_script(self, exchange: Exchange) -> None:
        await self._asset(exchange, self._banner.answer.content, self._banner.answer.content_type)

    async def _count_script(self, exchange: Exchange) -> None:
        await self._asset(exchange, self._banner.count.content, self._banner.count.content_type)

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

    async def _keys(self, exchange: Exchange) -> None:
        """What receipts are checked with (RFC 7517): public, and the same for everyone."""
        body = json.dumps(self._policy.receipts.key_set()).encode() + b"\n"
        headers = ((b"cache-control", b"public, max-age=3600"), (b"access-control-allow-origin", b"*"))
        await answers.answer(
            exchange.send, 200, body, "application/jwk-set+json", headers, head=exchange.method == "HEAD"
        )

    async def _pixel(self, exchange: Exchange) -> None:
        name = exchange.path.removeprefix("/_privacy/pixel/").removesuffix(".gif")
        if exchange.method not in ("GET", "HEAD") or not is_pixel_name(name):
            await answers.answer_text(exchange.send, 404, "There is nothing at this address.")
            return
        exchange.counter.event("pixel", (("name", name),))
        await answers.answer(exchange.send, 200, PIXEL, "image/gif", answers.PRIVATE, head=exchange.method == "HEAD")

    async def _event(self, exchange: Exchange) -> None:
        """What a page tells by itself: counted only for visitors who agreed to statistics."""
        told = beacons.read(await answers.read_body(exchange.receive, MAX_BODY))
        choice = exchange.visitor.effective
        if choice is None or not choice.grants(Purpose.STATISTICS):
            await answers.answer_text(exchange.send, 403, "Nothing is counted here without consent to statistics.")
        elif told is None:
            await answers.answer_text(exchange.send, 400, "That is no beacon: see docs/consent-api.md.")
        else:
            for kind, event in told:
                exchange.counter.event(kind, event)
            await answers.answer(exchange.send, 204, b"", "", answers.PRIVATE)

    async def _report(self, exchange: Exchange) -> None:
        body = await answers.read_body(exchange.receive, MAX_REPORT)
        for host, path, kind in _violations(body):
            verdict = self._policy.rules.decide(host, path, kind)
            if not verdict.open(exchange.visitor.effective):
                exchange.counter.blocked(verdict.key, verdict.purpose.value, "csp")
        await answers.answer(exchange.send, 204, b"", "", ())


def _attachment(name: str) -> Header:
    return b"content-disposition", f'attachment; filename="{name}"'.encode()


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
