"""httpbin as the site: every route of it answers through ``vestibule serve`` as it does directly.

What may differ is stated here and nowhere else: the fields between neighbours, the policy and ``Via`` on every answer,
and on pages what keeps them out of shared caches. What the site is told of its client is compared, too: the direct
requests carry the very fields that Vestibule adds, so that an echo must be the same to the byte.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import re
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import brotli
import pytest

from tests.services import service

httpbin = pytest.importorskip("httpbin", reason="httpbin is not installed")
waitress = pytest.importorskip("waitress", reason="waitress is not installed")

HOST = "example.test"
Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Ask:
    """method, target, fields and body of a request. varies: a pattern of what two answers to it may differ in."""

    target: str
    method: str = "GET"
    fields: tuple[Header, ...] = ()
    body: bytes | None = None
    varies: str = "(?!)"


def basic(user: str, password: str) -> Header:
    return "Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def digest(target: str, algorithm: str = "MD5") -> Header:
    """RFC 7616, 3.4, without a nonce of the server's: httpbin checks the sum alone."""
    hashed = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256, "SHA-512": hashlib.sha512}[algorithm]

    def h(text: str) -> str:
        return hashed(text.encode()).hexdigest()

    inner = h("user:realm:passwd"), "nonce", "00000001", "cnonce", "auth", h(f"GET:{target}")
    answer = h(":".join(inner))
    return (
        "Authorization",
        f'Digest username="user", realm="realm", nonce="nonce", uri="{target}", response="{answer}", '
        f'qop=auth, nc=00000001, cnonce="cnonce", algorithm={algorithm}, opaque="x"',
    )


FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
NONCE = r'(nonce|opaque)="[^"]*"|"[0-9a-f]{32}"|stale_after=\w+|(last_nonce|fake)=[^;]*'
ROUTES: dict[str, tuple[Ask, ...]] = {
    "/": (Ask("/"),),
    "/static/<filename>": (Ask("/static/nothing"),),
    "/html": (Ask("/html"),),
    "/robots.txt": (Ask("/robots.txt"),),
    "/deny": (Ask("/deny"),),
    "/ip": (Ask("/ip"),),
    "/uuid": (Ask("/uuid", varies="[0-9a-f-]{36}"),),
    "/headers": (Ask("/headers", fields=(("X-Twice", "a"), ("X-Twice", "b"), ("X-Odd", "\xfc;,\"'"))),),
    "/user-agent": (Ask("/user-agent"),),
    "/get": (Ask("/get"), Ask("/get?a=1&a=2&b=%C3%BC&c=%2F+%20"), Ask("/get?show_env=1")),
    "/anything": tuple(
        Ask("/anything", method, (JSON,), b'{"a": [1]}') for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    ),
    "/anything/<anything>": (Ask("/anything/a%20b//c/../d"), Ask("/anything/x", "POST", (FORM,), b"a=1&b=2")),
    "/post": (
        Ask("/post", "POST", (FORM,), b"a=1&b=2"),
        Ask("/post", "POST", (("Content-Type", "application/octet-stream"),), bytes(range(256)) * 2000),
        Ask("/post", "POST", (), b""),
    ),
    "/put": (Ask("/put", "PUT", (JSON,), b"[1]"),),
    "/patch": (Ask("/patch", "PATCH", (JSON,), b"[1]"),),
    "/delete": (Ask("/delete", "DELETE"),),
    "/gzip": (Ask("/gzip"),),
    "/deflate": (Ask("/deflate"),),
    "/brotli": (Ask("/brotli"),),
    "/redirect/<n>": (Ask("/redirect/3"), Ask("/redirect/1")),
    "/redirect-to": (Ask("/redirect-to?url=https%3A%2F%2Felsewhere.example%2F"), Ask("/redirect-to?url=%2Fget", "PUT")),
    "/relative-redirect/<n>": (Ask("/relative-redirect/2"),),
    "/absolute-redirect/<n>": (Ask("/absolute-redirect/2"),),
    "/stream/<n>": (Ask("/stream/20"),),
    "/status/<codes>": tuple(
        Ask(f"/status/{status}", method)
        for status in (200, 201, 204, 205, 301, 302, 304, 307, 400, 401, 402, 404, 406, 407, 418, 500, 503, 599)
        for method in ("GET", "POST")
    ),
    "/response-headers": (Ask("/response-headers?a=1&a=2&X-Thing=b%20c"), Ask("/response-headers?x=y", "POST")),
    "/cookies": (Ask("/cookies", fields=(("Cookie", "a=1; b=2"),)),),
    "/forms/post": (Ask("/forms/post"),),
    "/cookies/set/<name>/<value>": (Ask("/cookies/set/a/1"),),
    "/cookies/set": (Ask("/cookies/set?a=1&b=2"),),
    "/cookies/delete": (Ask("/cookies/delete?a="),),
    "/basic-auth/<user>/<passwd>": (
        Ask("/basic-auth/user/passwd"),
        Ask("/basic-auth/user/passwd", fields=(basic("user", "passwd"),)),
    ),
    "/hidden-basic-auth/<user>/<passwd>": (
        Ask("/hidden-basic-auth/user/passwd"),
        Ask("/hidden-basic-auth/user/passwd", fields=(basic("user", "passwd"),)),
    ),
    "/bearer": (Ask("/bearer"), Ask("/bearer", fields=(("Authorization", "Bearer x"),))),
    "/digest-auth/<qop>/<user>/<passwd>": (
        Ask("/digest-auth/auth/user/passwd", varies=NONCE),
        Ask(
            "/digest-auth/auth/user/passwd",
            fields=(digest("/digest-auth/auth/user/passwd"), ("Cookie", "fake=fake_value")),
            varies=NONCE,
        ),
    ),
    "/digest-auth/<qop>/<user>/<passwd>/<algorithm>": (
        Ask("/digest-auth/auth/user/passwd/SHA-256", varies=NONCE + '|"[0-9a-f]{64}"'),
    ),
    "/digest-auth/<qop>/<user>/<passwd>/<algorithm>/<stale_after>": (
        Ask("/digest-auth/auth/user/passwd/MD5/3", varies=NONCE),
    ),
    "/delay/<delay>": (Ask("/delay/0.2"), Ask("/delay/0", "POST", (FORM,), b"a=1")),
    "/drip": (Ask("/drip?numbytes=5&duration=0.3&delay=0"), Ask("/drip?numbytes=3&duration=0&code=500&delay=0")),
    "/base64/<value>": (Ask("/base64/SFRUUEJJTiBpcyBhd2Vzb21l"),),
    "/cache": (Ask("/cache", varies=r"[0-9a-f]{32}"), Ask("/cache", fields=(("If-None-Match", '"x"'),))),
    "/etag/<etag>": (
        Ask("/etag/tag"),
        Ask("/etag/tag", fields=(("If-None-Match", '"tag"'),)),
        Ask("/etag/tag", fields=(("If-Match", '"other"'),)),
    ),
    "/cache/<value>": (Ask("/cache/60"),),
    "/encoding/utf8": (Ask("/encoding/utf8"),),
    "/bytes/<n>": (Ask("/bytes/100000?seed=1"),),
    "/stream-bytes/<n>": (Ask("/stream-bytes/100000?seed=1&chunk_size=777"),),
    "/range/<numbytes>": (
        Ask("/range/26"),
        Ask("/range/26", fields=(("Range", "bytes=10-15"),)),
        Ask("/range/26", fields=(("Range", "bytes=50-60"),)),
        Ask("/range/200000?chunk_size=1000", fields=(("Range", "bytes=-5"),)),
    ),
    "/links/<n>/<offset>": (Ask("/links/5/2"),),
    "/links/<n>": (Ask("/links/5"),),
    "/image": tuple(Ask("/image", fields=(("Accept", f"image/{kind}"),)) for kind in ("png", "svg+xml", "none")),
    "/image/png": (Ask("/image/png"),),
    "/image/jpeg": (Ask("/image/jpeg"),),
    "/image/webp": (Ask("/image/webp"),),
    "/image/svg": (Ask("/image/svg"),),
    "/xml": (Ask("/xml"),),
    "/json": (Ask("/json"),),
}
ASKED = [(route, ask) for route, asks in ROUTES.items() for ask in asks]


