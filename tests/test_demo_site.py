"""The demo site alone, and the command that starts it together with Vestibule."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from demo.running import DemoError, Place, check_free, places, summary
from demo.site import content, create_app
from demo.site.pdf import one_pager
from demo.site.sessions import EMAIL, Sessions
from tests.servers import ROOT, free_port, serve_asgi, wait_until
from vestibule import config

PUBLIC = ["/", "/pricing", "/blog", *(each.path for each in content.ARTICLES), "/contact", "/login", "/privacy"]
INSIDE = ["/app/", "/app/deals", *(each.path for each in content.DEALS)]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with serve_asgi(create_app()) as url:
        yield url


@pytest.fixture
def client(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base) as client:
        yield client


@pytest.mark.parametrize("path", PUBLIC)
def test_every_public_page_answers_with_its_tags(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for tag in ("gtm.js?id=", "G-DEMO12345", "fbevents.js", "static.hotjar.com", "insight.min.js", "intercom.io"):
        assert tag in page.text


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("/", '<noscript><iframe src="https://www.googletagmanager.com/ns.html?id=GTM-DEMO123"'),
        ("/", 'src="https://www.facebook.com/tr?id=100000000000000&amp;ev=PageView&amp;noscript=1"'),
        ("/", 'src="https://px.ads.linkedin.com/collect/?pid=1234567&amp;fmt=gif"'),
        ("/", 'src="//js.hs-scripts.com/1234567.js"'),
        ("/", '<link rel="preconnect" href="https://fonts.gstatic.com" crossorigin>'),
        ("/", '<link rel="dns-prefetch"'),
        ("/", '@import url("https://use.typekit.net/'),
        ("/", "https://widget.partner.example/w.js"),
        ("/", "https://stats.unknown-third.example/p.gif"),
        ("/pricing", "https://js.stripe.com/v3/"),
        ("/blog/2026/handing-over-a-customer", "https://www.youtube.com/embed/"),
    ],
)
def test_the_tags_stand_as_vendors_write_them(client: httpx.Client, path: str, tag: str) -> None:
    assert tag in client.get(path).text


def test_every_link_within_the_site_leads_somewhere(client: httpx.Client) -> None:
    client.post("/login", data={"email": "ines@relaso.com", "password": "anything"})
    seen: set[str] = set()
    left = ["/", "/app/"]
    while left:
        path = left.pop()
        seen.add(path)
        answer = client.get(path)
        assert answer.status_code == 200, path
        if answer.headers["content-type"].startswith("text/html"):
            found = set(re.findall(r'(?:href|src)="(/(?!/|_privacy/)[^"#]*)', answer.text)) - {"/logout"}
            left.extend(found - seen - set(left))
    assert set(PUBLIC) | set(INSIDE) <= seen
    assert "/downloads/relaso-overview.pdf" in seen


def test_the_server_sets_its_cookies_on_every_page(client: httpx.Client) -> None:
    for path in (*PUBLIC, "/nowhere"):
        cookies = client.get(path, headers={"Cookie": ""}).headers.get_list("set-cookie")
        assert [cookie.partition("=")[0] for cookie in cookies] == ["rl_visitor", "_ga"]
        assert "HttpOnly" in cookies[0]
        assert "Max-Age=63072000" in cookies[1]


def test_a_missing_page_is_a_404_with_the_sites_face(client: httpx.Client) -> None:
    page = client.get("/nowhere")
    assert page.status_code == 404
    assert "The thread ends here" in page.text


@pytest.mark.parametrize(
    ("path", "media", "start"),
    [
        ("/downloads/relaso-overview.pdf", "application/pdf", b"%PDF-1.4\n"),
        ("/assets/team.png", "image/png", b"\x89PNG\r\n"),
        ("/favicon.ico", "image/svg+xml", b"<svg"),
        ("/robots.txt", "text/plain; charset=utf-8", b"User-agent: *\n"),
        ("/sitemap.xml", "application/xml", b"<?xml"),
        ("/assets/site.css", "text/css; charset=utf-8", b"/*"),
        ("/assets/site.js", "text/javascript; charset=utf-8", b"/*"),
    ],
)
def test_files(client: httpx.Client, path: str, media: str, start: bytes) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media)
    assert answer.content.startswith(start)


def test_the_pdf_is_one_that_readers_can_open() -> None:
    text = one_pager("A (title)", "lead", [("one", "sentence")], "foot")
    table = int(re.findall(rb"startxref\n(\d+)\n%%EOF\n$", text)[0])
    assert text[table:].startswith(b"xref\n0 8\n")
    for number, offset in enumerate(re.findall(rb"\n(\d{10}) 00000 n ", text[table:]), start=1):
        assert text[int(offset) :].startswith(b"%d 0 obj\n" % number)
    assert rb"(A \(title\))" in text


@pytest.mark.parametrize("path", INSIDE)
def test_pages_behind_the_login_are_closed(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}")


def test_signing_in_and_out(client: httpx.Client) -> None:
    form = {"email": "ines@relaso.com", "password": "anything", "next": "/app/deals/17", "keep_me_signed_in": "yes"}
    answer = client.post("/login", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/app/deals/17")
    assert answer.headers["vestibule-account"] == "ines@relaso.com"
    cookie = answer.headers["set-cookie"]
    assert re.match(r"relaso_session=[\w-]{32};", cookie)
    assert {"HttpOnly", "SameSite=lax", "Max-Age=1209600"} <= {part.strip() for part in cookie.split(";")}
    assert "expires=" in cookie
    page = client.get("/app/deals/17")
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    assert "Nordlicht Druckerei" in page.text
    assert client.get("/app/deals/999").status_code == 404
    out = client.get("/logout")
    assert out.headers["vestibule-sign-out"] == "1"
    assert client.get("/app/").status_code == 303


@pytest.mark.parametrize(
    "form", [{}, {"email": "x"}, {"email": "a@b.example"}, {"email": "a@b.example\r\nX: y", "password": "p"}]
)
def test_a_sign_in_that_makes_no_sense_is_refused(client: httpx.Client, form: dict[str, str]) -> None:
    answer = client.post("/login", data=form)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example", "/app//evil.example", "/app/\\evil", "app"]
)
def test_signing_in_never_leads_to_another_host(client: httpx.Client, wanted: str) -> None:
    answer = client.post("/login", data={"email": "a@b.example", "password": "p", "next": wanted})
    assert answer.headers["location"] == "/app/"


def test_whom_the_proxy_remembers_gets_a_session(client: httpx.Client) -> None:
    answer = client.get("/app/deals", headers={"Vestibule-Account": "ines@relaso.com"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/app/deals")
    assert "ines@relaso.com" in client.get("/app/deals").text


def test_articles_may_be_cached(client: httpx.Client) -> None:
    first = client.get("/blog/2026/forecasts-that-hold")
    assert first.headers["cache-control"] == "public, max-age=300"
    assert client.get(str(first.url), headers={"If-None-Match": first.headers["etag"]}).status_code == 304


def test_the_contact_form(client: httpx.Client) -> None:
    answer = client.post("/contact", data={"name": "A", "message": "B"}, follow_redirects=True)
    assert "Thank you." in answer.text
    assert client.post("/contact", content=b"x" * 70_000).status_code == 413


def test_sessions_are_bounded() -> None:
    sessions = Sessions(limit=2)
    first, second = sessions.open("a@b.example"), sessions.open("b@b.example")
    assert sessions.email(first) == "a@b.example"
    third = sessions.open("c@b.example")
    assert [sessions.email(each) for each in (first, second, third)] == ["a@b.example", None, "c@b.example"]
    assert not EMAIL.fullmatch("a@b.example\n")


# -- the command


def test_the_demos_configuration_is_in_order() -> None:
    found = config.load(ROOT / "demo" / "config", {})
    assert (found.site.upstream, found.listen, found.dashboard.listen) == (
        "http://127.0.0.1:3000",
        "127.0.0.1:8080",
        "127.0.0.1:8081",
    )
    assert (found.analytics.k, found.analytics.live_every) == (5, 2)


def test_ports_come_from_the_configuration_and_the_environment() -> None:
    where = places({"DEMO_PORT": "4000", "VESTIBULE_LISTEN": "127.0.0.1:9090"})
    assert (where.site.port, where.public.port, where.dashboard.port) == (4000, 9090, 8081)
    text = summary(where, "http://127.0.0.1:8081/setup?token=x")
    for address in ("http://localhost:4000", "http://localhost:9090", "http://localhost:8081", "/setup?token=x"):
        assert address in text


@pytest.mark.parametrize("text", ["", "0", "70000", "x", "-1"])
def test_a_port_that_is_none(text: str) -> None:
    with pytest.raises(DemoError, match="DEMO_PORT: must be a port"):
        places({"DEMO_PORT": text})


def test_every_taken_port_is_named_with_what_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [each.getsockname()[1] for each in (one, two)]
        wanted = [
            Place("the demo site", "127.0.0.1", ports[0], "DEMO_PORT"),
            Place("the dashboard", "127.0.0.1", ports[1], "VESTIBULE_DASHBOARD__LISTEN"),
            Place("Vestibule", "127.0.0.1", free_port(), "VESTIBULE_LISTEN"),
        ]
        with pytest.raises(DemoError) as caught:
            check_free(wanted)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    for line, port, variable in zip(
        lines, ports, ("DEMO_PORT=", "VESTIBULE_DASHBOARD__LISTEN=127.0.0.1:"), strict=True
    ):
        assert str(port) in line
        assert variable in line


def test_the_command_says_in_one_line_that_a_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _demo(tmp_path, {"DEMO_PORT": str(port)}) as (process, log):
            assert process.wait(20) == 1
    (line,) = log.read_text().splitlines()
    assert f"port {port}" in line
    assert "DEMO_PORT=" in line


def test_the_command_starts_everything_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    ports = _ports()
    with _demo(tmp_path, ports) as (process, log):
        wait_until(lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, "the summary", 40)
        wait_until(lambda: "/setup?token=" in log.read_text() or process.poll() is not None, "the first login", 40)
        said = log.read_text()
        assert re.search(r"first dashboard login:? +http://\S+/setup\?token=\S+", said), said
        front, site = ports["VESTIBULE_LISTEN"].replace("127.0.0.1", "localhost"), f"localhost:{ports['DEMO_PORT']}"
        for address in (f"http://{front}", f"http://{site}"):
            assert address in said
            assert "Every customer is" in httpx.get(address).text
        children = _children(process.pid)
        assert len(children) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not [each for each in children if Path(f"/proc/{each}").exists()]
    assert "warning" not in log.read_text().lower()
    assert "Traceback" not in log.read_text()


def test_a_child_that_dies_ends_the_demo(tmp_path: Path) -> None:
    with _demo(tmp_path, _ports()) as (process, log):
        wait_until(lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, "the summary", 40)
        site = next(each for each in _children(process.pid) if b"demo.site" in _command(each))
        os.kill(site, signal.SIGKILL)
        assert process.wait(30) == 1
    assert "demo: the demo site ended by itself (signal KILL); stopping the rest" in log.read_text()


def _ports() -> dict[str, str]:
    return {
        "DEMO_PORT": str(free_port()),
        "VESTIBULE_LISTEN": f"127.0.0.1:{free_port()}",
        "VESTIBULE_DASHBOARD__LISTEN": f"127.0.0.1:{free_port()}",
    }


@contextmanager
def _demo(folder: Path, environ: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`python -m demo`, its state in `folder`; yields the process and the file of all it says."""
    log = folder / "demo.log"
    path = f"{ROOT / 'proxy'}{os.pathsep}{ROOT}"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo"],
            cwd=folder,
            env={**os.environ, **_ports(), **environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        yield process, log
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
