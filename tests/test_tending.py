"""What the middleware does beside the requests in an app of somebody else's: facts reach the recorder, to the last."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks import django_app
from tests.servers import exchange, serve_asgi, wait_until
from tests.sites import SITE, configured
from vestibule.core.visit import Hit
from vestibule.link import SOCKET, Delivery, Receiver
from vestibule.middleware import ConsentMiddleware

PAGE = (
    b"GET /page HTTP/1.1\r\nHost: relaso.com\r\nAccept: text/html\r\nSec-Fetch-Dest: document\r\n"
    b"Sec-Fetch-Mode: navigate\r\nConnection: close\r\n\r\n"
)


@pytest.mark.parametrize("app", ["starlette", "django"])
def test_the_last_facts_are_told_when_the_app_ends(app: str, tmp_path: Path) -> None:
    """In an app, too, that knows no lifespan."""
    told: list[Hit] = []

    async def hits(found: Sequence[Hit], dropped: int, _: Delivery | None) -> None:
        assert dropped == 0
        told.extend(found)

    async def nothing(*_: Any) -> None:
        raise AssertionError("nobody asks")

    def serve_and_end() -> None:
        inner = SITE if app == "starlette" else django_app()
        whole = ConsentMiddleware(inner, configured(tmp_path), secrets=["a secret for tests"], state=tmp_path)
        with serve_asgi(whole, lifespan="on") as url:
            for _ in range(3):
                assert exchange(url, PAGE).startswith(b"HTTP/1.1 200 ")

    async def run() -> None:
        receiver = Receiver()
        await receiver.serve(str(tmp_path / SOCKET), hits, nothing, nothing)
        await asyncio.to_thread(serve_and_end)
        await asyncio.to_thread(wait_until, lambda: len(told) == 3, "the facts")
        await receiver.close()

    asyncio.run(run())
    assert [hit.path for hit in told] == ["/page"] * 3


def test_an_app_that_cannot_start_is_heard(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ZeroDivisionError

    whole = ConsentMiddleware(app, configured(tmp_path), secrets=["a secret for tests"], state=tmp_path)

    async def receive() -> Mapping[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    async def run() -> None:
        with pytest.raises(ZeroDivisionError):
            await whole({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]

    asyncio.run(run())
