"""Real pages and all ways out of a page, in Chromium with every name resolved to one listener: nothing third-party is
contacted before a choice, by neither layer alone but for what that layer leaves to the other, and all of it after.

Chromium opens a connection for a frame that a script inserts before it asks the policy, which then refuses the request
(docs/blocking.md). So of such frames' hosts requests are counted, and of all others connections.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from tests.browser import pages
from tests.browser.conftest import NewContext
from tests.browser.foreign import CHROMIUMS_OWN, UNNAMED, Foreign
from tests.browser.pages import CLICKED, MARKUP, SCRIPTED, Layer, Way, hosts
from tests.servers import free_port, serve_asgi, vestibule_process
from tests.sites import SITE_YAML, configured, front
from vestibule.core.csp import lock

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SCRIPTS = pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
PATIENCE = 15.0
SETTLING = 1.0
"""Seconds in which something late may still come; the controls, which see everything, wait no longer."""

Answer = Callable[[Request], Response]


def site(answer: Answer) -> Starlette:
    async def page(request: Request) -> Response:
        return answer(request)

    return Starlette(routes=[Route("/{path:path}", page)])


def local(url: str) -> str:
    return url.replace("127.0.0.1", "localhost")


def requested(foreign: Foreign) -> set[str]:
    """The hosts that were sent a request, and not only connected to."""
    return {hit.host for hit in foreign.hits if hit.path is not None}


def until(page: Page, condition: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what()
        page.wait_for_timeout(50)


# -- real pages

CORPUS = Path(os.environ.get("VESTIBULE_CORPUS", Path(__file__).resolve().parents[3] / "shared" / "corpus")) / "pages"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no pages at {CORPUS}")
REAL = (
    "0a3108e507c54157a95fe7a1338f5e9c.html",
    "0af99c85f22b451a93a75bbf99ac412e.html",
    "2gewinnt.wordpress.com.uns.html",
    "aktualne-source.html",
    "ars-1-source.html",
    "article-author-tag-source.html",
    "auto.oe24.at-golfchina.html",
    "bbc-1-source.html",
    "biobiochile.cl-gremios.html",
    "bug-1255978-source.html",
    "clarin.com-albertofernandez.html",
    "cnet-source.html",
    "cnn-source.html",
    "d27eb719099b43639104995806e07d00.html",
    "eldeber.com.bo-autos.html",
    "elle.de.sneaker.html",
    "focus.de.leasen.html",
    "forstpraxis.de.palletsauslaub.html",
    "francais.radio.cz-ministre.html",
    "gala.fr.surnom.html",
    "gmw-source.html",
    "gnaur.wordpress.com.moglichkeit.html",
    "heise-source.html",
    "hearya.com.metal.html",
    "it-for-kids.org.variables.html",
    "japantimes.co.jp.surgical.html",
    "lazy-image-1-source.html",
    "lemonde-1-source.html",
    "liberation-1-source.html",
    "mitternachtskabinett.wordpress.com.gentrifizierung.html",
    "nytimes-2-source.html",
    "prensalibre.com-tendencia.html",
    "st-georg.de-olympia.html",
    "theverge-source.html",
    "tonedeaf.thebrag.com.luboku.html",
    "travanto.de.ferienhaus-feinen.html",
    "videos-1-source.html",
    "videos-2-source.html",
    "yahoo-4-source.html",
    "zdnet.de.facebook.html",
)
TABS = 10
"""Pages that are open at a time."""
REFUSED = "refused frame "
TELL = """(() => {
  const say = console.debug.bind(console);
  addEventListener("securitypolicyviolation", event => {
    if (event.effectiveDirective == "frame-src") say("%s" + event.blockedURI);
  });
})()""".replace("%s", REFUSED)


@pytest.fixture(scope="module")
def corpus() -> Iterator[str]:
    """The pages as they were saved, by their number."""

    def answer(request: Request) -> Response:
        number = request.url.path[1:]
        known = number.isdecimal() and int(number) < len(REAL)
        return FileResponse(CORPUS / REAL[int(number)]) if known else Response(status_code=404)

    with serve_asgi(site(answer)) as url:
        yield local(url)


@pytest.fixture(scope="module")
def served(corpus: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`vestibule serve` in front of them, with nothing configured but the site."""
    folder = tmp_path_factory.mktemp("served")
    port = free_port()
    upstream = corpus.replace("localhost", "127.0.0.1")
    configured(folder, SITE_YAML.replace("http://127.0.0.1:3000", upstream), "unknown: block\n")
    environ = {
        "VESTIBULE_LISTEN": f"127.0.0.1:{port}",
        "VESTIBULE_DASHBOARD__LISTEN": f"127.0.0.1:{free_port()}",
        "VESTIBULE_STORE": f"chdb://{folder}/store",
    }
    arguments = ["serve", "--config", str(folder), "--state", str(folder / "state"), "--workers", "1", "--dev"]
    with vestibule_process(arguments, environ, ready=f"http://localhost:{port}/"):
        yield f"http://localhost:{port}"


