"""A caching front server between visitors and Vestibule: nobody gets what was made for somebody else.

Real caches that honour headers, set as greedily as people set them: cookies do not keep them from caching, and what
says nothing is kept. The site behind says to every cache, in every way it knows, that all may be kept for an hour.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tests.servers import free_port, serve_asgi, wait_until
from tests.sites import SITE_YAML, Answer, Front, Header, Recording, configured
from vestibule.middleware import ConsentMiddleware
from vestibule.protocol import HardenedProtocol
from vestibule.upstream import Upstream

HOUR = formatdate(time.time() + 3600, usegmt=True)
TO_CACHES: dict[str, dict[str, str]] = {
    "s-maxage": {"cache-control": "public, max-age=3600, s-maxage=3600", "last-modified": formatdate(0, usegmt=True)},
    "expires": {"expires": HOUR},
    "nginx": {"x-accel-expires": "3600"},
    "nginx-at": {"x-accel-expires": f"@{int(time.time()) + 3600}"},
    "surrogate": {"surrogate-control": "max-age=3600", "surrogate-key": "all"},
    "cdn": {"cdn-cache-control": "max-age=3600", "cloudflare-cdn-cache-control": "max-age=3600"},
    "litespeed": {"x-litespeed-cache-control": "public,max-age=3600", "edge-control": "max-age=3600"},
    "nothing": {},
    "vary": {"cache-control": "public, max-age=3600", "vary": "Accept-Encoding"},
    "stale": {"cache-control": "public, max-age=1, stale-while-revalidate=3600, stale-if-error=3600"},
    "immutable": {"cache-control": "public, max-age=3600, immutable", "pragma": "cache"},
    "all": {
        "cache-control": "public, s-maxage=3600",
        "expires": HOUR,
        "x-accel-expires": "3600",
        "surrogate-control": "max-age=3600",
        "cdn-cache-control": "max-age=3600",
    },
}
"""What a site says to caches."""

TYPES = {
    "page": "text/html; charset=utf-8",
    "xhtml": "application/xhtml+xml",
    "drawing": "image/svg+xml",
    "script": "text/javascript",
    "picture": "image/png",
    "told": "application/json",
    "cookie": "application/json",
    "untyped": "",
}
HTML = (
    '<!doctype html><html><head><title>Page</title><script src="https://www.googletagmanager.com/gtag/js?id=G-1">'
    '</script></head><body><p id="seen">{seen}</p></body></html>'
)
DRAWING = '<svg xmlns="http://www.w3.org/2000/svg"><title>{seen}</title></svg>'


class Site:
    """``/KIND/HOW``: something of a kind that tells whom the site took its visitor for, with what it says to caches."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        _, kind, how = scope["path"].split("/")
        self.asked.append(scope["path"])
        sent = {name.decode(): value.decode() for name, value in scope["headers"]}
        names = ("vestibule-consent", "accept-language", "sec-gpc", "dnt")
        if kind in ("page", "xhtml", "untyped"):
            seen = " ".join(sent.get(name, "-") for name in names)
        else:
            seen = (
                kind
                + sent.get("vestibule-consent", "") * (kind == "told")
                + sent.get("cookie", "") * (kind == "cookie")
            )
        body = (DRAWING if kind == "drawing" else HTML).format(seen=seen).encode()
        tag = f'"{kind}"'
        headers = {**TO_CACHES[how], "etag": tag, **({"content-type": TYPES[kind]} if TYPES[kind] else {})}
        if kind == "told":
            headers["vary"] = "Accept-Encoding, Vestibule-Consent"
        elif kind == "cookie":
            headers["set-cookie"] = "undeclared=1; Path=/"
        status = 304 if sent.get("if-none-match") == tag else 200
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body if status == 200 else b""})


