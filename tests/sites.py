"""A small site that answers as sites do, and Vestibule in front of it in both forms: as a middleware inside the app,
and as a proxy to it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import zlib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import brotli
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tests.servers import serve_asgi, wait_until
from vestibule.config import Config, load
from vestibule.core.visit import Hit
from vestibule.middleware import ConsentMiddleware
from vestibule.upstream import Upstream

PAGE = """<!doctype html><html><head><title>Page</title>
<script src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>
<script src="https://js.stripe.com/v3/"></script>
<script src="/own.js"></script>
<link rel="preconnect" href="https://fonts.gstatic.com">
</head><body><h1>Hello</h1>
<iframe src="https://www.youtube.com/embed/x"></iframe>
<img src="https://stats.nobody.example/p.gif">
</body></html>"""
BINARY = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20 + b"<img src=https://evil.example/x>"
ETAG = '"page-1"'

SECRET = "a secret for tests"
SITE_YAML = """\
site:
  name: relaso.com
  hosts: [relaso.com, www.relaso.com]
  upstream: http://127.0.0.1:3000
policy: {revision: "1", url: /privacy, contact: legal@relaso.com}
cookies: {declare: {session: {purpose: necessary}, theme: {purpose: preferences}}}
store: chdb:///nowhere
"""
TRACKERS_YAML = """\
unknown: block
services: {google-analytics: ask, google-tag-manager: ask, youtube: ask, stripe: allow, hotjar: block}
"""

Header = tuple[str, str]


async def page(request: Request) -> Response:
    if request.headers.get("if-none-match") == ETAG:
        return Response(status_code=304, headers={"etag": ETAG})
    headers = {"etag": ETAG, "last-modified": "Sat, 21 Nov 2026 10:00:00 GMT", "cache-control": "public, max-age=60"}
    body, coding = PAGE.encode(), request.query_params.get("coding", "")
    if coding:
        headers["content-encoding"] = coding
        if coding == "br":
            body = brotli.compress(body)
        elif coding == "zstd":
            body = zstandard.ZstdCompressor().compress(body)
        elif coding == "gzip":
            compressor = zlib.compressobj(wbits=31)
            body = compressor.compress(body) + compressor.flush()
    return HTMLResponse(body, headers=headers)


async def cookies(request: Request) -> Response:
    response = PlainTextResponse("ok")
    for name in ("session", "theme", "_ga", "undeclared", "__Host-vestibule"):
        response.headers.append("set-cookie", f"{name}=1; Path=/")
    return response


async def headers(request: Request) -> Response:
    response = Response("ok")
    for name, value in request.query_params.multi_items():
        response.headers.append(name, value)
    return response


async def untyped(request: Request) -> Response:
    response = Response(BINARY if "binary" in request.query_params else PAGE)
    if request.query_params.get("type"):
        response.headers["content-type"] = request.query_params["type"]
    return response


async def echo(request: Request) -> Response:
    return JSONResponse([[name, value] for name, value in request.headers.items()])


async def part(request: Request) -> Response:
    return HTMLResponse(PAGE[:50], status_code=206, headers={"content-range": "bytes 0-49/500"})


async def elsewhere(request: Request) -> Response:
    return RedirectResponse("/page", 302)


SITE = Starlette(
    routes=[
        Route("/page", page),
        Route("/cookies", cookies),
        Route("/headers", headers),
        Route("/echo", echo),
        Route("/part", part),
        Route("/untyped", untyped),
        Route("/elsewhere", elsewhere),
        Route("/gtm/collect", echo),
    ]
)


def in_arabic(app: Any) -> Any:
    """A site whose pages say that they are in Arabic, to who likes that best."""

    async def speaking(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))

        async def changed(message: Any) -> None:
            if message["type"] == "http.response.start":
                kept = [item for item in message["headers"] if item[0].lower() != b"content-length"]
                message = {**message, "headers": kept}
            elif message["type"] == "http.response.body":
                body = message.get("body", b"").replace(b'<html lang="en"', b'<html lang="ar" dir="rtl"')
                message = {**message, "body": body}
            await send(message)

        if not headers.get(b"accept-language", b"").startswith(b"ar"):
            await app(scope, receive, send)
            return
        plain = [item for item in scope["headers"] if item[0] != b"accept-encoding"]
        await app({**scope, "headers": plain}, receive, changed)

    return speaking


@dataclass
class Recording:
    """Takes the place of the way to the recorder: keeps what it is given."""

    hits: list[Hit] = field(default_factory=list)
    records: list[Mapping[str, object]] = field(default_factory=list)

    def send(self, hit: Hit) -> None:
        self.hits.append(hit)

    async def record(self, record: Mapping[str, object]) -> None:
        self.records.append(record)


def configured(folder: Path, site: str = SITE_YAML, trackers: str = TRACKERS_YAML) -> Config:
    (folder / "site.yaml").write_text(site, encoding="utf-8")
    (folder / "trackers.yaml").write_text(trackers, encoding="utf-8")
    return load(folder, {})


Message = MutableMapping[str, Any]
"""Of ASGI."""


def scope(
    headers: Iterable[tuple[bytes, bytes]], method: str = "GET", path: str = "/x", scheme: str = "http"
) -> dict[str, Any]:
    """A request as a server describes it to an app."""
    return {
        "type": "http",
        "scheme": scheme,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": headers,
    }


def in_process(app: ASGIApp, asked: dict[str, Any], body: bytes = b"") -> list[Message]:
    """What an app sends in answer to a request, with no server between."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def run() -> None:
        await app(asked, receive, send)

    asyncio.run(run())
    return sent


