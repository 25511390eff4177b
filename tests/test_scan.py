"""Scanning a site: read politely, judged by a configuration, told in four forms."""

from __future__ import annotations

import gzip
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from demo.site import create_app
from tests.commands import Run, in_this_process
from tests.servers import ROOT, raw_server, scripted, serve_asgi
from vestibule import catalogue
from vestibule.cli.scanning import address
from vestibule.core.consent import State
from vestibule.core.errors import VestibuleError
from vestibule.core.trackers import Rules
from vestibule.scan import reports
from vestibule.scan.crawling import Bounds, Crawl, crawl
from vestibule.scan.fetching import MAX_BYTES, Answer, Fetcher, FetchError
from vestibule.scan.findings import Findings, FoundKey
from vestibule.scan.reading import read
from vestibule.scan.sightings import MAX_SEEN, Contact, How, SetCookie, Sightings, Signature

RULES = Rules(
    catalogue.reviewed().services,
    states={},
    unknown=State.BLOCK,
    first_party=["localhost"],
    registrable=lambda host: ".".join(host.split(".")[-2:]),
)

PAGE = """<!doctype html><html><head><title> A
 page </title>
<link rel="stylesheet" href="/site.css"><link rel=preconnect href=//hint.example>
<link rel=canonical href="https://www.public.example/">
<script src="https://cdn.one.example/a.js"></script><script src=/own.js></script>
<script>window.dataLayer=[];gtag('config', 'G-1'); var url = "https:\\/\\/inserted.example\\/t.js";</script>
<script type="application/ld+json">{"@context": "https://schema.org", "url": "https://data.example/"}</script>
<style>@import "https://import.example/x.css"; p { background: url( 'https://css.example/p.png' ) }</style></head>
<body background="//body.example/x.gif"><img srcset="https://img.example/1.png 1x, /own.png 2x" src=/own.png>
<iframe src="https://www.youtube.com/embed/x"></iframe><object data=https://object.example/x></object>
<form action="https://form.example/subscribe"></form><a ping="https://ping.example/" href="/two">two</a>
<a href="https://elsewhere.example/">elsewhere</a><a href="mailto:%6De@x.example?subject=x">mail</a>
<a href="/legal/privacy?x=1">Privacy</a><a href=/logout>out</a><a href="/files/a.pdf">a file</a>
<a href="http://[broken">broken</a><noscript><img src=https://noscript.example/p></noscript>
<form action=/session><input type=checkbox name=remember_me><input type=password name=p></form></body></html>"""


def outline_of(text: str, *headers: tuple[str, str]) -> tuple[Any, dict[tuple[str, str], str]]:
    """The outline of a page, and its contacts: (host, how) → kind."""
    sightings = Sightings()
    answer = Answer("http://localhost:1/", 200, (("content-type", "text/html; charset=utf-8"), *headers), text.encode())
    outline = read(answer, RULES, sightings)
    found = {
        (urlsplit(each.url).netloc, each.how.value): each.kind for each in sightings.seen if isinstance(each, Contact)
    }
    services = [each.service for each in sightings.seen if isinstance(each, Signature)]
    found |= {("", "inline"): " ".join(services)} if services else {}
    return outline, found


# A page


def test_what_a_page_loads() -> None:
    _, found = outline_of(PAGE)
    assert {key: kind for key, kind in found.items() if key[0] != "localhost:1"} == {
        ("hint.example", "markup"): "hint",
        ("cdn.one.example", "markup"): "script",
        ("", "inline"): "google-analytics",
        ("inserted.example", "mentioned"): "script",
        ("import.example", "style"): "style",
        ("css.example", "style"): "image",
        ("body.example", "markup"): "image",
        ("img.example", "markup"): "image",
        ("www.youtube.com", "markup"): "frame",
        ("object.example", "markup"): "object",
        ("form.example", "markup"): "form",
        ("ping.example", "markup"): "ping",
        ("noscript.example", "markup"): "image",
    }


