"""The admin app: its routes, and who may use which."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from vestibule.assets import static
from vestibule.core.errors import VestibuleError
from vestibule.dashboard.api import StatsApi
from vestibule.dashboard.assets import Assets
from vestibule.dashboard.backend import Backend, Role
from vestibule.dashboard.guard import HEADERS, KnownHosts, ProtectiveHeaders, own_post
from vestibule.dashboard.health import Health
from vestibule.dashboard.page import Composer
from vestibule.dashboard.pages import Pages
from vestibule.dashboard.problems import problem
from vestibule.dashboard.settings import Settings
from vestibule.dashboard.staff import Staff, may
from vestibule.dashboard.templates import Templates

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One route. role: who may use it; None means everyone, signed in or not."""

    path: str
    endpoint: Endpoint
    role: Role | None
    methods: tuple[str, ...] = ("GET",)


def create_app(
    backend: Backend, settings: Settings, clock: Callable[[], float] = time.time, *, staff: Staff | None = None
) -> Starlette:
    """Return the admin app. ``clock``: seconds since the epoch. ``staff``: that of an app of the same site which this
    one replaces (``app.state.staff``), so that sign-ins and the link of the first login stay as they are. Raises
    ValueError where there is no secret and ZoneInfoNotFoundError where there is no such time zone."""
    zone = ZoneInfo(settings.timezone)

    def now() -> datetime:
        return datetime.fromtimestamp(clock(), zone).replace(tzinfo=None)

    assets = Assets(static() / "dashboard")
    staff = staff or Staff(backend, settings, clock)
    templates = Templates(settings, assets)
    pages = Pages(Composer(backend, settings), staff, templates, now)
    api = StatsApi(backend, settings, now)
    health = Health(backend, settings)
    door = Door(staff, templates)
    rules = (
        Rule("/", pages.dashboard, Role.VIEWER),
        Rule("/live", pages.live, Role.VIEWER),
        Rule("/details/{panel}", pages.details, Role.VIEWER),
        Rule("/api/v1/breakdown", api.breakdown, Role.VIEWER),
        Rule("/api/v1/timeseries", api.timeseries, Role.VIEWER),
        Rule("/login", pages.login, None, ("GET", "POST")),
        Rule("/logout", pages.logout, None, ("POST",)),
        Rule("/setup", pages.setup, None, ("GET", "POST")),
        Rule("/healthz", health.healthz, None),
        Rule("/readyz", health.readyz, None),
        Rule("/metrics", health.metrics, None),
        Rule("/static/{path:path}", assets.serve, None),
    )
    app = Starlette(
        routes=[Route(rule.path, door.opens(rule), methods=list(rule.methods)) for rule in rules],
        middleware=[
            Middleware(KnownHosts, hosts=settings.hosts),
            Middleware(ProtectiveHeaders),
            Middleware(GZipMiddleware, minimum_size=1000),
        ],
        exception_handlers={HTTPException: door.refuse, Exception: door.fail},
    )
    app.state.staff = staff
    app.state.rules = rules
    return app


async def first_login_path(app: Starlette) -> str | None:
    """Return ``/setup?token=…`` to be shown once on the terminal, or None where there is an account already.

    Raises StoreError. The token lives in this process only and is spent by the first account."""
    staff: Staff = app.state.staff
    token = await staff.setup_token()
    return None if token is None else "/setup?" + urlencode({"token": token})


class Door:
    """Lets in who may: one place that every route passes."""

    def __init__(self, staff: Staff, templates: Templates) -> None:
        self._staff = staff
        self._templates = templates

    def opens(self, rule: Rule) -> Endpoint:
        async def guarded(request: Request) -> Response:
            if request.method == "POST" and not own_post(request.headers):
                return PlainTextResponse("This form was sent from elsewhere\n", status_code=403)
            if rule.role is None:
                return await rule.endpoint(request)
            try:
                account = await self._staff.current(request)
            except VestibuleError:
                return self._closed(request)
            if account is None:
                return _ask(request)
            if not may(account, rule.role):
                return _forbid(request, rule.role)
            request.state.account = account
            return await rule.endpoint(request)

        return guarded

    async def refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if _is_api(request):
            return problem(error.status_code, "not-found" if error.status_code == 404 else "refused", error.detail)
        return self._templates.message(error.status_code, error.detail, "There is nothing under this address.")

    async def fail(self, request: Request, _: Exception) -> Response:
        if _is_api(request):
            return problem(
                500, "internal", "Something went wrong here", headers={**HEADERS, "Cache-Control": "no-store"}
            )
        page = self._templates.message(500, "Something went wrong here", "The log of the recorder says what.")
        # This answer is made outside of the middleware.
        page.headers.update({**HEADERS, "Cache-Control": "no-store"})
        return page

    def _closed(self, request: Request) -> Response:
        if _is_api(request):
            return problem(503, "store-unavailable", "The store does not answer", headers={"Retry-After": "10"})
        return self._templates.message(
            503,
            "The store does not answer",
            "So it can't be told who you are. Counting goes on and catches up; please try again in a moment.",
        )


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _ask(request: Request) -> Response:
    if _is_api(request):
        return problem(401, "sign-in", "Sign in first", headers={"WWW-Authenticate": 'Bearer realm="vestibule"'})
    if request.headers.get("x-requested-with") == "fetch":
        return PlainTextResponse("Sign in first\n", status_code=401)
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/login" if target == "/" else "/login?" + urlencode({"next": target}), status_code=303)


def _forbid(request: Request, role: Role) -> Response:
    if _is_api(request):
        return problem(403, "role", f"This needs the role {role.value}")
    return PlainTextResponse(f"This needs the role {role.value}\n", status_code=403)
