"""The dashboard in Chromium: rows filter, the graph answers, nothing foreign, nothing that the policy refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from tests.admin import PASSWORD, Admin, MemoryBackend, MemoryOffice, admin, person, settings
from tests.browser.conftest import NewContext
from tests.browser.foreign import CHROMIUMS_OWN, Foreign
from tests.provider import CLIENT, SECRET, provider
from tests.servers import ROOT, serve_asgi, wait_until
from vestibule import config
from vestibule.dashboard import ConfigDesk, Oidc, Role, Table, create_app
from vestibule.dashboard.oidc import CALLBACK
from vestibule.dashboard.panels import VIEWS

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

LEAK_CHECK = {"passwordsleakcheck-pa.googleapis.com"}
"""Where Chromium itself asks after every password that was typed."""
SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shift += entry.value; })
  .observe({ type: "layout-shift", buffered: true });
"""


STAFF = {"ada": "viewer", "erik": "engineer", "olga": "officer"}
"""Users and their roles."""


class Switched:
    """What was written into trackers.yaml."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, folder: Path, service: str, state: str) -> None:
        self.lines.append((service, state))


@pytest.fixture(scope="module")
def switched() -> Switched:
    return Switched()


@pytest.fixture(scope="module")
def house(switched: Switched) -> Iterator[Admin]:
    folder = ROOT / "demo" / "config"
    desk = ConfigDesk(config.load(folder, {}), folder, switched)
    office = MemoryOffice(rows={Table.NOTES: {"n1": {"day": "2026-11-18", "text": "Release", "by": "ada"}}})
    people = {name: person(name, role) for name, role in STAFF.items()}
    roles = {Role.VIEWER: ("all",)}
    oidc = Oidc("https://login.example.com", "vestibule", "secret", "http://localhost", "groups", roles)
    with admin(MemoryBackend(people=people), office=office, desk=desk, oidc=oidc) as served:
        yield served


@pytest.fixture
def signed_in(house: Admin, new_context: NewContext) -> Callable[..., Page]:
    def start(name: str = "ada", **options: object) -> Page:
        page = new_context(**options).new_page()
        page.goto(house.url)
        page.fill("[name=name]", name)
        page.fill("[name=password]", PASSWORD)
        page.click("button")
        page.wait_for_selector(".panels")
        if options.get("java_script_enabled", True):
            # Shown by the script, which listens to keys from then on.
            page.wait_for_selector("#help-open:not([hidden])", state="attached")
        return page

    return start


def holds_focus(page: Page, selector: str) -> None:
    """Wait until keys go there: a window in the background has no focus, but an element that would have it."""
    wait_until(lambda: page.evaluate(f"document.activeElement.matches('{selector}')") is True, f"focus on {selector}")


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
    for key in ("Escape", "Enter"):
        page.keyboard.press("?")
        holds_focus(page, "#help button")
        page.keyboard.press(key)
        expect(page.locator("#help")).to_be_hidden()
    # The key that comes before the frame in which a closed sheet gives the focus back.
    page.evaluate(
        "document.querySelector('#help button').dispatchEvent(new KeyboardEvent('keydown', {key: '?', bubbles: true}))"
    )
    holds_focus(page, "#help button")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    expect(page.locator(".chip strong")).to_have_text("Austria")
    page.keyboard.press("1")
    expect(page.locator("h1")).to_have_text("Sun 22 Nov 2026")
    page.click("a.tile >> text=Blocked")
    expect(page.locator("#graph")).to_have_attribute("data-name", "Blocked")
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


def test_nothing_jumps_when_other_numbers_come(signed_in: Callable[..., Page]) -> None:
    page = signed_in()
    page.add_init_script(SHIFTS)
    page.goto(page.url)
    for key in ("4", "c", "1", "t", "o"):
        page.keyboard.press(key)
        expect(page.locator(f"[aria-current=page][data-key='{key}']")).to_be_visible()
    page.click("#places tbody a >> text=Austria")
    expect(page.locator(".chip strong")).to_have_text("Austria")
    page.click("#pages a.details")
    holds_focus(page, "dialog[open] input")
    page.wait_for_timeout(200)
    assert page.evaluate("window.shift") < 0.01


def test_tables_are_read_on_a_telephone(signed_in: Callable[..., Page]) -> None:
    page = signed_in("erik", viewport={"width": 360, "height": 740}, locale="de-DE")
    page.goto(page.url.split("?")[0].rstrip("/") + "/trackers")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for cell in ("#strangers tbody th", "#switches tbody th >> nth=1", "#switches button >> nth=1"):
        box = page.locator(cell).first.bounding_box()
        assert box is not None
        assert box["width"] > 40, cell
        assert box["height"] < 60, cell
    assert Axe().run(page).response["violations"] == []


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
    expect(page.locator("#places tbody a").first).to_have_text("German (Germany)")
    page.click("#custom > summary")
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


def test_marketing_asks_about_yesterday(signed_in: Callable[..., Page]) -> None:
    page = signed_in()
    page.keyboard.press("2")
    expect(page.locator("h1")).to_have_text("Sat 21 Nov 2026")
    expect(page.locator("#sources tbody a").first).to_have_text("Direct")
    page.click("#sources tbody a >> nth=1")
    expect(page.locator(".chip strong")).to_have_text("Google")
    expect(page.locator("#pages tbody a").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".chip")).to_have_count(0)
    page.click("#against summary")
    page.click("#against >> text=last year")
    expect(page.locator(".mark.dash")).to_contain_text("2025")
    assert "against=year" in page.url
    page.click("#movements .go a >> nth=0")
    expect(page.locator(".flow-page")).to_be_visible()
    with page.expect_download() as download:
        page.click("#pages a[download]")
    assert download.value.suggested_filename == "view-by-page.csv"


def test_details_are_sorted(signed_in: Callable[..., Page]) -> None:
    page = signed_in()
    page.click("#pages a.details")
    page.click("dialog .sort >> text=Views")
    expect(page.locator("dialog thead th").nth(2)).to_have_attribute("aria-sort", "descending")
    page.click("dialog .sort >> text=Views")
    expect(page.locator("dialog tbody th").first).to_contain_text("/privacy")
    expect(page.locator("dialog tbody tr").last).to_contain_text("(rare)")


def test_an_engineer_finds_the_stranger_and_toggles(signed_in: Callable[..., Page], switched: Switched) -> None:
    page = signed_in("erik")
    page.keyboard.press("t")
    expect(page.locator("#strangers tbody th")).to_have_text("cdn.stranger.example")
    expect(page.locator("#strangers tbody pre")).to_contain_text("hosts: [cdn.stranger.example]")
    with page.expect_navigation():
        page.click("[aria-label='hotjar: ask']")
    expect(page.locator("#switches")).to_be_visible()
    assert switched.lines[-1] == ("hotjar", "ask")


def test_an_officer_finds_a_record(signed_in: Callable[..., Page]) -> None:
    page = signed_in("olga")
    page.keyboard.press("p")
    page.fill("#record-number", "r1")
    page.click("#record button")
    expect(page.locator("#record-found dd").first).to_have_text("r1")


def test_a_country_of_the_map_filters(signed_in: Callable[..., Page]) -> None:
    page = signed_in()
    page.locator("#places").scroll_into_view_if_needed()
    box = page.locator(".map use.heat-5").bounding_box()
    assert box is not None
    assert box["width"] > 3, "the map's file is not drawn"
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".chip strong")).to_have_text("Germany")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anyone_out(signed_in: Callable[..., Page], scheme: str) -> None:
    """axe-core finds nothing on any view, nor on the pages around them."""
    page = signed_in("olga", color_scheme=scheme, reduced_motion="reduce")
    base = page.url.split("?")[0].rstrip("/")
    paths = [view.path for view in VIEWS] + [
        "/access",
        "/details/places",
        "/?where=page:/pricing",
        "/nothing",
        "/login",
    ]
    found = {}
    for path in paths:
        page.goto(base + path)
        page.wait_for_timeout(150)
        violations = Axe().run(page).response["violations"]
        found[path] = [(each["id"], [node["target"] for node in each["nodes"]]) for each in violations]
    assert {path: each for path, each in found.items() if each} == {}


def test_who_comes_back_from_a_provider_is_in(new_context: NewContext) -> None:
    """The provider is another site: a cookie for this site alone must yet be sent on what follows."""
    apps: list[Starlette] = []

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await apps[0](scope, receive, send)

    with serve_asgi(late) as served:
        url = served.replace("127.0.0.1", "localhost")
        with provider(url + CALLBACK, {"sub": "u1", "preferred_username": "ada", "groups": ["all"]}) as house:
            known = Oidc(house.url, CLIENT, SECRET, url, "groups", {Role.VIEWER: ("all",)}, "Relaso")
            apps.append(
                create_app(MemoryBackend(people={"ada": person()}), settings(oidc=known), office=MemoryOffice())
            )
            page = new_context().new_page()
            page.goto(f"{url}/trackers")
            page.click("text=Sign in with Relaso")
            page.wait_for_selector("#strangers")
            assert page.url == f"{url}/trackers"
            expect(page.locator("#menu .menu-card strong")).to_have_text("oidc:ada")


def test_printed_it_is_the_numbers(signed_in: Callable[..., Page]) -> None:
    page = signed_in()
    page.emulate_media(media="print")
    expect(page.locator(".periods")).to_be_hidden()
    expect(page.locator("#menu")).to_be_hidden()
    expect(page.locator("#pages tbody th").first).to_be_visible()
    expect(page.locator("h1")).to_be_visible()
