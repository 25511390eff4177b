"""Large bodies that the kernel moves arrive as they were sent, and whatever goes wrong on the way ends as it should."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import http.client
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.servers import Peer, Recorded, raw_server, serve_asgi, wait_until
from tests.sites import SECRET, Recording, configured
from vestibule.access import AccessLog
from vestibule.core.hints import STREAM, WHOLE
from vestibule.middleware import ConsentMiddleware
from vestibule.protocol import ServerLimits, hardened
from vestibule.upstream import Limits, Upstream, body
from vestibule.upstream.body import WORTH

DATA = random.Random(1).randbytes(3_000_000)
OTHER = DATA[::-1]


def answer(data: bytes, size: int | None = None) -> bytes:
    length = len(data) if size is None else size
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: %d\r\n\r\n%b" % (length, data)


class Front:
    """The proxy on an event loop of one kind, and which bodies it moved."""

    def __init__(self, upstream: Upstream, url: str) -> None:
        self.upstream = upstream
        self.url = url
        self.host, self.port = urlsplit(url).hostname or "", urlsplit(url).port or 0
        self.tried: list[bool] = []
        self._pipes = pipes()

    def connect(self, **options: Any) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=20, **options)

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> bytes:
        connection = self.connect()
        try:
            connection.request(method, path, headers={"Host": "relaso.com", **headers})
            return connection.getresponse().read()
        finally:
            connection.close()

    def slow(self) -> socket.socket:
        """A client that has asked, and takes little at a time."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((self.host, self.port))
        client.settimeout(20)
        client.sendall(b"GET / HTTP/1.1\r\nHost: relaso.com\r\nConnection: close\r\n\r\n")
        return client

    def idle(self) -> bool:
        """Whether nothing is being moved, and no descriptor left over from that."""
        return self.upstream.pool.moving.count == 0 and not self.upstream.pool.aside and pipes() == self._pipes


