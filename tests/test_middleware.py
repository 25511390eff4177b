"""One suite for both forms of Vestibule: inside an app, whatever that is written in, and as a proxy to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import brotli
import pytest
import zstandard

from tests.frameworks import FRAMEWORKS
from tests.sites import (
    BINARY,
    SECRET,
    SITE,
    SITE_YAML,
    TRACKERS_YAML,
    Front,
    Recording,
    configured,
    front,
    in_process,
    scope,
)
from vestibule.middleware import ConsentMiddleware


@pytest.fixture(scope="module", params=["middleware", "proxy", *FRAMEWORKS])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("site")
    form = request.param
    app = FRAMEWORKS[form]() if form in FRAMEWORKS else SITE
    with front("proxy" if form == "proxy" else "middleware", configured(folder), folder / "state", app) as running:
        yield running


# -- pages -------------------------------------------------------------------------------------------------------------


def test_before_a_choice_nothing_foreign_is_left_to_load(site: Front) -> None:
    answer = site.ask("/page")
    assert answer.status == 200
    for held in ("www.googletagmanager.com/gtag", "www.youtube.com/embed", "stats.nobody.example"):
        assert f' src="https://{held}' not in answer.text
        assert f' data-vestibule-src="https://{held}' in answer.text
    assert "fonts.gstatic.com" not in answer.text
    assert '<script src="https://js.stripe.com/v3/"></script>' in answer.text
    assert '<script src="/own.js"></script>' in answer.text


def test_the_banner_is_a_plain_form_first_in_the_body(site: Front) -> None:
    text = site.ask("/page?a=1&b=2").text
    assert text.index("<body>") < text.index('id="vestibule"') < text.index("<h1>")
    assert 'action="http://relaso.com/_privacy/consent"' in text
    assert 'name="next" value="/page?a=1&amp;b=2"' in text
    for value in ("accept", "reject", "save"):
        assert f'name="choice" value="{value}"' in text
    assert "checked" not in text


def test_no_cookie_is_set_before_a_choice(site: Front) -> None:
    assert site.ask("/page").all("set-cookie") == []


@pytest.mark.parametrize("destination", ["iframe", "empty", "image"])
def test_the_banner_goes_only_into_documents(site: Front, destination: str) -> None:
    text = site.ask("/page", ("Sec-Fetch-Dest", destination)).text
    assert 'id="vestibule"' not in text
    assert ' src="https://www.youtube.com' not in text


def test_after_a_choice_what_was_granted_is_left_as_it_is(site: Front) -> None:
    text = site.ask("/page", site.choice("accept")).text
    assert '<script src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>' in text
    assert '<iframe src="https://www.youtube.com/embed/x"></iframe>' in text
    assert ' src="https://stats.nobody.example' not in text
    assert 'id="vestibule-form"' not in text
    assert "/_privacy/" in text


def test_a_refusal_closes_and_does_not_ask_again(site: Front) -> None:
    text = site.ask("/page", site.choice("reject")).text
    assert ' src="https://www.youtube.com' not in text
    assert 'id="vestibule-form"' not in text


@pytest.mark.parametrize("signal", [("Sec-GPC", "1"), ("DNT", "1")])
def test_a_signal_is_a_refusal_until_the_visitor_says_otherwise(site: Front, signal: tuple[str, str]) -> None:
    refused = site.ask("/page", signal).text
    assert ' src="https://www.youtube.com' not in refused
    assert 'id="vestibule-form"' not in refused
    assert ' src="https://www.youtube.com' in site.ask("/page", signal, site.choice("accept")).text


@pytest.mark.parametrize("value", ["x", "e30.AAAA", ""])
def test_a_forged_choice_is_none(site: Front, value: str) -> None:
    text = site.ask("/page", ("Cookie", f"vestibule={value}")).text
    assert 'id="vestibule-form"' in text
    assert ' src="https://www.youtube.com' not in text


def test_on_https_only_the_prefixed_cookie_is_read(tmp_path: Path) -> None:
    with front("middleware", configured(tmp_path), tmp_path) as running:
        secure = ("X-Forwarded-Proto", "https")
        answer = running.post("/_privacy/consent", "choice=accept", secure)
        cookie = answer.all("set-cookie")[0]
        assert cookie.startswith("__Host-vestibule=")
        assert "; Secure" in cookie
        name, _, token = cookie.partition(";")[0].partition("=")
        assert 'id="vestibule-form"' not in running.ask("/page", secure, ("Cookie", f"{name}={token}")).text
        assert 'id="vestibule-form"' in running.ask("/page", secure, ("Cookie", f"vestibule={token}")).text


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_compressed_pages_are_rewritten_and_compressed_again(site: Front, coding: str) -> None:
    answer = site.ask(f"/page?coding={coding}", ("Accept-Encoding", f"{coding}, x-odd"))
    assert answer.get("content-encoding") == coding
    if coding == "br":
        body = brotli.decompress(answer.body)
    elif coding == "zstd":
        body = zstandard.ZstdDecompressor().decompressobj().decompress(answer.body)
    else:
        import gzip

        body = gzip.decompress(answer.body)
    assert b'id="vestibule"' in body
    assert body.rstrip().endswith(b"</html>")
    assert b' src="https://www.youtube.com' not in body


def test_a_page_in_an_unreadable_coding_is_not_shown(site: Front) -> None:
    answer = site.ask("/headers?content-type=text/html&content-encoding=sdch")
    assert answer.status == 502
    assert "ok" not in answer.text.split()


@pytest.mark.parametrize("kind", ["", "html", "unknown/unknown", "*/*", "application/unknown", "text"])
def test_a_page_that_does_not_say_so_is_read_as_one(site: Front, kind: str) -> None:
    answer = site.ask(f"/untyped?type={quote(kind)}")
    assert answer.get("content-type") == "text/html"
    assert ' src="https://www.youtube.com' not in answer.text
    assert 'id="vestibule"' in answer.text


def test_bytes_that_are_no_page_pass_as_they_are(site: Front) -> None:
    answer = site.ask("/untyped?binary=1")
    assert answer.body == BINARY
    assert answer.get("content-type") is None


def test_a_part_of_a_page_is_never_handed_out(site: Front) -> None:
    assert site.ask("/part").status == 502
    sent = site.ask("/echo", ("Range", "bytes=0-5"), ("If-Range", '"x"')).text
    assert "range" not in sent


# -- caching -----------------------------------------------------------------------------------------------------------


def test_no_shared_cache_may_keep_a_page(site: Front) -> None:
    answer = site.ask("/page")
    assert answer.get("cache-control") == "private, no-cache"
    assert answer.get("vary") == "Cookie, Sec-GPC, DNT, Accept-Language"
    assert answer.get("last-modified") is None
    assert answer.get("accept-ranges") is None


def test_an_entity_tag_leads_back_only_under_the_same_choice(site: Front) -> None:
    accepted = site.choice("accept")
    tag = site.ask("/page", accepted).get("etag")
    assert tag is not None
    assert site.ask("/page", accepted, ("If-None-Match", tag)).status == 304
    assert site.ask("/page", ("If-None-Match", tag)).status == 200
    assert site.ask("/page", site.choice("reject"), ("If-None-Match", tag)).status == 200
    assert site.ask("/page", accepted, ("If-None-Match", '"page-1"')).status == 200


def test_a_304_carries_the_policy_and_the_wrapped_tag(site: Front) -> None:
    tag = site.ask("/page").get("etag")
    assert tag is not None
    answer = site.ask("/page", ("If-None-Match", tag))
    assert answer.status == 304
    assert answer.get("etag") == tag
    assert "report-uri /_privacy/csp" in (answer.get("content-security-policy") or "")


# -- headers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/page", "/own.js", "/cookies", "/elsewhere", "/echo"])
def test_every_answer_of_the_site_carries_the_lock(site: Front, path: str) -> None:
    policy = site.ask(path).get("content-security-policy") or ""
    assert policy.startswith("default-src 'self' http://relaso.com ")
    assert " http://*.stripe.com" in policy
    assert "youtube" not in policy
    assert "youtube" in (site.ask(path, site.choice("accept")).get("content-security-policy") or "")


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("link", "<https://evil.example/x.js>; rel=preload; as=script", None),
        ("link", "</own.css>; rel=preload; as=style", "</own.css>; rel=preload; as=style"),
        ("link", "<https://evil.example/>; rel=preconnect, </next>; rel=next", "</next>; rel=next"),
        ("refresh", "0; url=https://evil.example/", None),
        ("refresh", "0, url=https://evil.example/", None),
        ("refresh", "0 url=https://evil.example/", None),
        ("refresh", "0, https://evil.example/", None),
        ("refresh", "0;url=\\\\evil.example", None),
        ("refresh", "5; url=/page", "5; url=/page"),
        ("attribution-reporting-register-source", "{}", None),
        ("vestibule_account", "a@b.example", None),
        ("refresh", "5", "5"),
        ("report-to", '{"endpoints":[{"url":"https://evil.example"}]}', None),
        ("nel", '{"report_to":"x"}', None),
        ("reporting-endpoints", 'x="https://evil.example"', None),
        ("speculation-rules", '"/rules.json"', None),
        ("alt-svc", 'h3="evil.example:443"', None),
        ("vestibule-account", "a@b.example", None),
        ("x-own", "kept", "kept"),
    ],
)
def test_headers_that_load_or_report(site: Front, name: str, value: str, kept: str | None) -> None:
    from urllib.parse import urlencode

    assert site.ask(f"/headers?{urlencode({name: value})}").get(name) == kept


def test_names_are_not_looked_up_ahead(site: Front) -> None:
    assert site.ask("/page").get("x-dns-prefetch-control") == "off"
    odd = site.ask("/headers?content-type=text/html&x-dns-prefetch-control=on")
    assert odd.all("x-dns-prefetch-control") == ["off"]


@pytest.mark.parametrize("form", ["middleware", "proxy"])
@pytest.mark.parametrize(
    ("path", "disguised", "service", "purpose"),
    [
        ("/gtm/collect", "/x/../gtm/%63ollect", "google-tag-manager", "marketing"),  # which the catalogue knows
        ("/echo", "/x/../%65cho", "relay", "statistics"),
    ],
)
def test_a_path_of_the_sites_own_that_relays_is_answered_here_until_granted(
    form: str, path: str, disguised: str, service: str, purpose: str, tmp_path: Path
) -> None:
    relay = "custom: {relay: {hosts: [relaso.com], paths: ['/echo'], purpose: statistics, state: ask}}\n"
    with front(form, configured(tmp_path, SITE_YAML, TRACKERS_YAML + relay), tmp_path) as running:
        answer = running.ask(f"{path}?v=2", ("Sec-Fetch-Dest", "empty"))
        assert (answer.status, answer.body) == (204, b"")
        assert [hit.blocked for hit in running.told()] == [((service, purpose, "", "relay"),)]
        assert running.ask(f"{path}?v=2", running.choice("accept")).status == 200
        assert running.ask(disguised, ("Sec-Fetch-Dest", "empty")).status == 204, "however it is written"


def test_the_sites_own_policy_is_opened_for_the_banner(site: Front) -> None:
    policies = site.ask("/headers?content-security-policy=form-action+'none'").all("content-security-policy")
    assert "form-action http://relaso.com/_privacy/" in policies[0]


@pytest.mark.parametrize(
    "name",
    ["Vestibule-Account", "vestibule-account", "VESTIBULE_ACCOUNT", "Vestibule_Preferences", "vestibule-consent"],
)
def test_nobody_can_speak_for_vestibule(site: Front, name: str) -> None:
    sent = site.ask("/echo", (name, "forged")).text
    assert "forged" not in sent


def test_nobody_can_call_our_words_hop_by_hop(site: Front) -> None:
    sent = site.ask("/echo", ("Connection", "vestibule-consent, sec-gpc, cookie"), ("Cookie", "session=1")).text
    assert '"vestibule-consent"' in sent
    assert '"cookie","session=1"' in sent


def test_the_site_learns_the_choice_and_not_the_cookie(site: Front) -> None:
    accepted = site.choice("accept")
    sent = site.ask("/echo", ("Cookie", f"{accepted[1]}; session=1; _ga=2; undeclared=3")).text
    assert '["vestibule-consent","preferences=1,statistics=1,marketing=1"]' in sent
    assert '["cookie","session=1; _ga=2"]' in sent
    nothing = site.ask("/echo", ("Cookie", "session=1; _ga=2; theme=3")).text
    assert '["vestibule-consent","preferences=0,statistics=0,marketing=0"]' in nothing
    assert '["cookie","session=1"]' in nothing


# -- cookies -----------------------------------------------------------------------------------------------------------


def test_the_site_may_set_only_what_was_agreed_to(site: Front) -> None:
    names = [value.partition("=")[0] for value in site.ask("/cookies").all("set-cookie")]
    assert names == ["session"]
    accepted = site.ask("/cookies", site.choice("accept")).all("set-cookie")
    assert [value.partition("=")[0] for value in accepted] == ["session", "theme", "_ga"]


def test_a_cookie_without_a_name_is_left_out_and_no_nameless_one_is_set(site: Front) -> None:
    answer = site.ask("/page", ("Cookie", "nameless; _ga=1"))
    assert {value.partition("=")[0] for value in answer.all("set-cookie")} == {"_ga"}
    assert "nameless" not in site.ask("/echo", ("Cookie", "nameless; _ga=1")).text


def test_removing_cookies_never_makes_an_answer_too_long_for_a_front_server(site: Front) -> None:
    jar = "; ".join(f"_old{number}=1" for number in range(60))
    sent = site.ask("/page", ("Cookie", jar), host="www.relaso.com").all("set-cookie")
    assert sum(len(f"Set-Cookie: {value}") + 2 for value in sent) <= 2048
    assert len({value.partition("=")[0] for value in sent}) == len(sent), "each of many before a second variant"


def test_refused_cookies_are_expired(site: Front) -> None:
    expired = site.ask("/page", ("Cookie", "_ga=1; session=2; theme=3")).all("set-cookie")
    assert {value.partition("=")[0] for value in expired} == {"_ga", "theme"}
    assert all("Max-Age=0" in value for value in expired)
    assert any("Domain=relaso.com" in value for value in expired)


# -- hosts and paths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("relaso.com", 200),
        ("RELASO.com:8080", 200),
        ("www.relaso.com", 200),
        ("relaso.com.evil.example", 421),
        ("localhost", 421),
        ("evilrelaso.com", 421),
    ],
)
def test_only_the_sites_hosts_are_answered_for(site: Front, host: str, status: int) -> None:
    assert site.ask("/page", host=host).status == status


@pytest.mark.parametrize("able", [True, False])
def test_a_handshake_for_another_host_is_refused(able: bool, tmp_path: Path) -> None:
    async def nobody(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    whole = ConsentMiddleware(nobody, configured(tmp_path), secrets=[SECRET], sender=Recording(), state=tmp_path)
    asked = {**scope([(b"host", b"evil.example")], scheme="wss"), "type": "websocket"}
    sent = in_process(whole, {**asked, "extensions": {"websocket.http.response": {}} if able else None})
    types = ["websocket.http.response.start", "websocket.http.response.body"] if able else ["websocket.close"]
    assert [message["type"] for message in sent] == types
    assert sent[0].get("status") == (421 if able else None)


def test_localhost_is_the_site_in_development(tmp_path: Path) -> None:
    with front("middleware", configured(tmp_path), tmp_path, dev=True) as running:
        answer = running.ask("/page", host="localhost:8080")
        assert answer.status == 200
        assert 'action="http://localhost:8080/_privacy/consent"' in answer.text
        assert '<script src="/own.js"></script>' in answer.text
        assert running.ask("/page", host="[::1]:8080").status == 200


# -- counting ----------------------------------------------------------------------------------------------------------


def test_each_field_of_a_hit_is_what_it_says(tmp_path: Path) -> None:
    async def site(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"words"})

    names = [
        "referer",
        "accept",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "sec-purpose",
        "user-agent",
    ]
    names += ["sec-ch-ua", "sec-ch-ua-platform"]
    headers = [(name.encode(), f"their {name}".encode()) for name in names]
    headers += [(b"host", b"relaso.com"), (b"accept-language", b"nl"), (b"sec-gpc", b"1")]
    recording = Recording()
    whole = ConsentMiddleware(
        site, configured(tmp_path), secrets=[SECRET], sender=recording, state=tmp_path, clock=lambda: 1.8e9
    )
    in_process(whole, {**scope(headers, method="HEAD", path="/a"), "query_string": b"b=1"})
    (hit,) = recording.hits
    assert hit._asdict() == {
        "site": "relaso.com",
        "time": 1.8e9,
        "address": "127.0.0.1",
        "method": "HEAD",
        "host": "relaso.com",
        "path": "/a",
        "query": "b=1",
        "status": 404,
        "content_type": "text/plain",
        "size": 5,
        "agent": "their user-agent",
        "language": "nl",
        "referrer": "their referer",
        "accept": "their accept",
        "fetch_dest": "their sec-fetch-dest",
        "fetch_mode": "their sec-fetch-mode",
        "fetch_site": "their sec-fetch-site",
        "fetch_user": "their sec-fetch-user",
        "purpose": "their sec-purpose",
        "ch_ua": "their sec-ch-ua",
        "ch_platform": "their sec-ch-ua-platform",
        "objects": "gpc",
        "blocked": (),
        "event": None,
        "kind": "",
        "count": True,
        "asked": False,
    }


@pytest.mark.parametrize("name", [b"sec-purpose", b"purpose", b"x-moz"])
def test_every_name_of_a_purpose_is_told(name: bytes, tmp_path: Path) -> None:
    async def site(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"words"})

    recording = Recording()
    whole = ConsentMiddleware(
        site, configured(tmp_path), secrets=[SECRET], sender=recording, state=tmp_path, clock=lambda: 1.8e9
    )
    in_process(whole, scope([(b"host", b"relaso.com"), (name, b"prefetch")], path="/a"))
    assert [hit.purpose for hit in recording.hits] == ["prefetch"]


def test_a_page_is_told_to_the_recorder_with_what_was_held_back(site: Front) -> None:
    site.recording.hits.clear()
    site.ask("/page?utm_source=x", ("Referer", "https://news.example/"))
    (hit,) = [hit for hit in site.told() if hit.path == "/page"]
    assert (hit.status, hit.query, hit.referrer, hit.host) == (
        200,
        "utm_source=x",
        "https://news.example/",
        "relaso.com",
    )
    assert hit.content_type.startswith("text/html")
    held = {service for service, _, _, _ in hit.blocked}
    assert {"youtube", "unknown:stats.nobody.example"} <= held
    assert hit.address == "127.0.0.1"


def test_the_site_may_ask_not_to_be_counted(site: Front) -> None:
    site.recording.hits.clear()
    site.ask("/headers?vestibule-count=no")
    assert [hit.count for hit in site.told()] == [False]


def test_an_objection_is_told(site: Front) -> None:
    site.recording.hits.clear()
    site.ask("/page", ("Sec-GPC", "1"))
    assert [hit.objects for hit in site.told()] == ["gpc"]


def test_a_page_that_asks_for_a_choice_is_told(site: Front) -> None:
    chosen = [site.choice("accept"), site.choice("reject"), ("Sec-GPC", "1")]
    for extra, asked in ((("Accept-Language", "de"), True), *((header, False) for header in chosen)):
        site.recording.hits.clear()
        site.ask("/page", extra)
        assert [hit.asked for hit in site.told()] == [asked]
    site.recording.hits.clear()
    site.ask("/page", ("Sec-Fetch-Dest", "iframe"))
    assert [hit.asked for hit in site.told()] == [False]


# -- observing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["middleware", "proxy"])
def test_observing_holds_nothing_back_and_tells_everything(form: str, tmp_path: Path) -> None:
    config = configured(tmp_path, SITE_YAML + "mode: observe\n", TRACKERS_YAML)
    with front(form, config, tmp_path) as running:
        answer = running.ask("/page", ("Cookie", "_ga=1"))
        assert '<iframe src="https://www.youtube.com/embed/x"></iframe>' in answer.text
        assert answer.get("content-security-policy") is None
        assert "default-src" in (answer.get("content-security-policy-report-only") or "")
        assert answer.all("set-cookie") == []
        assert len(running.ask("/cookies").all("set-cookie")) == 4
        assert "youtube" in {service for hit in running.told() for service, _, _, _ in hit.blocked}


@pytest.mark.parametrize("csp", ["report", "off"])
def test_the_lock_can_be_softened(csp: str, tmp_path: Path) -> None:
    with front("middleware", configured(tmp_path, SITE_YAML + f"csp: {csp}\n"), tmp_path) as running:
        answer = running.ask("/page")
        assert answer.get("content-security-policy") is None
        assert (answer.get("content-security-policy-report-only") is not None) is (csp == "report")
        assert ' src="https://www.youtube.com' not in answer.text
