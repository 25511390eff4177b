"""The pages that people see: dashboard, details of a panel, signing in and out, the first account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from vestibule.core.errors import VestibuleError
from vestibule.dashboard import address, periods
from vestibule.dashboard.address import Address, Against
from vestibule.dashboard.backend import Backend, Role
from vestibule.dashboard.extra import Extra
from vestibule.dashboard.guard import local_path, read_form
from vestibule.dashboard.memory import Memory
from vestibule.dashboard.office import Office
from vestibule.dashboard.page import Composer
from vestibule.dashboard.panels import BY_ID, SHARED_VIEWS, TABS, VIEWS
from vestibule.dashboard.settings import Settings
from vestibule.dashboard.staff import Refusal, Staff, may
from vestibule.dashboard.templates import Templates
from vestibule.dashboard.trackers import Desk
from vestibule.dashboard.words import LANGUAGES, Words

DETAIL_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Link:
    """key: opens it."""

    name: str
    href: str
    active: bool
    key: str = ""


class Pages:
    """``now``: the site's local time."""

    def __init__(
        self,
        backend: Backend,
        settings: Settings,
        staff: Staff,
        templates: Templates,
        now: Callable[[], datetime],
        *,
        office: Office | None = None,
        desk: Desk | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._backend = backend
        self._settings = settings
        self._staff = staff
        self._templates = templates
        self._now = now
        self._office = office
        self._desk = desk
        self._memory = memory

    async def dashboard(self, request: Request) -> Response:
        """The page of a view: that of the path."""
        now, base, words = self._now(), request.state.base, request.state.words
        shared = base.removeprefix(request.state.root)
        path = request.url.path.removeprefix(shared) or "/"
        view = next(one for one in VIEWS if one.path == path)
        here = address.parse(request.query_params, now.date(), TABS, view.id, base)
        account = request.state.account
        composer = self._composer(request)
        extra = Extra(composer, self._backend, self._office, self._desk, self._settings, words)
        page, found = await asyncio.gather(composer.page(here, now), extra.of(view, here, request))
        return self._templates.page(
            "dashboard.html",
            request,
            page=page,
            here=here,
            now=now,
            account=account,
            guest=bool(shared),
            longest=periods.LONGEST,
            engineer=may(account, Role.ENGINEER),
            officer=may(account, Role.OFFICER),
            office=self._office is not None,
            periods=_period_links(here, now.date(), words),
            against=_against_links(here, words),
            sites=_site_links(here, self._settings) if not shared and len(self._settings.sites) > 1 else (),
            views=_view_links(here, words, guest=bool(shared)),
            earlier=here.with_period(here.period.before()).href,
            later=_later(here, now.date()),
            formatted=composer.formatted,
            **found,
        )

    def _composer(self, request: Request) -> Composer:
        return Composer(self._backend, self._settings, request.state.words, self._office, self._memory)

    async def live(self, request: Request) -> Response:
        """The strip of the last minutes alone, for the page to refresh."""
        return self._templates.page("live.html", request, live=await self._composer(request).live(self._now()))

    async def details(self, request: Request) -> Response:
        now = self._now()
        panel = BY_ID.get(request.path_params["panel"])
        if panel is None:
            raise HTTPException(404, "No such panel")
        view = next(one for one in VIEWS if panel.id in one.panels)
        here = address.parse(request.query_params, now.date(), TABS, view.id, request.state.base)
        if request.state.base != request.state.root and view.id not in SHARED_VIEWS:
            raise HTTPException(404, "No such panel")
        found = await self._composer(request).details(panel, here, DETAIL_ROWS)
        return self._templates.page("details.html", request, panel=found, here=here)

    async def language(self, request: Request) -> Response:
        """Keep the chosen language, in a cookie that holds nothing else."""
        form = await read_form(request) or {}
        response = RedirectResponse(local_path(form.get("next", "/")), status_code=303)
        chosen = form.get("language", "")
        if chosen in LANGUAGES:
            response.set_cookie(
                "vestibule-language",
                chosen,
                max_age=365 * 86_400,
                httponly=True,
                samesite="lax",
                secure=request.url.scheme == "https",
            )
        return response

    async def login(self, request: Request) -> Response:
        target = local_path(request.query_params.get("next", "/"))
        if request.method == "GET":
            return self._templates.page("login.html", request, target=target, name="", error="")
        form = await read_form(request)
        if form is None:
            return PlainTextResponse("The form is too long\n", status_code=413)
        name, target = form.get("name", ""), local_path(form.get("next", "/"))
        try:
            result = await self._staff.sign_in(_client(request), name, form.get("password", ""))
        except VestibuleError:
            result = Refusal("The store does not answer. Please try again in a moment.", 503, 10)
        if isinstance(result, Refusal):
            page = self._templates.page(
                "login.html",
                request,
                result.status,
                target=target,
                name=name[:64],
                error=request.state.words(result.message),
            )
            return _with_wait(page, result)
        response = RedirectResponse(target, status_code=303)
        self._staff.begin_session(request, response, result, kept=form.get("keep") == "1")
        return response

    async def logout(self, request: Request) -> Response:
        response = RedirectResponse("/login", status_code=303)
        self._staff.end_session(request, response)
        return response

    async def setup(self, request: Request) -> Response:
        form = await read_form(request) if request.method == "POST" else dict(request.query_params)
        if form is None:
            return PlainTextResponse("The form is too long\n", status_code=413)
        words = request.state.words
        token, name = form.get("token", ""), form.get("name", "")
        try:
            if not await self._staff.setup_open(token):
                return self._templates.message(
                    request,
                    403,
                    words("This link has been used"),
                    words(
                        "The first account is made once, with the link that the start prints. "
                        "Sign in, or let a colleague add you: vestibule users add NAME."
                    ),
                )
            if request.method == "GET":
                return self._templates.page("setup.html", request, token=token, name="", error="")
            result = await self._staff.set_up(token, name, form.get("password", ""))
        except VestibuleError:
            result = Refusal("The store does not answer. Please try again in a moment.", 503, 10)
        if isinstance(result, Refusal):
            page = self._templates.page(
                "setup.html",
                request,
                result.status,
                token=token,
                name=name[:64],
                error=request.state.words(result.message),
            )
            return _with_wait(page, result)
        response = RedirectResponse("/", status_code=303)
        self._staff.begin_session(request, response, result)
        return response


def _client(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _with_wait(response: Response, refusal: Refusal) -> Response:
    if refusal.wait:
        response.headers["Retry-After"] = str(refusal.wait)
    return response


def _period_links(here: Address, today: date, words: Words) -> list[Link]:
    links = []
    for name, text in periods.NAMES.items():
        period = periods.named(name, today)
        assert period is not None
        links.append(Link(words(text), here.with_period(period).href, here.period.name == name))
    return links


def _against_links(here: Address, words: Words) -> list[Link]:
    names = {Against.BEFORE: "the days before", Against.YEAR: "last year", Against.NOTHING: "nothing"}
    return [Link(words(text), here.with_against(name).href, here.against is name) for name, text in names.items()]


def _site_links(here: Address, settings: Settings) -> list[Link]:
    """The same days of the other sites."""
    return [
        Link(name, replace(here, base=path, where=None).href, name == settings.site) for name, path in settings.sites
    ]


def _view_links(here: Address, words: Words, *, guest: bool) -> list[Link]:
    shown = [view for view in VIEWS if not guest or view.id in SHARED_VIEWS]
    return [Link(words(view.title), here.with_view(view.id).href, here.view == view.id, view.key) for view in shown]


def _later(here: Address, today: date) -> str | None:
    if here.period.end >= today:
        return None
    after = here.period.after()
    clipped = periods.between(after.start.isoformat(), after.end.isoformat(), today)
    return None if clipped is None else here.with_period(clipped).href
