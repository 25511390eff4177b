"""Banner, centre, announcement and placeholders as they are seen and used: in light and dark, small and zoomed, by
keyboard, without scripts."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import NewContext
from tests.servers import ROOT, serve_asgi
from tests.sites import Recording, in_arabic
from vestibule.config import load
from vestibule.middleware import ConsentMiddleware

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

AXE = Path(str(importlib.util.find_spec("axe_playwright_python").origin)).with_name("axe.min.js")  # type: ignore[union-attr]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OURS = ["#vestibule", "#vestibule-notice", ".vestibule-placeholder", "#vestibule-settings"]
ARTICLE = "/blog/2026/handing-over-a-customer"
DESK = {"width": 1280, "height": 800}
NARROW = {"width": 320, "height": 640}
ZOOMED = {"width": 320, "height": 256}
"""1280 by 1024 points at 400 %."""

LOOKS: list[dict[str, Any]] = [
    {"viewport": DESK},
    {"viewport": DESK, "color_scheme": "dark"},
    {"viewport": NARROW, "color_scheme": "dark"},
    {"viewport": ZOOMED},
    {"viewport": DESK, "locale": "ar"},
    {"viewport": NARROW, "locale": "ar", "color_scheme": "dark"},
]


@pytest.fixture(scope="module")
def announcing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo behind Vestibule, with a change of the policy announced."""
    from demo.site import create_app

    folder = tmp_path_factory.mktemp("announcing")
    for name in ("site.yaml", "trackers.yaml"):
        shutil.copy(ROOT / "demo" / "config" / name, folder)
    today = datetime.now(UTC).date()
    notice = (
        f"{{announced: {today - timedelta(days=1)}, effective: {today + timedelta(days=40)}, text: {{en: A change.}}}}"
    )
    text = (folder / "site.yaml").read_text(encoding="utf-8")
    (folder / "site.yaml").write_text(text.replace("policy:\n", f"policy:\n  notice: {notice}\n"), encoding="utf-8")
    app = ConsentMiddleware(
        in_arabic(create_app()),
        load(folder, {}),
        secrets=["a secret for tests"],
        sender=Recording(),
        state=folder / "state",
        dev=True,
    )
    with serve_asgi(app, lifespan="on") as url:
        yield url.replace("127.0.0.1", "localhost")


def violations(page: Page, *include: str) -> list[str]:
    """What axe-core finds, in short; within ``include`` as far as it is there, or on the whole page."""
    page.evaluate("Promise.all(document.getAnimations().map(({ finished }) => finished)).then(() => {})")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        """async ([selectors, rules]) => {
            const include = selectors.filter((each) => document.querySelector(each)).map((each) => [each]);
            const { violations } = await axe.run(include.length ? { include } : document, { runOnly: rules });
            return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html.slice(0, 200)));
        }""",
        [list(include), RULES],
    )
    assert isinstance(found, list)
    return found


def open_layers(page: Page) -> None:
    page.click("#vestibule summary")
    for summary in page.query_selector_all("#vestibule fieldset summary"):
        summary.click()


