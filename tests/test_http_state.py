"""The cases of the http-state working group: what servers set, and what browsers send back.

A case is run through our parser alone, and then through Vestibule in front of a site that sets it. Two cases hold a
byte that HTTP/1.1 cannot carry in a header (RFC 9110, section 5.5); a proxy refuses such an answer, and so they go
through the middleware only. "Now" is the year the cases were written in.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from tests.jar import Jar
from tests.servers import ROOT
from tests.sites import SITE_YAML, Front, configured, front
from vestibule.core.cookies import parse_cookie

CORPUS = Path(os.environ.get("VESTIBULE_CORPUS", ROOT.parent / "shared" / "corpus"))
CASES = CORPUS / "http-state" / "parser.json"
NOW = 1_300_000_000
SET_AT = "http://home.example.org:8888/cookie-parser"
SENT_TO = "http://home.example.org:8888/cookie-parser-result"

pytestmark = pytest.mark.skipif(not CASES.exists(), reason=f"there are no cases at {CASES}")


def cases() -> list[dict[str, Any]]:
    return json.loads(CASES.read_text(encoding="utf-8")) if CASES.exists() else []


def in_latin(text: str) -> str:
    """Text as it is on the wire, one character a byte."""
    return text.encode("utf-8").decode("latin-1")


def expected(case: dict[str, Any]) -> list[tuple[str, str]]:
    return [(in_latin(pair["name"]), in_latin(pair["value"])) for pair in case["sent"]]


def sent(case: dict[str, Any], received: list[str]) -> str:
    """What a browser sends that was set ``received``."""
    jar = Jar(NOW)
    for header in received:
        jar.receive(header, "home.example.org", urlsplit(SET_AT).path)
    to = urlsplit(urljoin(SENT_TO, case.get("sent-to", "")))
    # Browsers write an address in its one form before they look at cookies (RFC 3986, section 6.2.2.2).
    path = re.sub(r"%([0-9A-Fa-f]{2})", lambda code: _unreserved(code[0]), to.path)
    return jar.header(to.hostname or "", path)


def _unreserved(code: str) -> str:
    char = chr(int(code[1:], 16))
    return char if char.isascii() and (char.isalnum() or char in "-._~") else code


def test_there_are_all_cases() -> None:
    assert len(cases()) == 222


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["test"])
def test_a_case_through_the_parser(case: dict[str, Any]) -> None:
    header = sent(case, [in_latin(each) for each in case["received"]])
    assert [(pair.name, pair.value) for pair in parse_cookie(header)] == expected(case)


async def setting(scope: Any, receive: Any, send: Any) -> None:
    """A site that sets the cookies of the case that it is asked for, and says which came."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/echo":
        cookies = b"; ".join(value for name, value in scope["headers"] if name == b"cookie")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": cookies})
        return
    case = cases()[int(scope["query_string"])]
    headers = [(b"set-cookie", each.encode("utf-8")) for each in case["received"]]
    headers.append((b"content-type", b"text/plain"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module", params=["middleware", "proxy"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("config")
    yaml = SITE_YAML.replace("hosts: [relaso.com, www.relaso.com]", "hosts: [home.example.org]").replace(
        "cookies: {", "cookies: {unknown: allow, "
    )
    with front(request.param, configured(folder, yaml), folder, setting) as running:
        running.form = request.param  # type: ignore[attr-defined]
        yield running


@pytest.mark.parametrize("number", range(len(cases())), ids=lambda number: cases()[number]["test"])
def test_a_case_through_vestibule(site: Front, number: int) -> None:
    case = cases()[number]
    carried = not any(set(each) & {"\x00", "\r", "\n"} for each in case["received"])
    answer = site.ask(f"/?{number}", host="home.example.org")
    if not carried and site.form == "proxy":  # type: ignore[attr-defined]
        assert answer.status == 502, "refused as a whole"
        return
    header = sent(case, answer.all("set-cookie"))
    assert [(pair.name, pair.value) for pair in parse_cookie(header)] == expected(case)
    if header:
        back = site.ask("/echo", ("Cookie", header), host="home.example.org").body.decode("latin-1")
        assert [(pair.name, pair.value) for pair in parse_cookie(back)] == expected(case)