def test_what_a_page_tells_besides() -> None:
    outline, _ = outline_of(PAGE)
    assert outline.title == "A page"
    assert outline.links == [
        "http://localhost:1/two",
        "https://elsewhere.example/",
        "http://localhost:1/legal/privacy?x=1",
        "http://localhost:1/logout",
        "http://localhost:1/files/a.pdf",
    ]
    assert outline.policy == "http://localhost:1/legal/privacy?x=1"
    assert outline.logout == "http://localhost:1/logout"
    assert (outline.login, outline.remember) == ("http://localhost:1/session", "remember_me")
    assert outline.canonical == "https://www.public.example/"
    assert not outline.vestibule


def test_what_headers_load() -> None:
    _, found = outline_of(
        "",
        ("link", "<https://pre.example>; rel=preconnect, <https://next.example/2>; rel=next"),
        ("link", '<https://font.example/x>; as=font; rel="preload"'),
        ("refresh", "3; url=https://refresh.example/"),
        ("content-security-policy", "script-src https://allowed.example; report-uri https://csp.example/r /own"),
        ("report-to", '{"endpoints": [{"url": "https://report.example/r"}]}'),
    )
    assert found == {
        ("pre.example", "header"): "hint",
        ("font.example", "header"): "hint",
        ("refresh.example", "header"): "navigate",
        ("csp.example", "header"): "ping",
        ("report.example", "header"): "ping",
    }


@pytest.mark.parametrize(
    ("text", "behind"),
    [
        ('<div id="vestibule"></div>', True),
        ('<script type="text/plain" data-vestibule="x" data-vestibule-src="y"></script>', True),
        ("<div data-vestibule-declaration></div>", False),
        ("<p>vestibule</p>", False),
    ],
)
def test_a_site_that_is_behind_vestibule_is_recognised(text: str, behind: bool) -> None:
    assert outline_of(text)[0].vestibule is behind


def test_pages_in_other_encodings() -> None:
    text = '<meta charset=utf-16><a href="/ä">ä</a>'
    answer = Answer(
        "http://localhost/", 200, (("content-type", "text/html; charset=utf-16le"),), text.encode("utf-16le")
    )
    assert read(answer, RULES, Sightings()).links == ["http://localhost/ä"]


def test_sightings_are_bounded() -> None:
    sightings = Sightings()
    for number in range(MAX_SEEN + 7):
        for page in range(9):
            sightings.add(SetCookie(f"c{number}", "x"), f"http://x/{page}")
    assert (len(sightings.seen), sightings.lost) == (MAX_SEEN, 7 * 9)
    assert {len(pages) for pages in sightings.seen.values()} == {5}


# A site

ROBOTS = "User-agent: *\nDisallow: /closed\nSitemap: {origin}/maps.xml\n"


