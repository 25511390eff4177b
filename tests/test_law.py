"""What supervisory authorities, the law and the standards ask of a banner, point by point, each with its source.

Where a point is of what is seen, ``tests/browser/test_banner.py`` measures it in Chromium. Sources are named as far
down as could be compared with their text or with reports on it; where that was a section, its title is given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.sites import SITE_YAML, Front, configured, front
from vestibule.config import Config, load
from vestibule.core.consent import Purpose
from vestibule.core.contrast import CONTROL, TEXT, contrast
from vestibule.core.errors import ConfigError
from vestibule.privacy.policy import SitePolicy

DAY = 86_400
MONTH = 365.25 / 12 * DAY

CNIL_GUIDELINES = (
    "CNIL, délibération n° 2020-091 du 17 septembre 2020 (lignes directrices « cookies et autres traceurs »)"
)
CNIL_ADVICE = "CNIL, délibération n° 2020-092 du 17 septembre 2020 (recommandation « cookies et autres traceurs »)"
TASKFORCE = "EDPB, Report of the work undertaken by the Cookie Banner Taskforce, 17 January 2023"
CONSENT = "EDPB, Guidelines 05/2020 on consent"
GDPR = "Regulation (EU) 2016/679"
EPRIVACY = "Directive 2002/58/EC, article 5(3)"
PLANET49 = "CJEU, C-673/17, Planet49"
GPC = "W3C, Global Privacy Control"
WCAG = "W3C, Web Content Accessibility Guidelines 2.2"


class Banner(HTMLParser):
    """What stands in the banner, and before it in the body."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        start = text.index('<div id="vestibule"')
        self.before = text[text.index("<body") : start]
        self.text = text[start : text.index('id="vestibule-settings"')]
        self.first_layer = self.text.partition("<details>")[0] + self.text.rpartition("</details>")[2]
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


class Case(NamedTuple):
    """A site to look at: as it runs, its page for one who was not asked yet, and its configuration as shipped."""

    site: Front
    banner: Banner
    config: Config


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp("law")
    config = configured(folder)
    with front("middleware", config, folder / "state") as running:
        yield Case(running, Banner(running.ask("/page").text), config)


Check = Callable[[Case], None]
POINTS: list[tuple[str, str, Check]] = []


def point(source: str, claim: str) -> Callable[[Check], Check]:
    def enter(check: Check) -> Check:
        POINTS.append((source, claim, check))
        return check

    return enter


def choose(case: Case, answer: str) -> tuple[str, str]:
    return case.site.choice(answer)


# -- refusing ----------------------------------------------------------------------------------------------------------


@point(f"{CNIL_GUIDELINES}, article 2; {GDPR}, article 7(3)", "refusing takes as many clicks as agreeing, on one layer")
def refusing_is_as_easy(case: Case) -> None:
    buttons = re.findall(r'<button name="choice" value="(\w+)">', case.banner.first_layer)
    assert buttons == ["reject", "accept"]


@point(
    f"{TASKFORCE}, type A practice: no reject button on the first layer", "the first layer has a button that refuses"
)
def reject_on_the_first_layer(case: Case) -> None:
    assert 'value="reject"' in case.banner.first_layer


@point(
    f"{TASKFORCE}, type B practice: pre-ticked boxes; {PLANET49}; {GDPR}, recital 32", "nothing is ticked beforehand"
)
def nothing_is_ticked(case: Case) -> None:
    boxes = [each for each in case.banner.all("input") if each.get("type") == "checkbox"]
    assert {each["name"] for each in boxes} == {"purpose", "service"}
    assert not any("checked" in each for each in boxes)
    assert "checked" not in case.site.ask("/_privacy/").text


@point(
    f"{TASKFORCE}, type C practice: deceptive link design", "refusing is a button like agreeing, not a link in a text"
)
def refusing_is_no_link(case: Case) -> None:
    assert not any("reject" in (each.get("href") or "") for each in case.banner.all("a"))
    both = [each for each in case.banner.all("button") if each.get("value") in ("reject", "accept")]
    assert [set(each) for each in both] == [{"name", "value"}] * 2, "the same element without a style of its own"


@point(f"{TASKFORCE}, type D and E practices: deceptive button colours and contrast", "both buttons contrast alike")
def buttons_contrast_alike(case: Case) -> None:
    for colours in (case.config.banner.theme.light.resolved(), case.config.banner.theme.dark.resolved()):
        assert (colours["reject"], colours["on_reject"]) == (colours["accept"], colours["on_accept"])