NGINX = """
user root; worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  proxy_cache_path {folder}/cache keys_zone=c:1m; proxy_temp_path {folder}/1; client_body_temp_path {folder}/2;
  fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {behind}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_cache c; proxy_cache_key $request_uri; proxy_cache_valid any 1h; proxy_cache_revalidate on;
      proxy_cache_use_stale error updating; proxy_cache_background_update on;
      add_header X-Cache $upstream_cache_status always;
    }}
  }}
}}
"""
VARNISH = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{port}"; }}
sub vcl_recv {{
  if (req.method != "GET" && req.method != "HEAD") {{ return (pass); }}
  return (hash); // cookies and all
}}
sub vcl_hash {{ hash_data(req.url); return (lookup); }}
sub vcl_deliver {{ if (obj.hits > 0) {{ set resp.http.X-Cache = "HIT"; }} else {{ set resp.http.X-Cache = "MISS"; }} }}
"""


@contextlib.contextmanager
def started(command: list[str], url: str, log: Path) -> Iterator[str]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT)
    front = Front(url, Recording())

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            return front.ask("/picture/nothing").status == 200
        return False

    try:
        wait_until(answers, "the cache")
        yield url
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def nginx(behind: str, folder: Path) -> Iterator[str]:
    port = free_port()
    folder.mkdir()
    (folder / "conf").write_text(NGINX.format(folder=folder, port=port, behind=behind))
    command = ["nginx", "-e", str(folder / "log"), "-c", str(folder / "conf")]
    with started(command, f"http://127.0.0.1:{port}", folder / "out") as url:
        yield url


@contextlib.contextmanager
def varnish(behind: str, folder: Path) -> Iterator[str]:
    port = free_port()
    folder.mkdir()
    (folder / "vcl").write_text(VARNISH.format(port=behind.rpartition(":")[2]))
    options = ["-j", "none", "-n", str(folder / "work"), "-a", f"127.0.0.1:{port}", "-s", "default,8m"]
    command = ["varnishd", "-F", "-f", str(folder / "vcl"), *options]
    with started(command, f"http://127.0.0.1:{port}", folder / "out") as url:
        yield url


CACHES: dict[str, tuple[str, Callable[[str, Path], contextlib.AbstractContextManager[str]]]] = {
    "nginx": ("nginx", nginx),
    "varnish": ("varnishd", varnish),
}


@dataclass
class Cached:
    """site: what was asked of it. naked: the cache in front of the site alone. direct: Vestibule without the cache."""

    site: Site
    naked: Front
    direct: Front
    front: Front


@pytest.fixture(scope="module", params=CACHES)
def cached(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cached]:
    program, cache = CACHES[request.param]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    config = configured(folder, SITE_YAML + "trusted_proxies: [127.0.0.1/32]\n")
    site, recording = Site(), Recording()
    with contextlib.ExitStack() as stack:
        behind = stack.enter_context(serve_asgi(site))
        upstream = Upstream(behind)
        whole = ConsentMiddleware(upstream, config, secrets=["a secret for tests"], sender=recording, state=folder)
        direct = stack.enter_context(serve_asgi(whole, http=HardenedProtocol, lifespan="on"))
        front = stack.enter_context(cache(direct, folder / "front"))
        naked = stack.enter_context(cache(behind, folder / "naked"))
        yield Cached(site, Front(naked, recording), Front(direct, recording), Front(front, recording))


DESTINATIONS = ("document", "iframe", "empty", "image", "worker", "")


def visitors(front: Front) -> list[tuple[Header, ...]]:
    """Everyone who may come: choices, languages, signals, ways to ask."""
    choices = ((), (front.choice("accept"),), (front.choice("reject"),))
    languages = ((("Accept-Language", "de"),), (("Accept-Language", "en-US,en;q=0.5"),))
    signals: tuple[tuple[Header, ...], ...] = ((), (("Sec-GPC", "1"),), (("DNT", "1"),))
    codings = ((), (("Accept-Encoding", "gzip"),))
    combined = itertools.product(choices, languages, signals, codings)
    return [tuple(itertools.chain.from_iterable(parts)) for parts in combined]


def seen(answer: Answer) -> tuple[object, ...]:
    """What of an answer must be this visitor's own."""
    # The policy counts where something runs; which of a page's parts it came with is nobody's.
    return answer.status, answer.body, answer.get("content-encoding"), answer.get("content-security-policy")


@pytest.mark.parametrize("how", TO_CACHES)
@pytest.mark.parametrize("kind", ["page", "xhtml", "untyped"])
def test_no_page_reaches_the_wrong_visitor(kind: str, how: str, cached: Cached) -> None:
    chance = random.Random(f"{kind} {how}")
    # What is no HTML is a page where it is shown; as a part of another it is the site's to say whose it is.
    destinations = ("document", "iframe") if kind == "xhtml" else ("document", "iframe", "empty")
    asks = [(who, ("Sec-Fetch-Dest", to)) for who in visitors(cached.direct) for to in destinations]
    for who, destination in chance.sample(asks, 8):
        path = f"/{kind}/{how}"
        through, direct = cached.front.ask(path, *who, destination), cached.direct.ask(path, *who, destination)
        assert seen(through) == seen(direct), (who, destination, through.get("x-cache"))
        assert through.get("x-cache") != "HIT"


