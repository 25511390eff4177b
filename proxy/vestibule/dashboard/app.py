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
from vestibule.dashboard.backend import Account, Backend, Role
from vestibule.dashboard.guard import HEADERS, SHARED, KnownHosts, KnownNetworks, ProtectiveHeaders, own_post
from vestibule.dashboard.health import Health
from vestibule.dashboard.keys import Guest, Keys
from vestibule.dashboard.manage import Manage
from vestibule.dashboard.memory import Memory
from vestibule.dashboard.office import Office
from vestibule.dashboard.pages import Pages
from vestibule.dashboard.problems import problem
from vestibule.dashboard.settings import Settings
from vestibule.dashboard.sites import ROOT
from vestibule.dashboard.staff import Staff, limited, may
from vestibule.dashboard.templates import Templates
from vestibule.dashboard.trackers import Desk
from vestibule.dashboard.words import Words, preferred

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One route. role: who may use it; None means everyone, signed in or not. shared: whoever has a shared link may
    read it, below that link."""

    path: str
    endpoint: Endpoint
    role: Role | None
    methods: tuple[str, ...] = ("GET",)
    shared: bool = False


def create_app(
    backend: Backend,
    settings: Settings,
    clock: Callable[[], float] = time.time,
    *,
    staff: Staff | None = None,
    office: Office | None = None,
    desk: Desk | None = None,
) -> Starlette:
    """Return the admin app. ``clock``: seconds since the epoch. ``staff``: that of an app of the same site which this
    one replaces (``app.state.staff``), so that sign-ins and the link of the first login stay as they are. ``office``
    keeps notes, tokens, shared links and the audit; ``desk`` knows the trackers: without them there are none. Raises
    ValueError where there is no secret and ZoneInfoNotFoundError where there is no such time zone."""
    zone = ZoneInfo(settings.timezone)

    def now() -> datetime:
        return datetime.fromtimestamp(clock(), zone).replace(tzinfo=None)

    assets = Assets(static() / "dashboard")
    staff = staff or Staff(backend, settings, clock)
    keys = Keys(office, settings.secrets, settings.site, clock) if office is not None else None
    templates = Templates(settings, assets)
    memory = Memory(clock, now, settings.remember)
    pages = Pages(backend, settings, staff, templates, now, office=office, desk=desk, memory=memory)
    federation = _federation(settings, staff, templates, clock)
    manage = Manage(templates, keys, office, desk, zone, clock)
    api = StatsApi(backend, settings, now, office)
    health = Health(backend, settings)
    door = Door(staff, templates, keys)
    rules = (
        Rule("/", pages.dashboard, Role.VIEWER, shared=True),
        Rule("/consent", pages.dashboard, Role.VIEWER, shared=True),
        Rule("/trackers", pages.dashboard, Role.VIEWER),
        Rule("/crawlers", pages.dashboard, Role.VIEWER, shared=True),
        Rule("/privacy", pages.dashboard, Role.VIEWER),
        Rule("/live", pages.live, Role.VIEWER, shared=True),
        Rule("/details/{panel}", pages.details, Role.VIEWER, shared=True),
        Rule("/trackers/set", manage.set_tracker, Role.ENGINEER, ("POST",)),
        Rule("/notes", manage.add_note, Role.VIEWER, ("POST",)),
        Rule("/notes/remove", manage.remove_note, Role.ENGINEER, ("POST",)),
        Rule("/access", manage.access, Role.VIEWER),
        Rule("/access/tokens", manage.add_token, Role.VIEWER, ("POST",)),
        Rule("/access/tokens/remove", manage.remove_token, Role.VIEWER, ("POST",)),
        Rule("/access/shares", manage.add_share, Role.ENGINEER, ("POST",)),
        Rule("/access/shares/remove", manage.remove_share, Role.ENGINEER, ("POST",)),
        Rule("/api/v1/breakdown", api.breakdown, Role.VIEWER, shared=True),
        Rule("/api/v1/timeseries", api.timeseries, Role.VIEWER),
        Rule("/api/v1/annotations", api.annotations, Role.VIEWER),
        Rule("/api/v1/export.zip", api.export, Role.VIEWER),
        Rule("/api/v1/openapi.json", api.openapi, Role.VIEWER),
        Rule("/api/v1/consent-records/{record}", api.consent_record, Role.OFFICER),
        Rule("/language", pages.language, None, ("POST",)),
        Rule("/login", pages.login, None, ("GET", "POST")),
        *federation,
        Rule("/logout", pages.logout, None, ("POST",)),
        Rule("/setup", pages.setup, None, ("GET", "POST")),
        Rule("/healthz", health.healthz, None),
        Rule("/readyz", health.readyz, None),
        Rule("/metrics", health.metrics, None),
        Rule("/static/{path:path}", assets.serve, None),
    )
    routes = [Route(rule.path, door.opens(rule), methods=list(rule.methods)) for rule in rules]
    routes += [
        Route(f"{SHARED}{{share}}{rule.path}", door.shows(rule), methods=["GET"]) for rule in rules if rule.shared
    ]
    networks = [Middleware(KnownNetworks, networks=settings.networks)] if settings.networks else []
    app = Starlette(
        routes=routes,
        middleware=[
            *networks,
            Middleware(KnownHosts, hosts=settings.hosts),
            Middleware(ProtectiveHeaders, embed=settings.embed),
            Middleware(GZipMiddleware, minimum_size=1000),
        ],
        exception_handlers={HTTPException: door.refuse, Exception: door.fail},
    )
    app.state.staff = staff
    app.state.rules = rules
    return app


def _federation(settings: Settings, staff: Staff, templates: Templates, clock: Callable[[], float]) -> tuple[Rule, ...]:
    """The routes of signing in by a provider, where there is one."""
    if settings.oidc is None:
        staff.trust(None)
        return ()
    # Only here: what it needs comes with the extra "oidc".
    from vestibule.dashboard.federation import Federation
    from vestibule.dashboard.oidc import CALLBACK, Provider

    provider = Provider(settings.oidc, settings.secrets, settings.site, clock)
    staff.trust(provider.fingerprint)
    pages = Federation(provider, staff, templates)
    return Rule("/login/oidc", pages.begin, None), Rule(CALLBACK, pages.finish, None)


async def first_login_path(app: Starlette) -> str | None:
    """Return ``/setup?token=…`` to be shown once on the terminal, or None where there is an account already.

    Raises StoreError. The token lives in this process only and is spent by the first account."""
    staff: Staff = app.state.staff
    token = await staff.setup_token()
    return None if token is None else "/setup?" + urlencode({"token": token})


class Door:
    """Lets in who may: one place that every route passes."""

    def __init__(self, staff: Staff, templates: Templates, keys: Keys | None) -> None:
        self._staff = staff
        self._templates = templates
        self._keys = keys

    def opens(self, rule: Rule) -> Endpoint:
        async def guarded(request: Request) -> Response:
            begin(request)
            if request.method == "POST" and not own_post(request.headers):
                return PlainTextResponse("This form was sent from elsewhere\n", status_code=403)
            if rule.role is None:
                return await rule.endpoint(request)
            try:
                account = await self._who(request)
            except VestibuleError:
                return self._closed(request)
            if account is None:
                return _ask(request)
            if not may(account, rule.role):
                return self._forbid(request, rule.role)
            request.state.account = account
            return await rule.endpoint(request)

        return guarded

    def shows(self, rule: Rule) -> Endpoint:
        """The same page for whoever has a shared link."""

        async def guarded(request: Request) -> Response:
            begin(request)
            token = str(request.path_params["share"])
            try:
                share = await self._keys.share(token) if self._keys is not None else None
            except VestibuleError:
                return self._closed(request)
            if share is None:
                words = request.state.words
                title = words("This link is over")
                text = words("Shared links end with time, or when somebody takes them back. Ask who gave it to you.")
                return self._templates.message(request, 404, title, text)
            request.state.account = Guest(share.name)
            request.state.base += f"{SHARED}{token}"
            return await rule.endpoint(request)

        return guarded

    async def _who(self, request: Request) -> Account | None:
        """A session's account; of a question to the API that brings a token, the account that it was made for."""
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        if not _is_api(request) or not scheme:
            return await self._staff.current(request)
        if scheme.lower() != "bearer" or self._keys is None:
            return None
        async with limited():
            token = await self._keys.token(presented.strip())
        return None if token is None else await self._staff.account(token.owner)

    async def refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if _is_api(request):
            return problem(error.status_code, "not-found" if error.status_code == 404 else "refused", error.detail)
        begin(request)
        words = request.state.words
        text = words("There is nothing under this address.")
        return self._templates.message(request, error.status_code, words(error.detail), text)

    async def fail(self, request: Request, _: Exception) -> Response:
        if _is_api(request):
            return problem(
                500, "internal", "Something went wrong here", headers={**HEADERS, "Cache-Control": "no-store"}
            )
        begin(request)
        words = request.state.words
        title, text = words("Something went wrong here"), words("The log of the recorder says what.")
        page = self._templates.message(request, 500, title, text)
        # This answer is made outside of the middleware.
        page.headers.update({**HEADERS, "Cache-Control": "no-store"})
        return page

    def _closed(self, request: Request) -> Response:
        if _is_api(request):
            return problem(503, "store-unavailable", "The store does not answer", headers={"Retry-After": "10"})
        words = request.state.words
        return self._templates.message(
            request,
            503,
            words("The store does not answer"),
            words("So it can't be told who you are. Counting goes on and catches up; please try again in a moment."),
        )

    def _forbid(self, request: Request, role: Role) -> Response:
        if _is_api(request):
            return problem(403, "role", f"This needs the role {role.value}")
        words = request.state.words
        text = words("This needs the role {role}.", role=role.value)
        return self._templates.message(request, 403, words("Not with your role"), text)


def begin(request: Request) -> None:
    """Note what every page needs of its request: the language, and what stands before its links; ``root`` is the site's
    part of that."""
    chosen = request.cookies.get("vestibule-language", "")
    request.state.words = Words(preferred(request.headers.get("accept-language", ""), chosen))
    request.state.root = request.state.base = str(request.scope.get(ROOT, ""))


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _ask(request: Request) -> Response:
    if _is_api(request):
        return problem(401, "sign-in", "Sign in first", headers={"WWW-Authenticate": 'Bearer realm="vestibule"'})
    if request.headers.get("x-requested-with") == "fetch":
        return PlainTextResponse("Sign in first\n", status_code=401)
    target = request.state.root + request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/login" if target == "/" else "/login?" + urlencode({"next": target}), status_code=303)
