"""The reverse proxy between real sockets: what it relays, and what it does when the upstream misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ipaddress
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import websockets
from cryptography import x509
from websockets.asyncio.client import ClientConnection

from tests.certificates import self_signed
from tests.servers import Peer, Recorded, exchange, free_port, raw_server, scripted, serve_asgi, wait_until
from tests.services import service
from tests.test_protocol import CORPUS, corpus_cases
from vestibule.protocol import HardenedProtocol, HardenedWebSocket
from vestibule.upstream import Limits, Upstream, error_page

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HOST = b"Host: relaso.com\r\n"
PATIENT = Limits()
HASTY = Limits(connect=0.5, first_byte=0.3, read=0.3, write=0.3, idle=0.3, queue=0.3)


OK = b"HTTP/1.1 200 OK\r\n"


def get(path: bytes = b"/", fields: bytes = b"Connection: close\r\n", version: bytes = b"1.1") -> bytes:
    return b"GET %b HTTP/%b\r\n%b%b\r\n" % (path, version, HOST, fields)


@contextlib.contextmanager
def proxied(upstream: Upstream, **options: Any) -> Iterator[str]:
    with serve_asgi(upstream, http=HardenedProtocol, ws=HardenedWebSocket, lifespan="on", **options) as url:
        yield url


@contextlib.contextmanager
def in_front_of(
    handler: Callable[[Peer], None], limits: Limits = PATIENT, seen: Recorded | None = None
) -> Iterator[str]:
    with raw_server(handler, seen=seen) as upstream, proxied(Upstream(upstream, limits=limits)) as url:
        yield url


def parsed(received: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, fields and body of one response as it came, chunks undone; fails where it is not complete."""
    head, separator, body = received.partition(b"\r\n\r\n")
    assert separator, received
    lines = head.decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    if fields.get("transfer-encoding") == "chunked":
        whole = b""
        while True:
            size, _, body = body.partition(b"\r\n")
            assert size, "no last chunk"
            piece, body = body[: int(size, 16)], body[int(size, 16) + 2 :]
            if not piece:
                assert not body
                return int(lines[0][9:12]), fields, whole
            whole += piece
    if "content-length" in fields:
        assert len(body) in (int(fields["content-length"]), 0)
    return int(lines[0][9:12]), fields, body


# What the upstream says, and what of it arrives: status and body.
RELAYED: dict[str, tuple[bytes, int, bytes]] = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "length 0": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
        200,
        b"hello!",
    ),
    "extensions and trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
        200,
        b"hello",
    ),
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\nhello", 200, b"hello"),
    "nothing until the end": (b"HTTP/1.1 200 OK\r\n\r\n", 200, b""),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello"),
    "HTTP/1.0 with length": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b""),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "204 with length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, b""),
    "304 with length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n", 304, b""),
    "404": (b"HTTP/1.1 404 Nope\r\nContent-Length: 4\r\n\r\nnope", 404, b"nope"),
    "599": (b"HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n", 599, b""),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "103 first": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        b"ok",
    ),
    "bytes after the end": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n", 200, b"hello"),
}


