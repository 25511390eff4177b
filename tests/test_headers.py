"""Which fields cross the proxy."""

from __future__ import annotations

import pytest

from tests.test_forwarding import PROXY, TRUSTED, fields
from vestibule.core.forwarding import Client
from vestibule.core.headers import is_disguised, own_origins, request_headers, response_headers


def request(*lines: str, peer: str | None = "9.9.9.9") -> dict[str, str]:
    """What the upstream gets, as a dict of ``name: value``."""
    kept, _ = request_headers(fields(*lines), peer=peer, scheme="https", trusted=TRUSTED)
    decoded = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in kept]
    assert len({name for name, _ in decoded}) == len(decoded), "a field came twice"
    return dict(decoded)


OURS = {
    "host": "relaso.com",
    "forwarded": "for=9.9.9.9;proto=https;host=relaso.com",
    "x-forwarded-for": "9.9.9.9",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "relaso.com",
    "via": "1.1 vestibule",
}

# What a browser sends, and what of it arrives beside OURS.
REQUESTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "nothing": ([], {}),
    "ordinary": (["accept: */*", "x-app: 1"], {"accept": "*/*", "x-app": "1"}),
    "hop-by-hop": (
        [
            "connection: keep-alive",
            "keep-alive: timeout=5",
            "te: trailers",
            "trailer: x",
            "transfer-encoding: chunked",
            "upgrade: h2c",
            "http2-settings: AAMA",
            "proxy-connection: keep-alive",
            "proxy-authorization: Basic eA==",
        ],
        {},
    ),
    "named in Connection": (["connection: X-Secret, close", "x-secret: 1", "x-app: 2"], {"x-app": "2"}),
    "Connection cannot remove what frames": (
        ["connection: host, content-length, x-forwarded-for, via", "content-length: 5"],
        {"content-length": "5"},
    ),
    "forged forwarding": (
        ["forwarded: for=1.2.3.4", "x-forwarded-for: 1.2.3.4", "x-forwarded-port: 1", "x-forwarded-anything: 1"],
        {},
    ),
    "forged address": (["x-real-ip: 1.2.3.4", "cf-connecting-ip: 1.2.3.4", "x-original-url: /admin"], {}),
    "disguises": (
        [
            "x_forwarded_for: 1.2.3.4",
            "x-forwarded_for: 1.2.3.4",
            "x.forwarded.for: 1.2.3.4",
            "vestibule_account: root",
            "vestibule-account_x: root",
            "content_length: 5",
            "transfer_encoding: chunked",
            "cookie_: a=b",
            "user_agent: x",
        ],
        {"cookie_": "a=b"},
    ),
    "honest underscore": (["my_header: 1"], {"my_header": "1"}),
    "httpoxy": (["proxy: http://evil.example"], {}),
    "expectation": (["expect: 100-continue"], {}),
    "cookies": (["cookie: a=1", "cookie: b=2"], {"cookie": "a=1; b=2"}),
    "via": (["via: 1.0 fred", "via: 1.1 p.example"], {"via": "1.0 fred, 1.1 p.example, 1.1 vestibule"}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_passes_on_what_is_meant_for_the_upstream(name: str) -> None:
    lines, expected = REQUESTS[name]
    assert request(*lines) == OURS | expected


def test_a_trusted_peer_may_name_the_address_its_own_way() -> None:
    assert request("x-real-ip: 1.2.3.4", peer=PROXY)["x-real-ip"] == "1.2.3.4"


def test_tells_the_upstream_the_chain_it_believes() -> None:
    told = request("x-forwarded-for: 6.6.6.6, 2001:db8::1, 10.0.0.2", "x-forwarded-proto: https", peer=PROXY)
    assert told["x-forwarded-for"] == "2001:db8::1, 10.0.0.2, 10.0.0.1"
    assert told["forwarded"] == 'for="[2001:db8::1]";proto=https;host=relaso.com, for=10.0.0.2, for=10.0.0.1'


@pytest.mark.parametrize(
    ("name", "disguised"),
    [
        (b"x_forwarded_for", True),
        (b"x-forwarded-for", False),
        (b"vestibule_consent", True),
        (b"sec_gpc", True),
        (b"my_header", False),
        (b"content.length", True),
    ],
)
def test_sees_through_disguises(name: bytes, disguised: bool) -> None:
    assert is_disguised(name) is disguised


ORIGINS = own_origins("http", "site.internal", 80)
CLIENT = Client("9.9.9.9", "https", "relaso.com")


def response(*lines: str, status: int = 200, client: Client = CLIENT) -> list[str]:
    pairs = [line.split(": ", 1) for line in lines]
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    kept = response_headers(headers, status=status, origins=ORIGINS, client=client)
    assert kept.pop() == (b"via", b"1.1 vestibule")
    return [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in kept]


# One line of the upstream's answer, and what becomes of it.
RESPONSES: dict[str, str | None] = {
    "content-type: text/html": "content-type: text/html",
    "transfer-encoding: chunked": None,
    "connection: close": None,
    "keep-alive: timeout=5": None,
    "upgrade: h2c": None,
    "trailer: x": None,
    "proxy-authenticate: Basic": None,
    "location: /x": "location: /x",
    "location: x?y=http://site.internal/": "location: x?y=http://site.internal/",
    "location: http://site.internal/x?y#z": "location: https://relaso.com/x?y#z",
    "location: http://site.internal": "location: https://relaso.com",
    "location: HTTP://Site.Internal:80/x": "location: https://relaso.com/x",
    "location: //site.internal/x": "location: //relaso.com/x",
    "location: http://site.internal?q": "location: https://relaso.com?q",
    "location: http://site.internal:81/x": "location: http://site.internal:81/x",
    "location: https://site.internal/x": "location: https://site.internal/x",
    "location: http://site.internal.example/x": "location: http://site.internal.example/x",
    "location: http://site.internal@evil.example/": "location: http://site.internal@evil.example/",
    "content-location: http://site.internal/x": "content-location: https://relaso.com/x",
    "set-cookie: a=b; Domain=site.internal; Path=/": "set-cookie: a=b; Path=/",
    "set-cookie: a=b; domain=.SITE.internal": "set-cookie: a=b",
    "set-cookie: a=b; Domain=relaso.com; Secure": "set-cookie: a=b; Domain=relaso.com; Secure",
    "set-cookie: domain=site.internal; HttpOnly": "set-cookie: domain=site.internal; HttpOnly",
}


@pytest.mark.parametrize("line", RESPONSES)
def test_passes_on_what_is_meant_for_the_client(line: str) -> None:
    expected = RESPONSES[line]
    assert response(line) == ([] if expected is None else [expected])


def test_drops_what_the_upstream_names_in_connection() -> None:
    assert response("connection: X-Hop, close", "x-hop: 1", "x-end: 2") == ["x-end: 2"]


@pytest.mark.parametrize(("status", "kept"), [(200, True), (204, False), (304, False), (206, True)])
def test_gives_no_length_where_there_is_no_body(status: int, kept: bool) -> None:
    assert bool(response("content-length: 5", status=status)) is kept
