"""Access logs of five formats become hits; what isn't counted is told early, what can't be read is said so."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.agents import UNRECORDED
from vestibule.core.hits import storable
from vestibule.core.pages import Folder
from vestibule.core.visit import Hit
from vestibule.recorder.logs import FORMATS, MAX_LINE, LogFile, UnreadableError, detect, parser

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"
TIME = 1_795_003_262.0
"""2026-11-18 12:01:02 UTC."""

COMBINED = (
    '203.0.113.7 - - [18/Nov/2026:13:01:02 +0100] "GET /blog/x?utm_source=a HTTP/1.1" 200 5120 '
    f'"https://example.com/a" "{AGENT}"'
)
COMMON = '203.0.113.7 - jane [18/Nov/2026:12:01:02 +0000] "GET /blog/x?utm_source=a HTTP/1.1" 200 5120'
NGINX = json.dumps(
    {
        "time_iso8601": "2026-11-18T13:01:02+01:00",
        "remote_addr": "203.0.113.7",
        "request_method": "GET",
        "request_uri": "/blog/x?utm_source=a",
        "status": "200",
        "body_bytes_sent": "5120",
        "http_referer": "https://example.com/a",
        "http_user_agent": AGENT,
    }
)
CADDY = json.dumps(
    {
        "level": "info",
        "ts": TIME,
        "logger": "http.log.access",
        "msg": "handled request",
        "request": {
            "remote_ip": "10.0.0.1",
            "client_ip": "203.0.113.7",
            "method": "GET",
            "host": "relaso.com",
            "uri": "/blog/x?utm_source=a",
            "headers": {
                "User-Agent": [AGENT],
                "Referer": ["https://example.com/a"],
                "Accept-Language": ["de-DE"],
                "Sec-Gpc": ["1"],
                "Sec-Fetch-Dest": ["document"],
            },
        },
        "size": 5120,
        "status": 200,
        "resp_headers": {"Content-Type": ["text/html; charset=utf-8"]},
    }
)
W3C_HEAD = (
    "#Version: 1.0",
    "#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status sc-bytes cs(User-Agent) cs(Referer)",
)
W3C = (
    f"2026-11-18 12:01:02 203.0.113.7 GET /blog/x utm_source=a 200 5120 {AGENT.replace(' ', '+')} https://example.com/a"
)
LINES = {"combined": COMBINED, "common": COMMON, "nginx": NGINX, "caddy": CADDY, "w3c": W3C}


def ready(name: str) -> Any:
    """A parser that has read what comes before the first line of its format."""
    found = parser(name, "relaso.com")
    if name == "w3c":
        assert [found.parse(line) for line in W3C_HEAD] == [None, None]
    return found


def hit(name: str, line: str) -> Hit:
    found = ready(name).parse(line)
    assert isinstance(found, Hit)
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_the_same_story(name: str) -> None:
    found = hit(name, LINES[name])
    assert (found.site, found.host) == ("relaso.com", "relaso.com")
    assert found.time == TIME
    assert found.address == "203.0.113.7"
    assert (found.method, found.path, found.query) == ("GET", "/blog/x", "utm_source=a")
    assert (found.status, found.size) == (200, 5120)
    assert found.agent == (UNRECORDED if name == "common" else AGENT)
    assert found.referrer == ("" if name == "common" else "https://example.com/a")


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_told_apart(name: str) -> None:
    assert detect(W3C_HEAD[0] if name == "w3c" else LINES[name]) == name


@pytest.mark.parametrize("line", ["", "hello", "# a comment", "{", "[1]", "2026-11-18 12:01:02 GET /"])
def test_other_lines_are_of_no_format(line: str) -> None:
    assert detect(line) is None


def test_headers_that_a_log_has_are_used() -> None:
    found = hit("caddy", CADDY)
    assert (found.language, found.objects, found.fetch_dest) == ("de-DE", "gpc", "document")
    assert found.content_type == "text/html; charset=utf-8"
    found = hit("nginx", json.dumps({**json.loads(NGINX), "http_dnt": "1", "http_sec_fetch_mode": "navigate"}))
    assert (found.objects, found.fetch_mode) == ("dnt", "navigate")


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("cs(Sec-GPC)", "1", {"objects": "gpc"}),
        ("CS(dnt)", "1", {"objects": "dnt"}),
        ("cs(DNT)", "-", {"objects": ""}),
        ("cs(Sec-Purpose)", "prefetch;prerender", {"purpose": "prefetch;prerender"}),
        ("cs(purpose)", "prefetch", {"purpose": "prefetch"}),
        ("cs(X-Moz)", "prefetch", {"purpose": "prefetch"}),
        ("cs(Accept)", "text/html,%20*/*", {"accept": "text/html, */*"}),
        ("cs(Accept-Language)", "de-DE,+en;q=0.5", {"language": "de-DE, en;q=0.5"}),
        ("cs(Sec-Fetch-Dest)", "document", {"fetch_dest": "document"}),
        ("cs(Sec-Fetch-Mode)", "navigate", {"fetch_mode": "navigate"}),
        ("cs(Sec-Fetch-Site)", "none", {"fetch_site": "none"}),
        ("cs(Sec-Fetch-User)", "?1", {"fetch_user": "?1"}),
        ("cs(Sec-CH-UA)", '"A";v="1",+"B";v="2"', {"ch_ua": '"A";v="1", "B";v="2"'}),
        ("cs(Sec-CH-UA-Platform)", '"""Linux"""', {"ch_platform": '"Linux"'}),
    ],
)
def test_headers_that_a_w3c_log_names_are_used(column: str, value: str, expected: dict[str, str]) -> None:
    parser_ = parser("w3c", "relaso.com")
    assert parser_.parse(f"{W3C_HEAD[1]} {column}") is None
    found = parser_.parse(f"{W3C} {value}")
    assert isinstance(found, Hit)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize("header", ["Sec-Purpose", "Purpose", "X-Moz"])
def test_every_name_of_a_purpose_is_read(header: str) -> None:
    entry = json.loads(CADDY)
    entry["request"]["headers"][header] = ["prefetch"]
    assert hit("caddy", json.dumps(entry)).purpose == "prefetch"
    name = f"http_{header.lower().replace('-', '_')}"
    assert hit("nginx", json.dumps({**json.loads(NGINX), name: "prefetch"})).purpose == "prefetch"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("198.51.100.9:4711", "198.51.100.9"),
        ("[2001:db8::1]:5", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
    ],
)
@pytest.mark.parametrize("name", FORMATS)
def test_addresses_are_in_their_one_spelling(name: str, written: str, address: str) -> None:
    assert hit(name, LINES[name].replace("203.0.113.7", written)).address == address


def test_an_early_caddy_wrote_the_address_with_its_port() -> None:
    entry = json.loads(CADDY)
    del entry["request"]["client_ip"], entry["request"]["remote_ip"]
    for written, address in (("[2001:db8::1]:4711", "2001:db8::1"), ("198.51.100.9:4711", "198.51.100.9")):
        entry["request"]["remote_addr"] = written
        assert hit("caddy", json.dumps(entry)).address == address


@pytest.mark.parametrize(
    ("named", "host"), [("_", "relaso.com"), ("*.x.example", "relaso.com"), ("x.example", "x.example")]
)
def test_a_server_without_a_name_is_the_site(named: str, host: str) -> None:
    assert hit("nginx", json.dumps({**json.loads(NGINX), "server_name": named})).host == host


@pytest.mark.parametrize(
    ("named", "host", "path", "query"),
    [
        ("http://other.example/blog/x?utm_source=a", "other.example", "/blog/x", "utm_source=a"),
        ("HTTPS://www.relaso.com:443/blog/x", "www.relaso.com:443", "/blog/x", ""),
        ("http://jane@b@other.example/blog/x", "other.example", "/blog/x", ""),
        ("http://[2001:db8::1]:80/blog/x", "[2001:db8::1]:80", "/blog/x", ""),
        ("http://other.example", "other.example", "/", ""),
        ("http://other.example?a=/b", "other.example", "/", "a=/b"),
    ],
)
@pytest.mark.parametrize("name", FORMATS)
def test_a_host_in_the_request_is_the_one_that_was_asked_for(
    name: str, named: str, host: str, path: str, query: str
) -> None:
    line = LINES[name].replace("/blog/x utm_source=a", "/blog/x -").replace("/blog/x?utm_source=a", "/blog/x")
    found = hit(name, line.replace("/blog/x", named, 1))
    assert (found.host, found.path, found.query) == (host, path, query)


def test_a_host_in_the_request_is_believed_before_the_header() -> None:
    found = hit("combined", "relaso.com:443 " + COMBINED.replace("GET /", "GET http://other.example/"))
    assert found.host == "other.example"


@pytest.mark.parametrize(
    "named", ["http:///blog/x", "http://", "http://@/x", r"http://relaso.com\x20/x", "http://ä.de/"]
)
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_no_host_in_the_request_is_said_so(name: str, named: str) -> None:
    """It is not taken for the site's."""
    line = LINES[name].replace("/blog/x", named.replace("\\", "\\\\") if "{" in LINES[name] else named)
    with pytest.raises(UnreadableError, match="no host in the request"):
        ready(name).parse(line)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda line: line.replace("203.0.113.7 -", "2001:db8::1 -", 1), {"address": "2001:db8::1"}),
        (lambda line: "www.relaso.com:443 " + line, {"host": "www.relaso.com", "address": "203.0.113.7"}),
        (lambda line: line.replace(" 5120 ", " - "), {"size": 0}),
        (lambda line: "www.relaso.com " + line, {"host": "www.relaso.com", "address": "203.0.113.7"}),
        (lambda line: "_ " + line, {"host": "relaso.com", "address": "203.0.113.7"}),
        (lambda line: line.replace("- - [", "- Jane Doe ["), {"host": "relaso.com", "address": "203.0.113.7"}),
        (lambda line: line.replace("203.0.113.7 -", "198.51.100.9:4711 -", 1), {"address": "198.51.100.9"}),
        (lambda line: line.replace("203.0.113.7 -", "::ffff:198.51.100.9 -", 1), {"address": "198.51.100.9"}),
        (lambda line: line.replace("203.0.113.7 -", "[2001:DB8::1]:5 -", 1), {"address": "2001:db8::1"}),
        (lambda line: line.replace("203.0.113.7 -", "host.example -", 1), {"address": "host.example"}),
        (lambda line: line.replace("GET /", "GET https://relaso.com/"), {"host": "relaso.com", "path": "/blog/x"}),
        (lambda line: line.replace(" HTTP/1.1", ""), {"path": "/blog/x"}),
        (lambda line: line.replace("/blog/x", r"/b\"log\x20x"), {"path": '/b"log x', "query": "utm_source=a"}),
        (lambda line: line.replace("/blog/x", r"/b\\x20\\\\"), {"path": r"/b\x20\\"}),
        (lambda line: line.replace("/blog/x", r"/a\x3fb=c\x20HTTP/1.0"), {"path": "/a?b=c HTTP/1.0"}),
        (lambda line: line.replace("x?utm", r"x\x20HTTP/1.0\"\x20500?utm"), {"path": '/blog/x HTTP/1.0" 500'}),
        (lambda line: line.replace("=a HTTP", r"=\xc3\xa9\"\x20b HTTP"), {"query": 'utm_source=Ã©" b'}),
        (lambda line: line.replace("Mozilla", r"\"Mo\\zilla\xc3"), {"agent": '"Mo\\zillaÃ' + AGENT[7:]}),
        (lambda line: line.replace("Mozilla", r"\ud800"), {"agent": "�" + AGENT[7:]}),
        (lambda line: line.replace("https://example.com/a", "-"), {"referrer": ""}),
        (lambda line: line + ' "203.0.113.9" 0.003', {"address": "203.0.113.7"}),
        (lambda line: line.replace("18/Nov/2026:13:01:02 +0100", "31/Dec/2026:23:59:60 -0330"), {"time": 1798774200.0}),
    ],
)  # fmt: skip
def test_spellings_of_combined(change: Callable[[str], str], expected: dict[str, Any]) -> None:
    found = hit("combined", change(COMBINED))
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize("path", [r"/raw\xc3\xa9", r"/raw\xC3\xA9", "/rawé", "/raw%C3%A9", r"/raw\xe9"])
def test_a_page_is_one_however_its_path_is_written(path: str) -> None:
    for name, line in (("combined", COMBINED), ("common", COMMON)):
        assert Folder().fold(hit(name, line.replace("/blog/x", path)).path) == "/rawé"