# What no upstream may say, and the visitor's answer.
FAULTS: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 502),
    "garbage": (b"\x16\x03\x01\x02\0hello\r\n\r\n", 502),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 502),
    "half a head": (OK + b"Content-Le", 502),
    "HTTP/2": (b"HTTP/2 200\r\n\r\n", 502),
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\n\r\n", 502),
    "status 99": (b"HTTP/1.1 99 Odd\r\n\r\n", 502),
    "status 099": (b"HTTP/1.1 099 Odd\r\n\r\n", 502),
    "status 600": (b"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n", 502),
    "status 999": (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", 502),
    "101 unasked": (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", 502),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 502),
    "length and chunked": (OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
    "gzip, chunked": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 502),
    "unknown coding": (OK + b"Transfer-Encoding: zip\r\n\r\nhello", 502),
    "chunked twice": (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
    "chunked on 1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
    "odd length": (OK + b"Content-Length: 5x\r\n\r\nhello", 502),
    "negative length": (OK + b"Content-Length: -1\r\n\r\nhello", 502),
    "obs-fold": (OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n", 502),
    "NUL in value": (OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n", 502),
    "space before colon": (OK + b"Content-Length : 5\r\n\r\nhello", 502),
    "long head": (OK + b"X: " + b"a" * 100_000 + b"\r\n\r\n", 502),
    "head without end": (OK + b"X: " + b"a" * 1_000_000, 502),
    "many fields": (OK + b"X: a\r\n" * 500 + b"\r\n", 502),
    "100 without end": (b"HTTP/1.1 100 Continue\r\n\r\n" * 50, 502),
}

# Bodies that end too soon.
BROKEN: dict[str, bytes] = {
    "length": OK + b"Content-Length: 100000\r\n\r\n" + b"x" * 5000,
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n1388\r\n" + b"x" * 5000 + b"\r\n",
    "odd chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n1388\r\n" + b"x" * 5000 + b"\r\nzz\r\n",
    "until the end": OK + b"\r\n" + b"x" * 5000,
}


@pytest.fixture(scope="module", params=["patient"])
def site(request: pytest.FixtureRequest) -> Iterator[str]:
    """A proxy whose upstream says what the target asks for: ``/TABLE/name/how``."""

    def handler(peer: Peer) -> None:
        _, table, name, how = map(unquote, peer.read_head().split(b" ")[1].decode().split("/"))
        said = TABLES[table][name]
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [said[i : i + 1] for i in range(len(said))] if how == "bytewise" else [said]:
            peer.send(piece)
        if how == "stall":
            peer.wait_closed()
        elif how == "reset":
            time.sleep(0.05)
            peer.reset()

    with in_front_of(handler, HASTY if request.param == "hasty" else Limits()) as url:
        yield url


TABLES = {
    "RELAYED": {name: case[0] for name, case in RELAYED.items()},
    "FAULTS": {name: case[0] for name, case in FAULTS.items()},
    "BROKEN": BROKEN,
}


def target(table: str, name: str, how: str) -> bytes:
    return f"/{table}/{quote(name, safe='')}/{how}".encode()


@pytest.mark.parametrize("name", RELAYED)
@pytest.mark.parametrize("how", ["whole", "bytewise"])
def test_relays_every_framing(name: str, how: str, site: str) -> None:
    _, status, body = RELAYED[name]
    relayed_status, fields, relayed = parsed(exchange(site, get(target("RELAYED", name, how))))
    assert (relayed_status, relayed) == (status, body)
    assert not {"link", "trailer", "x"} & fields.keys()
    if status in (204, 304):
        assert "content-length" not in fields


@pytest.mark.parametrize("name", FAULTS)
def test_answers_faults_with_a_plain_page(name: str, site: str) -> None:
    expected = FAULTS[name][1]
    request = get(target("FAULTS", name, "whole"))
    status, fields, body = parsed(exchange(site, request))
    assert status == expected
    assert body == error_page(expected)
    assert fields["cache-control"] == "no-store"
    # The connection to the client is in order: another request on it is answered the same.
    received = exchange(site, request.replace(b"Connection: close\r\n", b"") + request)
    assert [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", received)] == [expected, expected]


# Cases others collected that we answer with 502 though the parser's makers let them pass, with the reason.
STRICTER = {
    "HTTP version 0.9": "another version",
    "`chunked` before other transfer-encoding": "a coding that we don't undo",
    "multiple transfer-encoding where chunked is not the last one": "a coding that we don't undo",
    "`chunkedchunked` transfer-encoding does not enable chunked enconding": "a coding that we don't undo",
}


@pytest.mark.skipif(not (CORPUS / "llhttp").is_dir(), reason="the corpus is not here")
def test_meets_the_cases_of_the_parsers_makers() -> None:
    cases = corpus_cases("response")
    assert len(cases) > 70

    def handler(peer: Peer) -> None:
        peer.send(cases[int(peer.read_head().split(b" ")[1][1:])][2])

    with in_front_of(handler) as url, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: exchange(url, get(b"/%d" % number)), range(len(cases))))
    wrong = []
    for (title, kind, said, log), answer in zip(cases, answers, strict=True):
        malformed = kind.startswith("response-lenient") or re.search(r"error code=(?!2[1-3]\b)", log) is not None
        final = [int(status) for status in re.findall(r"headers complete status=(\d+)", log) if int(status) >= 200]
        status = int(answer[9:12])
        try:
            _, fields, body = parsed(answer)
            # Where no more than the head was here before the end, that is an answer cut off.
            whole = status in (204, 304) or len(body) == int(fields.get("content-length", len(body)))
        except (AssertionError, ValueError):
            whole = False
        if title in STRICTER:
            right = status == 502
        elif malformed:
            # Refused, visibly cut off, or right up to the bytes that nobody asked for.
            right = status == 502 or not whole or b"connection: close" in said.lower()
        elif "message complete" not in log and re.search(r"content_length=[1-9]", log):
            # Incomplete (RFC 9112, 8): cut off, or told where nothing was passed on yet.
            right = status == 502 or (status == final[0] and not whole)
        else:
            right = status == (final or [502])[0]
        if not right:
            wrong.append((title, kind, answer[:60]))
    assert not wrong, "\n".join(map(str, wrong))


def test_the_error_page_loads_and_tells_nothing() -> None:
    for status in (400, 502, 503, 504):
        page = error_page(status).decode()
        assert str(HTTP_PHRASES[status]) in page
        for word in ("src", "href", "<script", "http://", "https://", "127.0.0.1", "upstream", "vestibule", "Error"):
            assert word not in page


HTTP_PHRASES = {status: http.client.responses[status] for status in (400, 502, 503, 504)}


def test_refused_and_missing_upstreams(tmp_path: Path) -> None:
    for url in (f"http://127.0.0.1:{free_port()}", f"unix:{tmp_path}/nobody.sock", "http://nobody.invalid"):
        with proxied(Upstream(url, limits=HASTY)) as front:
            assert parsed(exchange(front, get()))[0] == 502
            assert exchange(front, b"HEAD / HTTP/1.1\r\n%bConnection: close\r\n\r\n" % HOST).endswith(b"\r\n\r\n")


def test_silence_ends_in_504() -> None:
    with in_front_of(lambda peer: peer.wait_closed(), HASTY) as url:
        assert parsed(exchange(url, get()))[0] == 504
    with in_front_of(scripted(OK + b"X: "), HASTY) as url:
        assert parsed(exchange(url, get()))[0] == 504


def test_a_slow_but_living_upstream_is_waited_for() -> None:
    def handler(peer: Peer) -> None:
        peer.read_head()
        for piece in (OK, b"Content-Length: 6\r\n\r\n", b"he", b"ll", b"o!"):
            peer.send(piece)
            time.sleep(0.15)

    with in_front_of(handler, HASTY) as url:
        assert parsed(exchange(url, get()))[::2] == (200, b"hello!")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("how", ["reset", "close", "stall"])
@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("site", ["hasty"], indirect=True)
def test_a_broken_body_never_looks_whole(name: str, how: str, version: bytes, site: str) -> None:
    if (name, how) == ("until the end", "close"):
        pytest.skip("that is how such a body ends")
    received = b""
    with socket.create_connection(("127.0.0.1", int(site.rpartition(":")[2])), timeout=5) as sock:
        sock.sendall(get(target("BROKEN", name, how), version=version))
        with pytest.raises(ConnectionResetError):  # noqa: PT012 - what comes before is of interest
            while chunk := sock.recv(65536):
                received += chunk
    assert not received.endswith(b"0\r\n\r\n")


class Counting:
    """An upstream that keeps its connections and closes each, without a word, on its second request."""

    def __init__(self) -> None:
        self.connections = 0

    def __call__(self, peer: Peer) -> None:
        self.connections += 1
        head = peer.read_head()
        if head.startswith(b"POST"):
            peer.read(1)
        peer.send(OK + b"Content-Length: 2\r\n\r\nok")
        peer.read_head()


def test_a_safe_request_on_a_dead_connection_is_sent_once_more() -> None:
    upstream = Counting()
    with in_front_of(upstream) as url:
        received = exchange(url, get(fields=b"") * 3 + get())
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200"] * 4
    assert upstream.connections == 4


def test_a_request_with_a_body_is_never_sent_twice() -> None:
    upstream = Counting()
    post = b"POST / HTTP/1.1\r\n%bContent-Length: 1\r\n\r\nx" % HOST
    with in_front_of(upstream) as url:
        received = exchange(url, post + post, patience=0.5)
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"502"]
    assert upstream.connections == 1


def test_connections_are_kept_and_expire() -> None:
    seen = Recorded()
    upstream = scripted(*[OK + b"Content-Length: 2\r\n\r\nok"] * 10)
    with in_front_of(upstream, Limits(idle=0.3), seen) as url:
        exchange(url, get(fields=b"") * 4 + get())
        assert len(seen.connections) == 1
        time.sleep(0.6)
        exchange(url, get())
        assert len(seen.connections) == 2


@pytest.mark.parametrize("late", [False, True])
def test_bytes_that_answer_nothing_reach_nobody(late: bool) -> None:
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    answers = [
        OK + b"Content-Length: 2\r\n\r\nok",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ]

    def handler(peer: Peer) -> None:
        while head := peer.read_head():
            peer.send(answers[b"chunked" in head.lower()] + (b"" if late else poison))
            if late:
                time.sleep(0.02)
                peer.send(poison)

    with in_front_of(handler) as url:
        for path in (b"/length", b"/chunked") * 3:
            assert parsed(exchange(url, get(path)))[2] == b"ok"
            time.sleep(0.1)  # what answers a request before it is sent can't be told from its answer


@pytest.mark.parametrize("said", [b"Content-Length: 99\r\n", b"Content-Type: text/plain\r\n"])
def test_head_answers_have_no_body_and_keep_the_connection(said: bytes) -> None:
    """Whether they say how long it would be or not."""
    seen = Recorded()
    upstream = scripted(*[OK + said + b"\r\n"] * 3, OK + b"Content-Length: 2\r\n\r\nok")
    head = b"HEAD / HTTP/1.1\r\n%b\r\n" % HOST
    with in_front_of(upstream, seen=seen) as url:
        received = exchange(url, head * 3 + get())
    assert received.count(said.lower()) == 3
    assert received.endswith(b"\r\n\r\nok")
    assert len(seen.connections) == 1


def test_connections_are_bounded_and_the_queue_is() -> None:
    busy, most = [0], [0]
    lock = threading.Lock()

    def handler(peer: Peer) -> None:
        while peer.read_head():
            with lock:
                busy[0] += 1
                most[0] = max(most[0], busy[0])
            time.sleep(0.05)
            with lock:
                busy[0] -= 1
            peer.send(OK + b"Content-Length: 2\r\n\r\nok")

    limits = Limits(connections=3, waiting=5, queue=5)
    with in_front_of(handler, limits) as url, ThreadPoolExecutor(16) as threads:
        answers = [parsed(answer)[0] for answer in threads.map(lambda _: exchange(url, get()), range(16))]
        assert most[0] == 3
        assert set(answers) == {200, 503}
        assert answers.count(200) >= 8
        assert parsed(exchange(url, get()))[0] == 200
    with in_front_of(lambda peer: peer.wait_closed(), Limits(connections=1, queue=0.1, first_byte=1)) as url:
        with ThreadPoolExecutor(2) as threads:
            answers = sorted(parsed(answer)[0] for answer in threads.map(lambda _: exchange(url, get()), range(2)))
        assert answers == [503, 504]


def test_pieces_are_passed_on_as_they_come() -> None:
    proceed = threading.Semaphore(0)

    def handler(peer: Peer) -> None:
        peer.read_head()
        peer.send(OK + b"Content-Type: text/event-stream\r\n\r\n")
        for i in range(3):
            assert proceed.acquire(timeout=5)
            peer.send(b"data: %d\n\n" % i)

    with (
        in_front_of(handler, Limits()) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5) as sock,
    ):
        sock.sendall(get(fields=b""))
        received = b""
        for mark in (b"\r\n\r\n", b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n", b"0\r\n\r\n"):
            while mark not in received:
                received += (chunk := sock.recv(65536))
                assert chunk
            proceed.release()


def test_a_slow_client_slows_the_upstream() -> None:
    sent = [0]
    total = 64 * 1024 * 1024

    def handler(peer: Peer) -> None:
        peer.read_head()
        peer.send(OK + b"Content-Length: %d\r\n\r\n" % total)
        while sent[0] < total:
            peer.send(b"x" * 65536)
            sent[0] += 65536

    with (
        in_front_of(handler, Limits()) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as sock,
    ):
        sock.sendall(get())
        time.sleep(0.5)
        held = sent[0]
        assert held < total / 2, "everything was read ahead"
        time.sleep(0.2)
        assert sent[0] == held, "reading goes on"
        received = 0
        while chunk := sock.recv(1 << 20):
            received += len(chunk)
        assert received > total


def test_slow_clients_leave_the_upstream_to_others() -> None:
    total = 16 * 1024 * 1024

    def handler(peer: Peer) -> None:
        while head := peer.read_head():
            if b"/large" in head:
                peer.send(OK + b"Content-Length: %d\r\n\r\n" % total + b"x" * total)
            else:
                peer.send(OK + b"Content-Length: 2\r\n\r\nok")

    with in_front_of(handler, Limits(connections=2, waiting=1, queue=5)) as url, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        slow = []
        for _ in range(5):
            slow.append(stack.enter_context(socket.create_connection(address, timeout=10)))
            slow[-1].sendall(get(b"/large"))
            assert slow[-1].recv(15) == b"HTTP/1.1 200 OK"
        for _ in range(3):
            status, _, body = parsed(exchange(url, get()))
            assert (status, body) == (200, b"ok")
        for sock in slow:
            received = 0
            while chunk := sock.recv(1 << 20):
                received += len(chunk)
            assert received > total
        assert parsed(exchange(url, get()))[0] == 200


def test_a_connection_is_free_when_all_of_the_answer_is_here() -> None:
    served: list[int] = []
    body = bytes(range(256)) * 3200  # more than is passed on at once, less than is held

    def handler(peer: Peer) -> None:
        served.append(0)
        while peer.read_head():
            served[-1] += 1
            peer.send(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    limits = Limits(connections=1, waiting=4, queue=10, buffer=1 << 20)
    with in_front_of(handler, limits) as url, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(10)
        slow.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        slow.sendall(get())
        assert slow.recv(15) == b"HTTP/1.1 200 OK"
        for _ in range(3):
            assert parsed(exchange(url, get()))[2] == body
        received = b""
        while chunk := slow.recv(1 << 20):
            received += chunk
        assert received.endswith(body)
        assert sum(served) == 4


def test_a_small_answer_that_came_in_parts_leaves_the_upstream_to_others() -> None:
    size = 20_000

    def handler(peer: Peer) -> None:
        while head := peer.read_head():
            if b"/small" in head:
                peer.send(OK + b"Content-Length: %d\r\n\r\n" % size + b"x" * (size // 2))
                time.sleep(0.1)
                peer.send(b"x" * (size // 2))
            else:
                peer.send(OK + b"Content-Length: 2\r\n\r\nok")

    async def both(url: str) -> list[int]:
        upstream = Upstream(url, limits=Limits(connections=1, queue=5))
        taken, begun, told = asyncio.Event(), asyncio.Event(), []

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def slow(message: Any) -> None:
            begun.set()
            await taken.wait()

        async def fast(message: Any) -> None:
            told.append(message.get("status"))

        asked = {"method": "GET", "query_string": b"", "headers": [], "type": "http", "http_version": "1.1"}
        first = asyncio.create_task(upstream({**asked, "path": "/small"}, receive, slow))
        await begun.wait()
        await asyncio.sleep(0.3)
        await upstream({**asked, "path": "/"}, receive, fast)
        taken.set()
        await first
        await upstream.close()
        return told

    with raw_server(handler) as url:
        assert asyncio.run(both(url)) == [200, None]


def test_a_slow_upstream_slows_the_client() -> None:
    proceed = threading.Event()
    size = 64 * 1024 * 1024

    def handler(peer: Peer) -> None:
        peer.read_head()
        assert proceed.wait(10)
        assert peer.skip(size) == 0
        peer.send(OK + b"Content-Length: 2\r\n\r\nok")

    with (
        in_front_of(handler, Limits()) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as sock,
    ):
        sock.sendall(b"POST / HTTP/1.1\r\n%bContent-Length: %d\r\nConnection: close\r\n\r\n" % (HOST, size))
        sock.setblocking(False)
        sent, stuck = 0, 0
        while stuck < 20:
            try:
                sent += sock.send(b"x" * 65536)
                stuck = 0
            except BlockingIOError:
                stuck += 1
                time.sleep(0.01)
        assert sent < size / 2, "everything was read ahead"
        sock.settimeout(10)
        proceed.set()
        while sent < size:
            sent += sock.send(b"x" * min(65536, size - sent))
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
        assert parsed(received)[::2] == (200, b"ok")


def test_expectations_are_the_upstreams_to_meet() -> None:
    seen = Recorded()
    post = b"POST / HTTP/1.1\r\n%bContent-Length: 5\r\nExpect: 100-continue\r\n\r\n" % HOST

    def consenting(peer: Peer) -> None:
        assert b"expect: 100-continue" in peer.read_head()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = peer.read(5)
        peer.send(OK + b"Content-Length: 5\r\n\r\n" + body)

    with (
        in_front_of(consenting, Limits(expect=30)) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5) as sock,
    ):
        sock.sendall(post)
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        received = b""
        while not received.endswith(b"\r\n\r\nhello"):
            received += (chunk := sock.recv(65536))
            assert chunk

    with in_front_of(scripted(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"), Limits(expect=30), seen) as url:
        status, fields, _ = parsed(exchange(url, post))
        assert status == 413
        assert fields["connection"] == "close"
    assert not seen.connections[0].endswith(b"hello")


def test_an_early_answer_ends_the_upload() -> None:
    def handler(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
        peer.wait_closed()

    post = b"POST / HTTP/1.1\r\n%bContent-Length: 10000000\r\n\r\n" % HOST
    with in_front_of(handler) as url:
        assert parsed(exchange(url, post + b"x" * 200_000))[::2] == (401, b"no")


@pytest.mark.parametrize("upload", [False, True])
def test_a_client_that_leaves_is_left(upload: bool) -> None:
    left = threading.Event()

    def handler(peer: Peer) -> None:
        peer.read_head()
        peer.wait_closed()
        left.set()

    chunked = b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n2\r\nxx\r\n" % HOST
    fields = chunked if upload else get(fields=b"")
    with in_front_of(handler, Limits()) as url:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as sock:
            sock.sendall(fields)
            time.sleep(0.1)
        assert left.wait(5)


def test_the_upstream_sees_whom_it_serves() -> None:
    seen = Recorded()
    upstream = scripted(OK + b"Content-Length: 0\r\n\r\n")
    with in_front_of(upstream, seen=seen) as url:
        exchange(
            url,
            get(b"/a%20b?c=%20", b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nCookie: a=b\r\n"),
            patience=0.5,
        )
    lines = bytes(seen.connections[0]).decode().split("\r\n")
    assert lines[0] == "GET /a%20b?c=%20 HTTP/1.1"
    assert sorted(lines[1:-2]) == [
        "cookie: a=b",
        "forwarded: for=9.9.9.9;proto=https;host=relaso.com, for=127.0.0.1",
        "host: relaso.com",
        "via: 1.1 vestibule",
        "x-forwarded-for: 9.9.9.9, 127.0.0.1",
        "x-forwarded-host: relaso.com",
        "x-forwarded-proto: https",
    ]


def test_redirects_to_itself_become_the_sites() -> None:
    def handler(peer: Peer) -> None:
        peer.read_head()
        port = peer.sock.getsockname()[1]
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/login\r\nContent-Length: 0\r\n\r\n" % port)

    with in_front_of(handler) as url:
        fields = parsed(exchange(url, get(fields=b"X-Forwarded-Proto: https\r\nConnection: close\r\n")))[1]
    assert fields["location"] == "https://relaso.com/login"


def test_a_request_that_runs_in_a_circle_is_stopped(tmp_path: Path) -> None:
    """A proxy that is its own upstream."""
    path = tmp_path / "s"
    with proxied(Upstream(f"unix:{path}"), uds=path), proxied(Upstream(f"unix:{path}")) as url:
        assert parsed(exchange(url, get()))[0] == 502


async def hello(scope: Any, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def test_unix_sockets(tmp_path: Path) -> None:
    with serve_asgi(hello, uds=tmp_path / "s") as upstream, proxied(Upstream(upstream)) as url:
        assert parsed(exchange(url, get()))[::2] == (200, b"hello")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Certificate and key for 127.0.0.1 signed by itself, and the certificate of an authority that has nothing to do
    with it.
    """
    folder = tmp_path_factory.mktemp("tls")
    for name in ("site", "other"):
        certificate, key = self_signed(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        (folder / f"{name}.pem").write_bytes(certificate)
        (folder / f"{name}.key").write_bytes(key)
    return folder / "site.pem", folder / "site.key", folder / "other.pem"


def test_https_upstreams_are_verified(certificates: tuple[Path, Path, Path]) -> None:
    certificate, key, other = certificates
    with serve_asgi(hello, tls=(certificate, key)) as upstream:
        for authority, status in ((str(certificate), 200), (str(other), 502), (None, 502)):
            with proxied(Upstream(upstream, ca_file=authority)) as url:
                assert parsed(exchange(url, get()))[0] == status
        wrong_name = upstream.replace("127.0.0.1", "localhost")
        with proxied(Upstream(wrong_name, ca_file=str(certificate))) as url:
            assert parsed(exchange(url, get()))[0] == 502


def test_large_bodies_come_out_of_encryption(certificates: tuple[Path, Path, Path]) -> None:
    certificate, key, _ = certificates
    data = random.Random(1).randbytes(2_000_000)

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        length = (b"content-length", b"%d" % len(data))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": data})

    with (
        serve_asgi(app, tls=(certificate, key)) as upstream,
        proxied(Upstream(upstream, ca_file=str(certificate), views=True)) as url,
    ):
        assert parsed(exchange(url, get()))[::2] == (200, data)


def test_the_configured_authority_counts_in_a_worker(certificates: tuple[Path, Path, Path], tmp_path: Path) -> None:
    certificate, key, other = certificates
    with serve_asgi(hello, tls=(certificate, key)) as upstream:
        for number, (authority, status) in enumerate(((certificate, 200), (other, 502))):
            site = f"{{name: example.test, hosts: [example.test], upstream: '{upstream}', upstream_ca: {authority}}}"
            (tmp_path / str(number)).mkdir()
            with service(tmp_path / str(number), upstream, site=site) as started:
                assert started.status() == status


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relaso.com",
        "ftp://relaso.com",
        "http://",
        "http://a/b",
        "http://a?b",
        "http://u:p@a",
        "unix:s",
        "unix:",
        f"http://{'a' * 70}.b",
    ],
)
def test_refuses_what_is_no_upstream(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|needs|valid"):
        Upstream(url)


def test_every_body_goes_to_its_request() -> None:
    """Under an upstream that fails in all its ways, nobody gets another's answer."""
    count = [0]

    def handler(peer: Peer) -> None:
        while head := peer.read_head():
            target = head.split(b" ")[1]
            count[0] += 1
            kind = count[0] % 11
            if kind == 1:
                return
            if kind == 2:
                peer.reset()
                return
            if kind == 3:
                peer.send(OK + b"Content-Length: 100\r\n\r\n" + target)
                return
            if kind == 4:
                peer.send(OK + b"Content-Length: %d\r\n\r\n%bHTTP/1.1 200 OK\r\n" % (len(target), target))
                continue
            if kind == 5:
                peer.send(OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(target), target))
                continue
            peer.send(OK + b"Content-Length: %d\r\n\r\n%b" % (len(target), target))

    def client(worker: int) -> tuple[int, int]:
        right = failed = 0
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for i in range(60):
            target = f"/{worker}/{i}"
            try:
                connection.request("GET", target, headers={"Host": "relaso.com"})
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException):
                failed += 1
                connection.close()
                continue
            if response.status == 200:
                assert body == target.encode()
                right += 1
            else:
                assert body == error_page(response.status)
        connection.close()
        return right, failed

    with in_front_of(handler, Limits(connections=8)) as url:
        port = int(url.rpartition(":")[2])
        with ThreadPoolExecutor(12) as threads:
            results = list(threads.map(client, range(12)))
    assert sum(right for right, _ in results) > 12 * 60 / 2


def test_close_leaves_nothing() -> None:
    async def scenario(url: str) -> None:
        upstream = Upstream(url)

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/ü", "headers": [(b"host", b"a")], "http_version": "1.1"}
        await upstream(scope, receive, send)
        assert [message.get("status", message.get("body")) for message in sent] == [200, b"ok"]
        assert upstream.pool.open == 1
        await upstream.close()
        assert upstream.pool.open == 0
        sent.clear()
        await upstream(scope, receive, send)
        assert sent[0]["status"] == 503

    seen = Recorded()
    with raw_server(scripted(OK + b"Content-Length: 2\r\n\r\nok"), seen=seen) as url:
        asyncio.run(scenario(url))
    assert seen.connections[0].startswith(b"GET /%C3%BC HTTP/1.1\r\n")


# WebSockets


async def socket_site(scope: Any, receive: Receive, send: Send) -> None:
    """Echoes; what it is to do besides is in the path."""
    assert scope["type"] == "websocket"
    await receive()
    path = scope["path"]
    if path == "/refuse":
        headers = [(b"content-type", b"text/plain"), (b"x-why", b"because")]
        await send({"type": "websocket.http.response.start", "status": 418, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"teapot"})
        return
    names = {name for name, _ in scope["headers"]}
    assert {b"x-forwarded-for", b"forwarded", b"via"} <= names
    subprotocol = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": [(b"set-cookie", b"a=b")]})
    if path.startswith("/close/"):
        await send({"type": "websocket.close", "code": int(path[7:]), "reason": "enough"})
        return
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            scope["state"]["codes"].append((message["code"], message.get("reason")))
            return
        await send({**message, "type": "websocket.send"})


@pytest.fixture(scope="module")
def sockets() -> Iterator[tuple[str, list[tuple[int, str | None]]]]:
    """A WebSocket URL through the proxy, and the close codes that the site behind it has seen."""
    codes: list[tuple[int, str | None]] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await socket_site({**scope, "state": {"codes": codes}}, receive, send)

    with serve_asgi(app) as upstream, proxied(Upstream(upstream)) as url:
        yield url.replace("http", "ws"), codes


def run_socket(url: str, scenario: Callable[[ClientConnection], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with websockets.connect(url, **({"max_size": None} | options)) as connection:
            await scenario(connection)

    asyncio.run(main())


def test_websocket_messages_pass_unchanged(sockets: tuple[str, list[tuple[int, str | None]]]) -> None:
    async def scenario(connection: ClientConnection) -> None:
        for message in ("", "hi", "ü" * 1000, b"", b"\0\xff", b"x" * 70_000, b"y" * (4 << 20), "z" * (1 << 20)):
            await connection.send(message)
            assert await connection.recv() == message
        for i in range(500):
            await connection.send(str(i))
        assert [await connection.recv() for _ in range(500)] == [str(i) for i in range(500)]
        await connection.send(["frag", "men", "ted"])
        assert await connection.recv() == "fragmented"
        await (await connection.ping())
        assert connection.response is not None
        assert connection.response.headers["set-cookie"] == "a=b"

    run_socket(sockets[0] + "/", scenario)
    run_socket(sockets[0] + "/", scenario, compression=None)


def test_websocket_subprotocols(sockets: tuple[str, list[tuple[int, str | None]]]) -> None:
    async def scenario(connection: ClientConnection) -> None:
        assert connection.subprotocol == "v2"

    run_socket(sockets[0] + "/", scenario, subprotocols=["v1", "v2"])


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1011, 3000, 4999])
def test_websocket_close_codes(code: int, sockets: tuple[str, list[tuple[int, str | None]]]) -> None:
    async def closed_by_site(connection: ClientConnection) -> None:
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await connection.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, "enough")

    async def closed_by_client(connection: ClientConnection) -> None:
        await connection.close(code, "bye")

    url, codes = sockets
    run_socket(f"{url}/close/{code}", closed_by_site)
    codes.clear()
    run_socket(f"{url}/", closed_by_client)
    wait_until(lambda: bool(codes), "the site to see the close")
    assert codes == [(code, "bye")]


def test_websocket_refusals_pass_unchanged(
    sockets: tuple[str, list[tuple[int, str | None]]], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with pytest.raises(websockets.InvalidStatus) as caught:
            await websockets.connect(sockets[0] + "/refuse")
        response = caught.value.response
        assert (response.status_code, response.body, response.headers["x-why"]) == (418, b"teapot", "because")

    for _ in range(3):  # what is said of one is said when its answer has gone
        asyncio.run(main())
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("vestibule")]
    assert ours == [], "whoever asks for what is refused fills no log"


@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"garbage\r\n\r\n"])
def test_websocket_upstream_that_is_none(answer: bytes | None) -> None:
    async def main(url: str) -> int:
        with pytest.raises(websockets.InvalidStatus) as caught:
            await websockets.connect(url.replace("http", "ws"))
        return caught.value.response.status_code

    if answer is None:
        with proxied(Upstream(f"http://127.0.0.1:{free_port()}")) as url:
            assert asyncio.run(main(url)) == 502
    else:
        with in_front_of(scripted(answer, linger=False)) as url:
            assert asyncio.run(main(url)) == (200 if b"200" in answer else 502)


def test_websocket_that_breaks_is_closed_as_failed() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        raise KeyboardInterrupt if scope["path"] == "/never" else ConnectionError

    async def scenario(connection: ClientConnection) -> None:
        await connection.send("x")
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await connection.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1011

    with serve_asgi(app, log_level="critical") as upstream, proxied(Upstream(upstream)) as url:
        run_socket(url.replace("http", "ws"), scenario)


def test_websocket_over_https_and_unix(certificates: tuple[Path, Path, Path], tmp_path: Path) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await socket_site({**scope, "state": {"codes": []}}, receive, send)

    async def scenario(connection: ClientConnection) -> None:
        await connection.send("hi")
        assert await connection.recv() == "hi"

    certificate, key, _ = certificates
    authority = str(certificate)
    with serve_asgi(app, tls=(certificate, key)) as upstream, proxied(Upstream(upstream, ca_file=authority)) as url:
        run_socket(url.replace("http", "ws"), scenario)
    with serve_asgi(app, uds=tmp_path / "s") as upstream, proxied(Upstream(upstream)) as url:
        run_socket(url.replace("http", "ws"), scenario)


def test_a_client_that_leaves_a_websocket_is_left(sockets: tuple[str, list[tuple[int, str | None]]]) -> None:
    url, codes = sockets
    codes.clear()

    async def scenario(connection: ClientConnection) -> None:
        await connection.send("hi")
        await connection.recv()
        connection.transport.abort()

    with contextlib.suppress(websockets.ConnectionClosed):
        run_socket(url + "/", scenario)
    wait_until(lambda: bool(codes), "the site to see the end")


def test_tls_context_is_strict(certificates: tuple[Path, Path, Path]) -> None:
    context = Upstream("https://relaso.com", ca_file=str(certificates[0])).target.tls
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_head_is_passed_on_though_its_body_takes_its_time() -> None:
    seen = threading.Event()

    def site(peer: Peer) -> None:
        while peer.read_head():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n")
            assert seen.wait(10)
            seen.clear()
            peer.send(b"body")

    with in_front_of(site) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        for _ in range(3):
            connection.request("GET", "/", headers={"Host": "relaso.com"})
            response = connection.getresponse()  # with the head alone
            seen.set()
            assert response.read() == b"body"
        connection.close()
