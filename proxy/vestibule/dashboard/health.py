"""Health for machines: ``/healthz`` (alive), ``/readyz`` (the store answers), ``/metrics`` (Prometheus)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from vestibule import __version__
from vestibule.dashboard.backend import Backend
from vestibule.dashboard.guard import from_here
from vestibule.dashboard.page import guarded
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
    parts = (health.get("config"), health.get("spool"))
    return not any(isinstance(part, Mapping) and part.get("error") for part in parts)


def exposition(health: Mapping[str, Any] | None) -> bytes:
    """Return the numbers of ``Backend.health`` in Prometheus' text format: ``vestibule_NAME``, and for each of a group
    of numbers ``vestibule_GROUP{name="…"}``. What is no number is left out."""
    registry = CollectorRegistry()
    Gauge("vestibule_build_info", "Version of Vestibule", ["version"], registry=registry).labels(__version__).set(1)
    up = health is not None and health.get("store") == "ok"
    Gauge("vestibule_store_up", "Whether the store answers", registry=registry).set(up)
    Gauge("vestibule_healthy", "Whether nothing needs a person", registry=registry).set(well(health))
    config = (health or {}).get("config")
    if isinstance(config, Mapping):
        revision = str(config.get("revision", ""))[:MOST_CHARACTERS]
        about = "Configuration in force; its revision changes whenever a file does"
        Gauge("vestibule_config_info", about, ["revision"], registry=registry).labels(revision).set(1)
        refused = "Whether a changed configuration was refused, so that the old one stays"
        Gauge("vestibule_config_refused", refused, registry=registry).set(bool(config.get("error")))
    for group, value in sorted((health or {}).items()):
        if not group.isidentifier() or group in _OWN:
            continue
        if _is_number(value):
            Gauge(f"vestibule_{group}", f"Recorder: {group}", registry=registry).set(value)
        elif isinstance(value, Mapping):
            numbers = [(str(name), number) for name, number in value.items() if _is_number(number)]
            if numbers:
                gauge = Gauge(f"vestibule_{group}", f"Recorder: {group}", ["name"], registry=registry)
                for name, number in sorted(numbers)[:MOST_NUMBERS]:
                    gauge.labels(name).set(number)
    return generate_latest(registry)


_OWN = frozenset({"build_info", "store_up", "healthy", "config_info", "config_refused"})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
