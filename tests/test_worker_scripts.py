"""Scripts of service workers: what comes after their last line, and that no browser keeps one from before another
choice. What that does is seen in Chromium (browser/test_workers.py)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.sites import SITE_YAML, TRACKERS_YAML, Answer, Front, configured, front
from vestibule.core.codings import Decoder, Encoder

SCRIPT = b'#!x\n"use strict"; skipWaiting() // \xe2\x82\xac'
ETAG, DATE = '"sw-1"', "Sat, 21 Nov 2026 10:00:00 GMT"
AS_WORKER = (("Service-Worker", "script"), ("Sec-Fetch-Dest", "serviceworker"), ("Accept", "*/*"))


async def worker(request: Request) -> Response:
    sent = request.headers
    if sent.get("if-none-match") == ETAG or "if-modified-since" in sent:
        return Response(status_code=304, headers={"etag": ETAG})
    status = 206 if "range" in sent else int(request.query_params.get("status", "200"))
    headers = {"etag": ETAG, "last-modified": DATE, "cache-control": "public, max-age=86400", "expires": DATE}
    body, coding = SCRIPT, request.query_params.get("coding", "")
    if coding:
        encoder = Encoder(coding)
        body = encoder.feed(body) + encoder.close()
        headers["content-encoding"] = coding
    kind = request.query_params.get("type", "text/javascript")
    return Response(body, status_code=status, headers=headers, media_type=kind)


SITE = Starlette(routes=[Route("/sw.js", worker, methods=["GET", "HEAD"])])


@pytest.fixture(params=["middleware", "proxy"], scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("site")
    with front(request.param, configured(folder), folder / "state", SITE) as running:
        yield running


def policy(script: bytes) -> str:
    """The policy that a script is called with at its end."""
    found = re.search(rb'\}\)\(("[^\n]*")\);\n\Z', script)
    assert found is not None
    return str(json.loads(found[1]))


def decoded(answer: Answer, coding: str) -> bytes:
    if not coding:
        return answer.body
    decoder = Decoder(coding, 1 << 20)
    out = b"".join(decoder.feed(answer.body))
    decoder.close()
    return out


@pytest.mark.parametrize("coding", ["", "gzip", "br", "zstd", "deflate"])
def test_it_ends_with_the_policy_it_is_served_under(site: Front, coding: str) -> None:
    answer = site.ask(f"/sw.js?coding={coding}", *AS_WORKER, ("Accept-Encoding", coding))
    script = decoded(answer, coding)
    assert answer.status == 200
    assert script.startswith(SCRIPT + b"\n;(")
    assert policy(script) == answer.get("content-security-policy")
    assert "youtube" not in policy(script)
    assert script[len(SCRIPT) :].isascii(), "in whichever encoding"
    assert answer.get("content-type") == "text/javascript; charset=utf-8"


def test_it_differs_with_the_choice_and_is_never_taken_from_before_another(site: Front) -> None:
    before = site.ask("/sw.js", *AS_WORKER)
    after = site.ask("/sw.js", *AS_WORKER, site.choice("accept"))
    assert before.body != after.body
    assert "youtube" in policy(after.body)
    assert before.get("cache-control") == "private, no-cache"
    assert before.get("last-modified") is None
    assert before.get("expires") is None
    tag = ("If-None-Match", before.get("etag") or "")
    assert site.ask("/sw.js", *AS_WORKER, tag).status == 304
    assert site.ask("/sw.js", *AS_WORKER, tag).get("etag") == before.get("etag")
    assert site.ask("/sw.js", *AS_WORKER, tag, site.choice("accept")).body == after.body
    assert site.ask("/sw.js", *AS_WORKER, ("If-None-Match", ETAG)).status == 200, "from before Vestibule came"


def test_it_is_always_asked_for_whole(site: Front) -> None:
    assert site.ask("/sw.js", *AS_WORKER, ("Range", "bytes=0-3")).status == 200
    assert site.ask("/sw.js", *AS_WORKER, ("If-Modified-Since", DATE)).status == 200
    assert site.ask("/sw.js?status=206", *AS_WORKER).status == 502, "and is not run in part"


def test_nothing_else_is_changed(site: Front) -> None:
    assert site.ask("/sw.js", ("Sec-Fetch-Dest", "script")).body == SCRIPT
    head = site.ask("/sw.js", *AS_WORKER, method="HEAD")
    assert (head.status, head.body, head.get("content-length")) == (200, b"", None)


def test_a_page_in_its_place_is_a_page(site: Front) -> None:
    """Which no browser runs, and which may be shown."""
    answer = site.ask("/sw.js?type=text/html", *AS_WORKER)
    assert b";(" not in answer.body


@pytest.mark.parametrize(
    ("settings", "choice", "ends"),
    [
        ("", "", True),
        ("csp: report\n", "", False),
        ("csp: off\n", "", False),
        ("mode: observe\n", "", False),
        ("", "accept", True),
    ],
)
def test_where_no_policy_is_enforced_it_is_as_it_was(tmp_path: Path, settings: str, choice: str, ends: bool) -> None:
    """Where one is, it ends with what there is of it: none where all was granted."""
    trackers = TRACKERS_YAML.replace("block", "ask")
    with front("middleware", configured(tmp_path, SITE_YAML + settings, trackers), tmp_path, SITE) as running:
        answer = running.ask("/sw.js", *AS_WORKER, *([running.choice(choice)] if choice else []))
        assert (answer.body != SCRIPT) is ends
        if ends:
            assert policy(answer.body) == (answer.get("content-security-policy") or "")
            assert bool(policy(answer.body)) is not bool(choice)
