"""Relaso, a customer relationship management vendor that doesn't exist, with the tags and cookies that such sites have.

It stands in for the site behind Vestibule: it knows nothing of consent, sets its cookies on every page and loads a
dozen third parties. The ids in its tags are fake. It is a demonstration: any e-mail address and password sign in.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from demo.site import content
from demo.site.pdf import one_pager
from demo.site.remembering import preferences_changed, remembered, signed_in, signed_out
from demo.site.sessions import EMAIL, Sessions

HERE = Path(__file__).parent
SESSION = "relaso_session"
DAY = 86_400
LINK = "<https://fonts.gstatic.com>; rel=preconnect; crossorigin, </assets/site.css>; rel=preload; as=style"
SORTED: Mapping[str, Callable[[content.Deal], tuple[int, str]]] = {
    "next": lambda deal: (content.DEALS.index(deal), ""),
    "company": lambda deal: (0, deal.company.lower()),
    "value": lambda deal: (-deal.value, ""),
}
"""Orders in which deals can be seen; the one that was taken last is remembered."""
FORM_LIMIT = 64 * 1024
"""Bytes of a posted form; a longer one is refused with 413."""


class Site:
    """The pages. One object holds what they share: templates and the sessions."""

    def __init__(self) -> None:
        self._sessions = Sessions()
        self._templates = Jinja2Templates(directory=HERE / "templates")
        self._templates.env.trim_blocks = self._templates.env.lstrip_blocks = True
        self._templates.env.filters["euros"] = "{:,}".format
        self._pdf = _overview()

    # -- pages that everybody sees --

    async def home(self, request: Request) -> Response:
        page = self._page(request, "home.html", {"voices": content.VOICES})
        # Hints come in headers, too, and contact the host as those in the page do.
        page.headers["Link"] = LINK
        return page

    async def pricing(self, request: Request) -> Response:
        return self._page(request, "pricing.html", {"plans": content.PLANS, "questions": content.QUESTIONS})

    async def blog(self, request: Request) -> Response:
        return _cached(self._page(request, "blog.html", {"articles": content.ARTICLES}), request)

    async def article(self, request: Request) -> Response:
        found = content.article(request.path_params["year"], request.path_params["slug"])
        if found is None:
            raise HTTPException(404)
        others = [each for each in content.ARTICLES if each is not found]
        return _cached(self._page(request, "article.html", {"article": found, "others": others}), request)

    async def contact(self, request: Request) -> Response:
        if request.method == "POST":
            await _form(request)
            return RedirectResponse("/contact?sent=yes", status_code=303)
        return self._page(request, "contact.html", {"sent": request.query_params.get("sent") == "yes"})

    async def privacy(self, request: Request) -> Response:
        return self._page(request, "privacy.html")

    # -- signing in and out --

    async def login(self, request: Request) -> Response:
        after = _own_path(request.query_params.get("next"))
        if request.method != "POST":
            # Somebody who had a session that is gone, and whom the proxy remembers.
            return self._back_again(request, after) or self._page(request, "login.html", {"next": after})
        form = await _form(request)
        email = form.get("email", "").strip()
        after = _own_path(form.get("next"))
        if not EMAIL.fullmatch(email) or not form.get("password"):
            context = {"next": after, "email": email, "problem": "Please give an e-mail address and a password."}
            return self._page(request, "login.html", context, status=422)
        answer = RedirectResponse(after, status_code=303)
        self._open_session(request, answer, email)
        signed_in(answer, email)
        return answer

    async def logout(self, request: Request) -> Response:
        self._sessions.close(request.cookies.get(SESSION))
        answer = RedirectResponse("/", status_code=303)
        answer.delete_cookie(SESSION, path="/", httponly=True, samesite="lax")
        signed_out(answer)
        return answer

    # -- pages behind the login --

    async def app(self, request: Request) -> Response:
        return await self._signed_in(request, "app/home.html", _board())

    async def deals(self, request: Request) -> Response:
        preferences = self._sessions.preferences(request.cookies.get(SESSION))
        wanted = request.query_params.get("sort")
        if wanted in SORTED and self._sessions.email(request.cookies.get(SESSION)) is not None:
            preferences["sort"] = wanted
        deals = sorted(content.DEALS, key=SORTED.get(str(preferences.get("sort")), SORTED["next"]))
        page = await self._signed_in(request, "app/deals.html", {"deals": deals, "sort": preferences.get("sort")})
        if wanted in SORTED:
            preferences_changed(page, preferences)
        return page

    async def deal(self, request: Request) -> Response:
        found = content.deal(request.path_params["number"])
        return await self._signed_in(request, "app/deal.html" if found else None, {"deal": found})

    # -- files --

    async def overview(self, _request: Request) -> Response:
        return Response(
            self._pdf,
            media_type="application/pdf",
            headers={"Content-Disposition": 'inline; filename="relaso-overview.pdf"', "Cache-Control": "max-age=3600"},
        )

    async def robots(self, request: Request) -> Response:
        return PlainTextResponse(f"User-agent: *\nDisallow: /app/\n\nSitemap: {_origin(request)}/sitemap.xml\n")

    async def sitemap(self, request: Request) -> Response:
        paths = ["/", "/pricing", "/blog", *(each.path for each in content.ARTICLES), "/contact", "/privacy"]
        urls = "".join(f"<url><loc>{_origin(request)}{path}</loc></url>" for path in paths)
        text = f'<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'
        return Response(text, media_type="application/xml")

    async def favicon(self, _request: Request) -> Response:
        return Response((HERE / "assets" / "favicon.svg").read_bytes(), media_type="image/svg+xml")

    async def not_found(self, request: Request, _error: Exception) -> Response:
        return self._page(request, "404.html", status=404)

    # -- shared --

    async def _signed_in(self, request: Request, template: str | None, context: Mapping[str, object]) -> Response:
        if self._sessions.email(request.cookies.get(SESSION)) is not None:
            if template is None:
                raise HTTPException(404)
            return self._page(request, template, context, cache="no-store")
        answer = self._back_again(request, request.url.path)
        if answer is None:
            answer = RedirectResponse(f"/login?next={request.url.path}", status_code=303)
            # A session that is gone must not hide from the proxy that somebody comes without one.
            answer.delete_cookie(SESSION, path="/", httponly=True, samesite="lax")
        return answer

    def _back_again(self, request: Request, after: str) -> Response | None:
        """A session for somebody whom the proxy remembers."""
        found = remembered(request)
        if found is None or not EMAIL.fullmatch(found[0]):
            return None
        answer = RedirectResponse(after, status_code=303)
        self._open_session(request, answer, *found)
        return answer

    def _open_session(
        self, request: Request, answer: Response, email: str, preferences: Mapping[str, object] | None = None
    ) -> None:
        secure = request.headers.get("x-forwarded-proto") == "https"
        answer.set_cookie(
            SESSION, self._sessions.open(email, preferences), max_age=14 * DAY, expires=14 * DAY, path="/",
            httponly=True, samesite="lax", secure=secure,
        )  # fmt: skip

    def _page(
        self,
        request: Request,
        template: str,
        context: Mapping[str, object] | None = None,
        *,
        status: int = 200,
        cache: str = "no-cache",
    ) -> Response:
        values = {"account": self._sessions.email(request.cookies.get(SESSION)), "origin": _origin(request)}
        page = self._templates.TemplateResponse(request, template, values | dict(context or {}), status_code=status)
        page.headers["Cache-Control"] = cache
        _visitor_cookies(request, page)
        return page


def _visitor_cookies(request: Request, page: Response) -> None:
    """What the site's server sets on every page, long before anyone has agreed: the reason for this demo."""
    visitor = request.cookies.get("rl_visitor") or secrets.token_hex(8)
    page.set_cookie("rl_visitor", visitor, max_age=365 * DAY, path="/", httponly=True, samesite="lax")
    client = request.cookies.get("_ga") or f"GA1.1.{secrets.randbelow(10**9)}.1763800000"
    page.set_cookie("_ga", client, max_age=730 * DAY, path="/", samesite="lax")