@pytest.mark.parametrize("target", [r"\x2fblog", r"http\x3a//relaso.com/x", r"\x20/x", r"\"/x"])
def test_an_escape_makes_no_path_of_what_is_none(target: str) -> None:
    with pytest.raises(UnreadableError, match="no path"):
        ready("combined").parse(COMBINED.replace("/blog/x", target))


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ({"time_iso8601": None, "time_local": "18/Nov/2026:13:01:02 +0100"}, TIME),
        ({"time_iso8601": None, "msec": "1795003262.500"}, TIME + 0.5),
        ({"time_iso8601": None, "@timestamp": "2026-11-18T12:01:02Z"}, TIME),
        ({"time_iso8601": None, "ts": 1795003262500}, TIME + 0.5),
        ({"time_iso8601": "2026-11-18T12:01:02"}, TIME),
    ],
)
def test_times_of_json(stamp: dict[str, Any], time: float) -> None:
    assert hit("nginx", json.dumps({**json.loads(NGINX), **stamp})).time == time


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("2026/11/18 12:01:02", TIME),
        ("2026/11/18 12:01:02.5", TIME + 0.5),
        ("2026/11/18 12:01:02.500", TIME + 0.5),
        ("2026/11/18 12:01:02.500000000", TIME + 0.5),
        ("18/Nov/2026:13:01:02 +0100", TIME),
        ("2026-11-18T13:01:02.500+0100", TIME + 0.5),
    ],
)
def test_times_of_caddy(stamp: str, time: float) -> None:
    assert hit("caddy", CADDY.replace(str(TIME), f'"{stamp}"')).time == time


