"""Health for machines: ``/healthz`` (alive), ``/readyz`` (the store answers), ``/metrics`` (Prometheus)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from vestibule import __version__
from vestibule.core.meter import BOUNDS, KINDS
from vestibule.dashboard.asking import guarded
from vestibule.dashboard.backend import Backend
from vestibule.dashboard.guard import from_here
from vestibule.dashboard.settings import Settings

MOST_NUMBERS = 64
MOST_CHARACTERS = 64


class Health:
    """Details are told to this machine and to the bearer of the metrics token only."""

    def __init__(self, backend: Backend, settings: Settings) -> None:
        self._backend = backend
        self._token = settings.metrics_token

    async def healthz(self, request: Request) -> Response:
        """200 as long as the process answers; ``status`` is ``ok`` or ``degraded``."""
        health = await guarded(self._backend.health())
        body: dict[str, Any] = {"status": "ok" if well(health) else "degraded", "version": __version__}
        if self._trusted(request):
            body.update(health if health is not None else {"store": "no answer"})
        return JSONResponse(body)

    async def readyz(self, _: Request) -> Response:
        health = await guarded(self._backend.health())
        ready = health is not None and health.get("store") == "ok"
        return JSONResponse({"ready": ready}, status_code=200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        if not self._trusted(request):
            return PlainTextResponse("Only this machine or the bearer of the token may read this\n", status_code=403)
        body = exposition(await guarded(self._backend.health()))
        return Response(body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    def _trusted(self, request: Request) -> bool:
        if self._token is not None:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), self._token.encode()):
                return True
        return from_here(request)


def well(health: Mapping[str, Any] | None) -> bool:
    """Whether nothing needs a person."""
    if health is None or health.get("store") != "ok":
        return False
    parts = [each.get(part) for each in _sites(health).values() for part in ("config", "spool")]
    return not any(isinstance(part, Mapping) and part.get("error") for part in parts)


def _sites(health: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """What is told of each site, by its name."""
    further = health.get("sites")
    return {str(health.get("site", "")): health, **(further if isinstance(further, Mapping) else {})}


def exposition(health: Mapping[str, Any] | None) -> bytes:
    """Return the numbers of ``Backend.health`` in Prometheus' text format: ``vestibule_NAME``, and for each of a group
    of numbers ``vestibule_GROUP{name="…"}``, with a label ``site`` where there are several; what workers served as
    counters and a histogram. What is no number is left out."""
    registry = CollectorRegistry()
    Gauge("vestibule_build_info", "Version of Vestibule", ["version"], registry=registry).labels(__version__).set(1)
    up = health is not None and health.get("store") == "ok"
    Gauge("vestibule_store_up", "Whether the store answers", registry=registry).set(up)
    Gauge("vestibule_healthy", "Whether nothing needs a person", registry=registry).set(well(health))
    served = (health or {}).get("served")
    if isinstance(served, Mapping):
        registry.register(_Served(served))
    sites = _sites(health or {})
    gauges = _Gauges(registry, labelled=len(sites) > 1)
    for site, told in sites.items():
        _expose(told, partial(gauges.put, site))
    return generate_latest(registry)


class _Gauges:
    """Gauges by name. labelled: each says of which site it is."""

    def __init__(self, registry: CollectorRegistry, *, labelled: bool) -> None:
        self._registry = registry
        self._labelled = labelled
        self._made: dict[str, Gauge] = {}

    def put(self, site: str, name: str, about: str, value: float, /, **labels: str) -> None:
        if self._labelled:
            labels = {"site": site, **labels}
        gauge = self._made.get(name)
        if gauge is None:
            gauge = self._made[name] = Gauge(name, about, list(labels), registry=self._registry)
        (gauge.labels(**labels) if labels else gauge).set(value)


def _expose(health: Mapping[str, Any], put: Callable[..., None]) -> None:
    """One site's numbers."""
    config = health.get("config")
    if isinstance(config, Mapping):
        revision = str(config.get("revision", ""))[:MOST_CHARACTERS]
        about = "Configuration in force; its revision changes whenever a file does"
        put("vestibule_config_info", about, 1, revision=revision)
        refused = "Whether a changed configuration was refused, so that the old one stays"
        put("vestibule_config_refused", refused, bool(config.get("error")))
    for group, value in sorted(health.items()):
        if not group.isidentifier() or group in _OWN:
            continue
        if _is_number(value):
            put(f"vestibule_{group}", f"Recorder: {group}", value)
        elif isinstance(value, Mapping):
            numbers = [(str(name), number) for name, number in value.items() if _is_number(number)]
            for name, number in sorted(numbers)[:MOST_NUMBERS]:
                put(f"vestibule_{group}", f"Recorder: {group}", number, name=name)


_OWN = frozenset({"build_info", "store_up", "healthy", "config_info", "config_refused", "served", "sites"})


class _Served(Collector):
    """What workers answered, as :meth:`vestibule.core.meter.Meter.figures` tells it."""

    def __init__(self, served: Mapping[str, Any]) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        about = "Requests by kind and status class; none: who asked had left"
        requests = CounterMetricFamily("vestibule_requests", about, labels=["kind", "status"])
        about = "Seconds until the answer had been handed on, by kind; of a WebSocket until its handshake had"
        seconds = HistogramMetricFamily("vestibule_request_seconds", about, labels=["kind"])
        for kind in KINDS:
            for status, count in self._served["requests"][kind].items():
                requests.add_metric([kind, status], count)
            counts = accumulate(self._served["slots"][kind])
            bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
            seconds.add_metric([kind], list(zip(bounds, counts, strict=True)), self._served["seconds"][kind])
        yield requests
        yield seconds
        about = "Bytes of pages that were rewritten, as they were sent"
        yield CounterMetricFamily("vestibule_rewritten_bytes", about, value=self._served["rewritten"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