class Site:
    """A site that remembers what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.robots = 200
        self.app = Starlette(routes=[Route("/{path:path}", self.answer)])

    async def answer(self, request: Request) -> Response:
        path = request.url.path
        origin = f"http://{request.headers['host']}"
        self.asked.append(path)
        if path == "/robots.txt":
            return PlainTextResponse(ROBOTS.format(origin=origin), self.robots)
        if path == "/maps.xml":
            return Response(f"<sitemapindex><sitemap><loc>{origin}/map.xml.gz</loc></sitemap></sitemapindex>")
        if path == "/map.xml.gz":
            names = [f"{origin}/mapped", f"{origin}/closed/mapped", "https://elsewhere.example/x"]
            return Response(gzip.compress("".join(f"<url><loc>\n{name}\n</loc></url>" for name in names).encode()))
        if path == "/start":
            return RedirectResponse("/", 302, {"set-cookie": "hop=1; Max-Age=60"})
        if path == "/away":
            return RedirectResponse("https://elsewhere.example/")
        if path == "/own.js":
            return Response("window._hjSettings = {}; fetch('//fetched.example/x')", media_type="text/javascript")
        if path == "/site.css":
            return Response("@import url(//sheet.example/x.css)", media_type="text/css")
        if path == "/data":
            return Response("{}", media_type="application/json")
        if path == "/loop":
            return RedirectResponse("/loop")
        if path == "/large":
            return HTMLResponse("x" * (MAX_BYTES + 10))
        if path == "/gzip":
            return HTMLResponse(gzip.compress(b"<a href=/unpacked>x</a>"), headers={"content-encoding": "gzip"})
        links = "".join(
            f"<a href=/{name}>x</a>"
            for name in ("closed/x", "away", "data", "loop", "gzip", "blog/1", "blog/2", "blog/3", "log-out", "a.pdf")
        )
        body = links + '<link rel=stylesheet href=/site.css><script src="/own.js"></script>'
        if path == "/blog/2":
            body += "<script src=https://deep.example/x.js></script>"
        page = HTMLResponse(body)
        page.set_cookie("everywhere", "1", httponly=True)
        page.set_cookie("gone", "1", max_age=0)
        return page


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Site, str]]:
    site = Site()
    with serve_asgi(site.app) as url:
        yield site, url.replace("127.0.0.1", "localhost")


@pytest.fixture
def site(served: tuple[Site, str]) -> tuple[Site, str]:
    served[0].asked.clear()
    served[0].robots = 200
    return served


def hosts(crawled: Crawl) -> set[str]:
    return {urlsplit(each.url).hostname or "" for each in crawled.sightings.seen if isinstance(each, Contact)}


def test_a_site_is_read_by_its_sitemap_and_its_links(site: tuple[Site, str]) -> None:
    crawled = crawl(f"{site[1]}/start", RULES, Bounds())
    paths = [urlsplit(page).path for page in crawled.pages]
    assert paths[0] == "/"
    assert set(paths) == {"/", "/mapped", "/gzip", "/unpacked", "/blog/1", "/blog/2", "/blog/3"}
    assert hosts(crawled) >= {"sheet.example", "fetched.example", "deep.example"}
    assert {each.name: each.lasts for each in crawled.sightings.seen if isinstance(each, SetCookie)} == {
        "hop": 60,
        "everywhere": 0,
    }
    assert Signature("hotjar") in crawled.sightings.seen
    assert [note for note in crawled.notes if "one redirect to the next" in note]


def test_robots_is_honoured_and_nothing_is_asked_twice(site: tuple[Site, str]) -> None:
    crawl(site[1], RULES, Bounds())
    asked = [path for path in site[0].asked if path != "/loop"]
    assert asked[0] == "/robots.txt"
    assert not [path for path in asked if path.startswith("/closed")]
    assert not {"/log-out", "/a.pdf"} & set(asked)
    assert len(asked) == len(set(asked))


def test_folders_take_turns_and_pages_are_bounded(site: tuple[Site, str]) -> None:
    crawled = crawl(f"{site[1]}/blog/1", RULES, Bounds(pages=3))
    assert len(crawled.pages) == 3
    assert {urlsplit(page).path for page in crawled.pages} > {"/blog/1", "/mapped"}
    assert any("--pages" in note for note in crawled.notes)


def test_progress_is_told(site: tuple[Site, str]) -> None:
    told: list[tuple[int, int, str]] = []
    crawl(site[1], RULES, Bounds(pages=2), lambda *each: told.append(each))
    assert told[:2] == [(0, 2, "robots.txt"), (0, 2, site[1])]
    assert (1, 2) in {each[:2] for each in told}
    assert told[-1] == (2, 2, f"{site[1]}/own.js") or told[-1] == (2, 2, f"{site[1]}/site.css")


def test_time_is_bounded(site: tuple[Site, str]) -> None:
    with pytest.raises(FetchError, match="the time is up"):
        crawl(site[1], RULES, Bounds(seconds=0))


def test_a_robots_that_fails_keeps_us_out(site: tuple[Site, str]) -> None:
    site[0].robots = 503
    with pytest.raises(FetchError, match=r"robots\.txt answers 503"):
        crawl(site[1], RULES, Bounds())
    assert site[0].asked == ["/robots.txt"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/closed/x", "lets nobody read"),
        ("/data", "is no page but application/json"),
        ("/loop", "one redirect to the"),
        ("/away", "leads to https://elsewhere.example/: give that"),
    ],
)
def test_a_start_that_cannot_be_read(site: tuple[Site, str], path: str, message: str) -> None:
    with pytest.raises(FetchError, match=message):
        crawl(site[1] + path, RULES, Bounds())


# Fetching


def fetcher(url: str, **options: Any) -> Fetcher:
    settings: dict[str, Any] = {"delay": 0.0, "deadline": 1e12, "own": lambda target: target.startswith(url)}
    return Fetcher(**settings | options)


def test_an_answer_is_cut_at_its_bound(site: tuple[Site, str]) -> None:
    assert len(fetcher(site[1]).get(f"{site[1]}/large")[-1].body) == MAX_BYTES


def test_redirects_elsewhere_are_handed_over(site: tuple[Site, str]) -> None:
    answers = fetcher(site[1]).get(f"{site[1]}/away")
    assert [answer.header("location") for answer in answers] == ["https://elsewhere.example/"]


def test_requests_keep_their_distance(site: tuple[Site, str]) -> None:
    now = [100.0]
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    patient = fetcher(site[1], delay=2.0, clock=lambda: now[0], sleep=sleep)
    for _ in range(3):
        patient.get(f"{site[1]}/mapped")
        now[0] += 0.5
    assert pauses == [1.5, 1.5]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"nonsense\r\n\r\n", "cannot be read"),
        (b"HTTP/1.1 999999 x\r\n\r\n", "cannot be read"),
    ],
)
def test_what_is_no_answer_is_one_line(answer: bytes, message: str) -> None:
    with raw_server(scripted(answer)) as url, pytest.raises(FetchError, match=message) as caught:
        fetcher(url).get(f"{url}/")
    assert len(str(caught.value).splitlines()) == 1


def test_other_schemes_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no address of the web"):
        fetcher("file:").get(f"file://{tmp_path}/x")


# The command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return in_this_process(monkeypatch, capsys)


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    with serve_asgi(create_app()) as url:
        yield url.replace("127.0.0.1", "localhost")


CONFIG = str(ROOT / "demo" / "config")


def test_the_demo_as_a_table(run: Run, demo: str) -> None:
    code, out, err = run("scan", demo, "--config", CONFIG)
    assert (code, err) == (1, "")
    rows = {line.split()[1] if line.startswith("?") else line.split()[0]: line for line in out.splitlines() if line}
    assert rows["stats.unknown-third.example"].startswith("?  stats.unknown-third.example  nothing names it  ")
    assert rows["rl_visitor"].startswith("?  rl_visitor")
    assert "ask (statistics)" in rows["_ga"]
    assert rows["js.stripe.com"].split()[1:3] == ["stripe", "allow"]
    assert rows["static.hotjar.com"].split()[1:3] == ["hotjar", "block"]
    assert "2 unknown" in out


def test_the_demo_as_json(run: Run, demo: str) -> None:
    code, out, _ = run("scan", demo, "--config", CONFIG, "--format", "json")
    found = json.loads(out)
    assert (code, found["unknown"], found["browser"]) == (1, 2, False)
    parties = {(party["host"], party["service"]): party for party in found["third_parties"]}
    assert parties["www.facebook.com", "meta-pixel"]["state"] == "ask"
    assert parties["collect.unknown-third.example", None]["certain"] is False
    assert parties["collect.unknown-third.example", None]["unknown"] is False
    assert parties["widget.partner.example", "partner-widget"]["rule"] == "custom.partner-widget: ask"
    cookies = {cookie["name"]: cookie for cookie in found["cookies"]}
    assert cookies["rl_visitor"] | {"pages": []} == {
        "name": "rl_visitor",
        "host": "localhost",
        "third_party": False,
        "service": None,
        "purpose": "marketing",
        "state": "block",
        "unknown": True,
        "rule": "cookies.unknown: block",
        "seconds": 365 * 86400,
        "scripts": False,
        "pages": [],
    }


def test_the_demo_for_build_servers(run: Run, demo: str) -> None:
    code, out, _ = run("scan", demo, "--config", CONFIG, "--format", "sarif")
    log = json.loads(out)
    assert (code, log["version"]) == (1, "2.1.0")
    (results,) = [each["results"] for each in log["runs"]]
    assert {(each["ruleId"], each["level"]) for each in results} == {
        ("unknown-third-party", "error"),
        ("unknown-cookie", "error"),
    }
    rules = {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]}
    assert {each["ruleId"] for each in results} <= rules
    assert all(each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].startswith(demo) for each in results)

    code, out, _ = run("scan", demo, "--config", CONFIG, "--format", "junit")
    suite = ElementTree.fromstring(out).find("testsuite")
    assert suite is not None
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    assert (code, failed) == (1, {"stats.unknown-third.example", "rl_visitor"})
    assert (suite.get("tests"), suite.get("failures")) == (str(len(suite)), "2")


def test_a_site_of_which_everything_is_named_passes(run: Run, demo: str, tmp_path: Path) -> None:
    for name in ("site.yaml", "trackers.yaml"):
        text = (ROOT / "demo" / "config" / name).read_text("utf-8")
        text = text.replace("    relaso_session:", "    rl_visitor: {purpose: statistics}\n    relaso_session:")
        text = text.replace(
            "custom:\n", "custom:\n  more: {hosts: [unknown-third.example], purpose: marketing, state: block}\n"
        )
        (tmp_path / name).write_text(text.replace("http://127.0.0.1:3000", demo), encoding="utf-8")
    code, out, _ = run("scan", "--config", str(tmp_path))
    assert (code, "Nothing unknown." in out, "?" in out) == (0, True, False)


def test_what_a_site_says_cannot_break_a_report(run: Run, tmp_path: Path) -> None:
    hostile = (
        "<script src='https://x\x1b.example/]]&gt;'></script><script src='https://y.example/\x01&quot;&lt;'></script>"
    )

    async def page(_request: Request) -> Response:
        answer = HTMLResponse(hostile)
        answer.raw_headers.append((b"set-cookie", b'a"]]&<\xe4=1'))
        return answer

    (tmp_path / "site.yaml").write_text("site: {name: x, hosts: [localhost], upstream: 'http://127.0.0.1:1'}\n")
    with serve_asgi(Starlette(routes=[Route("/{path:path}", page)])) as url:
        for form in ("table", "json", "sarif", "junit"):
            code, out, _ = run(
                "scan", url.replace("127.0.0.1", "localhost"), "--config", str(tmp_path), "--format", form
            )
            assert code == 1
            assert not {"\x1b", "\x01"} & set(out)
            if form == "junit":
                ElementTree.fromstring(out)
            elif form != "table":
                json.loads(out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan", "ftp://x.example"], "scan: must be an address such as https://example.com; is 'ftp://x.example'"),
        (["scan", "http://a b/"], "cannot be read"),
        (["scan", "http://localhost:1/"], "http://localhost:1/robots.txt cannot be read: connection refused"),
    ],
)
def test_what_cannot_be_scanned_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments, "--config", CONFIG)
    assert (code, out) == (1, "")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("example.com", "https://example.com/"),
        ("http://example.com#x", "http://example.com/"),
        ("https://example.com:8443/a?b", "https://example.com:8443/a?b"),
    ],
)
def test_addresses_as_one_types_them(text: str, url: str) -> None:
    assert address("scan", text) == url


@pytest.mark.parametrize("text", ["", "unix:/run/x", "http://u:p@x/", "http://x:99999/", "https://"])
def test_what_is_no_address_of_a_site(text: str) -> None:
    with pytest.raises(VestibuleError, match="must be an address"):
        address("scan", text)


def test_keys_of_storage_cannot_steer_a_terminal() -> None:
    findings = Findings("http://x/", ["http://x/"], True, storage=[FoundKey("local", "\x1b[2J\x9b1m", "x", "")])
    for form in reports.Form:
        assert not {"\x1b", "\x9b"} & set(reports.told(findings, form))


def test_how_is_told_in_words() -> None:
    assert [how.value for how in How] == ["markup", "header", "style", "inline script", "browser", "mentioned"]
