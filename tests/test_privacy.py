"""What visitors meet under ``/_privacy``: the choice, the centre, the parts of the banner."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.servers import ROOT, serve_asgi
from tests.sites import SECRET, SITE_YAML, Front, Header, Recording, configured, front
from vestibule.config import load
from vestibule.core.consent import ASKED, Choice, Purpose
from vestibule.core.errors import LinkError
from vestibule.middleware import ConsentMiddleware
from vestibule.privacy.banner import Banner
from vestibule.privacy.forms import MAX_HOSTS
from vestibule.privacy.guard import Guard, parse_written, written
from vestibule.privacy.origin import from_own_pages, local_path
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.texts import DAY, choose, fill, languages, texts
from vestibule.privacy.visitor import Visitor


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("privacy")
    with front("middleware", configured(folder), folder / "state") as running:
        yield running


# -- the choice --------------------------------------------------------------------------------------------------------


def test_a_form_leads_back_with_the_choice_in_a_cookie(site: Front) -> None:
    answer = site.post("/_privacy/consent", "choice=accept&next=%2Fpage%3Fa%3D1")
    assert (answer.status, answer.get("location")) == (303, "/page?a=1")
    cookie = answer.all("set-cookie")[0]
    assert cookie.startswith("vestibule=")
    for attribute in ("Path=/", "Max-Age=15552000", "HttpOnly", "SameSite=Lax"):
        assert f"; {attribute}" in cookie


@pytest.mark.parametrize(
    ("form", "purposes", "recorded"),
    [
        ("choice=accept", {"preferences": True, "statistics": True, "marketing": True}, True),
        ("choice=reject", {"preferences": False, "statistics": False, "marketing": False}, False),
        ("choice=save", {"preferences": False, "statistics": False, "marketing": False}, False),
        ("choice=save&purpose=statistics", {"preferences": False, "statistics": True, "marketing": False}, True),
        ("choice=reject&purpose=marketing", {"preferences": False, "statistics": False, "marketing": False}, False),
    ],
)
def test_what_a_form_means(site: Front, form: str, purposes: dict[str, bool], recorded: bool) -> None:
    site.recording.records.clear()
    answer = site.post("/_privacy/consent", form, ("Accept", "application/json"))
    state = json.loads(answer.body)
    assert state["purposes"] == purposes
    assert (state["record"] is not None) is recorded
    (record,) = site.recording.records
    assert record["id"] == (state["record"] or "")
    assert record["purposes"] == [name for name, granted in purposes.items() if granted]


def test_a_record_says_what_was_shown_and_nothing_of_the_visitor(site: Front) -> None:
    site.recording.records.clear()
    site.post("/_privacy/consent", "choice=accept&surface=centre", ("Accept-Language", "de-AT,de;q=0.9"))
    (record,) = site.recording.records
    assert set(record) == {
        "id", "time", "site", "revision", "texts", "language", "purposes", "services", "asked", "surface", "signal"
    }  # fmt: skip
    assert isinstance(record["time"], int)
    assert record["time"] % 3600 == 0
    assert (record["language"], record["surface"], record["revision"]) == ("de", "centre", "1")
    assert len(str(record["texts"])) == 64


def test_one_service_can_be_let_in_beside_what_holds(site: Front) -> None:
    first = site.choice("reject")
    answer = site.post("/_privacy/consent", "choice=add&service=youtube", first, ("Accept", "application/json"))
    state = json.loads(answer.body)
    assert state["services"] == {"youtube": True}
    cookie = answer.all("set-cookie")[0].partition(";")[0]
    text = site.ask("/page", ("Cookie", cookie)).text
    assert ' src="https://www.youtube.com' in text
    assert ' src="https://www.googletagmanager.com' not in text


@pytest.mark.parametrize("service", ["hotjar", "stripe", "nobody"])
def test_only_what_is_asked_for_can_be_let_in(site: Front, service: str) -> None:
    answer = site.post("/_privacy/consent", f"choice=add&service={service}", ("Accept", "application/json"))
    assert json.loads(answer.body)["services"] == {}


UNKNOWN_YAML = """\
unknown: ask
services: {google-analytics: ask, hotjar: block}
"""


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A site that asks for whatever nobody names, too."""
    folder = tmp_path_factory.mktemp("asking")
    app = Starlette(routes=[Route("/embeds", embeds)])
    with front("middleware", configured(folder, SITE_YAML, UNKNOWN_YAML), folder / "state", app) as running:
        yield running


async def embeds(_: Request) -> Response:
    return HTMLResponse(
        "<!doctype html><title>Embeds</title><iframe src=https://one.nobody.example/a></iframe>"
        "<iframe src=https://two.nobody.example/b></iframe><iframe src=https://player.vimeo.com/video/1></iframe>"
        "<iframe src='https://[bad/'></iframe>"
    )


