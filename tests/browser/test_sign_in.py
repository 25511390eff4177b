"""Temporary or kept, in Chromium with a profile on disk: what is left when it was closed, and after a month."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from demo.site import create_app
from tests.browser.conftest import NewContext
from tests.browser.test_demo import PAGES, choose, names
from tests.servers import ROOT, serve_asgi
from tests.sites import SECRET, Recording
from vestibule.config import Config, load
from vestibule.middleware import ConsentMiddleware
from vestibule.upstream import Upstream

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

MAIL = "ines@relaso.com"
DAY = 86_400
INSIDE = ("/app/", "/app/deals", "/app/deals/17")


class Hours:
    """The server's clock, which tests move."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class House:
    """Vestibule in front of the demo site, by a clock of its own."""

    def __init__(self, url: str, clock: Hours) -> None:
        self.url, self.clock = url, clock

    def sign_in(self, page: Page, *, keep: bool, path: str = "/login") -> None:
        page.goto(self.url + path)
        page.fill("[name=email]", MAIL)
        page.fill("[name=password]", "anything")
        if keep:
            page.check("[name=keep_me_signed_in]")
        page.click("form[action='/login'] button")
        page.wait_for_load_state("load")

    def is_inside(self, page: Page, path: str = "/app/deals/17") -> bool:
        page.goto(self.url + path)
        return page.url == self.url + path and "Nordlicht" in page.inner_text("body")


@pytest.fixture(scope="module")
def config() -> Config:
    return load(ROOT / "demo" / "config", {})


@pytest.fixture
def house(config: Config, tmp_path: Path) -> Iterator[House]:
    clock = Hours()
    with serve_asgi(create_app()) as upstream:
        whole = ConsentMiddleware(
            Upstream(upstream), config, secrets=[SECRET], sender=Recording(), state=tmp_path, dev=True, clock=clock
        )
        with serve_asgi(whole, lifespan="on") as url:
            yield House(url.replace("127.0.0.1", "localhost"), clock)


def test_without_the_box_closing_the_browser_signs_out(house: House, new_context: NewContext) -> None:
    context = new_context()
    page = context.new_page()
    house.sign_in(page, keep=False)
    assert house.is_inside(page)
    assert names(context) == {"relaso_session"}
    context.close()
    page = new_context().new_page()
    assert not house.is_inside(page)
    assert page.url.startswith(house.url + "/login")


def test_with_the_box_the_visitor_is_still_signed_in_and_so_are_their_preferences(
    house: House, new_context: NewContext
) -> None:
    context = new_context()
    page = context.new_page()
    page.goto(house.url + "/")
    choose(page, "reject")
    house.sign_in(page, keep=True)
    page.goto(house.url + "/app/deals?sort=company")
    first = page.inner_text("tbody th")
    assert names(context) == {"relaso_session", "keep", "vestibule"}
    assert {(each["httpOnly"], each["sameSite"]) for each in context.cookies()} == {(True, "Lax")}
    context.close()

    context = new_context()
    page = context.new_page()
    assert house.is_inside(page)
    page.goto(house.url + "/app/deals")
    assert page.inner_text("tbody th") == first
    # The same without the site's session: the site opens another, with what it kept.
    context.clear_cookies(name="relaso_session")
    context.clear_cookies(name="vestibule")
    assert house.is_inside(page)
    page.goto(house.url + "/app/deals")
    assert page.inner_text("tbody th") == first
    assert page.locator("#vestibule button[name=choice][value=accept]").count() == 0, "nor are they asked again"
    assert names(context) == {"relaso_session", "keep", "vestibule"}


def test_after_thirty_days_the_visitor_is_signed_out(house: House, new_context: NewContext, tmp_path: Path) -> None:
    context = new_context()
    page = context.new_page()
    house.sign_in(page, keep=True)
    context.close()
    a_month_passes(tmp_path / "profile", house)
    context = new_context()
    page = context.new_page()
    assert not house.is_inside(page)
    assert names(context) == set()


def test_after_thirty_days_a_browser_that_keeps_its_cookies_is_signed_out_too(
    house: House, new_context: NewContext
) -> None:
    context = new_context()
    page = context.new_page()
    house.sign_in(page, keep=True)
    assert house.is_inside(page)
    house.clock.ahead = 30 * DAY + 60
    assert not house.is_inside(page)
    assert "keep" not in names(context)


def a_month_passes(profile: Path, house: House) -> None:
    """For the server, and for the browser: its cookies are thirty days older."""
    house.clock.ahead = 30 * DAY + 60
    (database,) = profile.rglob("Cookies")
    connection = sqlite3.connect(database)
    with connection:
        shift = (30 * DAY + 60) * 1_000_000
        moved = connection.execute("UPDATE cookies SET expires_utc = expires_utc - ? WHERE has_expires", (shift,))
        assert moved.rowcount > 0
    connection.close()


def test_signing_out_in_one_tab_is_for_all(house: House, new_context: NewContext) -> None:
    context = new_context()
    one, two = context.new_page(), context.new_page()
    house.sign_in(one, keep=True)
    assert house.is_inside(two)
    one.goto(house.url + "/logout")
    assert not house.is_inside(two)
    assert names(context) == set()


def test_signing_out_on_all_devices_is_for_every_profile(house: House, new_context: NewContext) -> None:
    phone, desk = new_context("phone"), new_context("desk")
    pages = [phone.new_page(), desk.new_page()]
    for page in pages:
        house.sign_in(page, keep=True)
    pages[0].goto(house.url + "/_privacy/")
    assert MAIL in pages[0].inner_text("body")
    pages[0].click("form[action^='/_privacy/sign-out'] button")
    pages[0].wait_for_load_state("load")
    assert "signed out on all devices" in pages[0].inner_text("[role=status]")
    for page in pages:
        assert not house.is_inside(page)
    assert names(phone) | names(desk) == set()


