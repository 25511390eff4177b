"""The small site of ``tests/sites.py`` as it would be written in other frameworks: each answers in its own terms, with
its own request and response objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import django
import fastapi
import quart
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import re_path

from tests.sites import SITE

Header = tuple[str, str]


class Plain(NamedTuple):
    """An answer of the site before a framework makes it its own."""

    status: int
    headers: Sequence[Header]
    body: bytes

    @property
    def kind(self) -> str | None:
        return next((value for name, value in self.headers if name == "content-type"), None)

    @property
    def others(self) -> list[Header]:
        return [(name, value) for name, value in self.headers if name not in ("content-type", "content-length")]


@dataclass
class _Collected:
    status: int = 0
    headers: list[Header] = field(default_factory=list)
    body: bytes = b""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
        else:
            self.body += message.get("body", b"")


async def answer(method: str, path: str, query: bytes, headers: Sequence[Header]) -> Plain:
    """What the site answers."""

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
    }
    collected = _Collected()
    await SITE(scope, receive, collected)
    return Plain(collected.status, collected.headers, collected.body)


METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]


def fastapi_app() -> Any:
    app = fastapi.FastAPI(openapi_url=None)

    async def everything(request: fastapi.Request) -> fastapi.Response:
        url = request.url
        plain = await answer(request.method, url.path, url.query.encode(), request.headers.items())
        response = fastapi.Response(plain.body, plain.status, media_type=plain.kind)
        for name, value in plain.others:
            response.headers.append(name, value)
        return response

    app.add_api_route("/{path:path}", everything, methods=METHODS)
    return app


def django_app() -> Any:
    async def everything(request: HttpRequest) -> HttpResponse:
        query = request.META["QUERY_STRING"].encode()
        plain = await answer(request.method or "GET", request.path, query, list(request.headers.items()))
        response = HttpResponse(plain.body, status=plain.status, content_type=plain.kind)
        if plain.kind is None:
            del response["Content-Type"]
        joined: dict[str, str] = {}
        for name, value in plain.others:
            if name == "set-cookie":
                # Django's way to set several: they become lines of their own.
                response.cookies.load(value)
            else:
                joined[name] = f"{joined[name]}, {value}" if name in joined else value
        for name, value in joined.items():
            response[name] = value
        return response

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(re_path(r"", everything),), SECRET_KEY="for tests only")
        django.setup()
    return get_asgi_application()


def quart_app() -> Any:
    app = quart.Quart("site", static_folder=None)

    async def everything(path: str = "") -> quart.Response:
        asked = quart.request
        plain = await answer(asked.method, asked.path, asked.query_string, list(asked.headers.items()))
        response = quart.Response(plain.body, plain.status, content_type=plain.kind)
        if plain.kind is None:
            del response.headers["Content-Type"]
        for name, value in plain.others:
            response.headers.add(name, value)
        return response

    for rule in ("/", "/<path:path>"):
        app.add_url_rule(rule, f"at {rule}", everything, methods=METHODS, provide_automatic_options=False)
    return app


FRAMEWORKS: Mapping[str, Callable[[], Any]] = {"fastapi": fastapi_app, "django": django_app, "quart": quart_app}
"""Besides Starlette, in which the site itself is written."""