@pytest.mark.parametrize(
    "look", LOOKS, ids=lambda look: "-".join(map(str, [*look["viewport"].values(), *look.values()][2:]))
)
def test_nothing_stands_in_anyones_way(new_context: NewContext, announcing: str, look: dict[str, Any]) -> None:
    page = new_context(**look).new_page()
    page.goto(announcing + ARTICLE)
    for part in ("#vestibule", "#vestibule-notice", ".vestibule-placeholder"):
        assert page.get_attribute(part, "dir") == ("rtl" if "locale" in look else "ltr")
    assert violations(page, *OURS) == []
    open_layers(page)
    found = violations(page, *OURS)
    assert [each for each in found if not each.startswith("target-size: ")] == []
    # What is half behind the buttons at the end of the form can be scrolled out from there, and is large enough then.
    page.evaluate("document.querySelector('#vestibule form').scrollBy({ top: 40, behavior: 'instant' })")
    assert [each for each in violations(page, *OURS) if each in found or not each.startswith("target-size: ")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off sideways"
    page.click("#vestibule [value=accept]")
    page.wait_for_selector("#vestibule-settings a")
    assert violations(page, *OURS) == []
    page.goto(announcing + "/_privacy/")
    for details in page.query_selector_all("details"):
        details.evaluate("(each) => { each.open = true; }")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


BOXES = """(selector) => [...document.querySelectorAll(selector)].map((each) => {
    const { width, height } = each.getBoundingClientRect(), style = getComputedStyle(each);
    return { width, height, color: style.color, background: style.backgroundColor, font: style.font };
})"""


@pytest.mark.parametrize("look", LOOKS[:4], ids=["desk", "dark", "narrow", "zoomed"])
def test_refusing_looks_like_agreeing(new_context: NewContext, announcing: str, look: dict[str, Any]) -> None:
    page = new_context(**look).new_page()
    page.goto(announcing)
    reject, accept = page.evaluate(BOXES, "#vestibule [value=reject], #vestibule [value=accept]")
    assert reject == accept


TARGETS = (
    *("#vestibule label", "#vestibule button", "#vestibule summary", "#vestibule-notice button"),
    *(".vestibule-placeholder button", "#vestibule-settings a", "#vestibule-settings button"),
)
CENTRE_TARGETS = ("nav a", "label", "input[type=checkbox]", "button", ".vestibule-button", "summary", "footer li a")


def test_every_target_is_large_enough(new_context: NewContext, announcing: str) -> None:
    """24 by 24 points (WCAG 2.2, 2.5.8); links within a sentence are left out there, too."""
    page = new_context(viewport=NARROW).new_page()

    def small(*selectors: str) -> list[dict[str, Any]]:
        boxes = page.evaluate(BOXES, ", ".join(selectors))
        assert boxes
        # What is in a closed layer has no box.
        return [each for each in boxes if each["width"] and min(each["width"], each["height"]) < 24]

    page.goto(announcing + ARTICLE)
    open_layers(page)
    page.evaluate("document.getElementById('vestibule-settings').hidden = false")
    assert small(*TARGETS) == []
    page.goto(announcing + "/_privacy/")
    for details in page.query_selector_all("details"):
        details.evaluate("(each) => { each.open = true; }")
    assert small(*CENTRE_TARGETS) == []


def test_a_screen_reader_finds_everything_by_its_name(new_context: NewContext, announcing: str) -> None:
    page = new_context(viewport=DESK).new_page()
    page.goto(announcing + ARTICLE)
    banner = page.get_by_role("region", name="Cookies and privacy")
    assert banner.count() == 1
    for name in ("Reject all", "Accept all"):
        assert banner.get_by_role("button", name=name, exact=True).count() == 1
    banner.locator("summary").first.click()
    for name in ("Comfort", "Statistics", "Marketing"):
        assert banner.get_by_role("checkbox", name=name, exact=True).count() == 1
    assert banner.get_by_role("button", name="Save my choice").count() == 1
    notice = page.get_by_role("region", name="Announcement")
    assert notice.get_by_role("button").count() == 1
    assert page.locator(".vestibule-placeholder").get_by_role("button", name="YouTube").count() == 1
    page.goto(announcing + "/_privacy/")
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    for name in ("Statistics", "Marketing"):
        assert page.get_by_role("checkbox", name=name, exact=True).count() == 1


def test_the_centre_is_walked_through_by_keyboard(new_context: NewContext, announcing: str) -> None:
    page = new_context(viewport=NARROW, reduced_motion="reduce").new_page()
    page.goto(announcing + "/_privacy/")
    walked = 0
    while True:
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => {
                const each = document.activeElement;
                if (each === document.body) return null;
                const { left, right, top, bottom } = each.getBoundingClientRect();
                const shown = (from, to, room) => Math.min(to, room) - Math.max(from, 0) >= Math.min(to - from, 16) - 1;
                const inside = shown(left, right, innerWidth) && shown(top, bottom, innerHeight);
                return [each.matches(":focus-visible") && getComputedStyle(each).outlineStyle !== "none", inside,
                    each.outerHTML.slice(0, 120)];
            }"""
        )
        if seen is None:
            break
        assert seen[:2] == [True, True], seen[2]
        walked += 1
        assert walked < 200
    assert walked > 15


def focused(page: Page) -> str:
    return str(
        page.evaluate("document.activeElement.name ? document.activeElement.value : document.activeElement.localName")
    )


def test_the_keyboard_comes_to_the_banner_first_and_through_all_of_it(new_context: NewContext, front: str) -> None:
    page = new_context(viewport=DESK).new_page()
    page.goto(front)
    way = []
    for _ in range(5):
        page.keyboard.press("Tab")
        way.append(focused(page))
    assert way == ["a", "a", "summary", "reject", "accept"]
    page.focus("#vestibule summary")
    page.keyboard.press("Enter")
    way = []
    for _ in range(9):
        page.keyboard.press("Tab")
        way.append(focused(page))
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
        seen = page.evaluate(
            """() => {
                const { left, top, width, height } = document.activeElement.getBoundingClientRect();
                const found = document.elementFromPoint(left + width / 2, top + height / 2);
                return document.activeElement.contains(found) || found.contains(document.activeElement);
            }"""
        )
        assert seen, "what has the focus is never hidden"
    assert way == [
        "preferences",
        "summary",
        "statistics",
        "summary",
        "marketing",
        "summary",
        "reject",
        "accept",
        "save",
    ]


def test_what_is_behind_the_banner_can_be_seen_when_it_has_the_focus(new_context: NewContext, front: str) -> None:
    page = new_context(viewport=DESK).new_page()
    page.goto(front)
    links = page.query_selector_all("footer a")
    assert links
    for link in links:
        link.focus()
        # The demo scrolls smoothly.
        page.wait_for_function(
            """(link) => {
                const { left, top, width, height } = link.getBoundingClientRect();
                return link.contains(document.elementFromPoint(left + width / 2, top + height / 2));
            }""",
            arg=link,
        )


def state(page: Page, front: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(page.request.get(front + "/_privacy/consent").text())
    return answer


def test_everything_works_without_scripts(new_context: NewContext, announcing: str) -> None:
    context = new_context(java_script_enabled=False, viewport=DESK)
    page = context.new_page()
    page.goto(announcing + ARTICLE)
    page.click("#vestibule-notice button")
    assert page.url == announcing + ARTICLE
    assert page.query_selector("#vestibule-notice") is None
    page.click("#vestibule [value=accept]")
    assert (page.url, page.query_selector("#vestibule")) == (announcing + ARTICLE, None)
    assert state(page, announcing)["purposes"]["marketing"] is True
    page.click("#vestibule-settings [value=reject]")
    assert state(page, announcing)["purposes"]["marketing"] is False
    assert page.query_selector("#vestibule-settings [value=reject]") is None

    context.clear_cookies()
    page.goto(announcing + ARTICLE)
    page.click("#vestibule summary")
    page.check("#vestibule [value=statistics]")
    page.click("#vestibule fieldset summary")
    page.check("#vestibule [value=youtube]")
    page.click("#vestibule [value=save]")
    found = state(page, announcing)
    assert (found["purposes"]["statistics"], found["services"]) == (True, {"youtube": True})

    page.goto(announcing + "/_privacy/")
    with page.expect_download() as download:
        page.click("a[href='/_privacy/receipt']")
    assert download.value.suggested_filename == "consent-receipt.json"
    page.uncheck("[name=service][value=youtube]")
    page.click("main [value=save]")
    assert page.inner_text("[role=status]") == "Your choice has been saved."
    assert state(page, announcing)["services"] == {}
    page.click("form[action^='/_privacy/object'] button")
    assert state(page, announcing)["objection"] is True
    page.click("#browser ~ form[action^='/_privacy/erase'] button")
    assert page.inner_text("[role=status]").startswith("Everything this site had stored")
    assert state(page, announcing)["asked"] is True


PAINT = """() => new Promise((resolve) => {
    const shifts = [], paints = [];
    new PerformanceObserver((list) => shifts.push(...list.getEntries()))
        .observe({ type: "layout-shift", buffered: true });
    new PerformanceObserver((list) => paints.push(...list.getEntries()))
        .observe({ type: "largest-contentful-paint", buffered: true });
    setTimeout(() => {
        const last = paints.at(-1)?.element;
        resolve([shifts.reduce((sum, { value }) => sum + value, 0), last ? last.localName + "." + last.className : ""]);
    }, 1000);
})"""


@pytest.mark.parametrize("viewport", [DESK, {"width": 390, "height": 844}], ids=["desk", "phone"])
def test_the_banner_moves_nothing_and_is_not_the_largest_paint(
    new_context: NewContext, site: str, front: str, viewport: dict[str, int]
) -> None:
    page = new_context(viewport=viewport).new_page()
    page.goto(site)
    _, alone = page.evaluate(PAINT)
    page.goto(front)
    shift, element = page.evaluate(PAINT)
    assert shift == 0
    assert (element, page.query_selector("#vestibule") is not None) == (alone, True)


def test_a_banner_that_is_whole_late_is_not_the_largest_paint(new_context: NewContext, front: str) -> None:
    """As where the network or the machine is slow: it fades in from when it is shown, not from when it begins."""
    page = new_context(viewport={"width": 390, "height": 844}).new_page()
    whole = page.request.get(front, headers={"accept": "text/html"}).text()
    (save,) = re.findall(r"<button[^>]*vestibule-save.*?</button>", whole)
    page.route(front + "/", lambda route: route.fulfill(body=whole.replace(save, ""), content_type="text/html"))
    page.goto(front)
    page.wait_for_timeout(600)
    assert not page.is_visible("#vestibule-form")
    page.evaluate("(save) => document.querySelector('.vestibule-actions').insertAdjacentHTML('beforeend', save)", save)
    page.wait_for_selector("#vestibule-form", state="visible")
    _, element = page.evaluate(PAINT)
    assert element == "h1."


def test_a_banner_that_is_not_whole_yet_is_not_shown(new_context: NewContext, front: str) -> None:
    """A page may be painted while it is read; what is at its foot then must not grow and shift."""
    page = new_context(viewport=DESK).new_page()
    whole = page.request.get(front + "/pricing", headers={"accept": "text/html"}).text()
    cut = ""
    page.route("**/pricing", lambda route: route.fulfill(body=cut, content_type="text/html"))
    for end, shown in (('<div class="vestibule-actions">', False), ("</form>", True)):
        cut = whole[: whole.index(end, whole.index('id="vestibule-form"'))]
        page.goto(front + "/pricing")
        assert page.is_visible("#vestibule-form") is shown