@pytest.mark.parametrize("how", ["s-maxage", "expires", "vary", "immutable", "all"])
def test_the_same_without_vestibule_mixes_visitors_up(how: str, cached: Cached) -> None:
    """So these caches do keep what they are told to, and the test above can fail."""
    first = cached.naked.ask(f"/page/{how}", ("Accept-Language", "de"))
    again = cached.naked.ask(f"/page/{how}", ("Accept-Language", "fr"))
    assert "de" in first.text
    assert again.body == first.body
    assert again.get("x-cache") == "HIT"


@pytest.mark.parametrize("kind", ["drawing", "script"])
def test_no_policy_reaches_the_wrong_visitor(kind: str, cached: Cached) -> None:
    """A drawing that is shown by itself and a worker run under their own policy: one that was kept for whoever agreed
    must not be anybody else's."""
    agreed, refused = (cached.direct.choice("accept"),), (cached.direct.choice("reject"),)
    ways = [(who, to) for who in (agreed, refused, ()) for to in DESTINATIONS]
    chance = random.Random(kind)
    for _ in range(2):
        chance.shuffle(ways)
        for who, to in ways:
            accept = ("Accept", "image/svg+xml,image/*;q=0.8" if to == "image" else "*/*")
            answer = cached.front.ask(f"/{kind}/all", *who, accept, ("Sec-Fetch-Dest", to))
            policy = answer.get("content-security-policy") or ""
            runs = to in ("document", "iframe", "worker")
            assert ("youtube" in policy) == (runs and who == agreed), (who, to, answer.get("x-cache"))
            assert (answer.get("x-cache") == "HIT") <= (not runs)


def test_what_the_site_makes_of_our_words_is_told_apart(cached: Cached) -> None:
    """``Vary: Vestibule-Consent`` names what caches before us never see."""
    agreed, refused = cached.direct.choice("accept"), cached.direct.choice("reject")
    part = ("Sec-Fetch-Dest", "empty")
    for who in (agreed, refused, agreed, refused):
        answer = cached.front.ask("/told/s-maxage", who, part)
        assert (b"marketing=1" in answer.body) == (who == agreed)


@pytest.mark.parametrize("how", TO_CACHES)
def test_an_answer_that_lost_a_cookie_is_not_kept(how: str, cached: Cached) -> None:
    """Caches leave alone what sets a cookie; held back, it would be the cookie alone that kept the rest from them."""
    for number in range(2):
        who = ("Cookie", f"session={number}")
        answer = cached.front.ask(f"/cookie/{how}", who, ("Sec-Fetch-Dest", "empty"))
        assert f"session={number}" in answer.text
        assert answer.get("set-cookie") is None


@pytest.mark.parametrize("kind", ["drawing", "script", "picture"])
def test_parts_of_pages_are_still_kept(kind: str, cached: Cached) -> None:
    path, part = f"/{kind}/vary", ("Sec-Fetch-Dest", "image")
    everyone = [who for who in visitors(cached.direct) if not any(name == "Accept-Encoding" for name, _ in who)]
    answers = [cached.front.ask(path, *who, part) for who in everyone]
    assert {answer.status for answer in answers} == {200}
    assert answers[-1].get("x-cache") == "HIT"
    assert cached.site.asked.count(path) == 1


def test_our_own_answers_are_never_kept(cached: Cached) -> None:
    for path in ("/_privacy/", "/_privacy/consent", "/_privacy/data"):
        answers = [cached.front.ask(path, *who) for who in visitors(cached.direct)[:8]]
        assert {answer.get("x-cache") for answer in answers} <= {"MISS", None, ""}, path


def test_a_browser_revalidates_through_the_cache(cached: Cached) -> None:
    """Each visitor's entity tag leads to their own page, and to no other's."""
    de, en = ("Accept-Language", "de"), ("Accept-Language", "en")
    tag = cached.front.ask("/page/all", de).get("etag")
    assert tag is not None
    # nginx asks for the whole of what it might keep, and so the browser gets that.
    again = cached.front.ask("/page/all", de, ("If-None-Match", tag))
    assert again.status == 304 or again.body == cached.direct.ask("/page/all", de).body
    assert cached.direct.ask("/page/all", de, ("If-None-Match", tag)).status == 304
    other = cached.front.ask("/page/all", en, ("If-None-Match", tag))
    assert other.status == 200
    assert other.body == cached.direct.ask("/page/all", en).body
    # The same address fetched as a part has no banner: its tag must not lead there from the page's.
    part = cached.front.ask("/page/all", de, ("Sec-Fetch-Dest", "empty"), ("If-None-Match", tag))
    assert part.status == 200
    assert cached.front.ask("/page/all", de, ("If-None-Match", part.get("etag") or "")).status == 200
