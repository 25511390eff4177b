"""Who the client is, by what trusted proxies say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.forwarding import Client, canonical_address, client_address, is_host
from vestibule.core.headers import Header

PROXY = "10.0.0.1"
TRUSTED = ("10.0.0.0/24", "2001:db8:ffff::/48")


def fields(*lines: str) -> list[Header]:
    """``name: value`` lines as ASGI's pairs, with a Host unless one is given."""
    pairs = [line.split(": ", 1) for line in lines]
    if not any(name == "host" for name, _ in pairs):
        pairs.insert(0, ["host", "relaso.com"])
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


# Peer, what it says, and who the client is then.
CLIENTS: dict[str, tuple[str | None, list[Header], tuple[str, str, str]]] = {
    "nobody between": ("9.9.9.9", fields(), ("9.9.9.9", "http", "relaso.com")),
    "a forger": (
        "9.9.9.9",
        fields("x-forwarded-for: 1.2.3.4", "x-forwarded-proto: https", "x-forwarded-host: evil.example"),
        ("9.9.9.9", "http", "relaso.com"),
    ),
    "a forger by the standard": (
        "9.9.9.9",
        fields("forwarded: for=1.2.3.4;proto=https;host=evil.example"),
        ("9.9.9.9", "http", "relaso.com"),
    ),
    "a front server": (
        PROXY,
        fields("x-forwarded-for: 1.2.3.4", "x-forwarded-proto: https"),
        ("1.2.3.4", "https", "relaso.com"),
    ),
    "a front server that names the host": (
        PROXY,
        fields("host: internal", "x-forwarded-for: 1.2.3.4", "x-forwarded-host: relaso.com"),
        ("1.2.3.4", "http", "relaso.com"),
    ),
    "a front server by the standard": (
        PROXY,
        fields('forwarded: for="[2001:db8::1]:4711";proto=https;host="relaso.com:8443"'),
        ("2001:db8::1", "https", "relaso.com:8443"),
    ),
    "a front server that only tells the scheme": (
        PROXY,
        fields("x-forwarded-proto: https"),
        (PROXY, "https", "relaso.com"),
    ),
    "forged in front of a front server": (
        PROXY,
        fields("x-forwarded-for: 6.6.6.6, 1.2.3.4", "x-forwarded-proto: http, https"),
        ("1.2.3.4", "https", "relaso.com"),
    ),
    "forged as one of ours": (PROXY, fields("x-forwarded-for: 10.0.0.9, 1.2.3.4"), ("1.2.3.4", "http", "relaso.com")),
    "two front servers": (
        PROXY,
        fields("x-forwarded-for: 6.6.6.6, 1.2.3.4, 10.0.0.2", "x-forwarded-proto: gopher, https, http"),
        ("1.2.3.4", "https", "relaso.com"),
    ),
    "two lines": (
        PROXY,
        fields("x-forwarded-for: 1.2.3.4", "x-forwarded-for: 10.0.0.2"),
        ("1.2.3.4", "http", "relaso.com"),
    ),
    "a chain of ours only": (PROXY, fields("x-forwarded-for: 10.0.0.3, 10.0.0.2"), ("10.0.0.3", "http", "relaso.com")),
    "one value over a longer chain": (
        PROXY,
        fields("x-forwarded-for: 1.2.3.4, 10.0.0.2", "x-forwarded-proto: https"),
        ("1.2.3.4", "https", "relaso.com"),
    ),
    "the standard forged through a server that knows only X-": (
        PROXY,
        fields("forwarded: for=6.6.6.6;proto=https", "x-forwarded-for: 1.2.3.4"),
        ("1.2.3.4", "http", "relaso.com"),
    ),
    "an open quote in front": (
        PROXY,
        fields('forwarded: for="6.6.6.6, for=1.2.3.4;proto=https'),
        ("1.2.3.4", "https", "relaso.com"),
    ),
    "garbage": (PROXY, fields("forwarded: ;;;=,"), (PROXY, "http", "relaso.com")),
    "unknown": (PROXY, fields("x-forwarded-for: unknown"), (PROXY, "http", "relaso.com")),
    "hidden": (PROXY, fields("forwarded: for=_gazonk;proto=https"), (PROXY, "https", "relaso.com")),
    "an address with a port": (PROXY, fields("x-forwarded-for: 1.2.3.4:5678"), ("1.2.3.4", "http", "relaso.com")),
    "an odd host": (
        PROXY,
        fields("x-forwarded-for: 1.2.3.4", "x-forwarded-host: evil.example/@x"),
        ("1.2.3.4", "http", "relaso.com"),
    ),
    "an odd scheme": (PROXY, fields("x-forwarded-proto: javascript"), (PROXY, "http", "relaso.com")),
    "a websocket": (
        PROXY,
        fields("x-forwarded-for: 1.2.3.4", "x-forwarded-proto: wss"),
        ("1.2.3.4", "https", "relaso.com"),
    ),
    "IPv6": ("2001:db8:ffff::1", fields("x-forwarded-for: 2001:DB8::0001"), ("2001:db8::1", "http", "relaso.com")),
    "mapped IPv4": ("::ffff:10.0.0.1", fields("x-forwarded-for: ::ffff:1.2.3.4"), ("1.2.3.4", "http", "relaso.com")),
    "a Unix socket": (None, fields("x-forwarded-for: 1.2.3.4"), ("unknown", "http", "relaso.com")),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_finds_the_client(name: str) -> None:
    peer, said, expected = CLIENTS[name]
    assert client_address(peer, said, TRUSTED) == Client(*expected)


def test_trusts_unix_peers_only_where_told() -> None:
    said = fields("x-forwarded-for: 1.2.3.4")
    assert client_address(None, said, ["unix:"]).address == "1.2.3.4"
    assert client_address("not an address", said, ["0.0.0.0/0"]).address == "unknown"


def test_looks_at_the_newest_of_a_long_chain() -> None:
    long = ", ".join(["6.6.6.6"] * 5000 + ["1.2.3.4"])
    assert client_address(PROXY, fields(f"x-forwarded-for: {long}"), TRUSTED).address == "1.2.3.4"
    ours = ", ".join(["6.6.6.6"] + ["10.0.0.2"] * 5000)
    assert client_address(PROXY, fields(f"x-forwarded-for: {ours}"), TRUSTED).address == "10.0.0.2"


@given(st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=80))
def test_nothing_said_breaks_it(text: str) -> None:
    for name in ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"):
        client = client_address(PROXY, fields(f"{name}: {text}"), TRUSTED)
        assert client.address == "unknown" or canonical_address(client.address) == client.address
        assert client.scheme in ("http", "https")
        assert is_host(client.host.encode("latin-1"))


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (b"relaso.com", True),
        (b"relaso.com:8080", True),
        (b"[::1]:80", True),
        (b"xn--bcher-kva.example.", True),
        (b"", False),
        (b":80", False),
        (b"a b", False),
        (b"a/b", False),
        (b"u@a", False),
        (b"a:b", False),
        (b"a,b", False),
    ],
)
def test_knows_a_host(value: bytes, valid: bool) -> None:
    assert is_host(value) is valid
