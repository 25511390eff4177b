"""Service workers of the site's own, in Chromium: they have the policy of the visitor's choice as pages do, follow when
it changes, and what they make up or kept has it too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Error, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.browser import pages
from tests.browser.conftest import PATIENCE, NewContext
from tests.browser.foreign import Foreign
from tests.sites import SITE_YAML, configured, front

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SETTLING = 600
"""Milliseconds in which something may still come that must not."""

WORKER = """#!a script may begin so
"use strict";
const strict = (function () { return this === undefined; })();
addEventListener("install", event => event.waitUntil(caches.open("kept").then(cache => cache.add("/kept"))));
addEventListener("activate", event => event.waitUntil(clients.claim()));
addEventListener("message", event => { if (event.data == "strict?") event.source.postMessage(strict); });
addEventListener("fetch", event => {
  const { pathname } = new URL(event.request.url);
  event.waitUntil(fetch("https://fetched.ways.example" + pathname, {mode: "no-cors"}).catch(() => {}));
  const type = type => ({headers: {"content-type": type}});
  if (pathname == "/made") event.respondWith(
    new Response("<!doctype html><title>made</title><img src=https://made.ways.example/x>", type("text/html")));
  else if (pathname == "/script.js") event.respondWith(
    new Response("fetch('https://inside.ways.example/x', {mode: 'no-cors'})", type("text/javascript")));
  else if (pathname == "/kept") event.respondWith(caches.match("/kept").then(found => found || fetch(event.request)));
  else if (pathname == "/held") event.respondWith(fetch("data:text/html,<title>held</title><img src=https://held.ways.example/x>"));
  else if (pathname == "/passed") event.respondWith(fetch("https://allowed.example/showing/passed.ways.example"));
  else if (pathname == "/copied") event.respondWith(fetch(event.request).then(answer => answer.clone()));
})
// and may end without a line's end"""
TRACKERS = f"{pages.TRACKERS}  allowed: {{hosts: [allowed.example], purpose: necessary, state: allow}}\n"
"""As elsewhere, and a host that is open to all."""
KEPT = "<img src=https://kept.ways.example/x>"
COPIED = "<img src=https://copied.ways.example/x>"
REGISTER = "<script>navigator.serviceWorker.register('/worker.js', {updateViaCache: 'all'})</script>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    async def page(request: Request) -> Response:
        path = request.url.path
        if path == "/worker.js":
            headers = {"etag": '"1"', "cache-control": "max-age=86400"}
            return Response(WORKER, media_type="text/javascript", headers=headers)
        bodies = {"/": REGISTER, "/kept": KEPT, "/copied": COPIED, "/other": ""}
        if path not in bodies:
            return Response(status_code=404)
        return HTMLResponse(f"<!doctype html><title>Page</title><p>page</p>{bodies[path]}")

    app = Starlette(routes=[Route("/{path:path}", page)])
    folder = tmp_path_factory.mktemp("workers")
    with front("middleware", configured(folder, SITE_YAML, TRACKERS), folder / "state", app, dev=True) as running:
        yield running.url.replace("127.0.0.1", "localhost")


