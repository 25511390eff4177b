"""Traces, by the real SDK: from a running ``vestibule serve`` to a receiver of OTLP over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.server
import importlib.util
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ROOT, serve_asgi, vestibule_process, wait_until
from tests.services import SECRET, Service, write_config
from vestibule import config
from vestibule.core.errors import ConfigError
from vestibule.worker.worker import traces_of

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason='needs the extra "otel"')

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"
SECRETS = ("198.51.100.7", "198.51.100", "secretword", "anna@example.org", "Firefox", "cookievalue", "referrer.example")


class Receiver:
    """A collector: keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.raw = b""

    def take(self, body: bytes) -> None:
        self.raw += body
        self.requests.append(ExportTraceServiceRequest.FromString(body))

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def services(self) -> set[str]:
        return {
            attribute.value.string_value
            for request in self.requests
            for resource in request.resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "service.name"
        }

    def named(self, name: str) -> Any:
        """The one span of a name, waited for."""
        wait_until(lambda: any(span.name == name for span in self.spans), f"the span {name}")
        (span,) = [span for span in self.spans if span.name == name]
        return span


@pytest.fixture(scope="module")
def receiver() -> Iterator[tuple[Receiver, str]]:
    kept = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kept, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


class Upstream:
    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        self.headers = dict(scope["headers"])
        status = 503 if scope["path"].startswith("/broken") else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"hello"})


@contextlib.contextmanager
def traced(tmp_path: Path, upstream: str, collector: str) -> Iterator[Service]:
    folder = write_config(
        tmp_path / "config", upstream, traces="otlp", analytics="{pages: {'/app/deals/*': '/app/deals/:deal'}}"
    )
    state = tmp_path / "state"
    command = ["serve", "--config", str(folder), "--state", str(state), "--workers", "1"]
    environ = {
        "VESTIBULE_SECRET": SECRET,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with vestibule_process(command, environ) as running:
        started = Service(running, folder, state)
        assert started.url
        yield started


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[Upstream, str]]:
    app = Upstream()
    with serve_asgi(app) as url:
        yield app, url


