"""Scanning in a browser: all that the demo loads and sets is found, what only scripts insert too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from demo.site import create_app
from tests.browser.conftest import chromium
from tests.browser.foreign import CHROMIUMS_OWN, Foreign
from tests.browser.test_demo import ALLOWED, ASKED, BLOCKED, HINTED, WITHOUT_SCRIPTS
from tests.servers import ROOT, serve_asgi
from vestibule import config
from vestibule.cli.scanning import judged, look
from vestibule.privacy.policy import build_rules
from vestibule.scan.browsing import browse
from vestibule.scan.crawling import Bounds
from vestibule.scan.findings import Findings
from vestibule.scan.sightings import Contact, Sightings, Stored

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

THIRD_PARTIES = ALLOWED | ASKED | BLOCKED | HINTED | WITHOUT_SCRIPTS
"""Everyone whom the demo contacts, with scripts or without."""
INSERTED = {
    "collect.unknown-third.example",
    "connect.facebook.net",
    "snap.licdn.com",
    "tags.adflow.example",
    "widget.intercom.io",
}
"""Those of them that only scripts insert."""
COOKIES = {"_fbp", "_ga", "_ga_DEMO12345", "rl_visitor"}


def arguments(foreign: Foreign) -> tuple[str, ...]:
    own = "".join(f"MAP {host} ~NOTFOUND, " for host in sorted(CHROMIUMS_OWN))
    resolve = f"{own}MAP * 127.0.0.1:{foreign.port}, EXCLUDE localhost, EXCLUDE 127.0.0.1"
    return ("--ignore-certificate-errors", f"--host-resolver-rules={resolve}")


@pytest.fixture(autouse=True)
def _needs_chromium() -> None:
    if chromium() is None:
        pytest.skip("needs Chromium, and there is none on the PATH")


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    with serve_asgi(create_app()) as url:
        yield url.replace("127.0.0.1", "localhost")


def scanned(demo: str, foreign: Foreign, folder: Path) -> Findings:
    found = config.load(folder, {"VESTIBULE_SITE__UPSTREAM": demo})
    rules = build_rules(found)
    seen = look(f"{demo}/", rules, Bounds(), browser=False)
    seen.notes += browse([f"{demo}/"], seen.sightings, seconds=60, arguments=arguments(foreign), settling=700)
    return judged(seen, found, rules, browser=True)


def test_every_third_party_and_cookie_of_the_demo_is_found(demo: str, foreign: Foreign) -> None:
    findings = scanned(demo, foreign, ROOT / "demo" / "config")
    certain = {party.host for party in findings.parties if party.certain and party.host}
    assert certain == THIRD_PARTIES
    assert {cookie.name for cookie in findings.cookies} == COOKIES
    unknown = {party.host for party in findings.parties if party.unknown}
    assert unknown == {host for host in THIRD_PARTIES if "unknown-third" in host or "adflow" in host}
    assert {cookie.name for cookie in findings.cookies if cookie.unknown} == {"rl_visitor"}
    assert {cookie.service for cookie in findings.cookies} == {"", "google-analytics", "meta-pixel"}


def test_markup_alone_does_not_tell_what_scripts_insert(demo: str) -> None:
    found = config.load(ROOT / "demo" / "config", {})
    rules = build_rules(found)
    findings = judged(look(f"{demo}/", rules, Bounds(), browser=False), found, rules, browser=False)
    certain = {party.host for party in findings.parties if party.certain and party.host}
    assert certain == THIRD_PARTIES - INSERTED


SCRIPTED = """<!doctype html><title>x</title><body><script>
localStorage.setItem('_ga', '1'); localStorage.setItem('own', '1'); sessionStorage.setItem('step', '1');
indexedDB.open('base'); new WebSocket('wss://socket.example/live');
const put = (name, more) => document.body.append(Object.assign(document.createElement(name), more));
put('iframe', {src: 'https://frame.example/'});
put('iframe', {srcdoc: '<img src=https://inner.example/x.gif>'});
put('p', {style: 'height: 3000px'});
put('img', {loading: 'lazy', src: 'https://lazy.example/x.gif'});
setTimeout(() => fetch('https://late.example/x', {mode: 'no-cors'}), 300);
</script>"""


def test_what_scripts_do_is_found(foreign: Foreign) -> None:
    async def page(request: Request) -> Response:
        return HTMLResponse(SCRIPTED if request.url.path == "/" else "<title>two</title>")

    sightings = Sightings()
    with serve_asgi(Starlette(routes=[Route("/{path:path}", page)])) as url:
        own = url.replace("127.0.0.1", "localhost")
        notes = browse([f"{own}/", f"{own}/two"], sightings, seconds=60, arguments=arguments(foreign), settling=700)
    assert notes == []
    contacts = {each.url.split("/")[2]: each for each in sightings.seen if isinstance(each, Contact)}
    assert {"socket.example", "frame.example", "inner.example", "lazy.example", "late.example"} <= contacts.keys()
    assert contacts["frame.example"].kind == "frame"
    assert contacts["inner.example"].inside == ""
    stored = {(each.area, each.key, each.host) for each in sightings.seen if isinstance(each, Stored)}
    assert stored == {
        ("local", "_ga", "localhost"),
        ("local", "own", "localhost"),
        ("session", "step", "localhost"),
        ("indexeddb", "base", "localhost"),
    }
    asyncio.run(asyncio.sleep(0))  # no event loop was left in this thread