@pytest.mark.parametrize(
    ("name", "address", "source", "shown"),
    [
        ("unknown:one.nobody.example", "https://one.nobody.example", "//one.nobody.example ", "one.nobody.example"),
        ("vimeo", "https://player.vimeo.com", "//*.vimeo.com ", "Vimeo"),
    ],
)
def test_what_no_form_names_can_be_let_in_by_itself(
    asking: Front, name: str, address: str, source: str, shown: str
) -> None:
    before = asking.ask("/embeds").text
    assert f'<button form="vestibule-embed" name="service" value="{name}">' in before
    assert before.count("vestibule-placeholder") - before.count("data-vestibule-placeholder") == 4
    assert 'value="unknown:">' not in before, "what cannot be read may be anybody: no button lets it in"
    asking.recording.records.clear()
    answer = asking.post("/_privacy/consent", f"service={name}&next=/embeds", ("Accept", "application/json"))
    told = json.loads(answer.body)
    assert (told["services"], told["purposes"]["marketing"]) == ({name: True}, False)
    (record,) = asking.recording.records
    assert record["services"] == {name: True}
    cookie = "Cookie", answer.all("set-cookie")[0].partition(";")[0]
    page = asking.ask("/embeds", cookie)
    assert re.findall(r'<iframe src="?(https?://[a-z.]+)', page.text) == [address]
    policies = page.all("content-security-policy")
    assert (source in policies[-1], "two.nobody.example" in policies[-1]) == (True, False)
    # The centre shows it as it is, and saving that form without it takes it back.
    centre = asking.ask("/_privacy/", cookie).text
    assert re.search(f'<input type="checkbox" name="service" value="{name}" checked><span>{shown}', centre)
    receipt = json.loads(asking.ask("/_privacy/receipt", cookie).body)["receipt"]
    assert [each["services"] for each in receipt["pii_processing"]["purposes"]] == [[shown]]
    withdrawn = asking.post("/_privacy/consent", "choice=save", cookie, ("Accept", "application/json"))
    assert {key: json.loads(withdrawn.body)[key] for key in ("services", "lost")} == {"services": {}, "lost": True}


def test_a_host_that_is_refused_by_itself_stays_closed(asking: Front) -> None:
    name = "unknown:one.nobody.example"
    body = json.dumps({"purposes": {"marketing": True}, "services": {name: False}})
    answer = asking.post("/_privacy/consent", body, ("Content-Type", "application/json"))
    page = asking.ask("/embeds", ("Cookie", answer.all("set-cookie")[0].partition(";")[0]))
    assert f'data-vestibule-placeholder="{name}"' in page.text
    assert "one.nobody.example" not in page.all("content-security-policy")[-1]


@pytest.mark.parametrize(
    "name",
    [
        "unknown:",
        "unknown:relaso.com",
        "unknown:www.google-analytics.com",
        "unknown:static.hotjar.com",
        "unknown:A.example",
        "unknown:a b",
        "unknown:a;script-src *",
        "unknown:a.example:",
        "unknown:" + "a" * 101,
        "hotjar",
    ],
)
def test_only_hosts_that_nothing_names_can_be_let_in_as_such(asking: Front, name: str) -> None:
    answer = asking.post("/_privacy/consent", urlencode({"service": name}), ("Accept", "application/json"))
    assert json.loads(answer.body)["services"] == {}


def test_hosts_let_in_one_by_one_never_make_the_choice_too_long(asking: Front) -> None:
    given: tuple[str, str] | None = None
    for number in range(MAX_HOSTS + 4):
        host = f"{number:02}." + hashlib.sha256(bytes([number])).hexdigest() + ".a-rather-long-name.example"
        headers = (("Accept", "application/json"), *((given,) if given else ()))
        answer = asking.post("/_privacy/consent", f"service=unknown:{host}", *headers)
        given = "Cookie", answer.all("set-cookie")[0].partition(";")[0]
    told = json.loads(asking.ask("/_privacy/consent", given or ("", "")).body)
    assert len(told["services"]) == MAX_HOSTS
    assert told["services"][f"unknown:{host}"] is True, "the last one is kept"


def test_json_is_a_choice_too(site: Front) -> None:
    body = json.dumps({"purposes": {"statistics": True}, "services": {"youtube": True, "google-analytics": False}})
    answer = site.post("/_privacy/consent", body, ("Content-Type", "application/json"))
    assert answer.status == 200
    state = json.loads(answer.body)
    assert state["purposes"] == {"preferences": False, "statistics": True, "marketing": False}
    assert state["services"] == {"youtube": True, "google-analytics": False}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", ""),
        ("application/x-www-form-urlencoded", "choice=perhaps"),
        ("application/x-www-form-urlencoded", "choice=accept&" + "&".join(f"a{n}=1" for n in range(300))),
        ("application/json", "[1]"),
        ("application/json", '{"purposes": {"statistics": "yes"}}'),
        ("application/json", "{}"),
        ("application/json", '{"purposes": {"statistic": true}}'),
        ("application/x-www-form-urlencoded", "choice=save&purpose=nonsense"),
        ("application/json", "{" * 5000),
        ("text/plain", "choice=accept"),
        ("multipart/form-data; boundary=x", "--x"),
    ],
)
def test_what_says_no_choice_changes_nothing(site: Front, content_type: str, body: str) -> None:
    answer = site.post("/_privacy/consent", body, ("Content-Type", content_type))
    assert answer.status == 400
    assert answer.all("set-cookie") == []


