"""The demo in Chromium: closed until asked, open to what was agreed to, closed again after a refusal."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import NewContext
from tests.browser.foreign import CHROMIUMS_OWN, Foreign

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PAGES = (
    "/",
    "/pricing",
    "/blog",
    "/blog/2026/handing-over-a-customer",
    "/blog/2026/forecasts-that-hold",
    "/contact",
    "/login",
    "/privacy",
    "/no-such-page",
)
FEW = ("/", "/pricing", "/blog/2026/handing-over-a-customer")
"""Between them they carry every tag."""
ARTICLE = "/blog/2026/handing-over-a-customer"

ALLOWED = {"js.stripe.com"}
ASKED = {
    "cdnjs.cloudflare.com",
    "connect.facebook.net",
    "fonts.googleapis.com",
    "js.hs-scripts.com",
    "snap.licdn.com",
    "use.typekit.net",
    "widget.intercom.io",
    "widget.partner.example",
    "www.googletagmanager.com",
    "www.youtube.com",
}
BLOCKED = {
    "collect.unknown-third.example",
    "static.hotjar.com",
    "stats.unknown-third.example",
    "tags.adflow.example",
}
HINTED = {"fonts.gstatic.com"}
"""Hosts that are only hinted at: a connection, and no request."""
WITHOUT_SCRIPTS = {
    "fonts.googleapis.com",
    "fonts.gstatic.com",
    "px.ads.linkedin.com",
    "stats.unknown-third.example",
    "use.typekit.net",
    "www.facebook.com",
    "www.googletagmanager.com",
    "www.youtube.com",
}
"""What a browser contacts that runs no scripts: images and frames in noscript, styles, hints."""

SCRIPTS = pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])

SETTLING = 1.0
"""Seconds after the last page in which something late may still come. The control below shows that they suffice."""


def visit(page: Page, base: str, paths: Iterable[str] = PAGES) -> None:
    for path in paths:
        page.goto(base + path, wait_until="load")
    page.wait_for_timeout(SETTLING * 1000)


def choose(page: Page, choice: str) -> None:
    """Press a button of the banner and wait until the banner is gone, reloaded or not."""
    page.click(f"#vestibule button[name=choice][value={choice}]")
    page.wait_for_function("!document.querySelector('#vestibule')?.checkVisibility()")
    page.wait_for_load_state("networkidle")  # a reload that comes later would get in the way of what is visited next


def names(context: BrowserContext) -> set[str]:
    return {cookie["name"] for cookie in context.cookies()}


def until_contacted(page: Page, foreign: Foreign, hosts: set[str]) -> None:
    """Wait while the page goes on living; fails with what was missing."""
    deadline = time.monotonic() + 10
    while not hosts <= foreign.hosts:
        assert time.monotonic() < deadline, f"never contacted: {sorted(hosts - foreign.hosts)}"
        page.wait_for_timeout(50)


# -- the control: these tests can fail


def test_without_vestibule_every_third_party_is_contacted(site: str, foreign: Foreign, new_context: NewContext) -> None:
    visit(new_context().new_page(), site)
    assert foreign.hosts == ALLOWED | ASKED | BLOCKED | HINTED


def test_without_vestibule_and_scripts_noscript_tags_are(site: str, foreign: Foreign, new_context: NewContext) -> None:
    visit(new_context(java_script_enabled=False).new_page(), site)
    assert foreign.hosts == WITHOUT_SCRIPTS


def test_without_vestibule_the_site_sets_its_cookies_at_once(site: str, new_context: NewContext) -> None:
    context = new_context()
    visit(context.new_page(), site, ["/"])
    assert {"_ga", "rl_visitor", "_fbp"} <= names(context)


def test_the_browsers_own_hosts_are_none_of_the_demos() -> None:
    root = Path(__file__).resolve().parents[2] / "demo" / "site"
    texts = [file.read_text() for file in (*root.rglob("*.html"), *root.rglob("*.js"), *root.rglob("*.py"))]
    assert not [host for host in CHROMIUMS_OWN for text in texts if host in text]


# -- before a choice


@SCRIPTS
def test_before_a_choice_nothing_foreign_is_contacted(
    front: str, foreign: Foreign, new_context: NewContext, scripts: bool
) -> None:
    visit(new_context(java_script_enabled=scripts).new_page(), front)
    assert foreign.hosts == (ALLOWED if scripts else set())


@SCRIPTS
def test_before_a_choice_no_hint_is_left(front: str, new_context: NewContext, scripts: bool) -> None:
    """A dns-prefetch opens no connection that could be seen, so the page itself is looked at."""
    page = new_context(java_script_enabled=scripts).new_page()
    page.goto(front + "/")
    assert page.locator("link[rel~=dns-prefetch], link[rel~=preconnect]").count() == 0


@SCRIPTS
def test_before_a_choice_no_cookie_is_set(front: str, new_context: NewContext, scripts: bool) -> None:
    context = new_context(java_script_enabled=scripts)
    visit(context.new_page(), front)
    assert context.cookies() == []


@SCRIPTS
def test_the_banner_is_seen_and_offers_both_answers_alike(front: str, new_context: NewContext, scripts: bool) -> None:
    page = new_context(java_script_enabled=scripts).new_page()
    page.goto(front + "/")
    buttons = [page.locator(f"#vestibule button[name=choice][value={choice}]") for choice in ("accept", "reject")]
    boxes = [button.bounding_box() for button in buttons]
    assert all(button.is_visible() for button in buttons)
    assert all(box is not None and box["height"] >= 24 for box in boxes)
    assert buttons[0].evaluate("e => getComputedStyle(e).fontSize") == buttons[1].evaluate(
        "e => getComputedStyle(e).fontSize"
    )


def test_signing_in_works_without_a_choice(front: str, foreign: Foreign, new_context: NewContext) -> None:
    context = new_context()
    page = context.new_page()
    page.goto(front + "/app/deals/17")
    assert page.url.startswith(front + "/login")
    page.fill("[name=email]", "ines@relaso.com")
    page.fill("[name=password]", "anything")
    page.click("form[action='/login'] button")
    page.wait_for_url(front + "/app/deals/17")
    assert "Nordlicht Druckerei" in page.inner_text("h1")
    page.wait_for_timeout(SETTLING * 1000)
    assert names(context) == {"relaso_session"}
    assert foreign.hosts == set()


# -- after a choice


@SCRIPTS
def test_after_accept_all_the_asked_services_load(
    front: str, foreign: Foreign, new_context: NewContext, scripts: bool
) -> None:
    context = new_context(java_script_enabled=scripts)
    page = context.new_page()
    page.goto(front + "/")
    if scripts:
        choose(page, "accept")
    else:
        accept_without_scripts(page)
    foreign.clear()
    visit(page, front, FEW)
    expected = ASKED | ALLOWED if scripts else WITHOUT_SCRIPTS - BLOCKED - HINTED
    assert foreign.hosts - HINTED == expected


def accept_without_scripts(page: Page) -> None:
    page.click("#vestibule button[name=choice][value=accept]")
    page.wait_for_load_state("load")
    assert page.locator("#vestibule button[name=choice]").count() == 0


def test_after_accept_all_the_page_that_is_open_comes_to_life(
    front: str, foreign: Foreign, new_context: NewContext
) -> None:
    page = new_context().new_page()
    page.goto(front + ARTICLE)
    choose(page, "accept")
    until_contacted(page, foreign, ASKED)
    assert not foreign.hosts & BLOCKED


@SCRIPTS
def test_an_embed_can_be_let_in_alone(front: str, foreign: Foreign, new_context: NewContext, scripts: bool) -> None:
    page = new_context(java_script_enabled=scripts).new_page()
    page.goto(front + ARTICLE)
    page.click("[data-vestibule-placeholder=youtube] button")
    until_contacted(page, foreign, {"www.youtube.com"})
    page.wait_for_timeout(SETTLING * 1000)
    assert foreign.hosts == {"www.youtube.com"}


def test_accepting_lets_the_sites_own_analytics_cookie_through(front: str, new_context: NewContext) -> None:
    context = new_context()
    page = context.new_page()
    page.goto(front + "/")
    choose(page, "accept")
    page.goto(front + "/pricing")
    assert "_ga" in names(context)
    assert "rl_visitor" not in names(context), "nothing declares it, and `cookies.unknown` is block"


@SCRIPTS
def test_after_reject_all_nothing_foreign_loads_and_the_cookies_are_gone(
    front: str, foreign: Foreign, new_context: NewContext, scripts: bool
) -> None:
    context = new_context(java_script_enabled=scripts)
    context.add_cookies(
        [
            {"name": "_ga", "value": "GA1.1.1.1", "url": front},
            {"name": "rl_visitor", "value": "1f", "url": front, "httpOnly": True},
        ]
    )
    page = context.new_page()
    page.goto(front + "/")
    if scripts:
        choose(page, "reject")
    else:
        page.click("#vestibule button[name=choice][value=reject]")
        page.wait_for_load_state("load")
    visit(page, front, FEW)
    assert foreign.hosts == (ALLOWED if scripts else set())
    assert not names(context) & {"_ga", "_fbp", "rl_visitor"}
    assert len(names(context)) == 1, "the choice itself, and nothing besides"


def test_withdrawing_closes_what_was_open_and_clears_what_it_left(
    front: str, foreign: Foreign, new_context: NewContext
) -> None:
    context = new_context()
    page = context.new_page()
    page.goto(front + "/")
    choose(page, "accept")
    visit(page, front, ["/"])
    assert {"_ga", "_fbp"} <= names(context)
    page.goto(front + "/_privacy/")
    with page.expect_navigation():
        page.click("button[name=choice][value=reject] >> nth=0")
    foreign.clear()
    visit(page, front, FEW)
    assert foreign.hosts == ALLOWED
    assert not [name for name in names(context) if re.match(r"_ga|_fbp", name)]


def test_the_choice_is_kept_where_scripts_cannot_read_it(front: str, new_context: NewContext) -> None:
    context = new_context()
    page = context.new_page()
    page.goto(front + "/")
    choose(page, "reject")
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    page.goto(front + "/")
    assert page.locator("#vestibule button[name=choice][value=accept]").count() == 0


@pytest.mark.parametrize("choice", ["accept", "reject"])
def test_the_banners_form_works_without_scripts(front: str, new_context: NewContext, choice: str) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(front + "/pricing?from=test")
    with page.expect_navigation():
        page.click(f"#vestibule button[name=choice][value={choice}]")
    assert page.url == front + "/pricing?from=test"
    assert page.locator("#vestibule button[name=choice]").count() == 0
    assert "One price a seat" in page.inner_text("h1")