@point(f"{TASKFORCE}, type D and E practices", "a theme in which refusing is less visible than agreeing is refused")
def a_deceptive_theme_is_refused(case: Case) -> None:
    for theme in ('reject: "#8a8f98"', 'reject: "#ffffff", on_reject: "#1f4b99"', 'on_reject: "#9db4d8"'):
        with pytest.raises(ConfigError, match=r"banner\.theme\.light"):
            load_with(f"banner: {{theme: {{light: {{{theme}}}}}}}\n")


@point(f"{CNIL_GUIDELINES}, article 2; {GDPR}, article 4(11)", "going on without an answer is no consent")
def silence_is_no_consent(case: Case) -> None:
    for _ in range(3):
        answer = case.site.ask("/page")
        assert answer.all("set-cookie") == []
        assert ' src="https://www.googletagmanager.com' not in answer.text
    assert json.loads(case.site.ask("/_privacy/consent").body)["asked"] is True


# -- withdrawing -------------------------------------------------------------------------------------------------------


@point(f"{GDPR}, article 7(3); {TASKFORCE}, withdraw icon", "withdrawing is one click on every page")
def withdrawal_is_always_there(case: Case) -> None:
    foot = case.site.ask("/page", choose(case, "accept")).text.partition('id="vestibule-settings"')[2]
    assert 'href="http://relaso.com/_privacy/' in foot
    assert '<button form="vestibule-embed" name="choice" value="reject">' in foot


@point(f"{GDPR}, article 7(3)", "what was granted ends with the very answer to the withdrawal")
def withdrawal_acts_at_once(case: Case) -> None:
    accepted = choose(case, "accept")
    answer = case.site.post("/_privacy/consent", "choice=reject", ("Cookie", f"{accepted[1]}; _ga=1"))
    assert any(each.startswith("_ga=;") and "Max-Age=0" in each for each in answer.all("set-cookie"))
    refused = "Cookie", answer.all("set-cookie")[0].partition(";")[0]
    assert ' src="https://www.youtube.com' not in case.site.ask("/page", refused).text


@point(
    f"{TASKFORCE}, inaccurately classified 'essential' cookies; {EPRIVACY}",
    "nothing counts as necessary for want of a better word",
)
def nothing_is_necessary_by_default(case: Case) -> None:
    assert case.config.cookies.unknown == "block"
    assert case.config.trackers.unknown == "block"
    policy = SitePolicy(case.config, ["a secret for tests"])
    assert policy.cookies.decide("nobody_declared_this").purpose is not Purpose.NECESSARY
    assert all(service.purpose is not Purpose.NECESSARY for service in policy.asked)


@point(f"{CONSENT}, section 3.4; {PLANET49}, operative part 1", "only a click is an answer: none has a default")
def the_form_has_no_default(case: Case) -> None:
    hidden = {each.get("name") for each in case.banner.all("input") if each.get("type") == "hidden"}
    assert hidden == {"next", "shown"}, "without a button pressed it says nothing"
    assert case.site.post("/_privacy/consent", "next=/").status == 400


# -- being asked -------------------------------------------------------------------------------------------------------


@point(
    f"{EPRIVACY}; {CONSENT}, section 3.4 (unambiguous indication of wishes)",
    "before an answer nothing is stored and nobody else contacted",
)
def nothing_before_consent(case: Case) -> None:
    answer = case.site.ask("/cookies")
    names = {each.partition("=")[0] for each in answer.all("set-cookie")}
    assert names == {"session"}, "what the site itself cannot do without"


@point(
    f"{GDPR}, article 7(2); {CONSENT}, section 3.3.2 (how to provide information)",
    "the request is in plain words, apart from all else",
)
def the_request_stands_apart(case: Case) -> None:
    region = case.banner.elements[0]
    assert region[1]["role"] == "region"
    assert region[1]["aria-label"]
    assert "/privacy" in case.banner.first_layer


@point(
    f"{GDPR}, article 4(11) and recital 32; {CONSENT}, section 3.1.3 (granularity), paragraphs 42 to 45",
    "each purpose is agreed to by itself",
)
def purposes_are_apart(case: Case) -> None:
    assert re.findall(r'name="purpose" value="(\w+)"', case.banner.text) == ["preferences", "statistics", "marketing"]


@point(
    f"{CNIL_ADVICE}; {PLANET49}, operative part 3",
    "who receives data can be seen and be agreed to one by one, before choosing",
)
def recipients_are_named(case: Case) -> None:
    services = re.findall(r'name="service" value="([\w-]+)"', case.banner.text)
    assert set(services) == {"youtube", "google-analytics", "google-tag-manager"}