READ = """async () => {
    const found = [], paths = ["/_privacy/", "/_privacy/data"];
    const settled = () => new Promise((done) => setTimeout(done, 1500));
    for (const path of paths) {
        found.push(await (await fetch(path)).text());
        const frame = Object.assign(document.createElement("iframe"), { src: path });
        document.body.append(frame);
        const opened = window.open(path);
        await settled();
        for (const other of [frame.contentWindow, opened]) {
            try { found.push(other.document.documentElement.outerHTML); } catch (error) { found.push(String(error)); }
        }
    }
    return found;
}"""


def test_no_script_in_a_page_reads_who_it_is_or_by_what_they_stay_signed_in(
    house: House, new_context: NewContext
) -> None:
    context = new_context()
    page = context.new_page()
    house.sign_in(page, keep=True)
    secret = [cookie["value"] for cookie in context.cookies() if cookie.get("httpOnly")]
    assert len(secret) > 1
    page.goto(house.url + "/pricing")
    found = "".join(page.evaluate(READ))
    assert MAIL not in found
    assert [value for value in secret if value in found] == []
    page.goto(house.url + "/_privacy/")
    shown = page.content()
    assert MAIL in shown, "its owner reads it"
    assert [value for value in secret if value in shown] == []


def test_with_cookies_turned_off_a_visitor_is_told_why(house: House, new_context: NewContext, tmp_path: Path) -> None:
    context = without_cookies(new_context, tmp_path)
    page = context.new_page()
    page.goto(house.url + "/pricing")
    assert "One price a seat" in page.inner_text("h1"), "public pages work"
    house.sign_in(page, keep=True, path="/app/deals/17")
    assert page.url.startswith(house.url + "/app/deals/17")
    assert "Zum Anmelden wird ein Cookie gebraucht" in page.inner_text("h1")
    page.click("text=Zurück zur Website")
    page.wait_for_url(house.url + "/")
    assert context.cookies() == []


def without_cookies(new_context: NewContext, tmp_path: Path) -> BrowserContext:
    """Chromium as somebody has it who turned cookies off."""
    preferences = tmp_path / "profile" / "Default" / "Preferences"
    preferences.parent.mkdir(parents=True)
    preferences.write_text('{"profile": {"default_content_setting_values": {"cookies": 2}}}')
    return new_context(locale="de-DE")


@pytest.mark.parametrize("choice", ["none", "reject"])
def test_refused_cookies_are_absent_after_every_page(house: House, new_context: NewContext, choice: str) -> None:
    context = new_context()
    page = context.new_page()
    if choice == "reject":
        page.goto(house.url + "/")
        choose(page, "reject")
    house.sign_in(page, keep=True)
    allowed = {"relaso_session", "keep"} | ({"vestibule"} if choice == "reject" else set())
    for path in (*PAGES, *INSIDE):
        # As if they had been set before there was a Vestibule: by scripts, and where scripts can't see them.
        context.add_cookies(
            [
                {"name": "_ga", "value": "GA1.1.1.1", "url": house.url},
                {"name": "rl_visitor", "value": "1f", "url": house.url, "httpOnly": True},
                {"name": "nobody_knows", "value": "1", "url": house.url},
            ]
        )
        page.goto(house.url + path, wait_until="load")
        assert names(context) == allowed, path


ODD = (
    "nobody_a=1; Max-Age=0; Max-Age=x",
    "nobody_b=1; Max-Age=0; Max-Age=+5000",
    "nobody_c=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Expires=junk",
    "relaso_session=1; Max-Age=-1; Max-Age=",
)
STAYS_PUT = (
    "chips=1; Secure; Partitioned; Path=/",
    "deep=1; Secure; Partitioned",
    "__Secure-nobody=1; Secure; Path=/",
    "__Host-nobody=1; Secure; Path=/; Partitioned",
)


def test_no_cookie_stays_by_the_words_in_which_it_was_set(
    config: Config, new_context: NewContext, tmp_path: Path
) -> None:
    """Removals that Chromium takes for none, and cookies that it takes no plain removal for."""

    sets = {"/odd": ODD, "/before": ("__Http-nobody=1; Secure; HttpOnly; Path=/",)}

    async def site(request: Request) -> HTMLResponse:
        response = HTMLResponse("<!doctype html><title>x</title>")
        for cookie in sets.get(request.url.path, ()):
            response.headers.append("Set-Cookie", cookie)
        return response

    app = Starlette(routes=[Route("/{path:path}", site)])
    whole = ConsentMiddleware(app, config, secrets=[SECRET], sender=Recording(), state=tmp_path, dev=True)
    with serve_asgi(app) as bare, serve_asgi(whole) as url:
        bare, url = (each.replace("127.0.0.1", "localhost") for each in (bare, url))
        context = new_context()
        page = context.new_page()
        page.goto(url + "/odd")
        assert names(context) == set()
        # What scripts and older servers may set on https only; browsers take localhost for as good.
        page.goto(url + "/folder/")
        page.evaluate("cookies => cookies.forEach(cookie => { document.cookie = cookie })", list(STAYS_PUT))
        page.goto(bare + "/before")  # cookies are of all ports
        assert names(context) == {"chips", "deep", "__Secure-nobody", "__Host-nobody", "__Http-nobody"}
        context.set_extra_http_headers({"X-Forwarded-Proto": "https"})
        page.goto(url + "/folder/next")
        assert names(context) == set()
