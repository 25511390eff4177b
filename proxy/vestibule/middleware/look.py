"""A closer look at an answer: pages are decoded, rewritten and coded again as they stream, scripts of service workers
get an addition, and of all else the headers are filtered."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable
from functools import partial

from starlette.types import Message, Send

from vestibule.core import caching
from vestibule.core.codings import CODINGS, CodingError
from vestibule.core.csp import open_meta
from vestibule.core.hints import STREAM, WHOLE, Source
from vestibule.core.html import encoding
from vestibule.core.html.inject import Inject
from vestibule.core.html.rewriter import Rewriter
from vestibule.core.html.sniffing import is_page, says_nothing
from vestibule.middleware.asked import Asked
from vestibule.middleware.bodies import Body, Page, Worker
from vestibule.middleware.fields import Fields
from vestibule.middleware.gate import Gate
from vestibule.middleware.passage import Passage
from vestibule.middleware.passing import ACTIVE
from vestibule.middleware.repeated import MAX_TARGET, Blocked, Repeated
from vestibule.middleware.request import Header
from vestibule.middleware.seen import Seen
from vestibule.upstream import ResponseAbortedError, error_page

_PLAIN_TYPE = re.compile(r'text/html(?:\s*;\s*charset="?([\w:.-]+)"?)?', re.IGNORECASE)


class CloserLook:
    """See the module. One answer, as its messages come."""

    def __init__(self, asked: Asked, passage: Passage, send: Send, seen: Seen) -> None:
        self._snapshot = asked.snapshot
        self._policy = asked.snapshot.policy
        self._visitor = asked.known.visitor
        self._prepared = asked.known.prepared
        self._target = asked.target
        self._method: str = asked.scope["method"]
        self._passage = passage
        self._send = send
        self._seen = seen
        self._fields = Fields(asked, passage, seen)
        self._held: Message | None = None
        self._unsure: Message | None = None
        self._beginning = b""
        self._page: Body | None = None
        self._whole = False
        self._language = ""
        self._inner: Gate | None = None

    @property
    def blocked(self) -> Collection[Blocked]:
        """What of the answer was held back."""
        blocked = self._fields.blocked
        if self._inner is not None:
            blocked = {**blocked, **self._inner.blocked}
        return {**blocked, **dict.fromkeys(self._page.blocked)} if isinstance(self._page, Repeated) else blocked

    @property
    def asks(self) -> bool:
        """Whether the answer is a page that asks for a choice."""
        return self._page is not None and self._prepared.top and self._snapshot.banner.asks(self._visitor)

    def end(self) -> None:
        """The exchange is over. What reads its page refers back to here: without it the memory is free at once."""
        self._page = None

    async def stream(self, source: Source) -> None:
        """The body of an answer that nobody has read yet; where nothing in it has to be read, nobody does."""
        if self._page is None and self._unsure is None:
            try:
                await self._send({"type": STREAM, "source": source})
            finally:
                self._seen.size += source.passed
            return
        async for piece in source:
            await self.body({"type": "http.response.body", "body": piece, "more_body": not source.ended})

    async def whole(self, message: Message) -> None:
        """All of the answer in one message; it goes on as one, too."""
        self._whole = True
        await self.start({"type": "http.response.start", "status": message["status"], "headers": message["headers"]})
        await self.body({"type": "http.response.body", "body": message["body"], "more_body": False})

    async def start(self, message: Message) -> None:
        status = message["status"]
        headers: list[Header] = [(name.lower(), value) for name, value in message.get("headers", ())]
        self._seen.status = status
        types = [value for name, value in headers if name == b"content-type"]
        self._seen.content_type = types[0].decode("latin-1") if types else ""
        # Where there are several, browsers take the last; whichever it is, a page is read as one.
        page = any(b"text/html" in value.lower() for value in types)
        if not page and self._method != "HEAD" and status not in (204, 205, 304) and says_nothing(types):
            self._unsure = message
            return
        await self._begin(status, headers, types, page=page)

    async def body(self, message: Message) -> None:
        if isinstance(message.get("body"), memoryview):
            message = {**message, "body": bytes(message["body"])}
        if self._unsure is not None:
            if not await self._make_sure(message):
                return
            message = {**message, "body": self._beginning}
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._page is None:
            if self._seen.status:
                self._seen.size += len(body)
                await self._send_on(body, more=more)
            return
        try:
            out = self._page.feed(body) + (b"" if more else self._page.close())
        except CodingError:
            if self._held is not None:
                await self._refuse()
                return
            raise ResponseAbortedError from None
        self._seen.size += len(out)
        if out or not more:
            if self._held is not None:
                self._held["headers"] = _labelled(self._held["headers"], self._page.label)
            await self._send_on(out, more=more)

    async def _send_on(self, body: bytes, *, more: bool) -> None:
        """Send some of the body, and the start before it if that was held."""
        held, self._held = self._held, None
        if held is not None and self._whole and not more:
            await self._send({**held, "type": WHOLE, "body": body})
            return
        if held is not None:
            await self._send(held)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _refuse(self) -> None:
        """Answer for a page that cannot be read, and so cannot be shown: closed rather than open."""
        body = error_page(502)
        self._held, self._page = None, None
        self._seen.status = 502
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await self._send({"type": "http.response.start", "status": 502, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"" if self._method == "HEAD" else body})
        self._send = nowhere

    async def _make_sure(self, message: Message) -> bool:
        """Say by its first bytes what an answer is that does not say so itself; False while more are needed."""
        self._beginning += message.get("body", b"")
        page = is_page(self._beginning)
        if page is None and message.get("more_body", False):
            return False
        start, self._unsure = self._unsure, None
        headers = [(name.lower(), value) for name, value in start["headers"]] if start else []
        types = [value for name, value in headers if name == b"content-type"]
        # Compressed bytes tell nothing; as a document it is taken for a page.
        coded = bool(self._coding(headers)) and self._prepared.document
        if page or coded:
            headers = [item for item in headers if item[0] != b"content-type"] + [(b"content-type", b"text/html")]
            types = [b"text/html"]
        await self._begin(self._seen.status, headers, types, page=bool(page or coded))
        return True

    async def _begin(self, status: int, headers: list[Header], types: list[bytes], *, page: bool) -> None:
        # A worker's script that is no whole one, or none, is not run by browsers.
        addition = self._snapshot.epilogue(self._visitor) if self._prepared.worker and not page else b""
        changed = page or bool(addition)
        if changed and status == 206:
            await self._refuse()
            return
        # A drawing that is shown by itself, or a worker, differs by the policy that it runs under.
        active = any(map(ACTIVE.search, types))
        own = changed or (self._prepared.kind.runs and active)
        rewritten = own or (status == 304 and self._prepared.revalidates)
        headers = await self._passage.see(status, headers)
        self._language = b"".join(value for name, value in headers if name == b"content-language").decode("latin-1")
        kept = self._fields.filter(headers, rewritten=rewritten, active=active)
        start: Message = {"type": "http.response.start", "status": status, "headers": kept}
        if not changed or self._method == "HEAD" or status in (204, 304):
            if changed:  # it has no body here, and would have another length
                start["headers"] = [item for item in kept if item[0] != b"content-length"]
            if self._whole:
                self._held = start
            else:
                await self._send(start)
            return
        coding = self._coding(kept)
        if coding is None:
            await self._refuse()
            return
        start["headers"] = [item for item in kept if item[0] not in (b"content-length", b"transfer-encoding")]
        limit = self._policy.config.limits.page_bytes
        if addition:
            self._page = Worker(addition, coding, limit)
        else:
            _, charset = encoding.charset(value.decode("latin-1") for value in types)
            self._page = self._read(headers, partial(Page, self._rewriter, charset, coding, limit), charset, coding)
        self._held = start  # until the first bytes could be read, so that a page in shreds can still become an error

    def _read(self, headers: list[Header], make: Callable[[], Page], *said: str | None) -> Body:
        """The body of a page, which may be known from before unless it is meant for one visitor only. said: what else
        of the answer matters to how it is read."""
        if self._method != "GET" or len(self._target) > MAX_TARGET or any(name == b"set-cookie" for name, _ in headers):
            return make()
        cached = b",".join(value for name, value in headers if name == b"cache-control")
        if caching.is_for_one(cached.decode("latin-1")):
            return make()
        visitor, prepared = self._visitor, self._prepared
        key: Hashable = (self._fields.variant, self._target, prepared.kind, self._language, said)
        return Repeated(self._snapshot.pages, key, visitor.now, make, self._blocked_in_page)

    def _blocked_in_page(self) -> Collection[Blocked]:
        return () if self._inner is None else self._inner.blocked

    def _rewriter(self, name: str | None) -> Rewriter:
        """The rewriter for a page in an encoding of this name, None where nobody knows it."""
        visitor, banner = self._visitor, self._snapshot.banner
        codec = encoding.codec(name)
        write = bytes if codec == "utf-8" else _in_ascii
        parts = banner.parts(visitor.origin)
        self._inner = Gate(self._policy, visitor, self._snapshot.origins)
        return Rewriter(
            visitor.origin + self._target,
            self._inner,
            self._additions(write),
            placeholder=lambda gated, *_: write(banner.placeholder(visitor, self._target, gated, self._language)),
            encoding=codec,
            policy=lambda content: open_meta(content, parts),
        )

    def _additions(self, write: Callable[[bytes], bytes]) -> Inject:
        """What is put into the page, in the language that it says it is in: in its markup, or else in its headers."""
        visitor, target, banner = self._visitor, self._target, self._snapshot.banner
        if not self._prepared.top:
            # A page inside another one gets what its placeholders need; what is no document gets nothing.
            return Inject(foot=write(banner.form(visitor, target).encode())) if self._prepared.document else Inject()

        def said(language: str) -> str:
            self._language = language or self._language
            return self._language

        return Inject(
            head=write(banner.head(visitor, again=self._method == "GET").encode()),
            body=lambda language: write(banner.body(visitor, target, said(language)).encode()),
            foot=lambda language: write(banner.foot(visitor, target, said(language)).encode()),
            declaration=lambda language: write(banner.declaration(visitor, said(language))),
        )

    @staticmethod
    def _coding(headers: list[Header]) -> str | None:
        """The answer's content coding, '' for none; None for one that cannot be read."""
        value = b",".join(value for name, value in headers if name == b"content-encoding")
        codings = [part.strip() for part in value.decode("latin-1").lower().split(",") if part.strip() != "identity"]
        codings = [{"x-gzip": "gzip"}.get(part, part) for part in codings if part]
        if not codings:
            return ""
        return codings[0] if len(codings) == 1 and codings[0] in CODINGS else None


def _labelled(headers: list[Header], label: str | None) -> list[Header]:
    """The headers with a Content-Type that nobody can read in two ways, and that says what encoding the page is in,
    where that is known. One that browsers don't take for a page's stays as it is: it must not become a page by us."""
    types = [value.decode("latin-1") for name, value in headers if name == b"content-type"]
    essence, _ = encoding.charset(types)
    plain = _PLAIN_TYPE.fullmatch(types[0]) if len(types) == 1 else None
    known = None if plain is None else encoding.NAMES.get((plain[1] or "").lower())
    if essence != "text/html" or (plain is not None and known == label and (plain[1] is None or label is not None)):
        return headers
    clear = "text/html" if label is None else f"text/html; charset={label}"
    return [*(item for item in headers if item[0] != b"content-type"), (b"content-type", clear.encode())]


def _in_ascii(markup: bytes) -> bytes:
    """Markup that reads the same in every encoding."""
    return markup if markup.isascii() else markup.decode("utf-8").encode("ascii", "xmlcharrefreplace")


async def nowhere(message: Message) -> None:
    """Where the rest of an answer goes that was refused."""