@point(
    f"{PLANET49}, operative part 3; {GDPR}, article 13(2)(a)", "how long cookies are kept and whose they are is told"
)
def durations_are_told(case: Case) -> None:
    text = case.site.ask("/_privacy/").text
    assert re.search(r"<code>_ga</code>.{0,400}2 years", text, re.DOTALL)
    assert "Google Ireland Limited" in text


@point(
    f"{GDPR}, article 7(4); {CONSENT}, section 3.1.2 (conditionality), paragraphs 38 to 41",
    "the site is the same for who refuses: no cookie wall",
)
def no_cookie_wall(case: Case) -> None:
    for headers in ((), (choose(case, "reject"),)):
        answer = case.site.ask("/page", *headers)
        assert answer.status == 200
        assert "<h1>Hello</h1>" in answer.text
    assert not any(tag == "dialog" or attributes.get("aria-modal") for tag, attributes in case.banner.elements)


@point(f"{GDPR}, article 8", "who is too young to agree is told so, by the age that is set")
def minors_are_told(case: Case) -> None:
    assert "under 16" in case.banner.first_layer


@point(f"{CNIL_ADVICE}", "a choice, refusals included, is kept for about six months, and nobody is asked again before")
def six_months(case: Case) -> None:
    assert 5.5 * MONTH <= case.config.consent.keep_for <= 6.5 * MONTH
    for answer in ("accept", "reject"):
        (cookie, *_) = case.site.post("/_privacy/consent", f"choice={answer}").all("set-cookie")
        assert f"Max-Age={case.config.consent.keep_for}" in cookie
        given = "Cookie", cookie.partition(";")[0]
        assert 'id="vestibule-form"' not in case.site.ask("/page", given).text


# -- proof -------------------------------------------------------------------------------------------------------------


@point(
    f"{GDPR}, article 7(1); {CONSENT}, section 5.1 (demonstrate consent)",
    "that one agreed, when, to what and in which words is on record",
)
def consent_is_on_record(case: Case) -> None:
    case.site.recording.records.clear()
    state = json.loads(case.site.post("/_privacy/consent", "choice=accept", ("Accept", "application/json")).body)
    (record,) = case.site.recording.records
    assert record["id"] == state["record"]
    assert {"time", "revision", "texts", "language", "purposes", "services", "surface"} <= record.keys()


@point(
    f"{GDPR}, articles 5(1)(c) and 11; {CONSENT}, section 5.1 (demonstrate consent)",
    "the record holds no more of the visitor than that",
)
def the_record_is_no_profile(case: Case) -> None:
    text = json.dumps(case.site.recording.records)
    assert "127.0.0.1" not in text
    assert "Firefox" not in text


@point(f"{GDPR}, articles 5(1)(e) and 17(3)(e); code civil, article 2224", "proof is kept while claims can be made")
def proof_ends(case: Case) -> None:
    assert case.config.consent.keep_for < case.config.consent.prove_for <= 5.01 * 365.25 * DAY


# -- counting ----------------------------------------------------------------------------------------------------------


@point(f"{CNIL_ADVICE}, article 5", "exempt counting: no tracker lives longer than 13 months, no figure than 25")
def thirteen_and_twenty_five_months(case: Case) -> None:
    assert case.config.analytics.keep_for <= 25 * MONTH + DAY
    assert case.config.consent.keep_for <= 13 * MONTH
    assert case.site.ask("/page").all("set-cookie") == [], "counting needs no tracker"


@point(f"{GDPR}, article 21(1)", "one can object even to exempt counting")
def one_can_object(case: Case) -> None:
    assert 'action="/_privacy/object' in case.site.ask("/_privacy/").text
    objection = case.site.post("/_privacy/object", "").all("set-cookie")[0].partition(";")[0]
    assert json.loads(case.site.ask("/_privacy/consent", ("Cookie", objection)).body)["objection"] is True


# -- rights ------------------------------------------------------------------------------------------------------------


@point(
    f"{GDPR}, articles 15(1) and 20(1)", "one can take all that is held, with source, purpose, period and recipients"
)
def access_and_portability(case: Case) -> None:
    name, cookies = choose(case, "accept")
    data = json.loads(case.site.ask("/_privacy/data", (name, f"{cookies}; _ga=1")).body)
    for held in (*data["cookies_in_your_browser"], data["choice"]):
        assert {"source", "purpose", "period", "recipients"} <= held.keys()


