"""What the middleware costs a request: the same app with and without it, called without a network."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from tests.sites import Recording, configured
from vestibule.middleware import ConsentMiddleware

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

ROUNDS = 5
REQUESTS = 3000
PAGE = (
    b"<!doctype html><html><head><title>x</title></head><body>"
    + b"<p class='text'>Some text, and <a href='/somewhere'>a link</a>.</p>" * 700
    + b'<script src="https://www.googletagmanager.com/gtag/js?id=G-1"></script></body></html>'
)
JSON = b'{"items":[' + b'{"id":1,"name":"x"},' * 50 + b"{}]}"


def app(body: bytes, content_type: bytes) -> App:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]

    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


def scope() -> dict[str, Any]:
    return {
        "type": "http",
        "scheme": "http",
        "method": "GET",
        "path": "/page",
        "raw_path": b"/page",
        "query_string": b"",
        "client": ("127.0.0.1", 4711),
        "headers": [
            (b"host", b"relaso.com"),
            (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
            (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            (b"accept-language", b"de,en-US;q=0.7,en;q=0.3"),
            (b"accept-encoding", b"gzip, deflate, br, zstd"),
            (b"cookie", b"; ".join(b"name%d=value%d" % (number, number) for number in range(9)) + b"; session=1"),
            (b"sec-fetch-dest", b"document"),
            (b"sec-fetch-mode", b"navigate"),
            (b"sec-fetch-site", b"none"),
        ],
    }


async def microseconds(target: App) -> float:
    """The median time of a request, of several rounds."""
    request = scope()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    rounds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(REQUESTS):
            await target(dict(request), receive, send)
        rounds.append((time.perf_counter() - begun) / REQUESTS * 1e6)
    return statistics.median(rounds)


class Silent(Recording):
    """Takes hits and forgets them."""

    def send(self, hit: object) -> None:
        pass


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = configured(Path(folder))
        for name, body, content_type in (
            ("1 KB of JSON", JSON, b"application/json"),
            (f"{len(PAGE) // 1024} KB page", PAGE, b"text/html; charset=utf-8"),
        ):
            bare = app(body, content_type)
            whole = ConsentMiddleware(bare, config, secrets=["a secret for benches"], sender=Silent(), state=folder)
            alone = asyncio.run(microseconds(bare))
            inside = asyncio.run(microseconds(whole))
            rate = len(body) / (inside - alone)
            sys.stdout.write(f"{name:>14}: {inside - alone:7.1f} µs a request in the middleware ({rate:.0f} MB/s)\n")


if __name__ == "__main__":
    main()
