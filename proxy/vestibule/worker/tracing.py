"""OpenTelemetry traces: a span for each request and one for its fetch from the site, handed on by ``traceparent``.

Threat: a trace is the record of one visit, and whoever runs the collector reads it. So a span says what was asked for
as the counted pages do (folded, without its query) and what came of it; no address, agent, cookie, referrer or account.
A ``traceparent`` is believed from a trusted proxy only: anyone else's could join a visitor's requests to a trace of
their choice; it does not reach the site.

Spans wait in the SDK's queue (OTEL_BSP_MAX_QUEUE_SIZE, 2,048 of them) for a thread that sends them; when it is full
they are dropped. Where they go, how many are taken and how long a sending may last the SDK reads from the ``OTEL_*``
variables. Nothing of this is imported unless ``traces`` is set: it needs the extra ``otel``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from vestibule import __version__
from vestibule.access import SITE
from vestibule.config import Config
from vestibule.core.forwarding import is_trusted
from vestibule.core.hints import WHOLE
from vestibule.core.pages import Folder

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SPAN = "vestibule.span"
"""Key in the scope under which a request's span is found."""

METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
"""Others are all ``_OTHER`` (semantic conventions for HTTP): a method may be any word of the client's."""

LAST_SPANS = 2.0
"""Seconds that the last spans have to be sent when this process ends."""

_SWITCHED = 101
_MISDIRECTED = 421
_CONTEXT = ("traceparent", "tracestate")
_W3C = TraceContextTextMapPropagator()


class Tracing:
    """The traces of one process: ``requests`` wraps the whole app, ``fetches`` the sites behind it."""

    def __init__(self, config: Config) -> None:
        resource = Resource.create({SERVICE_VERSION: __version__})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "vestibule"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("vestibule", __version__)
        self.use(config)

    def use(self, config: Config) -> None:
        """Name sites and fold paths from now on as ``config`` says."""
        self._trusted = config.trusted_proxies
        self._sites: Mapping[str, tuple[str, Folder]] = {
            site.profile: (site.site.name, Folder(site.analytics.pages)) for site in config.everyone
        }

    async def close(self) -> None:
        """Send what there is, within ``LAST_SPANS``."""
        # A collector that does not answer must not hold this process: the thread ends with it.
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        await asyncio.to_thread(last.join, LAST_SPANS)

    def requests(self, app: App) -> App:
        """The app, with a span for each request."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket"):
                await app(scope, receive, send)
                return
            span = self._tracer.start_span(_method(scope), self._parent(scope), SpanKind.SERVER)
            scope[SPAN] = span
            exchange = _Exchange(send)
            try:
                await app(scope, receive, exchange)
            except Exception as error:
                exchange.error = type(error).__name__
                raise
            finally:
                self._end(span, scope, exchange, worst=500)

        return traced

    def fetches(self, app: App) -> App:
        """The sites behind us, with a span for each fetch, in which the site can go on."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            context = set_span_in_context(scope[SPAN], Context()) if SPAN in scope else Context()
            span = self._tracer.start_span(f"fetch {_method(scope)}", context, SpanKind.CLIENT)
            told: dict[str, str] = {}
            _W3C.inject(told, set_span_in_context(span, Context()))
            headers = [item for item in scope["headers"] if item[0].decode("latin-1") not in _CONTEXT]
            headers += [(name.encode("ascii"), value.encode("ascii")) for name, value in told.items()]
            exchange = _Exchange(send)
            try:
                await app({**scope, "headers": headers}, receive, exchange)
            except Exception as error:
                exchange.error = type(error).__name__
                raise
            finally:
                self._end(span, scope, exchange, worst=400)

        return traced

    def _parent(self, scope: Scope) -> Context:
        """The trace that a trusted proxy has begun, if any."""
        peer = scope.get("client")
        if not is_trusted(peer[0] if peer else None, self._trusted):
            return Context()
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        return _W3C.extract({name: given[name] for name in _CONTEXT if name in given}, Context())

    def _end(self, span: Span, scope: Scope, exchange: _Exchange, *, worst: int) -> None:
        """worst: the status from which on an answer is an error."""
        if span.is_recording():
            site, folder = self._sites.get(scope.get(SITE, ""), ("", Folder()))
            path = folder.fold(scope["raw_path"].decode("latin-1"))
            method, status = _method(scope), exchange.status
            span.update_name(f"{method} {path}" if worst == 500 else f"fetch {method} {path}")
            span.set_attributes(
                {"http.request.method": method, "url.path": path, "network.protocol.version": scope["http_version"]}
            )
            if site and status != _MISDIRECTED:
                span.set_attribute("vestibule.site", site)
            if status:
                span.set_attribute("http.response.status_code", status)
            if exchange.error or status >= worst:
                span.set_attribute("error.type", exchange.error or str(status))
                span.set_status(Status(StatusCode.ERROR))
        span.end()


class _Exchange:
    """Hands an answer on, and notes how it begins."""

    __slots__ = ("_send", "error", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.error = ""

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind in (WHOLE, "http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
        elif kind == "websocket.accept":
            self.status = _SWITCHED
        await self._send(message)


def _method(scope: Scope) -> str:
    method = scope.get("method", "GET")
    return method if method in METHODS else "_OTHER"