def test_a_huge_body_is_not_read(site: Front) -> None:
    assert site.post("/_privacy/consent", "choice=accept&x=" + "y" * 20_000).status == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Sec-Fetch-Site", "same-origin")], 303),
        ([("Sec-Fetch-Site", "none")], 303),
        ([("Sec-Fetch-Site", "same-site")], 403),
        ([("Sec-Fetch-Site", "cross-site")], 403),
        ([("Sec-Fetch-Site", "cross-site"), ("Origin", "http://relaso.com")], 403),
        ([("Sec-Fetch-Site", "same-origin"), ("Origin", "null")], 303),
        ([("Sec-Fetch-Site", ""), ("Origin", "http://relaso.com")], 303),
        ([("Sec-Fetch-Site", ""), ("Origin", "https://evil.example")], 403),
        ([("Sec-Fetch-Site", ""), ("Origin", "null")], 403),
        ([("Sec-Fetch-Site", "")], 403),
    ],
)
@pytest.mark.parametrize("path", ["/_privacy/consent", "/_privacy/erase"])
def test_only_the_sites_own_pages_change_anything(
    site: Front, path: str, headers: list[tuple[str, str]], status: int
) -> None:
    answer = site.post(path, "choice=accept", *headers)
    assert answer.status == status
    assert (answer.all("set-cookie") != []) is (status == 303 and path.endswith("consent"))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/page", "/page"),
        ("/page?x=1#y", "/page?x=1#y"),
        ("", "/"),
        ("page", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("\t//evil.example", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/" + "x" * 5000, "/"),
        ("/ümlaut", "/"),
    ],
)
def test_the_way_back_never_leaves_the_site(target: str, expected: str) -> None:
    assert local_path(target) == expected


@pytest.mark.parametrize("origin", ["http://RELASO.com", "http://relaso.com"])
def test_origins_are_compared_without_case(origin: str) -> None:
    assert from_own_pages({b"origin": origin.encode()}, "http://relaso.com")


def test_withdrawing_expires_what_was_granted(site: Front) -> None:
    accepted = site.choice("accept")
    answer = site.post("/_privacy/consent", "choice=reject", ("Cookie", f"{accepted[1]}; _ga=1; session=2"))
    expired = {value.partition("=")[0] for value in answer.all("set-cookie") if "Max-Age=0" in value}
    assert expired == {"_ga"}


class Refusing(Recording):
    """A recorder that is away."""

    async def record(self, record: Mapping[str, object]) -> None:
        raise LinkError("away")


def test_while_the_recorder_is_away_the_record_is_on_disk_before_the_answer(tmp_path: Path) -> None:
    app = ConsentMiddleware(
        Starlette(), configured(tmp_path), secrets=[SECRET], sender=Refusing(), state=tmp_path / "s"
    )
    with serve_asgi(app) as url:
        assert Front(url, Recording()).post("/_privacy/consent", "choice=accept").status == 303
        (journal,) = (tmp_path / "s" / "journal").iterdir()
        assert json.loads(journal.read_text(encoding="utf-8"))["purposes"] == ["preferences", "statistics", "marketing"]
        assert journal.stat().st_mode & 0o077 == 0