def pipes() -> int:
    """Pipes of this process that hold as much as ours do."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(entry.readlink()).startswith("pipe:") and _size(int(entry.name)) == body.PIPE
    return count


def _size(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)


@contextlib.contextmanager
def front(
    site: str,
    monkeypatch: pytest.MonkeyPatch,
    loop: str = "uvloop",
    limits: Limits = Limits(),  # noqa: B008 - frozen
    server: ServerLimits = ServerLimits(),  # noqa: B008
    app: Any = None,
    buffer: int = 0,
) -> Iterator[Front]:
    """buffer: bytes that the kernel holds for a client: on a real network they are few."""
    upstream = Upstream(site, limits=limits, views=True)
    protocol = hardened(server, offers=(WHOLE, STREAM))
    made_before = protocol.connection_made

    def connection_made(self: Any, transport: Any) -> None:
        made_before(self, transport)
        if buffer:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)

    monkeypatch.setattr(protocol, "connection_made", connection_made)
    with serve_asgi(app or upstream, http=protocol, loop=loop, lifespan="on", interface="asgi3") as url:
        made = Front(upstream, url)
        move = body.Body.move

        async def noted(self: body.Body, sink: Any) -> bool:
            made.tried.append(False)
            number = len(made.tried) - 1
            moved = await move(self, sink)
            made.tried[number] = moved
            return moved

        monkeypatch.setattr(body.Body, "move", noted)
        yield made


def taken(client: socket.socket) -> tuple[bytes, type[OSError] | None]:
    """All that comes, and what ends it."""
    received = b""
    try:
        while piece := client.recv(1 << 20):
            received += piece
    except OSError as error:
        return received, type(error)
    return received, None


def endless(peer: Peer) -> None:
    """More than all buffers on the way hold."""
    if b"/fine" in peer.read_head():
        peer.send(answer(DATA))
        return
    peer.send(answer(b"", len(DATA) * 100))
    for _ in range(100):
        peer.send(DATA)


def constant(peer: Peer) -> None:
    while peer.read_head():
        peer.send(answer(DATA))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_bodies_arrive_as_they_were_sent(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [0, 1, WORTH - 1, WORTH, WORTH * 2, len(DATA)]

    def site(peer: Peer) -> None:
        while head := peer.read_head():
            peer.send(answer(DATA[: int(head.split(b" ")[1][1:])]))

    seen = Recorded()
    with raw_server(site, seen=seen) as url, front(url, monkeypatch, loop) as served:
        connection = served.connect()
        for size in [*sizes, *reversed(sizes)]:
            connection.request("GET", f"/{size}", headers={"Host": "relaso.com"})
            assert connection.getresponse().read() == DATA[:size]
        connection.close()
        wait_until(lambda: served.tried.count(True) >= 4, "the large ones to be moved")
        wait_until(served.idle, "all to be closed")
    assert len(seen.connections) == 1  # each answer was whole, so that the next could follow


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_site_and_a_client_that_take_their_time(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def site(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer(b"", len(DATA)))
        for begin in range(0, len(DATA), 100_000):
            if begin % 500_000 == 0:
                time.sleep(0.02)
            peer.send(DATA[begin : begin + 100_000])

    with raw_server(site) as url, front(url, monkeypatch, loop) as served:
        client, received = served.slow(), b""
        while piece := client.recv(50_000):
            received += piece
            if len(received) < 300_000:
                time.sleep(0.005)
        client.close()
        assert received.partition(b"\r\n\r\n")[2] == DATA
        wait_until(lambda: served.tried == [True], "it to be moved")
        wait_until(served.idle, "all to be closed")


def test_pipelined_answers_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def site(peer: Peer) -> None:
        while head := peer.read_head():
            peer.send(answer(DATA if b"/a" in head else OTHER))

    with raw_server(site) as url, front(url, monkeypatch) as served:
        with socket.create_connection((served.host, served.port), timeout=20) as client:
            asked = [b"GET /%b HTTP/1.1\r\nHost: relaso.com\r\n%b\r\n" % each for each in _PIPELINED]
            client.sendall(b"".join(asked))
            received = b""
            while piece := client.recv(1 << 20):
                received += piece
        for want in (DATA, OTHER, DATA):
            head, _, received = received.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert received.startswith(want)
            received = received[len(want) :]
        assert received == b""


_PIPELINED = ((b"a", b""), (b"b", b""), (b"a", b"Connection: close\r\n"))


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_body_that_breaks_off_looks_broken(loop: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def site(peer: Peer) -> None:
        head = peer.read_head()
        if b"/fine" in head:
            peer.send(answer(OTHER))
            return
        peer.send(answer(DATA[:2_000_000], len(DATA)))
        if how == "reset":
            time.sleep(0.1)
            peer.reset()

    with raw_server(site) as url, front(url, monkeypatch, loop) as served:
        for version in (b"1.1", b"1.0"):
            with socket.create_connection((served.host, served.port), timeout=20) as client:
                client.sendall(b"GET / HTTP/%b\r\nHost: relaso.com\r\n\r\n" % version)
                received, end = taken(client)
            assert end is ConnectionResetError
            assert DATA.startswith(received.partition(b"\r\n\r\n")[2])
        assert served.get("/fine") == OTHER
        wait_until(served.idle, "all to be closed")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_client_that_leaves_takes_nothing_with_it(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(endless) as url, front(url, monkeypatch, loop) as served:
        for ending in (b"\x01\0\0\0\0\0\0\0", b"\0\0\0\0\0\0\0\0"):
            client = served.slow()
            client.recv(1000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ending)
            client.close()
            wait_until(lambda: served.idle() and not served.upstream.pool.open, "the connections to be closed")
        assert served.get("/fine") == DATA


def test_a_client_that_takes_nothing_is_cut_off_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, server = Limits(connections=1), ServerLimits(write=0.6)
    with raw_server(endless) as url, front(url, monkeypatch, limits=limits, server=server) as served:
        client = served.slow()
        wait_until(lambda: bool(served.upstream.pool.aside), "the slow one to be waited for")
        assert served.get("/fine") == DATA
        wait_until(served.idle, "it to be cut off")
        assert len(taken(client)[0]) < len(DATA) * 100
        client.close()
        wait_until(served.idle, "all to be closed")


def test_a_site_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def site(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer(DATA[:1_000_000], len(DATA)))
        peer.wait_closed()

    with raw_server(site) as url, front(url, monkeypatch, limits=Limits(read=0.4)) as served:
        with pytest.raises(ConnectionResetError):
            served.get()
        wait_until(served.idle, "all to be closed")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_comes_after_a_body_is_nobodys(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even of who waits for the connection, or has asked for something else on the same one."""

    def site(peer: Peer) -> None:
        while head := peer.read_head():
            if b"/large" in head:
                peer.send(answer(DATA) + answer(b"surplus"))
            else:
                time.sleep(0.02)
                peer.send(answer(b"right"))

    asked = b"GET /%b HTTP/1.1\r\nHost: relaso.com\r\n%b\r\n"
    with raw_server(site) as url, front(url, monkeypatch, loop, limits=Limits(connections=1)) as served:
        for _ in range(8):
            with (
                socket.create_connection((served.host, served.port), timeout=20) as first,
                socket.create_connection((served.host, served.port), timeout=20) as second,
            ):
                first.sendall(asked % (b"large", b"") + asked % (b"next", b"Connection: close\r\n"))
                second.sendall(asked % (b"other", b"Connection: close\r\n"))
                received, _ = taken(first)
                assert received.endswith(b"right")
                assert b"surplus" not in received
                assert taken(second)[0].endswith(b"right")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_client_that_half_closes_meanwhile_is_let_go(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paused, going_on = threading.Event(), threading.Event()

    def site(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer(b"", len(DATA) * 20) + DATA[:1_000_000])
        paused.set()
        going_on.wait(20)
        for _ in range(20):
            peer.send(DATA)

    with raw_server(site) as url, front(url, monkeypatch, loop, buffer=32_768) as served:
        client = served.slow()
        received = 0
        while received < 1_000_000:
            received += len(client.recv(65536))
        assert paused.wait(20)
        client.shutdown(socket.SHUT_WR)
        time.sleep(0.1)
        going_on.set()
        wait_until(lambda: served.idle() and not served.upstream.pool.open, "all to be closed")
        client.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_many_who_take_nothing_hold_nobody_up(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where the first bytes do not fit into what the kernel holds for them."""
    limits = Limits(connections=4, queue=2.0)
    with raw_server(endless) as url, front(url, monkeypatch, loop, limits, buffer=32_768) as served:
        clients = [served.slow() for _ in range(4)]
        wait_until(lambda: len(served.tried) == 4, "all to be moved")
        assert served.get("/fine") == DATA
        for client in clients:
            client.close()
        wait_until(served.idle, "all to be closed")


def test_a_client_that_takes_too_little_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ServerLimits(write=0.5, rate=10_000_000)
    with raw_server(endless) as url, front(url, monkeypatch, server=server, buffer=32_768) as served:
        client, received = served.slow(), 0
        with contextlib.suppress(OSError):
            while piece := client.recv(5_000):
                received += len(piece)
                time.sleep(0.01)
        assert received < len(DATA) * 50
        client.close()
        wait_until(served.idle, "all to be closed")


def test_what_trickles_is_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    came = threading.Event()

    def site(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer(b"", len(DATA)) + DATA[:100])
        for begin in range(100, 2_100, 1_000):
            assert came.wait(20)
            came.clear()
            peer.send(DATA[begin : begin + 1_000])

    with raw_server(site) as url, front(url, monkeypatch) as served:
        with socket.create_connection((served.host, served.port), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: relaso.com\r\n\r\n")
            received = b""
            for size in (100, 1_100, 2_100):
                while len(received.partition(b"\r\n\r\n")[2]) < size:
                    received += client.recv(65536)
                came.set()
        wait_until(served.idle, "all to be closed")


def test_what_was_here_when_a_body_broke_off_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def site(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer(DATA[:2_000_000], len(DATA)))

    with raw_server(site) as url, front(url, monkeypatch, buffer=32_768) as served:
        client = served.slow()
        time.sleep(0.3)
        received, _ = taken(client)
        client.close()
        # A reset may take with it what lies in the buffers of the two ends.
        assert len(received) > 1_800_000
        wait_until(served.idle, "all to be closed")


def test_pipes_that_hold_too_little_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "PIPE", 4096)
    with raw_server(constant) as url, front(url, monkeypatch) as served:
        assert served.get() == DATA
        wait_until(lambda: served.tried == [False], "it to be tried")


def _refusing(number: int) -> Any:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize(("name", "number"), [("pipe2", errno.EMFILE), ("dup", errno.EMFILE), ("splice", errno.EINVAL)])
def test_where_nothing_can_be_moved_it_is_copied(name: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(constant) as url, front(url, monkeypatch) as served:
        with monkeypatch.context() as patch:
            patch.setattr(os, name, _refusing(number))
            assert served.get() == DATA
        assert True not in served.tried
        assert served.get() == DATA
        wait_until(lambda: served.tried[-1], "it to be moved")
        wait_until(served.idle, "all to be closed")


def test_only_so_many_are_moved_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MOST", 1)
    with raw_server(constant) as url, front(url, monkeypatch) as served:
        client = served.slow()
        wait_until(lambda: bool(served.upstream.pool.aside), "the slow one to be waited for")
        assert served.get() == DATA
        assert served.tried == [False, False]
        client.close()
        wait_until(served.idle, "all to be closed")


def test_what_the_access_log_says_of_them(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def site(peer: Peer) -> None:
        head = peer.read_head()
        peer.send(answer(DATA if b"/whole" in head else DATA[:1_000_000], len(DATA)))

    with raw_server(site) as url:
        upstream = Upstream(url)
        log = AccessLog(upstream)
        log.use("stdout", pages={}, trusted=())
        with front(url, monkeypatch, app=log) as served:
            assert served.get("/whole") == DATA
            with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
                served.get("/part")
        log.close()
    whole, part = capfd.readouterr().out.splitlines()
    assert f'"bytes":{len(DATA)}' in whole.replace(" ", "")
    assert f'"bytes":{len(DATA)}' not in part.replace(" ", "")


def test_a_page_is_read_however_large_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tag = b'<script src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>'
    page = b"<!doctype html><title>x</title><body>" + b"<p>Some words.</p>" * 60_000 + tag + b"<p>The end</p>"
    assert len(page) > WORTH * 2

    def site(peer: Peer) -> None:
        while peer.read_head():
            peer.send(answer(page).replace(b"application/zip", b"text/html", 1))

    with raw_server(site) as url:
        upstream = Upstream(url, views=True)
        recording = Recording()
        whole = ConsentMiddleware(upstream, configured(tmp_path), secrets=[SECRET], sender=recording, state=tmp_path)
        with front(url, monkeypatch, app=whole) as served:
            received = served.get()
        asyncio.run(upstream.close())
    assert b"The end" in received
    assert tag not in received
    assert served.tried == []
    assert [hit.status for hit in recording.hits] == [200]
    assert "google-analytics" in str(recording.hits[0].blocked)


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({}, b""),
        ({"Sec-Fetch-Dest": "document"}, b""),
        ({"Accept": "text/html,*/*"}, b""),
        ({}, b"X-Cache: hit\r\n"),
        ({}, b"Content-Security-Policy: default-src 'none'\r\n"),
        ({}, b"Set-Cookie: relaso_session=1\r\n"),
    ],
)
def test_what_needs_a_closer_look_is_moved_where_it_is_no_page(
    headers: dict[str, str], field: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def site(peer: Peer) -> None:
        while peer.read_head():
            peer.send(answer(DATA).replace(b"\r\nContent-Length", b"\r\n" + field + b"Content-Length", 1))

    with raw_server(site) as url:
        upstream = Upstream(url, views=True)
        recording = Recording()
        whole = ConsentMiddleware(upstream, configured(tmp_path), secrets=[SECRET], sender=recording, state=tmp_path)
        with front(url, monkeypatch, app=whole) as served:
            assert served.get("/a.zip", **headers) == DATA
            wait_until(lambda: served.tried == [True], "its end, which comes after its last byte")
        asyncio.run(upstream.close())
    assert [(hit.status, hit.size) for hit in recording.hits] == [(200, len(DATA))]