def look_at_all(context: BrowserContext, base: str) -> set[str]:
    """Visit every page, several at a time. Returns what a connection for a frame that was refused is known by."""
    refused: set[str] = set()

    def heard(message: ConsoleMessage) -> None:
        if message.text.startswith(REFUSED):
            url = urlsplit(message.text.removeprefix(REFUSED))
            refused.add((url.hostname or "") if url.scheme == "https" else UNNAMED)

    context.on("console", heard)
    context.add_init_script(TELL)
    for start in range(0, len(REAL), TABS):
        tabs = [context.new_page() for _ in REAL[start : start + TABS]]
        for number, tab in enumerate(tabs, start):
            answer = tab.goto(f"{base}/{number}", wait_until="commit")
            assert answer is not None
            assert answer.status == 200, REAL[number]
        for tab in tabs:
            tab.wait_for_load_state("domcontentloaded")
        tabs[-1].wait_for_timeout(SETTLING * 1000)
        for tab in tabs:
            tab.close()
    context.close()  # now the last silent connections end, and are known as such
    time.sleep(0.2)
    return refused


@pytest.mark.slow
@needs_corpus
@SCRIPTS
def test_real_pages_contact_many_without_vestibule(
    corpus: str, foreign: Foreign, new_context: NewContext, scripts: bool
) -> None:
    look_at_all(new_context(java_script_enabled=scripts), corpus)
    assert len(requested(foreign)) > (300 if scripts else 150)


@needs_corpus
@SCRIPTS
def test_real_pages_contact_nobody_before_a_choice(
    served: str, foreign: Foreign, new_context: NewContext, scripts: bool
) -> None:
    refused = look_at_all(new_context(java_script_enabled=scripts), served)
    assert [hit for hit in foreign.hits if hit.path is not None] == []
    assert foreign.hosts <= (refused if scripts else set())


@needs_corpus
def test_the_browsers_own_hosts_are_none_of_the_pages() -> None:
    assert not [name for name in REAL for host in CHROMIUMS_OWN if host.encode() in (CORPUS / name).read_bytes()]


# -- every way


def answer_ways(request: Request) -> Response:
    """The pages of all ways, with what of the site's own they load."""
    match request.url.path:
        case "/markup":
            return HTMLResponse(pages.markup())
        case "/scripted":
            return HTMLResponse(pages.scripted())
        case "/order":
            return HTMLResponse(pages.ORDER)
        case "/inner":
            return HTMLResponse(pages.INNER)
        case "/worker.js":
            return Response(pages.WORKER, media_type="text/javascript")
    return Response(status_code=404)


def locked(app: Any) -> Any:
    """The app as it is, under the policy of a visitor who has not chosen."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        authority = dict(scope["headers"])[b"host"].decode()
        policy = lock((authority,), (), "/_privacy/csp", secure=False).encode()

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", policy)]
            await send(message)

        await app(scope, receive, sending)

    return answer


class Sites:
    """The site of all ways, bare and behind Vestibule or one layer of it; each is started when it is asked for."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._urls: dict[str, str] = {}

    def __getitem__(self, layers: str) -> str:
        """layers: bare, both, rewriting (``csp: off``) or policy (the header alone, on unrewritten pages)."""
        if layers not in self._urls:
            self._urls[layers] = local(self._start(layers))
        return self._urls[layers]

    def _start(self, layers: str) -> str:
        app = site(answer_ways)
        if layers in ("bare", "policy"):
            return self._stack.enter_context(serve_asgi(locked(app) if layers == "policy" else app))
        folder = self._folder / layers
        folder.mkdir()
        config = configured(folder, SITE_YAML + ("csp: off\n" if layers == "rewriting" else ""), pages.TRACKERS)
        return self._stack.enter_context(front("middleware", config, folder / "state", app, dev=True)).url


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    with ExitStack() as stack:
        yield Sites(tmp_path_factory.mktemp("ways"), stack)


ALL_MARKUP = MARKUP | CLICKED


def of(ways: dict[str, Way], *layers: Layer, scripts: bool = True) -> set[str]:
    """The hosts of those ways that Chromium goes, on some layers or all."""
    return hosts(
        name
        for name, way in ways.items()
        if (way.scripts if scripts else way.plain) and (not layers or way.layer in layers)
    )


def frames(ways: dict[str, Way]) -> set[str]:
    return hosts(name for name, way in ways.items() if way.frame)


def go_all_ways(page: Page, url: str) -> None:
    """Open the page of all markup and press what is there to be pressed."""
    page.goto(url + "/markup", wait_until="commit")
    page.wait_for_load_state("domcontentloaded")
    for place in page.locator(".press").all():
        place.click(no_wait_after=True)