def test_a_grant_that_cannot_be_proved_is_none_but_a_refusal_always_holds(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("in the way", encoding="utf-8")
    app = ConsentMiddleware(
        Starlette(), configured(tmp_path), secrets=[SECRET], sender=Refusing(), state=tmp_path / "s"
    )
    with serve_asgi(app) as url:
        answer = Front(url, Recording()).post("/_privacy/consent", "choice=accept")
        assert answer.status == 503
        assert answer.all("set-cookie") == []
        assert Front(url, Recording()).post("/_privacy/consent", "choice=reject").status == 303


# -- the rest of what lies under /_privacy -----------------------------------------------------------------------------


def test_the_state_as_json(site: Front) -> None:
    before = json.loads(site.ask("/_privacy/consent").body)
    assert (before["asked"], before["purposes"]) == (True, None)
    after = json.loads(site.ask("/_privacy/consent", site.choice("accept")).body)
    assert (after["asked"], after["purposes"]["marketing"]) == (False, True)
    assert json.loads(site.ask("/_privacy/consent", ("Sec-GPC", "1")).body)["signal"] == "gpc"


def test_the_centre_shows_the_choice_the_services_and_what_is_held(site: Front) -> None:
    name, cookies = site.choice("accept")
    answer = site.ask("/_privacy/", (name, f'{cookies}; session="><script>alert(1)</script>'))
    assert answer.status == 200
    assert answer.text.count("checked") == 3
    for shown in ("YouTube", "Google Analytics", "Stripe", "legal@relaso.com"):
        assert shown in answer.text
    assert "<script>" not in answer.text
    assert "default-src 'none'" in (answer.get("content-security-policy") or "")
    assert answer.get("cache-control") == "no-store"


def test_the_centre_speaks_the_visitors_language(site: Front) -> None:
    assert "Datenschutz-Center" in site.ask("/_privacy/", ("Accept-Language", "de")).text


def test_the_visitor_can_take_their_data(site: Front) -> None:
    data = json.loads(site.ask("/_privacy/data", ("Cookie", "session=abc; _ga=1")).body)
    held = {item["name"]: item["purpose"] for item in data["cookies_in_your_browser"]}
    assert held == {"session": "necessary", "_ga": "statistics"}


def test_everything_can_be_erased(site: Front) -> None:
    name, choice = site.choice("accept")
    answer = site.post("/_privacy/erase", "", (name, f"{choice}; session=1"))
    assert answer.status == 303
    assert {value.partition("=")[0] for value in answer.all("set-cookie")} == {"vestibule", "session"}
    assert answer.get("clear-site-data") == '"cookies", "storage"'


@pytest.mark.parametrize("domain", ["", "domain: relaso.com, "])
def test_our_own_cookies_are_erased_however_many_there_are(tmp_path: Path, domain: str) -> None:
    settings = SITE_YAML.replace("cookies: {", f"cookies: {{{domain}")
    with front("middleware", configured(tmp_path, settings), tmp_path / "state") as running:
        name, choice = running.choice("accept")
        others = "; ".join(f"crm_setting_of_some_length_{number}=1" for number in range(60))
        (kept,) = running.post("/_privacy/consent", "choice=accept").all("set-cookie")[:1]
        answer = running.post("/_privacy/erase", "", (name, f"{others}; {choice}"))
    scope = [part for part in kept.split("; ") if part.startswith(("Path=", "Domain="))]
    first = answer.all("set-cookie")[0].split("; ")
    assert first[0] == choice.partition("=")[0] + "="
    assert [part for part in first if part.startswith(("Path=", "Domain="))] == scope
    assert "Max-Age=0" in first


@pytest.mark.parametrize("name", ["banner.js", "answer.js", "count.js", "banner.css", "centre.css"])
def test_the_parts_never_change_their_meaning(site: Front, name: str) -> None:
    answer = site.ask(f"/_privacy/{name}?v=1")
    assert answer.status == 200
    assert answer.get("cache-control") == "public, max-age=31536000, immutable"
    assert answer.get("set-cookie") is None


def test_a_pixel_counts_and_holds_nothing(site: Front) -> None:
    site.recording.hits.clear()
    answer = site.ask("/_privacy/pixel/newsletter-11.gif?id=someone")
    assert (answer.status, len(answer.body), answer.get("cache-control")) == (200, 43, "no-store")
    (hit,) = site.told()
    assert (hit.kind, hit.event, hit.query) == ("pixel", (("name", "newsletter-11"),), "")
    assert site.ask("/_privacy/pixel/a%20b.gif").status == 404


BEACON = '{"kind": "event", "name": "export", "value": "csv"}'


def test_beacons_count_with_consent_to_statistics_only(site: Front) -> None:
    def chosen(fields: str) -> Header:
        return "Cookie", site.post("/_privacy/consent", fields).all("set-cookie")[0].partition(";")[0]

    granted, others = chosen("choice=save&purpose=statistics"), chosen("choice=save&purpose=marketing")
    site.recording.hits.clear()
    assert [site.post("/_privacy/event", BEACON, *cookies).status for cookies in ((), (others,))] == [403, 403]
    assert site.post("/_privacy/event", "no beacon", granted).status == 400
    assert site.ask("/_privacy/event").status == 405
    assert site.post("/_privacy/event", BEACON, granted, ("Sec-Fetch-Site", "cross-site")).status == 403
    answer = site.post("/_privacy/event", BEACON, granted)
    assert (answer.status, answer.body, answer.get("set-cookie")) == (204, b"", None)
    (hit,) = site.told()
    assert (hit.kind, hit.event) == ("event", (("name", "export"), ("value", "csv")))


def test_reports_are_counted_by_service(site: Front) -> None:
    site.recording.hits.clear()
    report = {"csp-report": {"blocked-uri": "https://www.youtube.com/x", "effective-directive": "frame-src"}}
    headers = (("Content-Type", "application/csp-report"), ("Sec-Fetch-Site", "same-origin"))
    assert site.post("/_privacy/csp", json.dumps(report), *headers).status == 204
    assert site.told()[0].blocked == (("youtube", "preferences", "", "csp"),)
    assert site.post("/_privacy/csp", "{" * 9000, *headers).status == 204
    assert site.post("/_privacy/csp", "x" * 40_000, *headers).status == 413
    site.recording.hits.clear()
    foreign = (("Content-Type", "application/csp-report"), ("Sec-Fetch-Site", "cross-site"))
    assert site.post("/_privacy/csp", json.dumps(report), *foreign).status == 403
    assert site.recording.hits == []


def test_global_privacy_control_is_announced(site: Front) -> None:
    assert json.loads(site.ask("/.well-known/gpc.json").body)["gpc"] is True


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_privacy", 308),
        ("GET", "/_privacy/nothing", 404),
        ("DELETE", "/_privacy/consent", 405),
        ("GET", "/_privacy/erase", 405),
        ("HEAD", "/_privacy/", 200),
        ("HEAD", "/_privacy/banner.css", 200),
        ("POST", "/_privacy/pixel/x.gif", 404),
    ],
)
def test_what_is_answered_where(site: Front, method: str, path: str, status: int) -> None:
    assert site.ask(path, method=method).status == status