@pytest.mark.parametrize("stamp", ["2026/11-18 12:01:02", "2026/13/18 12:01:02", "2026/11/18/ 12:01:02"])
def test_what_is_no_time_of_caddy_is_said_so(stamp: str) -> None:
    with pytest.raises(UnreadableError, match="no time"):
        hit("caddy", CADDY.replace(str(TIME), f'"{stamp}"'))


def test_a_request_line_serves_where_nginx_logs_no_uri() -> None:
    entry = json.loads(NGINX)
    del entry["request_uri"], entry["request_method"]
    found = hit("nginx", json.dumps({**entry, "request": "HEAD /blog/x?a=b HTTP/2.0"}))
    assert (found.method, found.path, found.query) == ("HEAD", "/blog/x", "a=b")


def test_w3c_columns_follow_the_fields_directive() -> None:
    found = parser("w3c", "relaso.com")
    with pytest.raises(UnreadableError, match="Fields"):
        found.parse(W3C)
    found.parse("#Date: 2026-11-18 12:00:00")
    found.parse("#Fields: time cs-method cs-uri sc-status c-ip")
    first = found.parse("12:01:02 GET /a?b=c 200 203.0.113.7")
    assert isinstance(first, Hit)
    assert (first.time, first.path, first.query, first.agent) == (TIME, "/a", "b=c", UNRECORDED)
    found.parse("#Fields: date\ttime\tx-host-header\tcs-uri-stem\tsc-status\tcs(User-Agent)")
    second = found.parse("2026-11-18\t12:01:02\twww.relaso.com\t/b\t404\tMozilla/5.0%2520(X11)")
    assert isinstance(second, Hit)
    assert (second.host, second.status, second.agent) == ("www.relaso.com", 404, "Mozilla/5.0 (X11)")


