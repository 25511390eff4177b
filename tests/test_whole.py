"""A whole answer in one message is what its two messages are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response

from tests.servers import Peer, exchange, raw_server, serve_asgi
from tests.sites import SECRET, Message, Recording, configured, in_process, scope
from tests.test_recall import REQUESTS, VALUES, Header
from vestibule.core.hints import WHOLE
from vestibule.middleware import ConsentMiddleware
from vestibule.protocol import HardenedProtocol, ServerLimits, hardened
from vestibule.upstream import Upstream

TAG = b'<script src="https://www.googletagmanager.com/gtag/js"></script>'
BODIES = (b"", b"{}", b"<p>x</p>", TAG, b"\x1f\x8b\x08broken")
OFFERS: tuple[dict[str, Any], ...] = ({}, {WHOLE: {}})


class App:
    """Answers with what it is told to: in one message where the server takes that."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[Header] = []
        self.body = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        answer = {"status": self.status, "headers": list(self.headers)}
        if WHOLE in (scope.get("extensions") or ()):
            await send({"type": WHOLE, **answer, "body": self.body})
        else:
            await send({"type": "http.response.start", **answer})
            await send({"type": "http.response.body", "body": self.body})


def parted(messages: list[Message]) -> tuple[int, list[Header], bytes]:
    """Status, fields and body of an answer, whichever way it was sent."""
    body = b"".join(message.get("body", b"") for message in messages)
    return messages[0]["status"], sorted(messages[0]["headers"]), body


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[App, ConsentMiddleware, Recording]:
    folder, app, recording = tmp_path_factory.mktemp("whole"), App(), Recording()
    return app, ConsentMiddleware(app, configured(folder), secrets=[SECRET], sender=recording, state=folder), recording


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_middleware_makes_the_same_of_it(
    data: st.DataObject, parts: tuple[App, ConsentMiddleware, Recording]
) -> None:
    app, whole, recording = parts
    names = data.draw(st.lists(st.sampled_from([*sorted(VALUES), b"content-encoding"]), max_size=5))
    values = {**VALUES, b"content-encoding": [b"gzip", b"x"]}
    app.headers = [(name, data.draw(st.sampled_from(values[name]))) for name in names]
    app.status = data.draw(st.sampled_from([200, 204, 206, 302, 304, 404]))
    app.body = data.draw(st.sampled_from(BODIES))
    asked = scope(data.draw(st.sampled_from(REQUESTS)), data.draw(st.sampled_from(["GET", "HEAD", "POST"])))
    told = []
    for extensions in OFFERS:
        recording.hits.clear()
        sent = in_process(whole, {**asked, "extensions": extensions})
        told.append((parted(sent), [hit._replace(time=0.0) for hit in recording.hits]))
    assert told[0] == told[1]
    if sent[0]["status"] != 502:  # a refusal is our own
        assert [message["type"] for message in sent] == [WHOLE]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[App, str, str]]:
    """An app, and where it answers in one message, and where in two."""
    app = App()

    async def in_two(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "extensions": None}, receive, send)

    with (
        serve_asgi(app, http=hardened(ServerLimits(), offers=(WHOLE,))) as whole,
        serve_asgi(in_two, http=hardened(ServerLimits(), offers=(WHOLE,))) as parts,
    ):
        yield app, whole, parts


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, [(b"content-length", b"5")], b"12345"),
        (200, [], b"12345"),
        (200, [], b""),
        (204, [], b""),
        (304, [(b"content-length", b"5")], b""),
        (404, [(b"connection", b"close")], b"no"),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_the_server_writes_the_same_bytes(
    method: str, status: int, headers: list[Header], body: bytes, version: str, served: tuple[App, str, str]
) -> None:
    app, whole, in_two = served
    app.status, app.headers, app.body = status, [*headers, (b"date", b"now")], body
    request = f"{method} / HTTP/{version}\r\nHost: relaso.com\r\nConnection: close\r\n\r\n".encode()
    said = exchange(whole, request)
    assert said == exchange(in_two, request)
    assert said.startswith(b"HTTP/1.1 %d " % status)


