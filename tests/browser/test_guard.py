"""The guard in Chromium: what a grant brings to life, in place or by loading the page anew, and what it never does."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, Frame, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.browser.conftest import PATIENCE, NewContext
from tests.browser.foreign import Foreign
from tests.servers import wait_until
from tests.sites import SITE_YAML, configured, front
from vestibule.core.hits import Hit

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

TRACKERS = """\
unknown: block
services: {google-analytics: ask, google-tag-manager: ask, youtube: ask, hotjar: block}
custom:
  first: {hosts: [first.example], purpose: statistics, state: ask}
  second: {hosts: [second.example], purpose: statistics, state: ask}
  inline: {inline: [mySnippet], purpose: statistics, state: ask}
"""
ASKING = "unknown: ask\nservices: {hotjar: block}\n"
WITHOUT_GOOGLE = TRACKERS.replace("google-analytics: ask, google-tag-manager: ask, ", "")

SOURCE = "https://www.youtube.com/embed/x#t=9"
VIDEO = f'<iframe src="{SOURCE}" width=560 height=315 allow="autoplay" allowfullscreen></iframe>'
TALL = '<p style="height:2000px">tall</p>'
INSERTING = """<script>
addEventListener("load", () => {
  const frame = document.createElement("iframe");
  frame.src = "https://www.youtube.com/embed/late"; frame.width = 560; frame.height = 315; frame.id = "late";
  document.body.append(frame);
  const tiny = document.createElement("iframe");
  tiny.src = "https://www.youtube.com/embed/tiny"; tiny.width = tiny.height = 1; tiny.id = "tiny";
  document.body.append(tiny);
});
</script>"""
ORDER = """<script>var ran = window.foreignRan = [];</script>
<script src="https://second.example/deferred.js" defer></script>
<script src="https://first.example/a.js" data-id="kept" onload="ran.push('loaded')"></script>
<script>/* mySnippet */ ran.push("inline");</script>
<script type="module" nonce="n">/* mySnippet */ ran.push("module");</script>
<script src="https://second.example/b.js"></script>
<img id="point" src="https://first.example/p.gif">"""
LATER = """<script>var ran = window.foreignRan = [];
addEventListener("load", () => {
  const put = (name, more) => document.body.append(Object.assign(document.createElement(name), more));
  put("link", {rel: "stylesheet", href: "https://first.example/late.css"});
  put("img", {src: "https://second.example/late.gif"});
  put("iframe", {src: "https://second.example/late.html", width: 9, height: 9});
  put("script", {src: "https://first.example/one.js", async: false});
  put("script", {src: "https://second.example/two.js", async: false, onload() {
    put("script", {textContent: "ran.push('after two')"});
    put("script", {src: "https://first.example/three.js"});
  }});
});
</script>"""
LATE = {"/late.css", "/late.gif", "/late.html", "/one.js", "/two.js", "/three.js"}
GADGETS = """<div id="hole"></div><script>
document.getElementById("hole").innerHTML = `
  <img data-vestibule="first" data-vestibule-src="data:," data-vestibule-onerror="hacked = 1">
  <iframe data-vestibule="first" data-vestibule-src=" java\\nscript:top.hacked = 1"></iframe>
  <iframe data-vestibule="first" data-vestibule-srcdoc="<script>top.hacked = 1<\\/script>"></iframe>
  <a id="link" data-vestibule="first" data-vestibule-href="javascript:hacked = 1">x</a>`;