def test_w3c_columns_in_quotes_may_have_blanks() -> None:
    found = parser("w3c", "relaso.com")
    found.parse("#Fields: date time c-ip cs-method cs-uri-stem sc-status cs(User-Agent) cs(Referer)")
    line = '2026-11-18 12:01:02 203.0.113.7 GET /a"b 200 "{}" "https://example.com/"'
    for agent in (AGENT, 'one ""quoted"" word', ""):
        told = found.parse(line.format(agent))
        assert isinstance(told, Hit)
        assert (told.agent, told.path) == (agent.replace('""', '"'), '/a"b')
        assert told.referrer == "https://example.com/"
    tabs = found.parse(line.format(AGENT).replace(" ", "\t").replace(AGENT.replace(" ", "\t"), AGENT))
    assert isinstance(tabs, Hit)
    assert tabs.agent == AGENT


@pytest.mark.parametrize("line", [W3C + " more", W3C.rpartition(" ")[0], W3C.replace("+", " "), W3C + ' "'])
def test_w3c_lines_of_another_number_of_columns_are_unreadable(line: str) -> None:
    with pytest.raises(UnreadableError, match="not as many columns"):
        ready("w3c").parse(line)


@pytest.mark.parametrize("name", FORMATS)
def test_assets_are_passed_over_unless_they_fail(name: str) -> None:
    line = LINES[name].replace("/blog/x", "/static/app.css")
    assert ready(name).parse(line) is None
    failed = line.replace(" 200 ", " 404 ").replace('"status": "200"', '"status": "404"')
    assert hit(name, failed.replace('"status": 200', '"status": 404')).status == 404


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "line", ["", "nonsense", "\x16\x03\x01", '"', "{}", "[]", "null", '{"request": {}}', "a b c d e f g h i j"]
)
def test_unreadable_lines_are_said_so(name: str, line: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        ready(name).parse(line)
    assert line not in str(caught.value) or len(line) < 3


YEARS = ["0000", "0001", "1969", "2107", "2149", "9999"]
"""Years that cannot be, and such as the store has no room for."""
ZONES = ["", "Z", "+23:59", "-23:59"]
NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "-1", "9" * 5000, "9" * 19]
"""What JSON parsers take for numbers."""