def test_nothing_may_follow_it() -> None:
    raised: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": WHOLE, "status": 200, "headers": [], "body": b"x"})
        for kind in (WHOLE, "http.response.start", "http.response.body"):
            try:
                await send({"type": kind, "status": 200, "headers": [], "body": b"y"})
            except RuntimeError as error:
                raised.append(str(error))

    with serve_asgi(app, http=hardened(ServerLimits(), offers=(WHOLE,))) as url:
        said = exchange(url, b"GET / HTTP/1.1\r\nHost: relaso.com\r\nConnection: close\r\n\r\n")
    assert len(raised) == 3
    assert b"y" not in said.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("offered", "types"), [(True, [WHOLE]), (False, ["http.response.start", "http.response.body"])]
)
def test_the_upstream_sends_it_where_it_is_offered(offered: bool, types: list[str]) -> None:
    def site(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")

    async def fetch(url: str) -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        upstream = Upstream(url)
        asked = scope([(b"host", b"relaso.com")])
        try:
            await upstream({**asked, "extensions": {WHOLE: {}}} if offered else asked, receive, send)
        finally:
            await upstream.close()
        return sent

    with raw_server(site) as url:
        sent = asyncio.run(fetch(url))
    assert [message["type"] for message in sent] == types
    assert sent[-1]["body"] == b"ok"


@pytest.mark.parametrize("content_type", [b"application/json", b"text/html", b""])
@pytest.mark.parametrize("page", [True, False])
def test_headers_may_be_any_iterable_or_none(
    content_type: bytes, page: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    given_ = [(b"content-type", content_type), (b"set-cookie", b"session=1")] if content_type else []

    def app(make: Any) -> Any:
        async def answering(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, **make()})
            await send({"type": "http.response.body", "body": b"<p>x</p>"})

        return answering

    makes = [lambda: {"headers": list(given_)}, lambda: {"headers": iter(given_)}, lambda: {"headers": (*given_,)}]
    if not given_:
        makes.append(dict)
    asked = scope([(b"host", b"relaso.com"), *([(b"sec-fetch-dest", b"document")] if page else [])])
    folder = tmp_path_factory.mktemp("headers")
    config = configured(folder)
    said = []
    for make in makes:
        whole = ConsentMiddleware(app(make), config, secrets=[SECRET], sender=Recording(), state=folder)
        said.append(parted(in_process(whole, asked)))
    assert all(each == said[0] for each in said)


def test_a_requests_headers_may_be_what_can_be_read_but_once(tmp_path: Path) -> None:
    fields = [(b"host", b"relaso.com"), (b"content-type", b"application/x-www-form-urlencoded")]
    fields += [(b"origin", b"https://relaso.com"), (b"sec-fetch-site", b"same-origin")]
    whole = ConsentMiddleware(App(), configured(tmp_path), secrets=[SECRET], sender=Recording(), state=tmp_path)
    for make in (list, iter):
        asked = scope(make(fields), "POST", "/_privacy/consent", "https")
        assert in_process(whole, asked, b"choice=reject")[0]["status"] == 303


@pytest.mark.parametrize("layer", [GZipMiddleware, lambda app: BaseHTTPMiddleware(app, dispatch=_on)])
def test_layers_that_do_not_know_it_are_not_offered_it(layer: Any) -> None:
    def site(peer: Peer) -> None:
        while peer.read_head():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")

    request = b"GET / HTTP/1.1\r\nHost: relaso.com\r\nConnection: close\r\n\r\n"
    with raw_server(site) as url, serve_asgi(layer(Upstream(url)), http=HardenedProtocol, lifespan="on") as proxy:
        for _ in range(2):
            said = exchange(proxy, request)
            assert said.startswith(b"HTTP/1.1 200 ")
            assert said.endswith(b"ok")


async def _on(request: Request, call_next: Any) -> Response:
    return await call_next(request)  # type: ignore[no-any-return]
