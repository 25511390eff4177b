"""What was answered, of which kind and how fast: counted in workers, added up by the recorder, told by ``/metrics``."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from tests.servers import serve_asgi, wait_until
from tests.services import Service, service
from vestibule.core.errors import LinkError
from vestibule.core.meter import API, ASSET, BOUNDS, CLASSES, KINDS, OTHER, PAGE, Meter, kind_of
from vestibule.core.visit import Hit
from vestibule.dashboard.health import exposition
from vestibule.link import METER_EVERY, Delivery, Receiver, Sender

# -- the meter ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("text/html; charset=utf-8", PAGE),
        (" Text/HTML ", PAGE),
        ("application/xhtml+xml", PAGE),
        ("text/css", ASSET),
        ("text/javascript;charset=utf-8", ASSET),
        ("image/svg+xml", ASSET),
        ("font/woff2", ASSET),
        ("video/mp4", ASSET),
        ("application/pdf", ASSET),
        ("application/octet-stream", ASSET),
        ("application/json", API),
        ("application/problem+json", API),
        ("application/xml", API),
        ("text/event-stream", API),
        ("application/grpc-web+proto", API),
        ("application/x-www-form-urlencoded", API),
        ("", OTHER),
        (" ; charset=utf-8", OTHER),
    ],
)
def test_a_content_type_tells_the_kind(content_type: str, kind: int) -> None:
    assert kind_of(content_type) == kind


@pytest.mark.parametrize(
    ("status", "name"),
    [(0, "none"), (101, "1xx"), (204, "2xx"), (304, "3xx"), (404, "4xx"), (599, "5xx"), (999, "5xx"), (-1, "5xx")],
)
def test_a_status_tells_what_came_of_it(status: int, name: str) -> None:
    meter = Meter()
    meter.answered(ASSET, status, 0.0)
    assert {key: count for key, count in meter.figures()["requests"]["asset"].items() if count} == {name: 1}


@pytest.mark.parametrize(("seconds", "slot"), [(0.0, 0), (0.001, 0), (0.0011, 1), (1.0, 9), (10.0, 12), (10.1, 13)])
def test_a_bound_belongs_to_the_slot_below_it(seconds: float, slot: int) -> None:
    meter = Meter()
    meter.answered(PAGE, 200, seconds)
    assert meter.figures()["slots"]["page"].index(1) == slot


ANSWERS = st.lists(
    st.tuples(
        st.integers(0, len(KINDS) - 1),
        st.sampled_from([0, 101, 200, 302, 404, 502]),
        st.sampled_from([0.0, 0.5, 0.25, 64.0]),
        st.integers(0, 10**9),
        st.booleans(),
    ),
    max_size=40,
)


@given(ANSWERS, st.integers(1, 4))
@settings(max_examples=50)
def test_what_several_meters_told_is_what_one_would_have_counted(
    answers: Sequence[tuple[int, int, float, int, bool]], workers: int
) -> None:
    one, sums = Meter(), Meter()
    each = [Meter() for _ in range(workers)]
    for number, (kind, status, seconds, size, told) in enumerate(answers):
        worker = each[number % workers]
        for meter in (one, worker):
            meter.answered(kind, status, seconds, size)
        assert worker.counted
        if told:
            sums.add(json.loads(json.dumps(worker.take())))
            assert not worker.counted
    for worker in each:
        sums.add(worker.take())
    found = sums.figures()
    assert found == one.figures()
    assert found["rewritten"] == sum(size for *_, size, _ in answers)
    counted = Counter((KINDS[kind], CLASSES[status // 100]) for kind, status, *_ in answers)
    assert counted == {(kind, name): n for kind, row in found["requests"].items() for name, n in row.items() if n}
    assert all(sum(found["slots"][kind]) == sum(found["requests"][kind].values()) for kind in KINDS)


def bad() -> Iterator[dict[str, Any]]:
    wrong: object
    meter = Meter()
    meter.answered(PAGE, 200, 0.1, 7)
    good = meter.take()
    yield {}
    for name, value in good.items():
        yield {key: kept for key, kept in good.items() if key != name}
        for wrong in (None, "1", -1, True, {}, [], [value], 1.5 if name == "rewritten" else 5):
            yield {**good, name: wrong}
        if isinstance(value, list):
            for wrong in ([*value, 0], value[1:], [*value[1:], "1"], [*value[1:], -1], [*value[1:], float("inf")]):
                yield {**good, name: wrong}


@pytest.mark.parametrize("told", list(bad()))
def test_what_another_version_tells_is_left_out_whole(told: Mapping[str, Any]) -> None:
    meter = Meter()
    meter.add(told)
    assert meter.figures() == Meter().figures()


def test_every_figure_is_told_from_the_first_on() -> None:
    """A rate needs a zero to begin with; and there are as many series after a thousand requests as before the first."""
    meter = Meter()
    before = series(exposition({"store": "ok", "served": meter.figures()}).decode())
    for number in range(1000):
        meter.answered(number % len(KINDS), number, number / 50, number)
    after = series(exposition({"store": "ok", "served": meter.figures()}).decode())
    assert before.keys() == after.keys()
    assert len(before) == len(KINDS) * (len(CLASSES) + len(BOUNDS) + 1 + 2) + 1
    assert set(before.values()) == {0.0}
    assert after["vestibule_rewritten_bytes_total"] == sum(range(1000))


def series(text: str) -> dict[str, float]:
    """The lines of an exposition that tell what was served."""
    wanted = re.compile(r"^(vestibule_(?:requests|request_seconds|rewritten)\S*) (\S+)$", re.MULTILINE)
    return {name: float(value) for name, value in wanted.findall(text)}


# -- on its way --------------------------------------------------------------------------------------------------------


class Other:
    """The recorder's end, as far as it is needed here."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.messages = 0

    def add(self, told: Mapping[str, Any]) -> None:
        self.messages += 1
        self.meter.add(told)

    async def serve(self, path: str) -> Receiver:
        async def nothing(*_: Any) -> None:
            raise LinkError("not here")

        async def hits(_: Sequence[Hit], __: int, ___: Delivery | None) -> None:
            return

        receiver = Receiver()
        await receiver.serve(path, hits, nothing, nothing, None, self.add)
        return receiver

    @property
    def pages(self) -> int:
        return int(self.meter.figures()["requests"]["page"]["2xx"])