def until(page: Page, condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 3 * PATIENCE / 1000  # browsers look for another worker when they come to it
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        page.wait_for_timeout(25)


def controlled(page: Page) -> None:
    page.wait_for_function("navigator.serviceWorker.controller?.state == 'activated'")


def answer(page: Page, choice: str) -> None:
    page.evaluate("window.mark = true")
    page.click(f"#vestibule .vestibule-actions [value={choice}]")


def anew(page: Page) -> None:
    def is_anew() -> bool:
        try:
            return bool(page.evaluate("window.mark !== true && document.readyState == 'complete'"))
        except Error:
            return False

    until(page, is_anew, "another document")


def accepted(page: Page, site: str) -> None:
    """A page with a worker, both from after a grant."""
    page.goto(site + "/other")
    answer(page, "accept")
    page.wait_for_function("vestibule.choice?.marketing")
    page.goto(site + "/")
    controlled(page)


def nothing_more(page: Page, site: str, foreign: Foreign) -> None:
    for path in ("/other", "/made", "/kept", "/copied", "/"):
        page.goto(site + path)
        page.wait_for_timeout(SETTLING / 4)
    page.evaluate("new Worker('/script.js')")
    page.wait_for_timeout(SETTLING)
    assert foreign.hosts == set()


def test_before_a_choice_neither_a_worker_nor_what_it_makes_contacts_anybody(
    site: str, foreign: Foreign, new_context: NewContext
) -> None:
    page = new_context().new_page()
    page.goto(site + "/")
    controlled(page)
    nothing_more(page, site, foreign)


ANSWERS = {"/held": "held", "/passed": "foreign"}
"""What a worker answers with that is not the site's, and has no policy: an address that holds a page, and a page of a
host that is open. By their titles."""


def test_what_a_worker_answers_with_that_is_not_the_sites_is_closed_too(
    site: str, foreign: Foreign, new_context: NewContext
) -> None:
    page = new_context().new_page()
    page.goto(site + "/")
    controlled(page)
    for path, title in ANSWERS.items():
        page.goto(site + path)
        assert page.title() == title
        page.wait_for_timeout(SETTLING)
        assert foreign.hosts <= {"allowed.example"}, path


def test_after_a_grant_it_is_open(site: str, foreign: Foreign, new_context: NewContext) -> None:
    page = new_context().new_page()
    accepted(page, site)
    for path in ANSWERS:
        page.goto(site + path)
        wanted = pages.host(path[1:])
        until(page, lambda: wanted in foreign.hosts, f"{wanted}, contacted were {foreign.hosts}")  # noqa: B023


def test_a_workers_script_means_what_it_meant(site: str, new_context: NewContext) -> None:
    page = new_context().new_page()
    page.goto(site + "/")
    controlled(page)
    strict = page.evaluate(
        "new Promise(resolve => { navigator.serviceWorker.onmessage = event => resolve(event.data);"
        "navigator.serviceWorker.controller.postMessage('strict?') })"
    )
    assert strict is True


def test_after_a_grant_all_of_it_gets_out(site: str, foreign: Foreign, new_context: NewContext) -> None:
    page = new_context().new_page()
    accepted(page, site)
    for path in ("/made", "/copied"):
        page.goto(site + path)
    page.goto(site + "/")
    page.evaluate("new Worker('/script.js')")
    wanted = pages.hosts(["fetched", "made", "copied", "inside"])
    until(page, lambda: foreign.hosts >= wanted, f"{wanted}, contacted were {foreign.hosts}")
    page.goto(site + "/kept")
    until(page, lambda: pages.host("kept") in foreign.hosts, "what was kept after the grant")


def test_a_worker_from_before_a_grant_follows(site: str, foreign: Foreign, new_context: NewContext) -> None:
    page = new_context().new_page()
    page.goto(site + "/")
    controlled(page)
    answer(page, "accept")
    page.wait_for_function("vestibule.choice?.marketing")
    page.goto(site + "/copied")
    until(page, lambda: pages.host("copied") in foreign.hosts, "the page, which the worker had from the site")

    def fetched() -> bool:
        page.evaluate("fetch('/other').then(answer => answer.text())")
        page.wait_for_timeout(2 * SETTLING)  # Chromium puts off looking for another worker while this one has work
        return pages.host("fetched") in foreign.hosts

    until(page, fetched, "the worker")


def test_a_withdrawal_in_a_page_ends_it_with_that_page(site: str, foreign: Foreign, new_context: NewContext) -> None:
    page = new_context().new_page()
    accepted(page, site)
    until(page, lambda: page.reload() is not None and pages.host("fetched") in foreign.hosts, "the worker")
    withdraw(page)
    anew(page)
    page.wait_for_timeout(SETTLING / 4)  # what was underway
    foreign.clear()
    nothing_more(page, site, foreign)


def withdraw(page: Page) -> None:
    """By a form of ours: that of the placeholders, made to say something else."""
    page.evaluate(
        "window.mark = true; const form = document.getElementById('vestibule-embed');"
        "form.querySelectorAll('[type=hidden][name=choice]').forEach(field => field.remove());"
        "form.insertAdjacentHTML('beforeend', '<button name=choice value=reject>x</button>');"
        "form.querySelector('button').click()"
    )


@pytest.mark.parametrize("first", ["/other", "/kept"])
def test_a_withdrawal_elsewhere_ends_it_with_the_first_page_after_it(
    site: str, foreign: Foreign, new_context: NewContext, first: str
) -> None:
    """Without a page's script, as in the privacy centre, and so without the guard."""
    page = new_context().new_page()
    accepted(page, site)
    refused = page.context.request.post(
        site + "/_privacy/consent", form={"choice": "reject"}, headers={"origin": site}, max_redirects=0
    )
    assert refused.status == 303
    page.goto(site + first)
    page.evaluate(
        "window.changed = navigator.serviceWorker.controller === null;"
        "navigator.serviceWorker.oncontrollerchange = () => { window.changed = true }; 0"
    )
    page.wait_for_function("window.changed")
    page.wait_for_timeout(SETTLING / 4)  # what was underway
    foreign.clear()
    nothing_more(page, site, foreign)
