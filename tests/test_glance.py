"""What is read of an answer at a glance is what the parser would have read."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vestibule.core.forwarding import Client
from vestibule.core.headers import response_headers
from vestibule.upstream.glance import MAX_HEADS, MAX_KNOWN, Glance

Header = tuple[bytes, bytes]


class Parser:
    """What llhttp makes of a head: status and fields, or nothing."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[Header] = []
        self.status: int | None = None
        self.parser = httptools.HttpResponseParser(self)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.status = None

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()


PLAIN = {
    "nothing but a status": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no reason": b"HTTP/1.1 204\r\n\r\n",
    "empty reason": b"HTTP/1.1 304 \r\n\r\n",
    "fields": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello",
    "white space": b"HTTP/1.1 204 OK\r\nA:b\r\nC: \t d e \t\r\nEmpty:\r\nBlank: \t \r\n\r\n",
    "obs-text": "HTTP/1.1 204 D'accord, très bien\r\nX: ü\r\n\r\n".encode(),
    "odd names": b"HTTP/1.1 204 OK\r\n!#$%&'*+-.^_`|~09: x\r\n\r\n",
    "kept": b"HTTP/1.1 204 OK\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=5\r\n\r\n",
    "twice": b"HTTP/1.1 204 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n",
}
LEFT = {
    "unfinished": b"HTTP/1.1 204 OK\r\nA: b\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 204 OK\r\n\r\n",
    "no HTTP": b"HTTP/2 204 OK\r\n\r\n",
    "status 600": b"HTTP/1.1 600 Odd\r\n\r\n",
    "status 20": b"HTTP/1.1 20 Odd\r\n\r\n",
    "status 2000": b"HTTP/1.1 2000 Odd\r\n\r\n",
    "chunked": b"HTTP/1.1 204 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "upgrade": b"HTTP/1.1 204 OK\r\nUpgrade: h2c\r\n\r\n",
    "closes": b"HTTP/1.1 204 OK\r\nConnection: close\r\n\r\n",
    "names a field": b"HTTP/1.1 204 OK\r\nConnection: keep-alive, x\r\n\r\n",
    "folded": b"HTTP/1.1 204 OK\r\nA: b\r\n c\r\n\r\n",
    "space before the colon": b"HTTP/1.1 204 OK\r\nA : b\r\n\r\n",
    "no colon": b"HTTP/1.1 204 OK\r\nAb\r\n\r\n",
    "no name": b"HTTP/1.1 204 OK\r\n: b\r\n\r\n",
    "NUL": b"HTTP/1.1 204 OK\r\nA: b\0c\r\n\r\n",
    "bare CR": b"HTTP/1.1 204 OK\r\nA: b\rc\r\n\r\n",
    "bare LF": b"HTTP/1.1 204 OK\r\nA: b\nC: d\r\n\r\n",
    "bare LF in the reason": b"HTTP/1.1 204 O\nK\r\n\r\n",
    "two lengths": b"HTTP/1.1 204 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "odd length": b"HTTP/1.1 204 OK\r\nContent-Length: +5\r\n\r\n",
    "many fields": b"HTTP/1.1 204 OK\r\n%b\r\n" % (b"A: b\r\n" * 101),
    "long": b"HTTP/1.1 204 OK\r\nA: %b\r\n\r\n" % (b"a" * 4096),
    "empty": b"",
}


@pytest.mark.parametrize("name", PLAIN)
def test_reads_plain_heads_as_the_parser_does(name: str) -> None:
    glance, parser = Glance(100, 4096), Parser(PLAIN[name])
    for _ in range(2):  # the second time from memory
        seen = glance.read(PLAIN[name])
        assert seen is not None
        assert (seen.status, list(seen.headers)) == (parser.status, parser.headers)
        assert PLAIN[name][seen.size :] == PLAIN[name].partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("name", LEFT)
def test_leaves_the_rest_to_the_parser(name: str) -> None:
    glance = Glance(100, 4096)
    assert glance.read(LEFT[name]) is None
    assert glance.read(LEFT[name]) is None


LINES = st.one_of(
    st.sampled_from([line for head in (*PLAIN.values(), *LEFT.values()) for line in head.split(b"\r\n")]),
    st.binary(max_size=12),
    st.builds(lambda name, value: name + b": " + value, st.binary(min_size=1, max_size=6), st.binary(max_size=8)),
)


@given(st.lists(LINES, max_size=6), st.sampled_from([b"\r\n", b"\n", b"\r"]))
@example([b"A: b", b"\x00"], b"\r\n")
def test_takes_nothing_that_the_parser_refuses(lines: list[bytes], end: bytes) -> None:
    data = b"HTTP/1.1 204 OK" + end + end.join(lines) + b"\r\n\r\n"
    seen = Glance(100, 4096).read(data)
    if seen is not None:
        parser = Parser(data[: seen.size])
        assert (seen.status, list(seen.headers)) == (parser.status, parser.headers)


def test_remembers_a_bounded_number_of_lines() -> None:
    glance = Glance(100, 4096)
    for number in range(MAX_KNOWN * 2 + 10):
        assert glance.read(b"HTTP/1.1 204 OK\r\nX: %d\r\nY: %b\r\n\r\n" % (number, b"y" * 1000)) is not None
        assert len(glance._known) <= MAX_KNOWN
        assert len(glance._heads) <= MAX_HEADS


def test_what_is_one_visitors_own_is_not_remembered() -> None:
    glance = Glance(100, 4096)
    for line in (b"Set-Cookie: a=1", b"Location: /x", b"X: %b" % (b"x" * 3000)):
        head = glance.read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n%b\r\n\r\n" % line)
        assert head is not None
        assert glance._heads == {}


def test_the_public_fields_are_those_that_every_client_gets() -> None:
    head = Glance(100, 4096).read(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\nX: y\r\n\r\n")
    assert head is not None
    client = Client("192.0.2.1", "https", "relaso.com")
    whole = response_headers(head.headers, status=200, origins=frozenset({b"//site"}), client=client)
    assert head.public == tuple(whole)
    assert (b"connection", b"keep-alive") not in head.public


@pytest.mark.parametrize(
    ("status", "announced", "length"), [(200, 5, 5), (200, 0, 0), (404, 7, 7), (204, 5, 0), (304, 5, 0)]
)
def test_tells_how_long_a_body_follows(status: int, announced: int, length: int) -> None:
    head = Glance(100, 4096).read(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, announced))
    assert head is not None
    assert head.length == length


def test_tells_where_nothing_says_how_long_a_body_is() -> None:
    head = Glance(100, 4096).read(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n")
    assert head is not None
    assert head.length is None