@pytest.fixture(scope="module")
def running(
    upstream: tuple[Upstream, str], receiver: tuple[Receiver, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with traced(tmp_path_factory.mktemp("traced"), upstream[1], receiver[1]) as started:
        yield started


def get(running: Service, path: str, **headers: str) -> int:
    request = urllib.request.Request(running.url + path, headers={"Host": "example.test", **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def attributes(span: Any) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


class TestSpans:
    def test_a_request_and_its_fetch_are_two_spans_of_a_trace(
        self, running: Service, receiver: tuple[Receiver, str], upstream: tuple[Upstream, str]
    ) -> None:
        assert get(running, "/plain") == 200
        request, fetch = receiver[0].named("GET /plain"), receiver[0].named("fetch GET /plain")
        assert (request.kind, fetch.kind) == (2, 3)  # server, client
        assert request.parent_span_id == b""
        assert (fetch.trace_id, fetch.parent_span_id) == (request.trace_id, request.span_id)
        told = upstream[0].headers[b"traceparent"].decode()
        assert told.startswith(f"00-{fetch.trace_id.hex()}-{fetch.span_id.hex()}-0")
        assert (
            attributes(request)
            == attributes(fetch)
            == {
                "http.request.method": "GET",
                "url.path": "/plain",
                "network.protocol.version": "1.1",
                "http.response.status_code": 200,
                "vestibule.site": "example.test",
            }
        )
        assert request.start_time_unix_nano <= fetch.start_time_unix_nano <= fetch.end_time_unix_nano
        assert receiver[0].services == {"vestibule"}

    def test_a_trusted_proxys_trace_goes_on(
        self, running: Service, receiver: tuple[Receiver, str], upstream: tuple[Upstream, str]
    ) -> None:
        get(running, "/goes-on", traceparent=GIVEN, tracestate="vendor=1")
        request = receiver[0].named("GET /goes-on")
        assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
        assert upstream[0].headers[b"traceparent"].startswith(f"00-{TRACE}-".encode())
        assert PARENT.encode() not in upstream[0].headers[b"traceparent"]
        assert upstream[0].headers[b"tracestate"] == b"vendor=1"

    def test_what_nobody_may_know_is_in_no_span(self, running: Service, receiver: tuple[Receiver, str]) -> None:
        status = get(
            running,
            "/app/deals/secretword?token=secretword&mail=anna@example.org",
            Cookie="session=cookievalue",
            Referer="https://referrer.example/secretword",
            **{"User-Agent": "Firefox", "X-Forwarded-For": "198.51.100.7"},
        )
        assert status == 200
        assert attributes(receiver[0].named("GET /app/deals/:deal"))["url.path"] == "/app/deals/:deal"
        get(
            running,
            "/mail/anna@example.org/3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            **{"X-Forwarded-For": "198.51.100.7"},
        )
        receiver[0].named("fetch GET /mail/:email/:uuid")
        for word in SECRETS:
            assert word.encode() not in receiver[0].raw, word

    def test_failures_are_told_as_such(self, running: Service, receiver: tuple[Receiver, str]) -> None:
        assert get(running, "/broken") == 503
        for name in ("GET /broken", "fetch GET /broken"):
            span = receiver[0].named(name)
            assert span.status.code == 2
            assert attributes(span)["error.type"] == "503"

    def test_what_is_answered_here_has_no_fetch(self, running: Service, receiver: tuple[Receiver, str]) -> None:
        assert get(running, "/_privacy/consent") == 200
        assert get(running, "/elsewhere", Host="nobody.test") == 421
        assert "vestibule.site" not in attributes(receiver[0].named("GET /elsewhere"))
        receiver[0].named("GET /_privacy/consent")
        assert not any(span.name.startswith(("fetch GET /_priv", "fetch GET /else")) for span in receiver[0].spans)

    def test_a_method_of_ones_own_is_not_told(self, running: Service, receiver: tuple[Receiver, str]) -> None:
        request = urllib.request.Request(running.url + "/odd", headers={"Host": "example.test"}, method="PROPFIND")
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=10):
            pass
        assert attributes(receiver[0].named("_OTHER /odd"))["http.request.method"] == "_OTHER"
        assert b"PROPFIND" not in receiver[0].raw


async def through(tracing: Any, site: Callable[..., Awaitable[None]], peer: str, *headers: tuple[bytes, bytes]) -> None:
    """One request from ``peer`` through a process's traces."""
    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/stranger",
        "http_version": "1.1",
        "client": (peer, 1),
        "headers": list(headers),
    }

    async def receive() -> Any: ...
    async def send(message: Any) -> None: ...

    await tracing.requests(tracing.fetches(site))(scope, receive, send)


@pytest.mark.parametrize(("peer", "goes_on"), [("127.0.0.1", True), ("198.51.100.7", False)])
def test_a_strangers_trace_neither_goes_on_nor_reaches_the_site(
    peer: str, goes_on: bool, receiver: tuple[Receiver, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vestibule.worker.tracing import Tracing

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver[1])
    monkeypatch.setenv("OTEL_SERVICE_NAME", f"for {peer}")
    site = Upstream()

    async def run() -> None:
        tracing = Tracing(config.load(write_config(tmp_path / "config", "http://127.0.0.1:3000", traces="otlp"), {}))
        await through(tracing, with_path(site), peer, (b"traceparent", GIVEN.encode()), (b"tracestate", b"vendor=1"))
        # What was seen last is sent when the process ends.
        await tracing.close()

    asyncio.run(run())
    assert (TRACE.encode() in site.headers[b"traceparent"]) is goes_on
    assert (b"tracestate" in site.headers) is goes_on
    assert f"for {peer}" in receiver[0].services
    last = [span for span in receiver[0].spans if span.name == "GET /stranger"][-1]
    assert (last.trace_id.hex() == TRACE, last.parent_span_id.hex() == PARENT) == (goes_on, goes_on)


def with_path(site: Upstream) -> Callable[..., Awaitable[None]]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await site({**scope, "path": "/stranger"}, receive, send)

    return app


def test_a_collector_that_is_away_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vestibule.worker import tracing

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(tracing, "LAST_SPANS", 0.1)

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ConnectionError

    async def run() -> None:
        made = tracing.Tracing(config.load(write_config(tmp_path / "config", "http://127.0.0.1:3", traces="otlp"), {}))
        with pytest.raises(ConnectionError):
            await through(made, failing, "127.0.0.1")
        await asyncio.wait_for(made.close(), 5)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("traces", "environ"),
    [("none", {}), ("otlp", {"OTEL_TRACES_EXPORTER": "none"}), ("otlp", {"OTEL_SDK_DISABLED": "true"})],
)
def test_there_are_none_unless_wanted(traces: str, environ: dict[str, str], tmp_path: Path) -> None:
    found = config.load(write_config(tmp_path / "config", "http://127.0.0.1:3000", traces=traces), {})
    assert traces_of(found, environ) is None


def test_nothing_of_it_is_loaded_with_the_worker() -> None:
    code = "import sys, vestibule.worker; assert not [name for name in sys.modules if 'opentelemetry' in name]"
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "proxy")}
    subprocess.run([sys.executable, "-c", code], env=environ, timeout=60, check=True)


# What is asked of the configuration


def problems(folder: Path, **environ: str) -> list[str]:
    write_config(folder, "http://127.0.0.1:3000", traces="otlp")
    try:
        config.load(folder, environ)
    except ConfigError as error:
        return [f"{problem.setting}: {problem.message}" for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, []),
        (
            {"OTEL_TRACES_EXPORTER": "zipkin"},
            ["traces: are sent by OTLP only; OTEL_TRACES_EXPORTER in the environment says otherwise"],
        ),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            ["traces: are sent as http/protobuf only; OTEL_EXPORTER_OTLP_PROTOCOL in the environment says otherwise"],
        ),
    ],
)
def test_what_cannot_be_sent_is_refused(environ: dict[str, str], expected: list[str], tmp_path: Path) -> None:
    assert problems(tmp_path / "config", **environ) == expected


def test_without_the_extra_it_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    assert problems(tmp_path / "config") == ['traces: needs the extra "otel": pip install "vestibule[otel]"']
    assert importlib.util.find_spec is nothing
    assert os.environ.get("OTEL_TRACES_EXPORTER") is None