</script><script src="https://first.example/a.js"></script>"""
PAGES = {
    "/plain": "<p>Nothing foreign</p>",
    "/video": TALL + VIDEO + TALL,
    "/embed": '<iframe src="https://nobody.example/embed" width=560 height=315></iframe>',
    "/script": TALL + '<script src="https://first.example/a.js"></script>' + TALL,
    "/inserted": INSERTING,
    "/hidden": "<script>const i = new Image(); i.src = 'https://first.example/late.gif';</script>",
    "/order": ORDER,
    "/later": LATER,
    "/gadgets": GADGETS,
    "/google": "<script>window.seen = JSON.stringify([...(window.dataLayer || [])].map(x => [...x]))</script>",
    "/post": '<form method="post" action="/post"><button id="send">Order</button></form>',
}
STRICT = (
    "default-src 'self'; script-src 'self' https://first.example 'unsafe-inline'; frame-src https://www.youtube.com; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

Start = Callable[[str], Page]


@dataclasses.dataclass
class Site:
    """Vestibule in front of the pages above. sent: how often the form was. hits: what was counted."""

    url: str
    sent: list[str]
    hits: list[Hit]

    def told(self) -> list[tuple[str, dict[str, str]]]:
        """What was counted by itself, but for choices."""
        return [(hit.kind, dict(hit.event or ())) for hit in self.hits if hit.kind not in ("", "consent", "blocked")]


def running(folder: Path, csp: str, trackers: str) -> Iterator[Site]:
    sent: list[str] = []

    async def page(request: Request) -> Response:
        path = request.url.path
        if path == "/favicon.ico":
            return Response(status_code=404)
        if request.method == "POST":
            sent.append(path)
        strict = path.startswith("/strict")
        body = PAGES[path.removeprefix("/strict") if strict else path]
        headers = {"content-security-policy": STRICT} if strict else {}
        return HTMLResponse(f"<!doctype html><head><title>Page</title><body>{body}", headers=headers)

    app = Starlette(routes=[Route("/{path:path}", page, methods=["GET", "POST"])])
    config = configured(folder, SITE_YAML + f"csp: {csp}\n", trackers)
    with front("middleware", config, folder / "state", app, dev=True) as vestibule:
        yield Site(vestibule.url.replace("127.0.0.1", "localhost"), sent, vestibule.recording.hits)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from running(tmp_path_factory.mktemp("locked"), "enforce", TRACKERS)


@pytest.fixture(scope="module")
def unlocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from running(tmp_path_factory.mktemp("unlocked"), "report", WITHOUT_GOOGLE)


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from running(tmp_path_factory.mktemp("asking"), "enforce", ASKING)


@pytest.fixture
def start(new_context: NewContext) -> Start:
    """Opens a page in a new browser, marked, so that it shows whether it is still the same document."""
    context = new_context()

    def opened(url: str) -> Page:
        page = context.pages[0]
        page.goto(url)
        page.evaluate(
            "window.mark = true; window.told = [];"
            "document.addEventListener('vestibule:change', event => told.push(event.detail))"
        )
        return page

    return opened


def answer(page: Page, choice: str) -> None:
    page.click(f"#vestibule .vestibule-actions [value={choice}]")


def is_same(page: Page) -> bool:
    return bool(page.evaluate("window.mark === true"))


def until_anew(page: Page) -> None:
    """Wait for another document (not by Playwright's own waiting, which a strict policy of the page forbids)."""
    loaded = "window.mark !== true && document.readyState == 'complete'"

    def anew() -> bool:
        try:
            return bool(page.evaluate(loaded))
        except Error:  # it was asked while one document made way for the other
            return False

    until(page, anew, "another document")


def until(page: Page, condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        page.wait_for_timeout(25)


def frame_of(page: Page, start: str) -> Frame:
    until(page, lambda: any(frame.url.startswith(start) for frame in page.frames), f"a frame of {start}")
    return next(frame for frame in page.frames if frame.url.startswith(start))


def reached(page: Page, foreign: Foreign, *hosts: str) -> None:
    until(page, lambda: foreign.hosts >= set(hosts), f"{hosts}, contacted were {foreign.hosts}")


# -- what no request shows


def test_it_is_counted_once_statistics_were_agreed_to(locked: Site, start: Start) -> None:
    def use(page: Page) -> None:
        page.evaluate("history.pushState(null, '', '/virtual?secret=1')")
        page.evaluate("document.dispatchEvent(new CustomEvent('vestibule:event', {detail: {name: 'export'}}))")
        page.evaluate(
            "document.body.insertAdjacentHTML('beforeend', '<a id=out href=//partner.example/x><b>out</b></a>');"
            "document.getElementById('out').onclick = () => false; document.querySelector('#out b').click();"
            "history.back()"
        )

    locked.hits.clear()
    page = start(locked.url + "/plain")
    use(page)
    page.wait_for_url(locked.url + "/plain")
    answer(page, "accept")
    until(page, lambda: bool(locked.told()), "the first beacon")
    ((kind, first),) = locked.told()
    screen = page.evaluate("screen.width + 'x' + screen.height")
    zone = page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
    assert (kind, first) == ("client", {"timezone": zone, "screen": screen, "page": "/plain"})
    use(page)
    until(page, lambda: len(locked.told()) > 4, "all beacons")
    assert locked.told()[1:] == [
        ("view", {"page": "/virtual", "previous": "/plain"}),
        ("event", {"name": "export", "page": "/virtual"}),
        ("outbound", {"host": "partner.example", "page": "/virtual"}),
        ("view", {"page": "/plain", "previous": "/virtual"}),
    ]
    page.goto(locked.url + "/plain")
    until(page, lambda: len(locked.told()) > 5, "the next page's")
    page.goto(locked.url + "/strict/plain")
    until(page, lambda: len(locked.told()) > 6, "that of a page with a strict policy")
    assert [kind for kind, _ in locked.told()[5:]] == ["client", "client"]


# -- in place, under the lock


def test_an_embed_is_let_in_without_loading_the_page_anew(locked: Site, start: Start, foreign: Foreign) -> None:
    page = start(locked.url + "/video")
    button = page.locator("[data-vestibule-placeholder=youtube] button")
    button.scroll_into_view_if_needed()
    assert not page.locator("iframe").is_visible()
    button.focus()
    page.keyboard.press("Enter")
    reached(page, foreign, "www.youtube.com")
    assert is_same(page)
    assert page.evaluate("scrollY") > 500
    assert page.evaluate("document.activeElement.localName") == "iframe"
    inner = frame_of(page, "https://www.youtube.com/").frame_element()
    assert inner.get_attribute("src") == SOURCE
    assert inner.get_attribute("allow") == "autoplay;fullscreen"
    assert foreign.hosts == {"www.youtube.com"}
    assert page.locator(".vestibule-placeholder").count() == 0
    assert page.evaluate("told") == [{"preferences": False, "statistics": False, "marketing": False}]
    page.goto(locked.url + "/video")
    assert page.locator("iframe").get_attribute("src") == SOURCE, "it is remembered"


def test_what_was_let_in_is_stopped_by_a_withdrawal(locked: Site, start: Start, foreign: Foreign) -> None:
    page = start(locked.url + "/video")
    page.click(".vestibule-placeholder button")
    reached(page, foreign, "www.youtube.com")
    page.evaluate("vestibule.ask()")
    answer(page, "reject")
    until_anew(page)
    assert page.locator(".vestibule-placeholder button").is_visible()
    assert {frame.url for frame in page.frames} <= {page.url, "about:blank"}


def test_a_refusal_and_a_grant_of_nothing_leave_the_page_as_it_is(locked: Site, start: Start) -> None:
    page = start(locked.url + "/plain")
    assert page.evaluate("vestibule.choice") is None
    answer(page, "accept")
    page.wait_for_function("told.length == 1")
    assert page.evaluate("told") == [{"preferences": True, "statistics": True, "marketing": True}]
    assert not page.locator("#vestibule").is_visible()
    assert page.locator("#vestibule-settings a").is_visible(), "the way back must be there at once"
    page = start(locked.url + "/video")
    page.evaluate("vestibule.ask()")
    page.wait_for_url(locked.url + "/_privacy/")


def test_the_banner_comes_back_when_asked(locked: Site, start: Start) -> None:
    page = start(locked.url + "/script")
    answer(page, "reject")
    page.wait_for_function("told.length == 1")
    assert page.evaluate("vestibule.choice.statistics") is False
    page.evaluate("vestibule.choice.statistics = true")
    assert page.evaluate("vestibule.choice.statistics") is False, "it is a copy"
    page.evaluate("vestibule.ask()")
    assert page.locator("#vestibule").is_visible()
    assert page.evaluate("document.activeElement.value") == "reject"
    assert is_same(page)


# -- anew, where the lock is in the way


def test_a_script_that_was_closed_is_loaded_with_the_page(locked: Site, start: Start, foreign: Foreign) -> None:
    page = start(locked.url + "/script")
    page.evaluate("scrollTo(0, 1500)")
    answer(page, "accept")
    until_anew(page)
    reached(page, foreign, "first.example")
    page.wait_for_function("scrollY == 1500")
    assert page.evaluate("foreignRan") == ["first.example"]


def test_what_a_script_inserted_is_known_by_its_refusal(locked: Site, start: Start, foreign: Foreign) -> None:
    page = start(locked.url + "/hidden")
    page.wait_for_timeout(200)
    answer(page, "accept")
    until_anew(page)
    reached(page, foreign, "first.example")


def test_an_embed_of_somebody_unheard_of_is_let_in_by_itself(asking: Site, start: Start, foreign: Foreign) -> None:
    page = start(asking.url + "/embed")
    page.click(".vestibule-placeholder button")
    reached(page, foreign, "nobody.example")
    assert is_same(page)
    page.goto(asking.url + "/embed")
    assert page.locator("iframe").get_attribute("src") == "https://nobody.example/embed", "it is remembered"
    page.goto(asking.url + "/_privacy/")
    page.uncheck("[name=service][value='unknown:nobody.example']")
    with page.expect_navigation():
        page.click("main [value=save]")
    page.goto(asking.url + "/embed")
    assert page.locator(".vestibule-placeholder button").is_visible(), "and taken back in the centre"


def test_a_frame_that_a_script_inserted_gets_a_placeholder(locked: Site, start: Start, foreign: Foreign) -> None:
    page = start(locked.url + "/inserted")
    placeholder = frame_of(page, locked.url + "/_privacy/frame")
    assert page.evaluate("document.getElementById('tiny').src") == "https://www.youtube.com/embed/tiny", (
        "nobody sees it"
    )
    # Chromium connects to a frame's host before it asks the policy; all that can be seen to is that nothing is sent.
    assert not [hit for hit in foreign.hits if hit.path]
    placeholder.click("button")
    until(page, lambda: any(hit.path for hit in foreign.hits), "the embed")
    assert {hit.path for hit in foreign.hits if hit.path} == {"/embed/late"}
    assert is_same(page)


def test_what_scripts_inserted_comes_to_life_in_its_order(locked: Site, start: Start, foreign: Foreign) -> None:
    page = start(locked.url + "/later")
    page.wait_for_timeout(300)
    assert page.evaluate("ran") == []
    assert not [hit for hit in foreign.hits if hit.path]
    answer(page, "accept")
    until_anew(page)
    page.wait_for_function("ran.length == 4")
    assert page.evaluate("ran") == ["first.example", "second.example", "after two", "first.example"]
    until(page, lambda: {hit.path for hit in foreign.hits} >= LATE, f"all of it, came {foreign.hits}")


def test_without_the_second_file_the_form_is_sent_as_it_is(locked: Site, start: Start, foreign: Foreign) -> None:
    page = start(locked.url + "/script")
    page.route("**/_privacy/answer.js*", lambda route: route.abort())
    answer(page, "accept")
    until_anew(page)
    reached(page, foreign, "first.example")
    assert page.evaluate("vestibule.choice.statistics") is True


# -- other tabs


def granted(site: Site, new_context: NewContext) -> tuple[Page, Page]:
    """Two tabs of a browser that has agreed to everything: one in which a script runs, and another."""
    context = new_context()
    two, one = context.pages[0], context.new_page()
    two.goto(site.url + "/plain")
    answer(two, "accept")
    two.wait_for_function("vestibule.choice?.statistics")
    one.goto(site.url + "/script")
    one.wait_for_function("window.foreignRan")
    one.evaluate("window.mark = true")
    two.goto(site.url + "/plain?2")
    return one, two


def withdraw(page: Page) -> None:
    page.evaluate("window.mark = true")
    page.click("#vestibule-settings [value=reject]")
    until_anew(page)


def test_other_tabs_follow_a_withdrawal(locked: Site, new_context: NewContext) -> None:
    """By a plain form, as in the privacy centre."""
    one, two = granted(locked, new_context)
    two.goto(locked.url + "/_privacy/")
    two.click("main [value=reject]")
    until_anew(one)
    assert one.evaluate("[window.foreignRan ?? null, vestibule.choice.statistics]") == [None, False]


def test_a_tab_that_missed_a_withdrawal_is_told_by_another(locked: Site, new_context: NewContext) -> None:
    """It was asked for before, and came after."""
    one, two = granted(locked, new_context)
    old = one.request.get(locked.url + "/script", headers={"accept": "text/html"}).text()
    one.goto("about:blank")
    withdraw(two)
    one.route("**/script", lambda route: route.fulfill(body=old, content_type="text/html"), times=1)
    one.goto(locked.url + "/script")
    one.wait_for_function("document.querySelector('[data-vestibule-src]')", timeout=PATIENCE)


def test_other_tabs_follow_a_grant_and_stay_as_they_are(locked: Site, new_context: NewContext) -> None:
    context = new_context()
    one, two = context.pages[0], context.new_page()
    for page in (one, two):
        page.goto(locked.url + "/video")
    one.evaluate("window.mark = true")
    answer(two, "accept")
    one.wait_for_function("vestibule.choice?.statistics")
    assert not one.locator("#vestibule").is_visible()
    assert one.locator("#vestibule-settings a").is_visible()
    assert is_same(one), "nobody asked for it to move"


def test_a_tab_of_a_host_that_shares_the_choice_follows_when_it_is_seen(locked: Site, new_context: NewContext) -> None:
    one, two = granted(locked, new_context)
    body = one.request.get(locked.url + "/script", headers={"accept": "text/html"}).text()
    shared = body.replace(' data-state="', ' data-shared="1" data-state="')
    assert shared != body
    one.add_init_script("delete window.BroadcastChannel")
    one.route("**/script", lambda route: route.fulfill(body=shared, content_type="text/html"), times=1)
    one.reload()
    one.evaluate("window.mark = true")
    withdraw(two)
    assert is_same(one)
    one.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    until_anew(one)
    assert one.evaluate("window.foreignRan ?? null") is None


def test_a_page_from_before_a_withdrawal_does_not_come_back(locked: Site, new_context: NewContext) -> None:
    """By "Back" out of the browser's memory, with all that runs in it."""
    page = new_context(ignore_default_args=["--disable-back-forward-cache"]).new_page()
    page.goto(locked.url + "/plain")
    answer(page, "accept")
    page.wait_for_function("vestibule.choice?.statistics")
    page.goto(locked.url + "/script")
    page.evaluate("window.mark = true")
    page.goto(locked.url + "/plain?2")
    refused = page.context.request.post(
        locked.url + "/_privacy/consent", form={"choice": "reject"}, headers={"origin": locked.url}, max_redirects=0
    )
    assert refused.status == 303
    page.go_back(wait_until="commit")
    until_anew(page)
    assert page.url == locked.url + "/script"
    assert page.evaluate("window.foreignRan") is None


def test_a_page_that_answered_a_form_does_not_send_it_again(locked: Site, start: Start) -> None:
    page = start(locked.url + "/post")
    page.click("#send")
    page.wait_for_load_state("load")
    page.evaluate("window.mark = true; new Image().src = 'https://first.example/late.gif'")
    page.wait_for_timeout(200)
    before = len(locked.sent)
    answer(page, "accept")
    until_anew(page)
    assert (before, len(locked.sent)) == (1, 1)


def test_a_strict_site_keeps_its_policy_and_its_embeds(locked: Site, start: Start, foreign: Foreign) -> None:
    """Its frame-src does not know our document, so that the page is loaded anew, once."""
    page = start(locked.url + "/strict/video")
    page.click(".vestibule-placeholder button")
    until_anew(page)
    reached(page, foreign, "www.youtube.com")
    assert page.locator("iframe").get_attribute("src") == SOURCE


# -- in place, where no policy is in the way


def test_scripts_come_to_life_in_their_order(unlocked: Site, start: Start, foreign: Foreign) -> None:
    page = start(unlocked.url + "/order")
    assert page.evaluate("ran") == []
    answer(page, "accept")
    page.wait_for_function("ran.length == 6")
    assert is_same(page)
    assert page.evaluate("ran") == [
        "first.example", "loaded", "inline", "second.example", "second.example", "module"
    ]  # fmt: skip
    requested = [hit.path for hit in foreign.hits if hit.path and hit.path.endswith(".js")]
    assert requested == ["/a.js", "/b.js", "/deferred.js"]
    assert page.evaluate("document.querySelector('[data-id=kept]').src") == "https://first.example/a.js"
    assert page.evaluate("document.querySelector('script[type=module]').nonce") == "n"
    assert page.evaluate("document.getElementById('point').naturalWidth") == 1
    assert page.locator("[data-vestibule]").count() == 0


def test_what_scripts_insert_where_no_policy_is_runs_once(unlocked: Site, start: Start, foreign: Foreign) -> None:
    """Rewriting alone does not see it; a choice must not run it again."""
    page = start(unlocked.url + "/later")
    page.wait_for_function("ran.length == 4")
    answer(page, "accept")
    page.wait_for_function("told.length == 1")
    page.wait_for_timeout(200)
    assert is_same(page)
    assert page.evaluate("ran") == ["first.example", "second.example", "after two", "first.example"]
    assert sorted(hit.path for hit in foreign.hits if hit.path) == sorted(LATE)


def test_markup_that_imitates_ours_does_not_come_to_life(unlocked: Site, start: Start, foreign: Foreign) -> None:
    page = start(unlocked.url + "/gadgets")
    answer(page, "accept")
    reached(page, foreign, "first.example")
    page.wait_for_timeout(300)
    assert is_same(page), "it was revived in place"
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.evaluate("document.getElementById('link').href") == ""


def test_trusted_types_are_respected(unlocked: Site, start: Start, foreign: Foreign) -> None:
    page = start(unlocked.url + "/strict/script")
    answer(page, "accept")
    until_anew(page)
    reached(page, foreign, "first.example")


# -- Google's consent mode


def state_of(entries: list[list[Any]], command: str) -> dict[str, str]:
    (found,) = [entry[2] for entry in entries if entry[:2] == ["consent", command]]
    return dict(found)


def test_consent_mode_speaks_before_any_script_of_the_page(locked: Site, unlocked: Site, start: Start) -> None:
    page = start(locked.url + "/google")
    before = page.evaluate("JSON.parse(seen)")
    assert [entry[:2] for entry in before] == [["consent", "default"]]
    default = state_of(before, "default")
    assert default.pop("security_storage") == "granted"
    assert set(default.values()) == {"denied"}
    assert set(default) == {
        "ad_storage", "ad_user_data", "ad_personalization", "analytics_storage", "functionality_storage",
        "personalization_storage",
    }  # fmt: skip
    page.click("#vestibule summary")
    page.check("#vestibule [value=statistics]")
    page.click("#vestibule [value=save]")
    page.wait_for_function("told.length == 1")
    updated = state_of(page.evaluate("[...dataLayer].map(x => [...x])"), "update")
    granted = {name for name, state in updated.items() if state == "granted"}
    assert granted == {"analytics_storage", "security_storage"}
    page.goto(locked.url + "/google")
    assert state_of(page.evaluate("JSON.parse(seen)"), "update") == updated, "later pages say it before their scripts"
    page.goto(unlocked.url + "/google")
    assert page.evaluate("seen") == "[]", "nothing of Google's is asked for there"


def test_a_service_of_googles_that_is_let_in_by_itself_is_told_so(locked: Site, start: Start) -> None:
    page = start(locked.url + "/google")
    page.click("#vestibule summary")
    page.locator("#vestibule fieldset", has=page.locator("[value=statistics]")).locator("summary").click()
    page.check("#vestibule [value=google-analytics]")
    page.click("#vestibule [value=save]")
    page.wait_for_function("told.length == 1")
    updated = state_of(page.evaluate("[...dataLayer].map(x => [...x])"), "update")
    assert {name for name, state in updated.items() if state == "granted"} == {"analytics_storage", "security_storage"}


def test_nothing_moves_while_the_page_loads(locked: Site, start: Start) -> None:
    page = start(locked.url + "/video")
    shift = page.evaluate(
        "new Promise(resolve => { let sum = 0;"
        "new PerformanceObserver(list => list.getEntries().forEach(entry => sum += entry.value))"
        ".observe({type: 'layout-shift', buffered: true}); setTimeout(() => resolve(sum), 500); })"
    )
    assert shift == 0


# -- storage


def test_storage_of_refused_services_is_cleared_and_no_other(locked: Site, start: Start) -> None:
    fill = (
        "for (const store of [localStorage, sessionStorage])"
        "for (const key of ['_ga', '_ga_X1', '_hjSession', '_gall', 'mine']) store.setItem(key, '1')"
    )
    kept = "[localStorage, sessionStorage].map(store => Object.keys(store).sort().join(' '))"
    page = start(locked.url + "/plain")
    page.evaluate(fill)
    answer(page, "accept")
    page.wait_for_function("told.length == 1")
    page.goto(locked.url + "/plain")
    page.wait_for_function(f"({kept})[0] == '_ga _ga_X1 _gall mine'", timeout=PATIENCE)
    assert page.evaluate(kept) == ["_ga _ga_X1 _gall mine"] * 2, "Hotjar is never allowed"
    page.goto(locked.url + "/_privacy/")
    with page.expect_navigation():
        page.click("button[name=choice][value=reject] >> nth=0")
    # Asked from outside: this page's policy lets nothing be evaluated in it.
    wait_until(lambda: page.evaluate(kept)[1] == "_gall mine", "the storage to be cleared")
    assert page.evaluate(kept) == ["_gall mine"] * 2, "withdrawn, and cleared with the page that says so"