@dataclass
class Answer:
    status: int
    headers: list[Header]
    body: bytes

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Front:
    """Vestibule as a browser reaches it."""

    url: str
    recording: Recording

    def ask(
        self, path: str, *extra: Header, method: str = "GET", body: bytes | None = None, host: str = "relaso.com"
    ) -> Answer:
        """One request as a browser's navigation; ``extra`` headers replace those of the same name."""
        wanted = {
            "Host": host,
            "Accept": "text/html,*/*;q=0.8",
            "Sec-Fetch-Dest": "document",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Site": "same-origin",
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
        }
        names = {name.lower() for name, _ in extra}
        sent = [(name, value) for name, value in wanted.items() if name.lower() not in names]
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in (*sent, *extra):
                if value:
                    connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def post(self, path: str, body: str, *extra: Header) -> Answer:
        form = ("Content-Type", "application/x-www-form-urlencoded")
        given = extra if any(name.lower() == "content-type" for name, _ in extra) else (form, *extra)
        return self.ask(path, *given, method="POST", body=body.encode())

    def told(self) -> list[Hit]:
        """What the recorder was told, once it was: that happens after the answer is out."""
        wait_until(lambda: bool(self.recording.hits), "a hit")
        return list(self.recording.hits)

    def choice(self, answer: str) -> Header:
        """The ``Cookie`` header of a visitor who has answered so."""
        cookie = self.post("/_privacy/consent", f"choice={answer}").all("set-cookie")[0]
        return "Cookie", cookie.partition(";")[0]


@contextlib.contextmanager
def front(form: str, config: Config, state: Path, app: Any = SITE, **options: Any) -> Iterator[Front]:
    """Vestibule in front of ``app``. form: ``middleware`` or ``proxy``."""
    recording = Recording()
    with contextlib.ExitStack() as stack:
        inner: Any = app
        if form == "proxy":
            inner = Upstream(stack.enter_context(serve_asgi(app)))
        whole = ConsentMiddleware(
            inner, config, secrets=["a secret for tests"], sender=recording, state=state, **options
        )
        yield Front(stack.enter_context(serve_asgi(whole, lifespan="auto")), recording)
