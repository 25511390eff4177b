"""The pages that people see: dashboard, details of a panel, signing in and out, the first account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from vestibule.core.errors import VestibuleError
from vestibule.dashboard import address, periods
from vestibule.dashboard.address import Address
from vestibule.dashboard.guard import bounded_body, local_path
from vestibule.dashboard.page import Composer
from vestibule.dashboard.panels import PANELS, TABS
from vestibule.dashboard.staff import Refusal, Staff
from vestibule.dashboard.templates import Templates

DETAIL_ROWS = 1000


@dataclass(frozen=True, slots=True)
class PeriodLink:
    name: str
    href: str
    active: bool


class Pages:
    """``now``: the site's local time."""

    def __init__(self, composer: Composer, staff: Staff, templates: Templates, now: Callable[[], datetime]) -> None:
        self._composer = composer
        self._staff = staff
        self._templates = templates
        self._now = now

    async def dashboard(self, request: Request) -> Response:
        now = self._now()
        here = address.parse(request.query_params, now.date(), TABS)
        page = await self._composer.page(here, now)
        return self._templates.page(
            "dashboard.html",
            page=page,
            here=here,
            now=now,
            account=request.state.account,
            periods=_period_links(here, now.date()),
            earlier=here.with_period(here.period.before()).href,
            later=_later(here, now.date()),
        )

    async def live(self, _: Request) -> Response:
        """The strip of the last minutes alone, for the page to refresh."""
        return self._templates.page("live.html", live=await self._composer.live(self._now()))

    async def details(self, request: Request) -> Response:
        now = self._now()
        here = address.parse(request.query_params, now.date(), TABS)
        panel = next((one for one in PANELS if one.id == request.path_params["panel"]), None)
        if panel is None:
            raise HTTPException(404, "No such panel")
        view = await self._composer.details(panel, here, DETAIL_ROWS)
        return self._templates.page("details.html", panel=view, here=here, account=request.state.account)

    async def login(self, request: Request) -> Response:
        target = local_path(request.query_params.get("next", "/"))
        if request.method == "GET":
            return self._templates.page("login.html", target=target, name="", error="")
        form = await _form(request)
        if form is None:
            return PlainTextResponse("The form is too long\n", status_code=413)
        name, target = form.get("name", ""), local_path(form.get("next", "/"))
        try:
            result = await self._staff.sign_in(_client(request), name, form.get("password", ""))
        except VestibuleError:
            result = Refusal("The store does not answer. Please try again in a moment.", 503, 10)
        if isinstance(result, Refusal):
            page = self._templates.page(
                "login.html", result.status, target=target, name=name[:64], error=result.message
            )
            return _with_wait(page, result)
        response = RedirectResponse(target, status_code=303)
        self._staff.begin_session(request, response, result)
        return response

    async def logout(self, request: Request) -> Response:
        response = RedirectResponse("/login", status_code=303)
        self._staff.end_session(request, response)
        return response

    async def setup(self, request: Request) -> Response:
        form = await _form(request) if request.method == "POST" else dict(request.query_params)
        if form is None:
            return PlainTextResponse("The form is too long\n", status_code=413)
        token, name = form.get("token", ""), form.get("name", "")
        try:
            if not await self._staff.setup_open(token):
                return self._templates.message(
                    403,
                    "This link has been used",
                    "The first account is made once, with the link that the start prints. "
                    "Sign in, or let a colleague add you: vestibule users add NAME.",
                )
            if request.method == "GET":
                return self._templates.page("setup.html", token=token, name="", error="")
            result = await self._staff.set_up(token, name, form.get("password", ""))
        except VestibuleError:
            result = Refusal("The store does not answer. Please try again in a moment.", 503, 10)
        if isinstance(result, Refusal):
            page = self._templates.page("setup.html", result.status, token=token, name=name[:64], error=result.message)
            return _with_wait(page, result)
        response = RedirectResponse("/", status_code=303)
        self._staff.begin_session(request, response, result)
        return response


async def _form(request: Request) -> Mapping[str, str] | None:
    """Return the fields of a form, the last of each name; None where the body is too long."""
    body = await bounded_body(request)
    if body is None:
        return None
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        return {}


def _client(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _with_wait(response: Response, refusal: Refusal) -> Response:
    if refusal.wait:
        response.headers["Retry-After"] = str(refusal.wait)
    return response


def _period_links(here: Address, today: date) -> list[PeriodLink]:
    links = []
    for name, text in periods.NAMES.items():
        period = periods.named(name, today)
        assert period is not None
        links.append(PeriodLink(text, here.with_period(period).href, here.period.name == name))
    return links


def _later(here: Address, today: date) -> str | None:
    if here.period.end >= today:
        return None
    after = here.period.after()
    clipped = periods.between(after.start.isoformat(), after.end.isoformat(), today)
    return None if clipped is None else here.with_period(clipped).href