# -- languages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH, en;q=0.5", "de"),
        ("xx, de;q=0.2, en;q=0.8", "en"),
        ("DE;q=1.0", "de"),
        ("en;q=0, de;q=0.1", "de"),
        ("*;q=x", "en"),
        ("../../etc/passwd", "en"),
    ],
)
def test_the_language_is_the_one_liked_best(header: str, tag: str) -> None:
    assert choose(header) == tag


def leaves(data: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every text by its keys; one with forms for numbers is a dictionary of them."""
    if isinstance(data, dict) and "other" not in data:
        for key, value in data.items():
            yield from leaves(value, f"{path}.{key}")
    else:
        yield path, data


def test_every_language_has_every_text_and_every_placeholder() -> None:
    english = dict(leaves(texts("en").data))
    for tag in languages():
        own = dict(leaves(texts(tag).data))
        assert own.keys() == english.keys(), tag
        for path, text in english.items():
            for form, words in forms(own[path]).items():
                wanted, found = placeholders(forms(text)["other"]), placeholders(words)
                # "No service", "one service", "two services" need no figure.
                if form in ("zero", "one", "two") and "{count}" not in found:
                    wanted = [name for name in wanted if name != "{count}"]
                assert found == wanted, (tag, path)


def forms(text: object) -> dict[str, str]:
    return text if isinstance(text, dict) else {"other": str(text)}


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", text))


def test_every_language_has_the_forms_that_its_numbers_take() -> None:
    for tag in languages():
        locale = texts(tag).locale
        needed = {str(locale.plural_form(number)) for number in range(1001)} | {"other"}
        for path, text in leaves(texts(tag).data):
            if isinstance(text, dict):
                assert text.keys() == needed, (tag, path)


@pytest.mark.parametrize(
    ("tag", "count", "words"),
    [
        ("en", 1, "1 more service"),
        ("en", 2, "2 more services"),
        ("en", 1200, "1,200 more services"),
        ("de", 1, "1 weiterer Dienst"),
        ("de", 1200, "1.200 weitere Dienste"),
    ],
)
def test_numbers_take_their_form(tag: str, count: int, words: str) -> None:
    assert texts(tag).plural("banner", "more", count) == words


@pytest.mark.parametrize(
    ("seconds", "english", "german"),
    [
        (10, "10 seconds", "10 Sekunden"),
        (1800, "30 minutes", "30 Minuten"),
        (86_400, "1 day", "1 Tag"),
        (90 * 86_400, "3 months", "3 Monate"),
        (180 * 86_400, "6 months", "6 Monate"),
        (round(13 * 30.44 * 86_400), "13 months", "13 Monate"),
        (2 * 365 * 86_400, "2 years", "2 Jahre"),
        (100 * 86_400, "100 days", "100 Tage"),
    ],
)
def test_durations_are_told_in_their_greatest_whole_unit(seconds: int, english: str, german: str) -> None:
    assert (texts("en").duration(seconds), texts("de").duration(seconds)) == (english, german)


@pytest.mark.parametrize("tag", sorted(languages()))
def test_every_language_has_words_for_durations(tag: str) -> None:
    told = [texts(tag).duration(seconds) for seconds in (30, 1800, 7200, 2 * DAY, 90 * DAY, 730 * DAY)]
    assert len(set(told)) == len(told)
    assert not any("duration" in text or ("day" in text and tag != "en") for text in told)


def test_what_is_filled_in_is_not_filled_in_again() -> None:
    assert fill("{a} and {b} {c} {", a="{b}", b="{a}") == "{b} and {a} {c} {"


@pytest.mark.parametrize(
    ("accept", "page", "tag"),
    [
        ("en", "de", "de"),
        ("en", "de-CH", "de"),
        ("en", "de, en", "en"),
        ("de", "xx", "de"),
        ("de", "../../etc/passwd", "de"),
        ("de", "", "de"),
    ],
)
def test_the_pages_own_language_goes_before(accept: str, page: str, tag: str) -> None:
    assert choose(accept, page) == tag


# -- the guard ---------------------------------------------------------------------------------------------------------

VIDEO = "https://www.youtube.com/embed/x"
IN_FRAME = (("Sec-Fetch-Dest", "iframe"), ("Sec-Fetch-Site", "same-origin"))


def frame(**fields: str) -> str:
    return "/_privacy/frame?" + urlencode(fields)


def test_an_embed_is_framed_only_once_it_is_open(site: Front) -> None:
    target = frame(src=VIDEO + "?rel=0#t=9", allow='autoplay;fullscreen "><script>', referrer="no-referrer")
    closed = site.ask(target, *IN_FRAME)
    assert closed.status == 200
    assert "<iframe" not in closed.text
    assert 'name="service" value="youtube"' in closed.text
    assert f'name="next" value="{target.replace("&", "&amp;")}"' in closed.text, "the button leads back here"
    assert "frame-src" not in (closed.get("content-security-policy") or "")
    open_ = site.ask(target, *IN_FRAME, site.choice("accept"))
    assert f'<iframe src="{VIDEO}?rel=0#t=9"' in open_.text
    assert 'referrerpolicy="no-referrer"' in open_.text
    assert "allow=" not in open_.text, "what is no list of permissions is left out"
    assert "<script" not in open_.text + closed.text
    assert open_.get("cache-control") == "no-store"
    allowed = site.ask(frame(src=VIDEO, allow="autoplay; fullscreen", referrer="x"), *IN_FRAME, site.choice("accept"))
    assert 'allow="autoplay; fullscreen"' in allowed.text
    assert "referrerpolicy" not in allowed.text


def test_an_embeds_document_has_a_policy_of_its_own(site: Front) -> None:
    answer = site.ask(frame(src=VIDEO), *IN_FRAME, site.choice("accept"))
    policy = dict(part.strip().partition(" ")[::2] for part in (answer.get("content-security-policy") or "").split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'self'"
    assert policy["frame-src"].startswith("https://www.youtube.com ")
    assert "hotjar" not in policy["frame-src"]
    (style,) = re.findall("<style>(.*)</style>", answer.text)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy["style-src"]
    assert answer.get("x-frame-options") == "SAMEORIGIN"
    assert answer.get("referrer-policy") == "strict-origin-when-cross-origin", "videos do not play without an origin"


@pytest.mark.parametrize(
    "src",
    [
        "",
        "/page",
        "//www.youtube.com/embed/x",
        "http://relaso.com/page",
        "https://www.relaso.com/page",
        "https://intranet.relaso.com/",
        "javascript:alert(1)",
        "data:text/html,x",
        "blob:https://www.youtube.com/1",
        "ftp://www.youtube.com/",
        "https://x;frame-ancestors.youtube.com/",
        "https://x,y.youtube.com/",
        VIDEO + "?" + "x" * 5000,
    ],
)
def test_what_is_no_embed_is_not_framed(site: Front, src: str) -> None:
    answer = site.ask(frame(src=src), *IN_FRAME, site.choice("accept"))
    assert answer.status == 403
    assert answer.get("location") is None


@pytest.mark.parametrize("src", ["https://static.hotjar.com/x", "https://nobody.example/x"])
def test_what_no_choice_opens_is_not_framed_either(site: Front, src: str) -> None:
    answer = site.ask(frame(src=src), *IN_FRAME, site.choice("accept"))
    assert "<iframe" not in answer.text
    assert "<button" not in answer.text


@pytest.mark.parametrize(
    ("scheme", "src", "status"),
    [
        ("http", "http://www.youtube.com/embed/x", 200),
        ("https", "http://www.youtube.com/embed/x", 403),
        ("https", VIDEO, 200),
    ],
)
def test_a_secure_page_frames_nothing_insecure(tmp_path: Path, scheme: str, src: str, status: int) -> None:
    config = configured(tmp_path, SITE_YAML + "trusted_proxies: [127.0.0.1/32]\n")
    with front("middleware", config, tmp_path / "state") as running:
        assert running.ask(frame(src=src), *IN_FRAME, ("X-Forwarded-Proto", scheme)).status == status


@pytest.mark.parametrize(
    ("name", "value"),
    [("Sec-Fetch-Dest", "document"), ("Sec-Fetch-Dest", "object"), ("Sec-Fetch-Site", "cross-site")],
)
def test_an_embed_is_shown_in_the_sites_own_frames_only(site: Front, name: str, value: str) -> None:
    headers = {**dict(IN_FRAME), name: value}
    assert site.ask(frame(src=VIDEO), *headers.items(), site.choice("accept")).status == 403


def test_a_choice_says_what_of_a_page_is_open_now(site: Front) -> None:
    held = ["youtube", "hotjar", "unknown:nobody.example", "unknown:", "nonsense", VIDEO, "https://static.hotjar.com/"]

    def chosen(choice: str, *headers: tuple[str, str]) -> dict[str, Any]:
        body = urlencode([("choice", choice), *(("held", name) for name in held)])
        answer = json.loads(site.post("/_privacy/consent", body, ("Accept", "application/json"), *headers).body)
        return {name: answer[name] for name in ("open", "lost")}

    assert chosen("accept") == {"open": ["youtube", VIDEO], "lost": False}
    assert chosen("reject") == {"open": [], "lost": False}
    assert chosen("reject", site.choice("accept")) == {"open": [], "lost": True}
    one = site.choice("add&service=youtube")
    assert chosen("add", one) == {"open": ["youtube", VIDEO], "lost": False}
    assert chosen("reject", one) == {"open": [], "lost": True}


def test_pages_say_which_keys_of_storage_are_to_go(site: Front) -> None:
    def expression(*headers: tuple[str, str]) -> str:
        named = {
            name
            for page in ("/page", "/_privacy/")
            for name in re.findall('id="vestibule-settings" [^>]*data-clear="(.*?)"', site.ask(page, *headers).text)
        }
        (name,) = named
        answer = site.ask(f"/_privacy/clear?v={name}", *headers)
        assert answer.get("cache-control") == "private, max-age=31536000, immutable"
        assert site.ask("/_privacy/clear?v=00000000", *headers).get("cache-control") == "no-store", "of another choice"
        told: dict[str, str] = json.loads(answer.body)
        return told["clear"]

    before, after = expression(), expression(site.choice("accept"))
    for key, refused, granted in [
        ("_ga", True, False),
        ("_ga_ABC", True, False),
        ("_gap", False, False),
        ("x_ga", False, False),
        ("_hjSession_1", True, True),
        ("hjViewportId", True, True),
        ("mine", False, False),
        ("__stripe_mid", False, False),
    ]:
        assert bool(re.search(before, key)) is refused, key
        assert bool(re.search(after, key)) is granted, key


def test_an_answer_says_which_keys_of_storage_are_to_go(site: Front) -> None:
    for choice, granted in (("reject", False), ("accept", True)):
        told = json.loads(site.post("/_privacy/consent", f"choice={choice}", ("Accept", "application/json")).body)
        assert bool(re.search(told["clear"], "_ga")) is not granted


CHOICES: list[tuple[str, Choice | None]] = [
    ("", None),
    ("none", Choice(frozenset(), "", 0)),
    ("preferences statistics marketing", Choice(frozenset(ASKED), "", 0)),
    ("statistics -youtube", Choice(frozenset((Purpose.STATISTICS,)), "", 0, services={"youtube": False})),
    (
        "+unknown:a.example:8443 +youtube",
        Choice(frozenset(), "", 0, services={"youtube": True, "unknown:a.example:8443": True}),
    ),
]


@pytest.mark.parametrize(("text", "choice"), CHOICES, ids=[text for text, _ in CHOICES])
def test_a_page_keeps_the_choice_it_was_made_under(text: str, choice: Choice | None) -> None:
    assert written(choice) == text
    assert parse_written(text) == choice


def test_nonsense_of_a_page_grants_nothing(site: Front) -> None:
    for text in ("x", "+", "-", "%00", "+" * 9000, "&before=accept"):
        assert json.loads(site.ask(f"/_privacy/consent?before={text}").body)["lost"] is False


@pytest.mark.parametrize(
    ("before", "now", "lost"),
    [
        ("", "accept", False),
        ("none", "accept", False),
        ("statistics", "accept", False),
        ("preferences statistics marketing", "reject", True),
        ("preferences statistics marketing", "save&purpose=statistics", True),
        ("+youtube", "reject", True),
        ("+youtube", "accept", False),
        ("preferences statistics marketing", "", True),
        ("none", "", False),
    ],
)
def test_a_page_is_told_whether_it_has_lost_something(site: Front, before: str, now: str, lost: bool) -> None:
    headers = (site.choice(now),) if now else ()
    told = json.loads(site.ask(f"/_privacy/consent?before={quote(before)}", *headers).body)
    assert told["lost"] is lost
    again = json.loads(site.ask(f"/_privacy/consent?before={quote(told['state'])}", *headers).body)
    assert (again["lost"], again["state"]) == (False, told["state"])


ALL_TYPES = "functionality_storage personalization_storage analytics_storage ad_storage ad_user_data ad_personalization"


@pytest.mark.parametrize(
    ("services", "answer", "granted"),
    [
        ("google-analytics", "reject", ""),
        ("google-analytics", "accept", ALL_TYPES),
        # By the services that need a type, where they are asked for.
        ("google-analytics", "save&service=google-analytics", "analytics_storage"),
        ("google-analytics", "save&purpose=statistics", "analytics_storage"),
        ("google-ads", "save&service=google-ads", "ad_storage ad_user_data ad_personalization"),
        ("google-ads, doubleclick", "save&service=doubleclick", "ad_storage ad_user_data ad_personalization"),
        # Else by the purpose: the container may bring in what is not known here.
        ("google-tag-manager", "save&service=google-tag-manager", ""),
        ("google-tag-manager", "save&purpose=statistics", "analytics_storage"),
        ("google-tag-manager", "save&purpose=preferences", "functionality_storage personalization_storage"),
    ],
)
def test_consent_mode_follows_the_services_that_need_it(
    tmp_path: Path, services: str, answer: str, granted: str
) -> None:
    asked = ", ".join(f"{service}: ask" for service in services.split(", "))
    trackers = f"unknown: block\nservices: {{{asked}}}\n"
    with front("middleware", configured(tmp_path, SITE_YAML, trackers), tmp_path / "state") as site:
        assert "data-google" not in site.ask("/page").text, "before a choice it is only denied"
        answered = site.post("/_privacy/consent", f"choice={answer}", ("Accept", "application/json"))
        assert json.loads(answered.body)["consent_mode"] == granted.split()
        cookie = "Cookie", answered.all("set-cookie")[0].partition(";")[0]
        assert f' data-google="{granted}"' in site.ask("/page", cookie).text


def test_a_service_that_is_refused_by_itself_takes_its_types_with_it(tmp_path: Path) -> None:
    with front("middleware", configured(tmp_path), tmp_path / "state") as site:
        body = json.dumps({"purposes": {"statistics": True}, "services": {"google-analytics": False}})
        told = json.loads(site.post("/_privacy/consent", body, ("Content-Type", "application/json")).body)
        assert (told["purposes"]["statistics"], told["consent_mode"]) == (True, [])


@pytest.mark.parametrize(
    ("settings", "trackers", "google", "revive"),
    [
        ("", "unknown: block\nservices: {google-analytics: ask}", True, False),
        ("", "unknown: block\nservices: {google-analytics: allow, google-tag-manager: block}", False, False),
        ("", "unknown: ask\nservices: {doubleclick: ask}", True, False),
        ("", "unknown: allow\nservices: {youtube: ask}", False, True),
        ("csp: report\n", "unknown: block\nservices: {youtube: ask}", False, True),
        ("csp: off\n", "unknown: block\nservices: {youtube: ask}", False, True),
        ("mode: observe\n", "unknown: block\nservices: {google-analytics: ask}", False, True),
    ],
)
def test_pages_get_only_the_scripts_they_need(
    tmp_path: Path, settings: str, trackers: str, google: bool, revive: bool
) -> None:
    policy = SitePolicy(configured(tmp_path, SITE_YAML + settings, trackers + "\n"), ["test"])
    assert Guard(policy).parts == (*["google.js"] * google, "banner.js")
    assert Guard(policy).later == (*["revive.js"] * revive, "answer.js")


def test_the_script_comes_first_and_is_let_in_by_its_hash(site: Front) -> None:
    text = site.ask("/page").text
    head = text[text.index("<head>") + 6 :]
    assert head.startswith('<script src="http://relaso.com/_privacy/banner.js?v=')
    found = re.search(r'integrity="(sha256-[^"]+)"', head)
    assert found is not None
    script = site.ask("/_privacy/banner.js").body
    assert found[1] == "sha256-" + base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert b"//" not in re.sub(rb'"[^"]*"', b"", script), "comments are not sent"


@pytest.mark.parametrize("services", ["google-analytics: ask, youtube: ask", "youtube: ask"])
@pytest.mark.parametrize("settings", ["", "csp: report\n", "csp: off\n", "mode: observe\n"])
@pytest.mark.parametrize("unknown", ["block", "ask", "allow"])
def test_the_guard_is_small(tmp_path: Path, unknown: str, settings: str, services: str) -> None:
    """In bytes as they travel, gzip, whatever is configured: what every page waits for, and what an answer needs."""
    trackers = f"unknown: {unknown}\nservices: {{{services}}}\n"
    banner = Banner(SitePolicy(configured(tmp_path, SITE_YAML + settings, trackers), ["test"]))
    assert len(gzip.compress(banner.script.content)) <= 1500
    assert len(gzip.compress(banner.answer.content)) <= 2304


def test_a_page_gets_little_from_us(tmp_path: Path) -> None:
    """In bytes as they travel, gzip: everything that comes with a page of the demo."""
    banner = Banner(SitePolicy(load(ROOT / "demo" / "config", {}), ["test"]))
    visitor = Visitor("https", "relaso.com", "relaso.com", (), None, "", "en", 0)
    head = banner.head(visitor).encode()
    page = gzip.compress(head + (banner.body(visitor, "/") + banner.foot(visitor, "/")).encode())
    whole = len(page) + len(gzip.compress(banner.script.content)) + len(gzip.compress(banner.style.content))
    assert whole <= 5 * 1024
    assert len(head) <= 640, "a page's own <meta charset> must stand in the first 1024 bytes"


def test_a_page_that_answered_a_form_says_so(site: Front) -> None:
    assert "data-again" in site.ask("/page").text
    assert "data-again" not in site.post("/page", "x=1").text
