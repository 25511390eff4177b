"""Requests that repeat earlier ones are read as they were, whatever comes between."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import Peer, Recorded, exchange, raw_server, serve_asgi
from vestibule.protocol import HardenedProtocol, ServerLimits, hardened
from vestibule.protocol.repeats import AGE, MAX_KNOWN, MAX_KNOWN_BYTES, Repeats
from vestibule.upstream import Upstream

FIELDS = b"Host: relaso.com\r\nX: y\r\n\r\n"
HEADERS = ((b"host", b"relaso.com"), (b"x", b"y"))


def learned() -> Repeats:
    repeats = Repeats()
    assert repeats.read(b"GET / HTTP/1.1\r\n" + FIELDS, 1.0) is None
    repeats.learn(b"GET / HTTP/1.1\r\n" + FIELDS, HEADERS)
    return repeats


@pytest.mark.parametrize(
    ("line", "known"),
    [
        (b"GET / HTTP/1.1", ("GET", b"/")),
        (b"HEAD /other?a=%20b HTTP/1.1", ("HEAD", b"/other?a=%20b")),
        (b"POST / HTTP/1.1", None),
        (b"GET / HTTP/1.0", None),
        (b"GET /a b HTTP/1.1", None),
        (b"GET /\xc3\xbc HTTP/1.1", None),
        (b"GET /#f HTTP/1.1", None),
        (b"GET http://relaso.com/ HTTP/1.1", None),
        (b"OPTIONS * HTTP/1.1", None),
        (b"GET  / HTTP/1.1", None),
        (b" GET / HTTP/1.1", None),
        (b"GET / HTTP/1.1 ", None),
        (b"GET / HTTP/1.1\n", None),
    ],
)
def test_only_the_first_line_may_differ(line: bytes, known: tuple[str, bytes] | None) -> None:
    found = learned().read(line + b"\r\n" + FIELDS, 2.0)
    assert found == (None if known is None else (*known, HEADERS))


@pytest.mark.parametrize(
    "rest", [FIELDS + b"x", FIELDS[:-1], FIELDS + FIELDS, FIELDS.lower(), b"\r\n" + FIELDS, FIELDS[:-2]]
)
def test_other_bytes_are_the_parsers(rest: bytes) -> None:
    assert learned().read(b"GET / HTTP/1.1\r\n" + rest, 2.0) is None


def test_the_fields_are_the_same_ones_each_time_and_cannot_be_changed() -> None:
    repeats = learned()
    first, second = (repeats.read(b"GET %b HTTP/1.1\r\n" % path + FIELDS, 2.0) for path in (b"/", b"/a"))
    assert first is not None
    assert second is not None
    assert type(first[2]) is tuple
    assert first[2] is second[2]


def test_memory_is_bounded_in_size_and_time() -> None:
    repeats = learned()
    assert repeats.read(b"GET / HTTP/1.1\r\n" + FIELDS, 1.0 + AGE * 1.1) is None
    repeats.learn(b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_KNOWN_BYTES + b"\r\n\r\n", HEADERS)
    assert len(repeats._known) == 0
    for number in range(MAX_KNOWN * 3):
        repeats.learn(b"GET / HTTP/1.1\r\nX: %d\r\n\r\n" % number, HEADERS)
        assert len(repeats._known) <= MAX_KNOWN


def test_two_requests_are_never_learned_as_one() -> None:
    repeats = Repeats()
    repeats.learn((b"GET / HTTP/1.1\r\n" + FIELDS) * 2, HEADERS)
    assert len(repeats._known) == 0


# -- on connections


@pytest.fixture(scope="module")
def log() -> Recorded:
    return Recorded()


@pytest.fixture(scope="module")
def proxies(log: Recorded) -> Iterator[tuple[str, str]]:
    """Two proxies to one site: one that remembers requests, one that does not."""

    def handler(peer: Peer) -> None:
        while head := peer.read_head():
            if length := re.search(rb"content-length: (\d+)", head):
                peer.read(int(length[1]))
            elif b"chunked" in head:
                peer.read_until(b"0\r\n\r\n")
            body = head.split(b" ")[1]
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    with (
        raw_server(handler, seen=log) as site,
        serve_asgi(Upstream(site), http=hardened(ServerLimits(url_bytes=200)), lifespan="on") as knowing,
        serve_asgi(Upstream(site), http=_plain(), lifespan="on") as plain,
    ):
        yield knowing, plain


def _plain() -> type[HardenedProtocol]:
    return type("Plain", (HardenedProtocol,), {"limits": ServerLimits(url_bytes=200)})


HOST = b"Host: relaso.com\r\n"
REQUESTS = [
    b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /2 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /3 HTTP/1.1\r\n" + HOST + b"Cookie: a=b\r\nX: y\r\n\r\n",
    b"GET /4 HTTP/1.1\r\n" + HOST + b"Cookie: a=b\r\nX: y\r\n\r\n",
    b"HEAD /5 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"POST /6 HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
    b"POST /7 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n",
    b"GET /8 HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
    b"GET /9 HTTP/1.1\r\n" + HOST + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
    b"\r\n\r\n",
    b"GET /%b HTTP/1.1\r\n" % (b"x" * 300) + HOST + b"\r\n",
    b"GET /b HTTP/1.1\r\nHost: a b\r\n\r\n",
    b"GET /c HTTP/1.0\r\n" + HOST + b"\r\n",
    b"GET /d HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
]


def answers(url: str, pieces: list[bytes]) -> list[bytes]:
    """Status lines and bodies, without what tells the time."""
    received = exchange(url, b"".join(pieces), patience=2)
    return [line for line in received.split(b"\r\n") if not line.startswith(b"date:")]


@settings(max_examples=40, deadline=None)
@given(order=st.lists(st.sampled_from(REQUESTS), max_size=8))
def test_a_connection_means_the_same_with_and_without(order: list[bytes], proxies: tuple[str, str]) -> None:
    knowing, plain = proxies
    last = b"GET /end HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    assert answers(knowing, [*order, last]) == answers(plain, [*order, last])


def test_repeats_on_one_connection_reach_the_site_alike(proxies: tuple[str, str], log: Recorded) -> None:
    knowing, _ = proxies
    received = b""
    with socket.create_connection(("127.0.0.1", int(knowing.rpartition(":")[2])), timeout=5) as sock:
        for number in range(5):
            sock.sendall(b"GET /%d HTTP/1.1\r\n%bUser-Agent: t\r\nCookie: a=b\r\n\r\n" % (number, HOST))
            received = sock.recv(65536)
            assert received.endswith(b"\r\n\r\n/%d" % number)
    heads = [head for seen in log.connections for head in bytes(seen).split(b"\r\n\r\n") if b"user-agent: t" in head]
    assert [head.split(b" ")[1] for head in heads] == [b"/%d" % number for number in range(5)]
    assert len({head.partition(b"\r\n")[2] for head in heads}) == 1
