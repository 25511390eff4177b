"""What becomes of the site's answer on its way to the visitor: cookies, headers, the policy, the page itself, and the
scripts of service workers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial

from starlette.types import Message, Send

from vestibule.core import caching
from vestibule.core.codings import CODINGS, CodingError
from vestibule.core.cookies import SetCookie, removal
from vestibule.core.csp import open_meta, open_own
from vestibule.core.html import encoding
from vestibule.core.html.elements import refresh_target
from vestibule.core.html.rewriter import Inject, Rewriter
from vestibule.core.html.sniffing import is_page, says_nothing
from vestibule.core.urls import absolute
from vestibule.middleware.bodies import Body, Page, Worker
from vestibule.middleware.gate import Gate
from vestibule.middleware.repeated import MAX_TARGET, Blocked, Repeated
from vestibule.middleware.request import Header, Prepared, is_ours
from vestibule.middleware.sign_in import Passage
from vestibule.middleware.snapshot import Snapshot
from vestibule.privacy.endpoints import is_own
from vestibule.privacy.visitor import Visitor
from vestibule.upstream import ResponseAbortedError, error_page

REPORTING = frozenset(
    {
        b"report-to",
        b"nel",
        b"reporting-endpoints",
        b"speculation-rules",
        b"alt-svc",
        b"attribution-reporting-register-source",
        b"attribution-reporting-register-trigger",
        b"observe-browsing-topics",
        b"supports-loading-mode",
    }
)
"""Headers that make browsers contact others without a page's doing. Those of the site itself go too: what they name
cannot be told from a tracker, and nothing that visitors see depends on them."""

_HARMLESS = frozenset(
    {
        b"accept-ranges",
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"access-control-max-age",
        b"age",
        b"allow",
        b"cache-control",
        b"connection",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-length",
        b"content-range",
        b"cross-origin-embedder-policy",
        b"cross-origin-opener-policy",
        b"cross-origin-resource-policy",
        b"date",
        b"etag",
        b"expires",
        b"keep-alive",
        b"last-modified",
        b"location",
        b"pragma",
        b"referrer-policy",
        b"retry-after",
        b"server",
        b"server-timing",
        b"strict-transport-security",
        b"timing-allow-origin",
        b"transfer-encoding",
        b"via",
        b"www-authenticate",
        b"x-content-type-options",
        b"x-frame-options",
        b"x-powered-by",
        b"x-request-id",
        b"x-runtime",
        b"x-xss-protection",
    }
)
"""Headers (in lower case) that are the same for all visitors' sake, and that sites send with most answers."""

_CLEAR_TYPE = re.compile(rb"[a-z]+/[a-z0-9.+-]+(?:; ?charset=[A-Za-z0-9-]+)?")
"""A Content-Type that nobody can read in two ways."""

_LINE = re.compile(rb"[^\x00\r\n]*")
_ACTIVE = re.compile(rb"html|svg|xml|script", re.IGNORECASE)
"""Content types of what may run or load something by itself."""


@lru_cache(maxsize=256)
def _passive(value: bytes) -> str:
    """A Content-Type that nobody can read in two ways and that runs nothing; empty for any other."""
    clear = _CLEAR_TYPE.fullmatch(value) is not None and not _ACTIVE.search(value) and b"unknown" not in value
    return value.decode("latin-1") if clear else ""


def _looked(headers: Iterable[Header]) -> str:
    """The type that the fields tell, where none of them needs a closer look; empty for all others."""
    types = ""
    for name, value in headers:
        if name in _HARMLESS:
            continue
        if name == b"content-type" and not types:
            types = _passive(value)
            if types:
                continue
        if name != b"vary" or b"estibule" in value.lower():
            return ""
    return types


_plain = lru_cache(maxsize=256)(_looked)  # our own proxy hands over what many answers share


def _types(headers: Iterable[Header]) -> str:
    if type(headers) is tuple:
        with suppress(TypeError):  # ASGI allows for any pairs, such as cannot be remembered, too
            return _plain(headers)
    return _looked(headers)