@dataclass
class Answered:
    status: int
    reason: str
    headers: list[Header]
    body: bytes

    def text(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key == name)


@dataclass(frozen=True, slots=True)
class Sites:
    direct: str
    through: str


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    server = waitress.create_server(httpbin.app, host="127.0.0.1", port=0, threads=8)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    direct = f"http://127.0.0.1:{server.effective_port}"
    try:
        folder, settings = tmp_path_factory.mktemp("httpbin"), {"cookies": "{unknown: allow}", "trusted_proxies": "[]"}
        with service(folder, direct, **settings) as started:
            yield Sites(direct, started.url)
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(server.close)  # in its own thread, which else may be waiting on what is closed
        thread.join(10)
        assert not thread.is_alive()


ADDED = (
    ("Forwarded", f"for=127.0.0.1;proto=http;host={HOST}"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Host", HOST),
    ("Via", "1.1 vestibule"),
    ("Vestibule-Consent", "preferences=0,statistics=0,marketing=0"),
)
"""What Vestibule tells the site of a request, besides what its client says."""


def send(url: str, ask: Ask, *more: Header, method: str = "", destination: str = "empty") -> Answered:
    named = {name.lower() for name, _ in ask.fields}
    usual = (
        ("Host", HOST),
        ("User-Agent", "test"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Sec-Fetch-Dest", destination),
    )
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.putrequest(method or ask.method, ask.target, skip_host=True, skip_accept_encoding=True)
        for name, value in (*(pair for pair in usual if pair[0].lower() not in named), *ask.fields, *more):
            connection.putheader(name, value.encode("latin-1"))
        if ask.body is not None:
            connection.putheader("Content-Length", str(len(ask.body)))
        connection.endheaders(ask.body)
        response = connection.getresponse()
        headers = [(name.lower(), value) for name, value in response.getheaders()]
        return Answered(response.status, response.reason, headers, response.read())
    finally:
        connection.close()


NEIGHBOURS = {"connection", "date", "keep-alive", "proxy-authenticate", "trailer", "transfer-encoding", "via"}
UNCACHED = {"cache-control", "vary", "etag", "last-modified", "accept-ranges", "content-length", "expires"}
"""Fields that a page has anew, so that it is kept out of shared caches (docs/design.md)."""


DIFFERS = ("vary", "Sec-Fetch-Dest")
"""What is added for what may run by itself: as a document it would have another policy."""


def compared(answered: Answered, *without: set[str]) -> list[Header]:
    left_out = NEIGHBOURS.union(*without)
    active = re.search("svg|xml|script", answered.text("content-type"))
    return sorted(pair for pair in answered.headers if pair[0] not in left_out and not (active and pair == DIFFERS))


def plain(answered: Answered) -> bytes:
    """The body without its coding: two answers may be packed at different times."""
    undo: dict[str, Any] = {"gzip": gzip.decompress, "deflate": zlib.decompress, "br": brotli.decompress}
    coding = answered.text("content-encoding")
    return bytes(undo[coding](answered.body)) if coding and answered.body else answered.body


def settled(value: Any, varies: str) -> Any:
    """A value in which what is different each time is the same."""
    if isinstance(value, bytes):
        return re.sub(varies.encode(), b"~", value)
    return [(name, re.sub(varies, "~", text)) for name, text in value]


def meant(body: bytes) -> Any:
    """A stream of JSON by what it says: in what order fields of different names came is nobody's business."""
    try:
        return [json.loads(line) for line in body.splitlines()]
    except ValueError:
        return body


def test_every_route_is_asked() -> None:
    rules = {re.sub("<(int|float|path):", "<", str(rule)) for rule in httpbin.app.url_map.iter_rules()}
    assert rules - {"/legacy", "/spec.json", "/flasgger_static/<filename>"} == ROUTES.keys()


@pytest.mark.parametrize(("route", "ask"), ASKED, ids=[f"{ask.method} {ask.target}" for _, ask in ASKED])
def test_a_route_answers_as_it_does_directly(route: str, ask: Ask, sites: Sites) -> None:
    direct, through = send(sites.direct, ask, *ADDED), send(sites.through, ask)
    assert (through.status, through.reason) == (direct.status, http.client.responses.get(direct.status, ""))
    is_page = "html" in direct.text("content-type")
    apart = (UNCACHED, {"x-dns-prefetch-control"}) if is_page else ()
    ours = {"content-security-policy", "content-length"} if is_page else {"content-security-policy"}
    expected = settled(compared(direct, *apart, ours - {"content-security-policy"}), ask.varies)
    assert settled(compared(through, *apart, ours), ask.varies) == expected
    assert through.text("via") == "1.1 vestibule"
    assert "default-src 'self'" in through.text("content-security-policy")
    if is_page:
        assert through.text("cache-control").startswith("private")
    # As a part of another page nothing of ours is put into it; what a page would load from others is not there.
    assert meant(settled(plain(through), ask.varies)) == meant(settled(plain(direct), ask.varies))


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_other_methods_answer_as_they_do_directly(method: str, sites: Sites) -> None:
    for _, ask in ASKED:
        if method == "HEAD" and ask.method != "GET":
            continue
        bare = Ask(ask.target, method, ask.fields, None, ask.varies)
        direct, through = send(sites.direct, bare, *ADDED), send(sites.through, bare)
        apart = (UNCACHED, {"x-dns-prefetch-control"}) if "html" in direct.text("content-type") else ()
        expected = settled(compared(direct, *apart), ask.varies)
        assert (through.status, plain(through)) == (direct.status, plain(direct)), ask.target
        assert settled(compared(through, *apart, {"content-security-policy"}), ask.varies) == expected, ask.target


@pytest.mark.parametrize("target", ["/", "/html", "/forms/post", "/links/5/2"])
def test_a_page_loses_nothing(target: str, sites: Sites) -> None:
    """As a document it gets our parts; all that the site wrote is still there, in its order."""
    direct = send(sites.direct, Ask(target), *ADDED, destination="document")
    through = send(sites.through, Ask(target), destination="document")
    before, after = plain(direct).decode(), plain(through).decode()
    assert "vestibule" in after
    assert "vestibule" not in before
    position = 0
    for part in re.findall(r"<[^>]*>|[^<\s]+", before):
        position = after.find(part, position) + len(part)
        assert position >= len(part), part


def test_a_trace_is_refused(sites: Sites) -> None:
    assert send(sites.through, Ask("/anything", "TRACE")).status == 405


def test_what_the_site_learns_of_a_visitor(sites: Sites) -> None:
    """Nobody can pretend to be somebody else; the browser's own fields pass."""
    forged = (
        ("Forwarded", "for=9.9.9.9"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Real-IP", "9.9.9.9"),
        ("Vestibule-Account", "root@example.test"),
        ("Vestibule_Consent", "marketing=1"),
        ("Connection", "close, Cookie, X-Mine"),
        ("X-Mine", "1"),
        ("Sec-GPC", "1"),
    )
    seen = json.loads(send(sites.through, Ask("/headers", fields=forged)).body)["headers"]
    told = {name.title(): value for name, value in seen.items()}
    assert told["Vestibule-Consent"] == "preferences=0,statistics=0,marketing=0"
    assert told["Sec-Gpc"] == "1"
    assert not {"Vestibule-Account", "Vestibule_Consent", "X-Mine"} & told.keys()
    assert told["Host"] == HOST