@point(f"{GDPR}, article 17", "one can erase all that is held, with one click")
def erasure(case: Case) -> None:
    assert 'action="/_privacy/erase' in case.site.ask("/_privacy/").text


@point(
    f"{GDPR}, articles 12(3), 13(2)(d), 16, 18 and 77",
    "correction, restriction, complaint and a time for the answer are told",
)
def rights_are_told(case: Case) -> None:
    text = case.site.ask("/_privacy/").text
    for title in ("Correction", "Restriction", "Complaint", "Objection", "Erasure"):
        assert f"<h3>{title}</h3>" in text
    assert "within 30 days" in text
    assert 'href="mailto:legal@relaso.com"' in text


@point(f"{GDPR}, article 12(1); the site's policy: everyone has the same rights", "no right depends on where one is")
def same_for_everyone(case: Case) -> None:
    pages = {
        case.site.ask("/_privacy/", ("X-Forwarded-For", address)).body
        for address in ("91.0.0.1", "8.8.8.8", "2001:db8::1")
    }
    assert len(pages) == 1


# -- signals -----------------------------------------------------------------------------------------------------------


@point(f"{GPC}, the Sec-GPC header field", "the header is a refusal with the value 1, and nothing with any other")
def sec_gpc(case: Case) -> None:
    assert json.loads(case.site.ask("/_privacy/consent", ("Sec-GPC", "1")).body)["signal"] == "gpc"
    for value in ("0", "true", "11"):
        assert json.loads(case.site.ask("/_privacy/consent", ("Sec-GPC", value)).body)["signal"] is None


@point(
    f"{GPC}, the support resource at a well-known address",
    "the site says at its well-known address that it abides by the signal",
)
def gpc_json(case: Case) -> None:
    answer = case.site.ask("/.well-known/gpc.json")
    assert (answer.get("content-type") or "").startswith("application/json")
    support = json.loads(answer.body)
    assert support["gpc"] is True
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", support["lastUpdate"])


# -- standards ---------------------------------------------------------------------------------------------------------


@point(f"{WCAG}, 1.4.3 and 1.4.11", "text and controls can be told from what is behind them, in light and in dark")
def contrasts(case: Case) -> None:
    for colours in (case.config.banner.theme.light.resolved(), case.config.banner.theme.dark.resolved()):
        for front_, back, needed in (
            ("text", "background", TEXT), ("soft", "background", TEXT), ("accent", "background", TEXT),
            ("on_accept", "accept", TEXT), ("on_reject", "reject", TEXT),
            ("accept", "background", CONTROL), ("reject", "background", CONTROL),
        ):  # fmt: skip
            assert contrast(colours[front_], colours[back]) >= needed


@point(f"{WCAG}, 2.4.3", "the banner comes first in the order of tabbing")
def first_in_order(case: Case) -> None:
    assert re.fullmatch(r"<body[^>]*>", case.banner.before)
    assert not any("tabindex" in attributes for _, attributes in case.banner.elements)


@point(f"{WCAG}, 3.1.2 and 1.3.2", "its language and direction are told")
def language_is_told(case: Case) -> None:
    assert (case.banner.elements[0][1]["lang"], case.banner.elements[0][1]["dir"]) == ("en", "ltr")


@point(f"{WCAG}, 1.3.1 and 4.1.2", "every box has a name, and belongs to a group with one")
def boxes_have_names(case: Case) -> None:
    boxes = re.findall(r"<label><input type=\"checkbox\"[^>]*> [^<]+</label>", case.banner.text)
    assert len(boxes) == len([each for each in case.banner.all("input") if each.get("type") == "checkbox"])
    assert len(case.banner.all("legend")) == len(case.banner.all("fieldset")) == 3


def load_with(more: str) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        (Path(folder) / "site.yaml").write_text(SITE_YAML + more, encoding="utf-8")
        load(folder, {})


@pytest.mark.parametrize(("source", "claim", "check"), POINTS, ids=[check.__name__ for _, _, check in POINTS])
def test_point(case: Case, source: str, claim: str, check: Check) -> None:
    assert source
    assert claim
    check(case)


def test_every_source_is_there() -> None:
    sources = " ".join(source for source, _, _ in POINTS)
    for name in (CNIL_GUIDELINES, CNIL_ADVICE, TASKFORCE, CONSENT, GDPR, EPRIVACY, PLANET49, GPC, WCAG):
        assert name in sources
    for article in ("article 7(1)", "article 7(2)", "article 7(3)", "article 7(4)", "article 8"):
        assert article in sources