def test_it_is_told_once_a_second_and_nothing_is_lost_while_the_recorder_is_away(tmp_path: Path) -> None:
    path = str(tmp_path / "r.sock")

    async def run() -> None:
        first, second = Other(), Other()
        sender = Sender(path)
        running = asyncio.create_task(sender.run())
        sender.meter.answered(PAGE, 200, 0.1)
        await asyncio.sleep(0.3)
        assert sender.meter.counted
        receiver = await first.serve(path)
        begun = asyncio.get_running_loop().time()
        answered = 1
        async with asyncio.timeout(10):
            while first.messages < 2:
                sender.send(Hit("x.example", 1.0))
                sender.meter.answered(PAGE, 200, 0.1)
                answered += 1
                await asyncio.sleep(0.05)
        assert asyncio.get_running_loop().time() - begun >= METER_EVERY * 0.9
        await receiver.close()
        counted = first.pages
        sender.meter.answered(PAGE, 200, 0.1)
        answered += 1
        receiver = await second.serve(path)
        async with asyncio.timeout(5):
            while counted + second.pages < answered:  # noqa: ASYNC110 - it is another's state
                await asyncio.sleep(0.02)
        sender.meter.answered(PAGE, 200, 0.1)
        await sender.close()
        await running
        async with asyncio.timeout(5):
            while counted + second.pages < answered + 1:  # noqa: ASYNC110 - it is another's state
                await asyncio.sleep(0.02)
        await receiver.close()

    asyncio.run(run())


# -- the whole ---------------------------------------------------------------------------------------------------------