def _cached(page: Response, request: Request) -> Response:
    """Marks a page as one that caches may keep, as blogs do, and answers 304 to a browser that has it."""
    tag = f'"{blake2b(page.body, digest_size=8).hexdigest()}"'
    headers = {"Cache-Control": "public, max-age=300", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    page.headers.update(headers)
    return page


async def _form(request: Request) -> dict[str, str]:
    """The fields of a url-encoded form, the first of each name."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_LIMIT:
            raise HTTPException(413)
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100)
    return {name: values[0] for name, values in fields.items()}


def _own_path(wanted: str | None) -> str:
    """Where to go after signing in: a path of the app, never another host's address."""
    inside = wanted is not None and wanted.startswith("/app/") and "//" not in wanted and "\\" not in wanted
    return wanted if wanted is not None and inside else "/app/"


def _origin(request: Request) -> str:
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    return f"{'https' if scheme == 'https' else 'http'}://{request.url.netloc}"


def _board() -> dict[str, object]:
    columns = [(stage, [each for each in content.DEALS if each.stage == stage]) for stage in content.STAGES]
    return {
        "columns": columns,
        "open": sum(e.value for e in content.DEALS),
        "sure": sum(e.weighted for e in content.DEALS),
    }


def _overview() -> bytes:
    points = [
        ("One thread for each customer", "Mails, calls, notes and promises in the order they happened."),
        ("Handovers that lose nothing", "Five lines, written by the one who leaves, read aloud with the customer."),
        ("Forecasts from commitments", "What the customer did counts, not how somebody slept."),
        ("Small on purpose", "Nothing to fill in that nobody will read."),
        ("Yours to take along", "Everything leaves as CSV and EML, at any time."),
    ]
    return one_pager("Relaso", "Every customer is one thread. A CRM for teams that talk.", points, "relaso.com")


def create_app() -> Starlette:
    """A fresh site with no one signed in."""
    site = Site()
    page = Callable[[Request], Awaitable[Response]]
    pages: dict[str, page] = {
        "/": site.home,
        "/pricing": site.pricing,
        "/blog": site.blog,
        "/blog/{year:int}/{slug}": site.article,
        "/privacy": site.privacy,
        "/logout": site.logout,
        "/app/": site.app,
        "/app/deals": site.deals,
        "/app/deals/{number:int}": site.deal,
        "/downloads/relaso-overview.pdf": site.overview,
        "/robots.txt": site.robots,
        "/sitemap.xml": site.sitemap,
        "/favicon.ico": site.favicon,
    }
    routes = [Route(path, endpoint) for path, endpoint in pages.items()]
    forms = [
        Route("/contact", site.contact, methods=["GET", "POST"]),
        Route("/login", site.login, methods=["GET", "POST"]),
    ]
    assets = Mount("/assets", StaticFiles(directory=HERE / "assets"))
    return Starlette(
        routes=[*routes, *forms, assets],
        exception_handlers={404: site.not_found},
        middleware=[Middleware(GZipMiddleware, minimum_size=512)],
    )


app = create_app()