def accept(page: Page) -> None:
    page.click("#vestibule button[name=choice][value=accept]")


@SCRIPTS
def test_without_vestibule_all_markup_gets_out(
    sites: Sites, foreign: Foreign, new_context: NewContext, scripts: bool
) -> None:
    page = new_context(java_script_enabled=scripts).new_page()
    go_all_ways(page, sites["bare"])
    page.wait_for_timeout(SETTLING * 1000)
    assert foreign.hosts == of(ALL_MARKUP, scripts=scripts)


@SCRIPTS
def test_no_markup_gets_out_before_a_choice(
    sites: Sites, foreign: Foreign, new_context: NewContext, scripts: bool
) -> None:
    page = new_context(java_script_enabled=scripts).new_page()
    go_all_ways(page, sites["both"])
    page.wait_for_timeout(SETTLING * 1000)
    assert foreign.hosts == set()


@SCRIPTS
def test_rewriting_alone_holds_back_all_but_what_is_the_policys(
    sites: Sites, foreign: Foreign, new_context: NewContext, scripts: bool
) -> None:
    page = new_context(java_script_enabled=scripts).new_page()
    go_all_ways(page, sites["rewriting"])
    page.wait_for_timeout(SETTLING * 1000)
    assert foreign.hosts == of(ALL_MARKUP, Layer.POLICY, scripts=scripts)


@SCRIPTS
def test_the_policy_alone_holds_back_all_but_hints(
    sites: Sites, foreign: Foreign, new_context: NewContext, scripts: bool
) -> None:
    page = new_context(java_script_enabled=scripts).new_page()
    go_all_ways(page, sites["policy"])
    page.wait_for_timeout(SETTLING * 1000)
    hints = of(ALL_MARKUP, Layer.REWRITING, scripts=scripts)
    assert requested(foreign) <= hints
    assert hosts(["preconnect"]) <= foreign.hosts <= hints | frames(ALL_MARKUP)


@pytest.mark.parametrize("layers", ["both", "policy"])
def test_nothing_that_a_script_tries_gets_out_before_a_choice(
    sites: Sites, foreign: Foreign, new_context: NewContext, layers: str
) -> None:
    page = new_context().new_page()
    page.goto(sites[layers] + "/scripted")
    page.wait_for_timeout(SETTLING * 1000)
    assert requested(foreign) == set()
    assert foreign.hosts <= frames(SCRIPTED)


def test_all_that_a_script_tries_gets_out_after_accept_all(
    sites: Sites, foreign: Foreign, new_context: NewContext
) -> None:
    page = new_context().new_page()
    page.goto(sites["both"] + "/scripted")
    page.wait_for_timeout(SETTLING * 1000)
    foreign.clear()
    accept(page)
    until(
        page,
        lambda: requested(foreign) >= hosts(SCRIPTED),
        lambda: f"never asked: {sorted(hosts(SCRIPTED) - requested(foreign))}",
    )
    assert foreign.hosts == hosts(SCRIPTED), "a foreign service worker is never registered"


@SCRIPTS
def test_all_markup_gets_out_after_accept_all(
    sites: Sites, foreign: Foreign, new_context: NewContext, scripts: bool
) -> None:
    page = new_context(java_script_enabled=scripts).new_page()
    page.goto(sites["both"] + "/markup")
    accept(page)
    until(page, lambda: bool(page.context.cookies()), lambda: "the choice is not kept")
    foreign.clear()
    page = page.context.new_page()  # the other may be loading itself anew
    go_all_ways(page, sites["both"])
    page.wait_for_timeout(SETTLING * 1000)
    hints = of(ALL_MARKUP, Layer.REWRITING, scripts=scripts)
    assert foreign.hosts | hints == of(ALL_MARKUP, scripts=scripts) | hints


# -- in their order


def ran(page: Page) -> list[str]:
    """What ran, but for what may run at any time."""
    try:
        names: list[str] = page.evaluate("window.ran || []")
    except Error:  # it was asked while one document made way for the other
        return []
    return [name for name in names if not name.startswith("async")]


@pytest.mark.parametrize("layers", ["both", "rewriting"], ids=["loaded anew", "in place"])
def test_scripts_that_depend_on_each_other_run_in_their_order_after_accept_all(
    sites: Sites, foreign: Foreign, new_context: NewContext, layers: str
) -> None:
    page = new_context().new_page()
    page.goto(sites["bare"] + "/order")
    original = ran(page)
    assert len(original) == 9
    page.goto(sites[layers] + "/order")
    assert page.evaluate("ran") == []
    page.evaluate("window.same = true")
    accept(page)
    until(page, lambda: len(ran(page)) == 9, lambda: ran(page))
    assert ran(page) == original
    assert bool(page.evaluate("window.same")) is (layers == "rewriting")
    page.wait_for_function(f"ran.includes('{pages.host('async')}')")
    assert len(page.evaluate("ran")) == 10, "each ran once"