@pytest.mark.parametrize(
    "line",
    [
        COMBINED.replace("GET /blog/x?utm_source=a HTTP/1.1", r"\x16\x03\x01\x00"),
        COMBINED.replace("GET /blog/x?utm_source=a HTTP/1.1", "-"),
        COMBINED.replace("18/Nov", "18/Foo"),
        COMBINED.replace("18/Nov/2026:13:01:02 +0100", "x" * 26),
        *(
            COMBINED.replace("13:01:02 +0100", clock)
            for clock in ("13:01:-5 +0100", "13:01:+5 +0100", "13:01: 2 +0100", "13:01:61 +0100", "13:01.02 +0100")
        ),
        *(COMBINED.replace("+0100", zone) for zone in ("*0100", " 0100", "+-100", "+01-0", "+ 1 0", "+01x0")),
        COMBINED.replace("13:01:02", "13:-1:02"),
        COMBINED.replace("13:01:02", "13:01:\u0660\u0661"),
        COMBINED.replace("GET /", "CONNECT "),
        NGINX.replace("2026-11-18T13", "yesterday"),
        CADDY.replace(str(TIME), "-5"),
        COMBINED.replace("18/Nov/2026", "30/Feb/2026"),
        COMBINED.replace(" 5120 ", f" {'9' * 5000} "),
        *(COMBINED.replace("18/Nov/2026", f"18/Nov/{year}") for year in YEARS),
        *(COMBINED.replace("18/Nov/2026:13:01:02 +0100", f"01/Jan/{year}:00:00:00 +9999") for year in YEARS),
        *(NGINX.replace("2026-11-18", f"{year}-01-01") for year in YEARS),
        *(
            NGINX.replace("2026-11-18T13:01:02+01:00", f"{year}-12-31T23:59:59{zone}")
            for year in YEARS
            for zone in ZONES
        ),
        *(CADDY.replace(str(TIME), number) for number in NUMBERS),
        *(NGINX.replace('"200"', number) for number in NUMBERS),
        *(NGINX.replace('"5120"', number) for number in NUMBERS),
        NGINX.replace('"200"', f'"{"9" * 5000}"'),
        NGINX.replace('"200"', "[" * 30_000 + "]" * 30_000),
        NGINX.replace("example.com/a", r"example.com/\ud800"),
        CADDY.replace("example.com/a", r"example.com/\uDFFF"),
    ],
)
def test_broken_fields_are_said_so(line: str) -> None:
    with pytest.raises(UnreadableError):
        ready("combined" if line.startswith("2") else "caddy" if "logger" in line else "nginx").parse(line)


def test_a_line_of_the_same_minute_is_looked_at_as_closely() -> None:
    found = ready("combined")
    assert found.parse(COMBINED).time == TIME
    assert found.parse(COMBINED.replace("13:01:02", "13:01:60")).time == TIME + 58
    for broken in ("13:01:-5 +0100", "13:01:61 +0100", "13:01.02 +0100", "13:01:02 *0100"):
        with pytest.raises(UnreadableError, match="no time"):
            found.parse(COMBINED.replace("13:01:02 +0100", broken))


def test_characters_outside_the_first_plane_are_whole_ones() -> None:
    line = NGINX.replace("example.com/a", r"example.com/\ud83d\ude00")
    assert hit("nginx", line).referrer == "https://example.com/😀"
    assert detect(NGINX.replace('"200"', "[" * 30_000 + "]" * 30_000)) is None


def test_caddy_writes_other_lines_too() -> None:
    assert ready("caddy").parse('{"level":"info","ts":1,"logger":"tls","msg":"certificate obtained"}') is None


VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [*YEARS, *ZONES, *NUMBERS, r"\ud800", r'"\udfff"', '"', "\0", "[" * 5000, "31/Dec/9999", "0001-01-01"]
    ),
    st.integers().map(str),
    st.floats().map(str),
    st.datetimes().map(str),
)