_PLAIN_TYPE = re.compile(r'text/html(?:\s*;\s*charset="?([\w:.-]+)"?)?', re.IGNORECASE)
_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[^\s;,="]+(?:\s*=\s*(?:"[^"]*"|[^\s;,"]*))?)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]*))', re.IGNORECASE)
_LOADING = frozenset(
    {
        "preload",
        "prefetch",
        "modulepreload",
        "preconnect",
        "dns-prefetch",
        "prerender",
        "stylesheet",
        "icon",
        "manifest",
    }
)


@dataclass(slots=True)
class Seen:
    """What is known of the answer, for counting."""

    status: int = 0
    content_type: str = ""
    size: int = 0
    count: bool = True
    cookies: dict[str, str] = field(default_factory=dict)


class Responder:
    """One answer. Headers are filtered when it starts; a page is decoded, rewritten and coded again as it streams."""

    def __init__(
        self,
        snapshot: Snapshot,
        visitor: Visitor,
        prepared: Prepared,
        target: str,
        method: str,
        send: Send,
        passage: Passage | Callable[[], Passage],
    ) -> None:
        """passage: the request's, or what begins one where its answer needs a closer look."""
        self._snapshot = snapshot
        self._policy = snapshot.policy
        self._visitor = visitor
        self._prepared = prepared
        self._target = target
        self._method = method
        self._send = send
        self._passing_by = passage
        self._held: Message | None = None
        self._unsure: Message | None = None
        self._beginning = b""
        self._page: Body | None = None
        self._passing = False
        self._differs = False
        self._language = ""
        self._gate: Gate | None = None
        self._inner: Gate | None = None
        self.seen = Seen()

    @property
    def blocked(self) -> Collection[Blocked]:
        """What of the answer was held back."""
        blocked = {} if self._gate is None else self._gate.blocked
        if self._inner is not None:
            blocked = {**blocked, **self._inner.blocked}
        return {**blocked, **dict.fromkeys(self._page.blocked)} if isinstance(self._page, Repeated) else blocked

    def end(self) -> None:
        """The exchange is over. What reads its page refers back to here: without it the memory is free at once."""
        self._page = None

    @property
    def asks(self) -> bool:
        """Whether the answer is a page that asks for a choice."""
        return self._page is not None and self._prepared.top and self._snapshot.banner.asks(self._visitor)

    @property
    def _passage(self) -> Passage:
        if not isinstance(self._passing_by, Passage):
            self._passing_by = self._passing_by()
        return self._passing_by

    @property
    def gate(self) -> Gate:
        """What decides on the addresses in the answer; made where there are any."""
        if self._gate is None:
            self._gate = Gate(self._policy, self._visitor, self._snapshot.origins)
        return self._gate

    @property
    def _variant(self) -> str:
        prepared = self._prepared
        return prepared.variant or self._snapshot.variant(self._visitor, prepared.wanted_for)

    def __call__(self, message: Message) -> Awaitable[None]:
        # No coroutine of its own: most messages only pass, and each would cost as much again.
        kind = message["type"]
        if kind == "http.response.start":
            passing = self._passed(message)
            return self._start(message) if passing is None else self._send(passing)
        if kind == "http.response.body":
            if not self._passing:
                return self._body(message)
            self.seen.size += len(message.get("body", b""))
        elif kind == "http.response.trailers":
            return _nowhere(message)  # they would pass unfiltered
        return self._send(message)

    def _passed(self, message: Message) -> Message | None:
        """An answer that can be seen to be no page, and to hold nothing that is filtered, with the policy: it passes.
        Most are such, and a closer look would come to the same. None for all others."""
        prepared = self._prepared
        if prepared.kind.runs or prepared.revalidates or isinstance(self._passing_by, Passage):
            return None
        headers = message["headers"]
        types = _types(headers)
        if not types:
            return None
        self.seen.status = message["status"]
        self.seen.content_type = types
        self._passing = True
        # The app's own message stays as it is: it may send that again.
        return message if prepared.lock is None else {**message, "headers": (*headers, prepared.lock)}

    async def _start(self, message: Message) -> None:
        status = message["status"]
        headers: list[Header] = [(name.lower(), value) for name, value in message.get("headers", ())]
        self.seen.status = status
        types = [value for name, value in headers if name == b"content-type"]
        self.seen.content_type = types[0].decode("latin-1") if types else ""
        # Where there are several, browsers take the last; whichever it is, a page is read as one.
        page = any(b"text/html" in value.lower() for value in types)
        if not page and self._method != "HEAD" and status not in (204, 205, 304) and says_nothing(types):
            self._unsure = message
            return
        await self._begin(status, headers, types, page=page)

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
        await self._begin(self.seen.status, headers, types, page=bool(page or coded))
        return True

    async def _begin(self, status: int, headers: list[Header], types: list[bytes], *, page: bool) -> None:
        # A worker's script that is no whole one, or none, is not run by browsers.
        addition = self._snapshot.epilogue(self._visitor) if self._prepared.worker and not page else b""
        changed = page or bool(addition)
        if changed and status == 206:
            await self._refuse()
            return
        # A drawing that is shown by itself, or a worker, differs by the policy that it runs under.
        active = any(map(_ACTIVE.search, types))
        own = changed or (self._prepared.kind.runs and active)
        rewritten = own or (status == 304 and self._prepared.revalidates)
        headers = await self._passage.see(status, headers)
        self._language = b"".join(value for name, value in headers if name == b"content-language").decode("latin-1")
        kept = self._filter(headers, rewritten=rewritten, active=active)
        start: Message = {"type": "http.response.start", "status": status, "headers": kept}
        if not changed or self._method == "HEAD" or status in (204, 304):
            if changed:  # it has no body here, and would have another length
                start["headers"] = [item for item in kept if item[0] != b"content-length"]
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
        key: Hashable = (self._variant, self._target, prepared.kind, self._language, said)
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

    async def _body(self, message: Message) -> None:
        if isinstance(message.get("body"), memoryview):
            message = {**message, "body": bytes(message["body"])}
        if self._unsure is not None:
            if not await self._make_sure(message):
                return
            message = {**message, "body": self._beginning}
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._page is None:
            if self.seen.status:
                self.seen.size += len(body)
                await self._send(message)
            return
        try:
            out = self._page.feed(body) + (b"" if more else self._page.close())
        except CodingError:
            if self._held is not None:
                await self._refuse()
                return
            raise ResponseAbortedError from None
        self.seen.size += len(out)
        if self._held is not None and (out or not more):
            held, self._held = self._held, None
            held["headers"] = _labelled(held["headers"], self._page.label)
            await self._send(held)
        if out or not more:
            await self._send({"type": "http.response.body", "body": out, "more_body": more})

    async def _refuse(self) -> None:
        """Answer for a page that cannot be read, and so cannot be shown: closed rather than open."""
        body = error_page(502)
        self._held, self._page = None, None
        self.seen.status = 502
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await self._send({"type": "http.response.start", "status": 502, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"" if self._method == "HEAD" else body})
        self._send = _nowhere

    # Headers

    @staticmethod
    def _vary(varied: str, *, rewritten: bool, active: bool) -> str:
        """By what caches are to tell visitors apart. They never see the words by which we tell the site."""
        if rewritten or "vestibule-" in varied.lower():
            varied = caching.vary(varied, "Cookie", "Sec-GPC", "DNT", *(("Accept-Language",) if rewritten else ()))
        return caching.vary(varied, "Sec-Fetch-Dest") if active and not rewritten else varied

    def _filter(self, headers: list[Header], *, rewritten: bool, active: bool) -> list[Header]:
        """active: it may run by itself, so that its policy is another one where it does."""
        kept: list[Header] = []
        cache_control, varied = "", ""
        for item in headers:
            name, value = item
            if name == b"set-cookie":
                passed = self._cookie(value)
                if passed is not None:
                    kept.append((name, passed))
                else:
                    self._differs = True
            elif name in REPORTING or is_ours(name):
                self._note(name, value)
                if self._policy.observe and name in REPORTING:
                    kept.append(item)
            elif name == b"link":
                self._differs |= b"//" in value
                kept.extend((name, link.encode("latin-1")) for link in self._links(value.decode("latin-1")))
            elif name == b"refresh":
                self._differs |= b"//" in value
                if self._may_refresh(value.decode("latin-1")):
                    kept.append(item)
            elif name in (b"content-security-policy", b"content-security-policy-report-only"):
                opened = open_own(value.decode("latin-1"), self._snapshot.banner.parts(self._visitor.origin), self._may)
                if opened:
                    kept.append((name, opened.encode("latin-1")))
            elif rewritten and name in caching.NEVER:
                continue
            elif rewritten and name == b"cache-control":
                cache_control += "," + value.decode("latin-1")
            elif name == b"vary":
                varied += "," + value.decode("latin-1")
            elif rewritten and name == b"etag":
                tag = caching.wrap(value.decode("latin-1"), self._variant)
                if tag is not None:
                    kept.append((name, tag.encode("latin-1")))
            else:
                kept.append(item)
        if rewritten:
            kept.append((b"cache-control", caching.private(cache_control).encode()))
        varied = self._vary(varied.strip(","), rewritten=rewritten, active=active)
        if varied:
            kept.append((b"vary", varied.encode("latin-1")))
        cookies = list(self._passage.cookies)
        if (self._prepared.document or rewritten) and not self._policy.observe:
            cookies.extend(self._snapshot.endpoints.removals(self._visitor, self._prepared.refused, self._target))
        if not rewritten and (cookies or self._differs or self._passage.told):
            kept = caching.only_for_one(kept)
        kept.extend(cookies)
        lock = self._snapshot.lock(self._visitor) if rewritten else self._prepared.lock
        if lock is not None:
            kept.append(lock)
            if rewritten and not self._policy.observe:
                # Browsers look names of links up ahead on plain http, and where a page's <meta> asks for it.
                kept = [item for item in kept if item[0] != b"x-dns-prefetch-control"]
                kept.append((b"x-dns-prefetch-control", b"off"))
        return kept

    def _cookie(self, value: bytes) -> bytes | None:
        """A cookie as it may be set, None where it may not. A refused one may still be removed."""
        cookie = SetCookie.parse(value.decode("latin-1"))
        if cookie is None:
            return value if self._policy.observe and _LINE.fullmatch(value) else None
        if is_own(cookie.name):
            return None
        verdict = self._policy.cookies.decide(cookie.name)
        if verdict.passes(self._visitor.effective):
            return str(self._passage.cookie(cookie, verdict)).encode("latin-1")
        if cookie.removes(self._visitor.now):
            return str(removal(cookie)).encode("latin-1")
        if len(self.seen.cookies) < 32:
            self.seen.cookies[verdict.service or f"cookie:{cookie.name}"] = verdict.purpose.value
        return value if self._policy.observe else None

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"vestibule-count" and value.strip().lower() == b"no":
            self.seen.count = False

    def _may(self, url: str, kind: str = "csp") -> bool:
        """Whether an address, relative to the page, may be contacted."""
        resolved = absolute(url, self._visitor.origin + self._target)
        return resolved is not None and self.gate.url(resolved, kind) is None

    def _may_refresh(self, value: str) -> bool:
        target = refresh_target(value)
        return not target or self._may(target, "navigate")

    def _links(self, value: str) -> list[str]:
        """The entries of ``Link`` (RFC 8288) that load nothing from a closed host."""
        kept = []
        for match in _LINK.finditer(value):
            relations = {word.lower() for found in _REL.findall(match[2]) for word in (found[0] or found[1]).split()}
            if relations & _LOADING and not self._may(match[1], "hint"):
                continue
            kept.append(match[0])
        return kept


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


async def _nowhere(message: Message) -> None:
    """Where the rest of an answer goes that was refused."""
