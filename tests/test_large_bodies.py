"""Bodies far larger than memory may be: through the whole of ``vestibule serve``, in both directions."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers import Peer, raw_server
from tests.services import Service, service

PIECE = b"x" * (1 << 20)
GIGABYTE = pytest.param(1 << 30, marks=[pytest.mark.slow, pytest.mark.timeout(600)])
SIZES = [96 << 20, GIGABYTE]
ROOM = 24.0
"""Megabytes by which a worker may grow: pools, buffers of sockets, the allocator's slack."""


def handler(peer: Peer) -> None:
    """``GET /BYTES``: a body of so many, with a length, or in chunks for ``/BYTES/chunked``. ``POST``: says how many
    came."""
    while head := peer.read_head():
        method, target = head.split(b" ")[:2]
        if method == b"POST":
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            came = b"%d" % (length - peer.skip(length))
            peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(came), came)
            )
            continue
        _, size, *how = target.split(b"/")
        framing = b"Transfer-Encoding: chunked" if how else b"Content-Length: %b" % size
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n%b\r\n\r\n" % framing)
        for _ in range(int(size) // len(PIECE)):
            peer.send(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if how else PIECE)
        if how:
            peer.send(b"0\r\n\r\n")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with raw_server(handler) as url, service(tmp_path_factory.mktemp("large"), url) as started:
        yield started


def peak(pid: int) -> float:
    """The most resident megabytes so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def connect(running: Service) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=60)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", ["", "/chunked"])
def test_a_download_passes_in_flat_memory(size: int, how: str, running: Service) -> None:
    running.get("/0")
    (worker,) = running.children("vestibule.worker")
    before = peak(worker)
    connection = connect(running)
    connection.request("GET", f"/{size}{how}", headers={"Host": "example.test"})
    response, received = connection.getresponse(), 0
    while piece := response.read(1 << 20):
        received += len(piece)
    connection.close()
    assert received == size
    assert peak(worker) - before < ROOM


@pytest.mark.parametrize("size", SIZES)
def test_an_upload_passes_in_flat_memory(size: int, running: Service) -> None:
    running.get("/0")
    (worker,) = running.children("vestibule.worker")
    before = peak(worker)
    connection = connect(running)
    connection.putrequest("POST", "/", skip_host=True)
    connection.putheader("Host", "example.test")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    assert connection.sock is not None
    for _ in range(size // len(PIECE)):
        connection.send(PIECE)
    assert connection.getresponse().read() == b"%d" % size
    connection.close()
    assert peak(worker) - before < ROOM


def test_a_reader_that_stops_holds_little(running: Service) -> None:
    """Twenty who ask for much and read nothing."""
    running.get("/0")
    (worker,) = running.children("vestibule.worker")
    before = peak(worker)
    address = urlsplit(running.url)
    assert address.hostname is not None
    stuck = [socket.create_connection((address.hostname, address.port or 80), timeout=10) for _ in range(20)]
    for sock in stuck:
        sock.sendall(b"GET /%d HTTP/1.1\r\nHost: example.test\r\n\r\n" % (64 << 20))
    for sock in stuck:
        assert sock.recv(100, socket.MSG_PEEK)
    assert running.get("/0") == b""
    for sock in stuck:
        sock.close()
    assert peak(worker) - before < ROOM
