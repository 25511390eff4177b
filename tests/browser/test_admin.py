"""The dashboard in Chromium: rows filter, the graph answers, nothing foreign, nothing that the policy refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.admin import PASSWORD, Admin, admin
from tests.browser.conftest import NewContext
from tests.browser.foreign import CHROMIUMS_OWN, Foreign

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

LEAK_CHECK = {"passwordsleakcheck-pa.googleapis.com"}
"""Where Chromium itself asks after every password that was typed."""
SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shift += entry.value; })
  .observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="module")
def house() -> Iterator[Admin]:
    with admin() as served:
        yield served


@pytest.fixture
def signed_in(house: Admin, new_context: NewContext) -> Callable[..., Page]:
    def start(**options: object) -> Page:
        page = new_context(**options).new_page()
        page.goto(house.url)
        page.fill("[name=name]", "ada")
        page.fill("[name=password]", PASSWORD)
        page.click("button")
        page.wait_for_selector(".panels")
        return page

    return start


def test_a_morning_with_the_dashboard(signed_in: Callable[..., Page], foreign: Foreign) -> None:
    page = signed_in()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.reload()
    expect(page.locator("#plot canvas")).to_be_visible()
    page.click("#places tbody a >> text=Austria")
    expect(page.locator(".chip strong")).to_have_text("Austria")
    assert "where=country%3AAT" in page.url
    expect(page.locator("#plot canvas")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".chip")).to_have_count(0)
    page.go_back()
    expect(page.locator(".chip strong")).to_have_text("Austria")
    page.keyboard.press("1")
    expect(page.locator("h1")).to_have_text("Sun 22 Nov 2026")
    page.click("a.tile >> text=Blocked")
    expect(page.locator("#graph")).to_have_attribute("data-name", "Blocked requests")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    assert said == []
    assert {host for host in foreign.hosts if host not in CHROMIUMS_OWN | LEAK_CHECK} == set()


def test_details_are_searched_and_lead_on(signed_in: Callable[..., Page]) -> None:
    page = signed_in()
    page.click("#pages a.details")
    rows = page.locator("dialog tbody tr:visible")
    expect(rows).to_have_count(12)
    page.fill("dialog input", "BLOG")
    expect(rows).to_have_count(2)
    page.click("dialog tbody a:visible >> nth=0")
    expect(page.locator(".chip strong")).to_have_text("/blog/2026/why-counts-are-enough")
    expect(page.locator("dialog")).to_have_count(2)
    assert page.locator("dialog[open]").count() == 0


def test_a_stretch_of_the_graph_becomes_the_period(signed_in: Callable[..., Page]) -> None:
    page = signed_in()
    box = page.locator("#plot .u-over").bounding_box()
    assert box is not None
    y, slot = box["y"] + 50, box["width"] / 7
    page.mouse.move(box["x"] + slot * 1.5, y)
    expect(page.locator(".tip")).to_contain_text("17 Nov")
    page.mouse.down()
    page.mouse.move(box["x"] + slot * 3.5, y, steps=4)
    page.mouse.up()
    expect(page.locator("h1")).to_have_text("17 – 19 Nov 2026")


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_or_shifts(signed_in: Callable[..., Page], width: int, scheme: str) -> None:
    page = signed_in(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.add_init_script(SHIFTS)
    for path in ("/?period=28d", "/?where=country:DE&graph=blocked"):
        page.goto(page.url.split("?")[0].rstrip("/") + path)
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("window.shift") < 0.01


def test_without_javascript_it_is_links_and_forms(signed_in: Callable[..., Page]) -> None:
    page = signed_in(java_script_enabled=False)
    expect(page.locator("svg.plot-bars")).to_be_visible()
    page.click("#places tbody a >> text=Austria")
    expect(page.locator(".chip strong")).to_have_text("Austria")
    page.click("#places .tabs a >> text=Languages")
    expect(page.locator("#places tbody a").first).to_have_text("de-DE")
    page.click("#custom summary")
    page.fill("[name=from]", "2026-11-02")
    page.fill("[name=to]", "2026-11-08")
    page.click("#custom button")
    expect(page.locator("h1")).to_have_text("2 – 8 Nov 2026")
    page.click("#pages a.details")
    expect(page.locator("h1")).to_have_text("Pages")
    page.click("text=Back")
    page.click("#menu summary")
    page.click("text=Sign out")
    expect(page.locator("h1")).to_have_text("Sign in")
