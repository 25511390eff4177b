"""The access log: what it says of requests, and what it never says."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import exchange, serve_asgi, wait_until
from vestibule.access import AccessLog, Sink, timed
from vestibule.access.entry import Entry, Writer
from vestibule.protocol import HardenedWebSocket, ServerLimits, hardened

LIMITS = ServerLimits(linger=0.2, body=0.3)
SECRETS = ["anna@example.com", "session=1234", "q=secret", "Mozilla/5.0", "203.0.113.77", "https://elsewhere.example"]


async def site(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await send({"type": "websocket.close"})
        return
    path = scope["path"]
    if path == "/before":
        raise ValueError("before")
    if path == "/unreached":
        raise ConnectionResetError
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.disconnect":
        return
    send = timed(scope, send)
    await send({"type": "http.response.start", "status": 404 if path == "/missing" else 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello ", "more_body": True})
    if path == "/after":
        raise ConnectionResetError
    await send({"type": "http.response.body", "body": b"world"})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Logged:
    """A server that logs; ``after`` sends requests and returns what was logged of them."""

    def __init__(self, folder: Path, to: str = "") -> None:
        self.path = folder / "access.jsonl"
        self.log = AccessLog(site)
        self.log.use(to or str(self.path), pages={"/deals/*": "/deals/:id"}, trusted=("127.0.0.1/32",))

    def after(self, *messages: bytes) -> list[dict[str, Any]]:
        protocol = hardened(LIMITS, self.log.refused)
        with serve_asgi(self.log, http=protocol, ws=HardenedWebSocket, interface="asgi3") as url:
            for message in messages:
                exchange(url, message, patience=1)
        self.log.close()
        return lines(self.path)


def request(target: str, *fields: str, method: str = "GET", body: str = "") -> bytes:
    head = [f"{method} {target} HTTP/1.1", "Host: relaso.com", "Connection: close", *fields, "", body]
    return "\r\n".join(head).encode()


def test_a_line_says_what_was_asked_and_answered(tmp_path: Path) -> None:
    (line,) = Logged(tmp_path).after(request("/blog/news"))
    assert list(line) == ["time", "address", "method", "path", "status", "bytes", "seconds", "upstream_seconds"]
    assert line["time"].endswith("Z")
    assert (line["address"], line["method"], line["path"]) == ("127.0.0.0/24", "GET", "/blog/news")
    assert (line["status"], line["bytes"]) == (200, 11)
    assert 0 <= line["upstream_seconds"] <= line["seconds"] < 5


def test_a_line_says_nothing_of_who_asked(tmp_path: Path) -> None:
    logged = Logged(tmp_path)
    found = logged.after(
        request(
            "/users/anna@example.com/12345678?q=secret",
            "Cookie: session=1234",
            "User-Agent: Mozilla/5.0",
            "Referer: https://elsewhere.example/",
            "X-Forwarded-For: 203.0.113.77",
        ),
        request("/users/anna%40example.com"),
        request("/deals/anna"),
        request("/", "X-Forwarded-For: 2001:db8:1:2:3::4"),
    )
    assert [line["path"] for line in found] == ["/users/:email/:id", "/users/:email", "/deals/:id", "/"]
    assert found[0]["address"] == "203.0.113.0/24"
    assert found[3]["address"] == "2001:db8:1::/48"
    text = logged.path.read_text()
    assert not [secret for secret in SECRETS if secret in text]
    assert "anna" not in text


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (request("/missing"), {"status": 404, "bytes": 11}),
        (request("/", method="HEAD"), {"method": "HEAD", "status": 200, "bytes": 0}),
        (request("/", "Content-Length: 2", method="POST", body="ab"), {"method": "POST", "status": 200}),
        (request("/before"), {"status": 500, "bytes": 0, "cut": True}),
        (request("/unreached"), {"status": 502, "cut": True}),
        (request("/after"), {"status": 200, "bytes": 6, "cut": True}),
        (b"nonsense\r\n\r\n", {"status": 400, "method": "", "path": None, "bytes": 0}),
        (request("/late", "Content-Length: 9", method="POST", body="x"), {"status": 408, "path": "/late"}),
        (
            request("/later", "Transfer-Encoding: chunked", method="POST", body="5\r\nhel"),
            {"status": 408, "path": "/later", "cut": True},
        ),
        (
            request(
                "/chat",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            ).replace(b"Connection: close\r\n", b""),
            {"status": 101, "path": "/chat", "bytes": 5},
        ),
    ],
    ids=[
        "404",
        "HEAD",
        "POST",
        "failed",
        "unreached",
        "broken off",
        "refused",
        "refused before",
        "refused within",
        "WebSocket",
    ],
)
def test_every_end_of_a_request_is_one_line(message: bytes, expected: dict[str, Any], tmp_path: Path) -> None:
    (line,) = Logged(tmp_path).after(message)
    assert {name: line.get(name) for name in expected} == expected
    assert ("cut" in line) is ("cut" in expected)


def test_a_client_that_leaves_is_seen(tmp_path: Path) -> None:
    entered = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    log = AccessLog(app)
    log.use(str(tmp_path / "access.jsonl"), pages={}, trusted=())
    with serve_asgi(log, http=hardened(LIMITS, log.refused), interface="asgi3") as url:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as sock:
            sock.sendall(request("/left"))
            assert entered.wait(5)
        wait_until(lambda: bool(lines(tmp_path / "access.jsonl")), "the line")
    log.close()
    (line,) = lines(tmp_path / "access.jsonl")
    assert (line["status"], line["path"], line["cut"]) == (499, "/left", True)


def test_off_says_nothing_and_can_be_switched(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    log = AccessLog(site)
    scopes: list[Any] = []

    async def spied(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await log(scope, receive, send)

    def use(to: str) -> None:
        log.use(to, pages={}, trusted=())

    with serve_asgi(spied, http=hardened(LIMITS)) as url:
        for to, target in (("off", "/1"), (str(first), "/2"), (str(second), "/3"), ("off", "/4")):
            use(to)
            exchange(url, request(target))
    log.close()
    wait_until(lambda: bool(lines(first)) and bool(lines(second)), "both files")
    assert [line["path"] for line in lines(first)] == ["/2"]
    assert [line["path"] for line in lines(second)] == ["/3"]
    assert ["vestibule.access" in scope for scope in scopes] == [False, True, True, False]


def test_lifespan_passes() -> None:
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        told.append(scope["type"])

    asyncio.run(_called(AccessLog(app)))
    assert told == ["lifespan"]


async def _called(log: AccessLog) -> None:
    async def nothing() -> Any:
        return {}

    async def nowhere(message: Any) -> None:
        pass

    await log({"type": "lifespan"}, nothing, nowhere)


class TestSink:
    def test_a_file_that_was_moved_is_opened_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        sink = Sink(str(path))
        sink.write(b"1\n")
        wait_until(lambda: path.exists() and path.read_bytes() == b"1\n", "the first line")
        assert path.stat().st_mode & 0o777 & ~0o640 == 0
        path.rename(tmp_path / "log.1")
        sink.write(b"2\n")
        wait_until(lambda: path.exists() and path.read_bytes() == b"2\n", "the second line in a new file")
        sink.close(5)
        assert (tmp_path / "log.1").read_bytes() == b"1\n"

    def test_several_write_to_one_file_without_mixing(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        sinks = [Sink(str(path)) for _ in range(3)]
        for number in range(2000):
            sinks[number % 3].write(b"%d %b\n" % (number, b"x" * 200))
        for sink in sinks:
            sink.close(5)
        found = path.read_bytes().splitlines()
        assert sorted(int(line.split()[0]) for line in found) == list(range(2000))
        assert {len(line.split()[1]) for line in found} == {200}

    def test_what_finds_no_room_is_dropped_and_told(self, tmp_path: Path) -> None:
        sink = Sink(str(tmp_path / "log"), most=10)
        for _ in range(1000):
            sink.write(b"{}\n")
        sink.close(5)
        found = lines(tmp_path / "log")
        assert found.count({}) + sum(line.get("dropped", 0) for line in found) == 1000
        assert found.count({}) <= 20

    def test_a_place_that_cannot_be_written_harms_nobody(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = tmp_path / "missing"
        sink = Sink(str(folder / "log"))
        with caplog.at_level(logging.WARNING):
            sink.write(b"1\n")
            wait_until(lambda: "cannot be written" in caplog.text, "the complaint")
        folder.mkdir()
        sink.write(b"2\n")
        sink.close(5)
        assert (folder / "log").read_bytes().startswith(b"1\n2\n")

    def test_a_pipe_that_nobody_reads_holds_up_nobody(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        sink = Sink(str(pipe), most=100)
        for _ in range(500):
            sink.write(b"x" * 65536 + b"\n")
        sink.close(0.3)
        os.close(reader)
        sink.close(5)

    def test_stdout(self, capfd: pytest.CaptureFixture[str]) -> None:
        sink = Sink("stdout")
        sink.write(b"to stdout\n")
        sink.close(5)
        sys.stdout.flush()
        assert capfd.readouterr().out == "to stdout\n"


@given(
    path=st.text(max_size=40) | st.none(), method=st.sampled_from(["GET", ""]), network=st.sampled_from(["", "::/48"])
)
def test_a_line_is_one_line_of_json(path: str | None, method: str, network: str) -> None:
    writer: Callable[..., bytes] = Writer().line
    line = writer(1_700_000_000.9, network, method, path, Entry(), 0.25)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert (found["path"], found["time"], found["address"]) == (path, "2023-11-14T22:13:20Z", network or None)
