"""What a request held is free when it is over, however it ended: nothing waits for the collector."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Peer, exchange, raw_server, serve_asgi, wait_until
from tests.sites import SECRET, Recording, configured
from vestibule.core.hints import STREAM, WHOLE
from vestibule.middleware import ConsentMiddleware
from vestibule.protocol import ServerLimits, hardened
from vestibule.upstream import Upstream
from vestibule.upstream.body import Body

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
PAGE = (
    b"<!doctype html><title>%d</title><script src='https://www.googletagmanager.com/gtag/js'></script><template><b>x"
    b"</template><noscript><img src='https://a.example/p.gif'></noscript><iframe srcdoc='<p>x</p>'></iframe>"
    b"<iframe src='https://www.youtube.com/embed/x'></iframe>"
)


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def text(peer: Peer, number: int) -> None:
    peer.send(HEAD % (b"text/plain", 5) + b"hello")


def page(peer: Peer, number: int) -> None:
    body = PAGE % number
    peer.send(HEAD % (b"text/html", len(body)) + body)


def broken(peer: Peer, number: int) -> None:
    peer.send(HEAD % (b"text/plain", 50_000) + b"x" * 20_000)


def headless(peer: Peer, number: int) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Ty")


def garbage(peer: Peer, number: int) -> None:
    peer.send(b"garbage\r\n\r\n")


def moved(peer: Peer, number: int) -> None:
    peer.send(HEAD % (b"application/zip", 1_500_000) + b"x" * 1_500_000)


def broken_when_moved(peer: Peer, number: int) -> None:
    peer.send(HEAD % (b"application/zip", 1_500_000) + b"x" * 1_000_000)


@pytest.mark.parametrize("answer", [text, page, broken, headless, garbage, moved, broken_when_moved])
def test_nothing_waits_for_the_collector(
    answer: Callable[[Peer, int], None], tmp_path: Path, without_collector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def site(peer: Peer) -> None:
        if peer.read_head():
            asked.append(0)
            answer(peer, len(asked))

    request = b"GET / HTTP/1.1\r\nHost: relaso.com\r\nSec-Fetch-Dest: document\r\nConnection: close\r\n\r\n"
    tried: list[Body] = []
    move = Body.move

    async def noted(self: Body, sink: Any) -> bool:
        tried.append(self)
        return await move(self, sink)

    monkeypatch.setattr(Body, "move", noted)
    with raw_server(site) as url:
        whole = ConsentMiddleware(
            Upstream(url, views=True), configured(tmp_path), secrets=[SECRET], sender=Recording(), state=tmp_path
        )
        protocol = hardened(ServerLimits(), offers=(WHOLE, STREAM))
        with serve_asgi(whole, http=protocol, loop="uvloop", lifespan="on") as proxy:
            exchange(proxy, request)  # what is made once may be as it likes
            gc.collect()
            gc.set_debug(gc.DEBUG_SAVEALL)
            for _ in range(6):
                exchange(proxy, request)
            wait_until(lambda: len(asked) == 7, "all requests")
            assert len(tried) == (7 if answer in (moved, broken_when_moved) else 0)
            tried.clear()
            gc.collect()
            left = {type(found).__qualname__ for found in gc.garbage if type(found).__module__.startswith("vestibule")}
    assert left == set()