HTML = "<!doctype html><title>Page</title><p>" + "text " * 400


async def page(_: Request) -> Response:
    return HTMLResponse(HTML)


async def style(_: Request) -> Response:
    return Response("p{}", media_type="text/css")


async def data(request: Request) -> Response:
    return JSONResponse({}, status_code=int(request.query_params.get("status", "200")))


async def plain(_: Request) -> Response:
    return PlainTextResponse("text")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


SITE = Starlette(
    routes=[
        Route("/", page),
        Route("/style.css", style),
        Route("/data", data),
        Route("/plain", plain),
        WebSocketRoute("/echo", echo),
    ]
)


def metrics(running: Service) -> str:
    with urllib.request.urlopen(running.dashboard + "/metrics", timeout=10) as answer:
        body: bytes = answer.read()
        return body.decode()


def told(running: Service) -> dict[tuple[str, str], int]:
    pattern = re.compile(r'vestibule_requests_total\{kind="(\w+)",status="(\w+)"\}')
    found = {pattern.fullmatch(name): value for name, value in series(metrics(running)).items()}
    return {(match[1], match[2]): int(value) for match, value in found.items() if match and value}


def test_two_workers_one_of_which_dies(tmp_path: Path) -> None:
    # An answer is of the kind that it says it is: the site's 404 is plain text, whatever it stands for.
    expected = Counter({("page", "2xx"): 30, ("asset", "2xx"): 6, ("asset", "4xx"): 1, ("api", "2xx"): 5})
    expected += Counter({("api", "4xx"): 2, ("api", "5xx"): 3, ("privacy", "2xx"): 4, ("privacy", "4xx"): 1})
    expected += Counter({("websocket", "1xx"): 2, ("websocket", "4xx"): 1})
    with serve_asgi(SITE) as upstream, service(tmp_path, upstream, "--workers", "2") as running:
        host = "example.test"

        def ask() -> None:
            for _ in range(30):
                assert running.status("/") == 200
            for path, status, times in (
                ("/style.css", 200, 5),
                ("/plain", 200, 1),
                ("/data", 200, 5),
                ("/data?status=404", 404, 2),
                ("/data?status=503", 503, 3),
                ("/none", 404, 1),
                ("/_privacy/", 200, 2),
                ("/_privacy/consent", 200, 2),
                ("/_privacy/none", 404, 1),
            ):
                for _ in range(times):
                    assert running.status(path) == status
            for _ in range(2):
                assert running.status("/", "elsewhere.test") == 421
            asyncio.run(talk(running.url.replace("http", "ws"), host))

        ask()
        wait_until(lambda: told(running) == expected, "all of it", 10)
        figures = series(metrics(running))
        assert figures['vestibule_request_seconds_count{kind="page"}'] == 30
        assert 0 < figures['vestibule_request_seconds_sum{kind="page"}'] < 30
        assert figures['vestibule_request_seconds_bucket{kind="page",le="+Inf"}'] == 30
        assert figures["vestibule_rewritten_bytes_total"] == 30 * len(HTML)
        assert 'vestibule_refusals{name="421"} 2.0' in metrics(running)
        os.kill(running.children("vestibule.worker")[0], signal.SIGKILL)
        wait_until(lambda: len(running.children("vestibule.worker")) == 2, "another worker")
        ask()
        wait_until(lambda: told(running) == expected + expected, "twice as much", 10)


async def talk(url: str, host: str) -> None:
    address, _, port = url.removeprefix("ws://").rpartition(":")
    for _ in range(2):
        sock = socket.create_connection((address, int(port)))
        async with connect(f"ws://{host}/echo", sock=sock, proxy=None) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
    assert (await asyncio.to_thread(handshake, address, int(port), host, "/none")).startswith(b"HTTP/1.1 403 ")


def handshake(address: str, port: int, host: str, path: str) -> bytes:
    with socket.create_connection((address, port), timeout=10) as sock:
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        sock.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n".encode())
        return sock.recv(4096)