@given(st.sampled_from(list(FORMATS)), st.integers(0, 200), st.integers(0, 60), VALUES)
def test_damaged_lines_never_raise_anything_else(name: str, start: int, length: int, text: str) -> None:
    line = LINES[name]
    damaged = line[:start] + text + line[start + length :]
    try:
        found = ready(name).parse(damaged)
    except UnreadableError:
        return
    if found is not None:
        assert Hit.from_json(json.loads(json.dumps(found.to_json(), ensure_ascii=False).encode())) == found
        assert storable(found.time)


@given(st.sampled_from([COMBINED, NGINX, CADDY, W3C]), st.sampled_from(["status", "size", "time"]), VALUES)
def test_values_that_cannot_be_never_raise_anything_else(line: str, field: str, value: str) -> None:
    """As the one above, but in the place where a number or a time is looked for."""
    name = next(name for name, known in LINES.items() if known == line)
    places = {
        "status": ('"200"', '"status": 200', " 200 "),
        "size": ('"5120"', '"size": 5120', " 5120 "),
        "time": ("18/Nov/2026:13:01:02 +0100", '"2026-11-18T13:01:02+01:00"', str(TIME), "2026-11-18"),
    }
    for place in places[field]:
        before, colon, _ = place.rpartition(": ") if place.startswith('"s') else ("", "", "")
        line = line.replace(place, f"{before}{colon} {value} ")
    try:
        found = ready(name).parse(line)
    except UnreadableError:
        return
    assert found is None or storable(found.time)


def test_unknown_formats_are_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="combined, common, nginx, caddy, w3c"):
        parser("squid", "relaso.com")


# -- files -----------------------------------------------------------------------------------------------------------

TEXT = "".join(f"line {number} – ä\n" for number in range(2000)).encode()


def members(data: bytes) -> bytes:
    """Two gzip members."""
    return gzip.compress(data[:99]) + gzip.compress(data[99:])


def zstd(data: bytes) -> bytes:
    """Two frames, as a rotated and appended log has."""
    return zstandard.compress(data[:9000]) + zstandard.compress(data[9000:])


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, members, zstd, bz2.compress, lzma.compress],
    ids=["plain", "gzip", "gzip members", "zstd", "bzip2", "xz"],
)
def test_files_are_unpacked_by_content(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(compress(TEXT))
    with LogFile(path) as log:
        assert "\n".join(log) + "\n" == TEXT.decode()
        assert log.position == log.size == path.stat().st_size


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "empty.log"
    path.touch()
    with LogFile(path) as log:
        assert list(log) == []


def test_a_line_without_end_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    path.write_bytes(b"a" * (3 * MAX_LINE + 5) + b"\nnext\n" + b"b" * (MAX_LINE - 1) + b"\nlast\n")
    with LogFile(path) as log:
        assert [len(line) for line in log] == [MAX_LINE, 4, MAX_LINE - 1, 4]


@pytest.mark.parametrize("last", [b"last", b"last" * MAX_LINE])
def test_a_last_line_that_is_being_written_is_left_for_later(tmp_path: Path, last: bytes) -> None:
    """A packed log is written no more: there it is a line as any other."""
    path = tmp_path / "growing.log"
    for packed, lines in ((False, 2), (True, 3)):
        path.write_bytes(gzip.compress(b"one\ntwo\n" + last) if packed else b"one\ntwo\n" + last)
        with LogFile(path) as log:
            assert len(list(log)) == lines
            assert log.cut is not packed


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, bz2.compress, lzma.compress])
def test_a_file_cut_short_is_said_so(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "cut.log"
    path.write_bytes(compress(TEXT * 20)[:-30])
    with LogFile(path) as log, pytest.raises(ValueError, match="middle of compressed data"):
        list(log)


def test_a_damaged_file_is_said_so(tmp_path: Path) -> None:
    """Not cut, but other bytes in its middle: what came before them is read."""
    path = tmp_path / "damaged.log"
    packed = bytearray(gzip.compress(random.Random(1).randbytes(300_000).hex("\n", 50).encode()))
    packed[200_000:200_400] = b"\xff" * 400
    path.write_bytes(packed)
    with LogFile(path) as log:
        lines = iter(log)
        assert len(next(lines)) == 100
        with pytest.raises(ValueError, match="compressed data"):
            list(lines)


def test_bytes_that_are_no_utf_8_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "latin.log"
    path.write_bytes(COMBINED.encode().replace(b"/a", b"/\xe4") + b"\n")
    with LogFile(path) as log:
        (line,) = log
    assert hit("combined", line).referrer == "https://example.com/�"
