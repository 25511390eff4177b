"""Sites with strict policies of their own, in headers and in the page, in Chromium: the banner works nonetheless."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.browser.conftest import NewContext
from tests.browser.foreign import Foreign
from tests.sites import Front, configured, front

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

POLICIES = {
    "none": "default-src 'none'; form-action 'none'; base-uri 'none'",
    "nonce": "script-src 'nonce-abc' 'strict-dynamic'; style-src 'nonce-abc'; form-action 'none'",
    "lists": "script-src https://cdn.example; style-src https://cdn.example; connect-src https://cdn.example",
}
INLINE = "<script nonce=abc>document.documentElement.dataset.ran = 'yes'</script>"


async def page(request: Request) -> Response:
    policy, place = POLICIES[request.path_params["policy"]], request.path_params["place"]
    meta = f'<meta charset=utf-8><meta http-equiv="Content-Security-Policy" content="{policy}">'
    if place == "noscript":
        meta = f"<noscript>{meta}</noscript>"
    headers = {"content-security-policy": policy} if place == "header" else {}
    head = "" if place == "header" else meta
    tracker = "<script src=https://www.googletagmanager.com/gtag/js?id=G-1></script>"
    return HTMLResponse(
        f"<!doctype html><html><head>{head}{INLINE}{tracker}</head><body>page</body></html>", headers=headers
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("site")
    app = Starlette(routes=[Route("/{place}/{policy}", page)])
    with front("middleware", configured(folder), folder / "state", app, dev=True) as running:
        yield running


def address(site: Front, place: str, policy: str) -> str:
    return site.url.replace("127.0.0.1", "localhost") + f"/{place}/{policy}"


def banner_is_whole(page: Page) -> None:
    banner = page.locator("#vestibule")
    expect(banner).to_be_visible()
    assert banner.evaluate("banner => getComputedStyle(banner).position") == "fixed", "styled"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("place", ["header", "meta"])
def test_with_scripts(site: Front, foreign: Foreign, new_context: NewContext, place: str, policy: str) -> None:
    page = new_context().new_page()
    page.goto(address(site, place, policy))
    banner_is_whole(page)
    assert page.evaluate("typeof window.vestibule") == "object", "our script runs"
    ran = page.evaluate("document.documentElement.dataset.ran")
    assert ran == ("yes" if policy == "nonce" else None), "the site's policy is what it was"
    page.evaluate("window.mark = true")
    page.get_by_role("button", name="Reject all").click()
    expect(page.locator("#vestibule")).to_be_hidden()
    assert page.evaluate("window.mark") is True, "our scripts did it, and no form that leads to a new page"
    page.reload()
    expect(page.locator("#vestibule")).to_have_count(0)
    assert foreign.hosts == set()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("place", ["header", "meta", "noscript"])
def test_without_scripts(site: Front, foreign: Foreign, new_context: NewContext, place: str, policy: str) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(address(site, place, policy))
    expect(page.locator("#vestibule")).to_be_visible()
    box = page.locator("#vestibule").bounding_box()
    assert box is not None
    assert box["y"] > 200, "styled: it stands at the foot of the window, not first in the page"
    page.get_by_role("button", name="Reject all").click()
    expect(page.locator("#vestibule")).to_have_count(0)
    assert foreign.hosts == set()
