"""The life of a choice: what it covers, when it is asked for again, what goes when it is withdrawn, who else hears of
it; and what is kept beside it, an objection and an announcement that was read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.servers import serve_asgi, wait_until
from tests.sites import SECRET, SITE, SITE_YAML, TRACKERS_YAML, Front, Header, Recording, configured, front
from vestibule.config import Config
from vestibule.core.consent import Choice, ChoiceSigner, Purpose
from vestibule.middleware import ConsentMiddleware

HTTPS = ("X-Forwarded-Proto", "https")
BANNER = 'id="vestibule-form"'
MORE = TRACKERS_YAML.replace("youtube: ask", "youtube: ask, vimeo: ask, meta-pixel: ask")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("life")
    with front("middleware", configured(folder), folder / "state") as running:
        yield running


class Changing:
    """A site whose configuration changes while it runs."""

    def __init__(self, app: ConsentMiddleware, running: Front, folder: Path) -> None:
        self.app, self.front, self._folder = app, running, folder

    def use(self, site: str = SITE_YAML, trackers: str = TRACKERS_YAML) -> Config:
        config = configured(self._folder, site, trackers)
        self.app.reload(config)
        return config


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[Changing]:
    recording = Recording()
    app = ConsentMiddleware(SITE, configured(tmp_path), secrets=[SECRET], sender=recording, state=tmp_path / "state")
    with serve_asgi(app) as url:
        yield Changing(app, Front(url, recording), tmp_path)


def cookie(answer_cookies: list[str]) -> Header:
    return "Cookie", answer_cookies[0].partition(";")[0]


def state(running: Front, *headers: Header) -> dict[str, object]:
    found: dict[str, object] = json.loads(running.ask("/_privacy/consent", *headers).body)
    return found


# -- asked again -------------------------------------------------------------------------------------------------------


def test_another_revision_of_the_policy_asks_everyone_again_and_says_why(changing: Changing) -> None:
    before = changing.front.choice("accept")
    assert BANNER not in changing.front.ask("/page", before).text
    changing.use(SITE_YAML.replace('revision: "1"', 'revision: "2"'))
    text = changing.front.ask("/page", before).text
    assert BANNER in text
    assert "has changed since your last choice" in text
    assert "has changed since your last choice" not in changing.front.ask("/page").text
    assert "googletagmanager.com/gtag" in text
    assert ' src="https://www.googletagmanager.com' not in text


def test_a_service_that_is_added_to_a_granted_purpose_is_asked_for_and_nothing_else(changing: Changing) -> None:
    running = changing.front
    before = running.choice("save&purpose=preferences")
    changing.use(trackers=MORE)
    text = running.ask("/page", before).text
    assert BANNER in text
    assert re.findall(r'name="service" value="([^"]*)"', text) == ["vimeo"], "marketing was refused, and stays so"
    assert re.findall(r'name="offered" value="([^"]*)"', text) == ["vimeo"]
    assert 'name="purpose"' not in text
    assert ' src="https://www.youtube.com/embed/x"' in text, "what was granted stays in force"
    found = state(running, before)
    assert (found["asked"], found["services"]) == (True, {"vimeo": False})


@pytest.mark.parametrize(
    ("answer", "vimeo"),
    [
        ("accept-new&offered=vimeo", True),
        ("reject-new&offered=vimeo", False),
        ("save-new&offered=vimeo", False),
        ("save-new&offered=vimeo&service=vimeo", True),
    ],
)
def test_what_was_added_is_decided_by_itself(changing: Changing, answer: str, vimeo: bool) -> None:
    running = changing.front
    before = running.choice("save&purpose=preferences&service=google-analytics")
    changing.use(trackers=MORE)
    after = cookie(running.post("/_privacy/consent", f"choice={answer}", before).all("set-cookie"))
    found = state(running, after)
    assert found["asked"] is False
    assert found["purposes"] == {"preferences": True, "statistics": False, "marketing": False}
    assert found["services"] == {"google-analytics": True, **({} if vimeo else {"vimeo": False})}
    assert BANNER not in running.ask("/page", after).text
    assert running.recording.records[-1]["surface"] == "banner"


def test_a_service_that_moves_to_another_purpose_is_asked_for_again(changing: Changing) -> None:
    custom = "custom: {{chat: {{hosts: [chat.example], purpose: {}, state: ask}}}}\n"
    changing.use(trackers=TRACKERS_YAML + custom.format("preferences"))
    before = changing.front.choice("accept")
    changing.use(trackers=TRACKERS_YAML + custom.format("marketing"))
    assert re.findall(r'name="offered" value="([^"]*)"', changing.front.ask("/page", before).text) == ["chat"]


def test_letting_in_one_service_decides_on_no_other(changing: Changing) -> None:
    before = changing.front.choice("accept")
    changing.use(trackers=MORE)
    after = cookie(changing.front.post("/_privacy/consent", "service=youtube", before).all("set-cookie"))
    assert state(changing.front, after)["asked"] is True


def test_nobody_agrees_to_what_they_were_not_shown(changing: Changing) -> None:
    """A form that lay open while something was added says what it showed: its grant is none, its refusal holds."""
    running = changing.front
    shown = re.search(r'name="shown" value="([^"]*)"', running.ask("/page").text)
    assert shown is not None
    changing.use(trackers=MORE)
    answer = running.post("/_privacy/consent", f"choice=accept&shown={shown[1]}&next=/page")
    assert (answer.status, answer.get("location"), answer.all("set-cookie")) == (303, "/page", [])
    told = json.loads(
        running.post("/_privacy/consent", f"choice=accept&shown={shown[1]}", ("Accept", "application/json")).body
    )
    assert (told["asked"], told["lost"]) == (True, True), "the script loads the page anew"
    assert running.recording.records == []
    assert running.post("/_privacy/consent", f"choice=reject&shown={shown[1]}").all("set-cookie") != []


def test_the_language_of_the_form_is_the_language_of_the_record(site: Front) -> None:
    site.post("/_privacy/consent", "choice=reject&shown=de.", ("Accept-Language", "en"))
    assert site.recording.records[-1]["language"] == "de"
    site.post("/_privacy/consent", "choice=reject&shown=../../x.", ("Accept-Language", "de"))
    assert site.recording.records[-1]["language"] == "de"


# -- shared ------------------------------------------------------------------------------------------------------------

SHARED = SITE_YAML.replace(
    "hosts: [relaso.com, www.relaso.com]", "hosts: [relaso.com, www.relaso.com, relaso.example]"
).replace("cookies: {declare", "cookies: {domain: relaso.com, declare")


def test_a_choice_is_shared_among_the_hosts_of_a_domain(tmp_path: Path) -> None:
    with front("middleware", configured(tmp_path, SHARED), tmp_path / "state") as running:
        given = running.post("/_privacy/consent", "choice=accept", HTTPS).all("set-cookie")
        assert given[0].startswith("__Secure-vestibule=")
        assert given[0].endswith("; Secure; Domain=relaso.com")
        assert BANNER not in running.ask("/page", HTTPS, cookie(given), host="www.relaso.com").text
        assert BANNER in running.ask("/page", HTTPS, cookie(given), host="relaso.example").text


def test_a_host_of_another_domain_has_a_choice_of_its_own(tmp_path: Path) -> None:
    with front("middleware", configured(tmp_path, SHARED), tmp_path / "state") as running:
        own = ("Host", "relaso.example")
        given = running.post("/_privacy/consent", "choice=accept", HTTPS, own).all("set-cookie")
        assert given[0].startswith("__Host-vestibule=")
        assert "Domain" not in given[0]
        assert BANNER not in running.ask("/page", HTTPS, cookie(given), host="relaso.example").text


# -- withdrawn ---------------------------------------------------------------------------------------------------------


def test_withdrawal_takes_one_click_at_the_foot_of_every_page(site: Front) -> None:
    text = site.ask("/page", site.choice("accept")).text
    foot = text[text.index('id="vestibule-settings"') :]
    assert '<button form="vestibule-embed" name="choice" value="reject">Withdraw consent</button>' in foot
    assert foot.index('<form id="vestibule-embed" method="post"') > 0
    assert "Withdraw consent" not in site.ask("/page", site.choice("reject")).text


def test_withdrawal_removes_each_cookie_wherever_it_may_be_set(tmp_path: Path) -> None:
    config = configured(tmp_path, SITE_YAML.replace("www.relaso.com]", "shop.relaso.com]"))
    with front("middleware", config, tmp_path / "state") as running:
        accepted = running.choice("accept")
        jar = ("Cookie", f"{accepted[1]}; _ga=1; theme=dark; session=2")
        answer = running.post("/_privacy/consent", "choice=reject&next=/app/deals/7", jar, ("Host", "shop.relaso.com"))
        removed = {value for value in answer.all("set-cookie") if "Max-Age=0" in value}
        for name in ("_ga", "theme"):
            for domain in ("", "; Domain=relaso.com", "; Domain=shop.relaso.com"):
                for path in ("/", "/app", "/app/deals"):
                    assert f"{name}=; Path={path}{domain}; Max-Age=0" in removed
        assert not any(value.startswith(("session=", "vestibule=;")) for value in removed)


def test_cookies_of_withdrawn_services_go_that_did_not_come_with_the_request(site: Front) -> None:
    """One that is set for a folder is not sent to the address of the choice."""
    answer = site.post("/_privacy/consent", "choice=reject&next=/blog/x", site.choice("accept"))
    removed = [value for value in answer.all("set-cookie") if "Max-Age=0" in value]
    assert "_gid=; Path=/blog; Max-Age=0" in removed
    assert all("Path=/blog" in value for value in removed)
    assert sum(len(value) + 14 for value in removed) <= 3072


def test_nothing_is_removed_that_stays_granted(site: Front) -> None:
    accepted = site.choice("accept")
    answer = site.post("/_privacy/consent", "choice=save&purpose=statistics", ("Cookie", f"{accepted[1]}; _ga=1"))
    assert not any(value.startswith("_ga=") for value in answer.all("set-cookie"))


# -- an objection ------------------------------------------------------------------------------------------------------


def test_who_objects_is_not_counted_and_has_chosen_nothing(site: Front) -> None:
    site.recording.hits.clear()
    answer = site.post("/_privacy/object", "")
    assert (answer.status, answer.get("location")) == (303, "/_privacy/?lang=en&done=objected#rights")
    objection = cookie(answer.all("set-cookie"))
    assert site.recording.hits[-1].event == (("choice", "objection"), ("surface", "centre"))
    assert BANNER in site.ask("/page", objection).text
    wait_until(lambda: any(hit.objects == "objection" for hit in site.recording.hits), "the visit of who objects")
    found = state(site, objection)
    assert (found["asked"], found["objection"], found["record"]) == (True, True, None)


def test_an_objection_outlives_choices_and_revisions(changing: Changing) -> None:
    running = changing.front
    accepted = running.choice("accept")
    both = cookie(running.post("/_privacy/object", "", accepted).all("set-cookie"))
    found = state(running, both)
    assert (found["objection"], found["purposes"]) == (
        True,
        {"preferences": True, "statistics": True, "marketing": True},
    )
    assert found["time"] == state(running, accepted)["time"]
    refused = cookie(running.post("/_privacy/consent", "choice=reject", both).all("set-cookie"))
    assert state(running, refused)["objection"] is True
    changing.use(SITE_YAML.replace('revision: "1"', 'revision: "2"'))
    found = state(running, refused)
    assert (found["asked"], found["objection"]) == (True, True)


def test_an_objection_can_be_taken_back(site: Front) -> None:
    objection = cookie(site.post("/_privacy/object", "").all("set-cookie"))
    assert "Count my visits again" in site.ask("/_privacy/", objection).text
    (gone,) = site.post("/_privacy/object", "objection=withdraw", objection).all("set-cookie")
    assert gone.startswith("vestibule=; ")
    assert "Max-Age=0" in gone


def test_an_objection_does_not_prolong_a_choice(site: Front) -> None:
    made = int(datetime.now(UTC).timestamp()) // 3600 * 3600 - 100 * 86_400
    token = ChoiceSigner([SECRET], "relaso.com", 180 * 86_400).dumps(Choice(frozenset({Purpose.STATISTICS}), "1", made))
    (given,) = site.post("/_privacy/object", "", ("Cookie", f"vestibule={token}")).all("set-cookie")
    age = re.search(r"Max-Age=(\d+)", given)
    assert age is not None
    assert 79 * 86_400 < int(age[1]) <= 80 * 86_400
    assert state(site, cookie([given]))["time"] == datetime.fromtimestamp(made, UTC).isoformat()


# -- an announcement ---------------------------------------------------------------------------------------------------

TODAY = datetime.now(UTC).date()


def announced(first: int, effective: int) -> str:
    days = [(TODAY + timedelta(days=days)).isoformat() for days in (first, effective)]
    notice = f'notice: {{announced: {days[0]}, effective: {days[1]}, text: {{en: "<b>News</b>", de: "Neues"}}}}'
    return SITE_YAML.replace("policy: {", f"policy: {{{notice}, ")


NOTICE = 'id="vestibule-notice"'


@pytest.mark.parametrize(
    ("first", "effective", "shown"), [(-5, 26, True), (0, 31, True), (1, 32, False), (-31, 0, False), (-30, 1, True)]
)
def test_a_change_is_announced_from_its_day_until_it_takes_effect(
    tmp_path: Path, first: int, effective: int, shown: bool
) -> None:
    with front("middleware", configured(tmp_path, announced(first, effective)), tmp_path / "state") as running:
        for headers in ((), (running.choice("reject"),), (("Sec-GPC", "1"),)):
            assert (NOTICE in running.ask("/page", *headers).text) is shown


def test_an_announcement_is_dismissed_without_a_script_and_without_a_choice(tmp_path: Path) -> None:
    with front("middleware", configured(tmp_path, announced(0, 31)), tmp_path / "state") as running:
        text = running.ask("/page").text
        assert "<span>&lt;b&gt;News&lt;/b&gt;</span>" in text
        assert "<span>Neues</span>" in running.ask("/page", ("Accept-Language", "de")).text
        # Where it is in another language than the words around it, that is said, for voices and for its direction.
        foreign = '<span lang="en" dir="auto">&lt;b&gt;News'
        assert foreign in running.ask("/page", ("Accept-Language", "ar")).text
        effective = (TODAY + timedelta(days=31)).isoformat()
        answer = running.post("/_privacy/notice", f"notice={effective}&next=/page")
        assert (answer.status, answer.get("location")) == (303, "/page")
        read = cookie(answer.all("set-cookie"))
        text = running.ask("/page", read).text
        assert NOTICE not in text
        assert BANNER in text, "nothing was chosen by that"
        accepted = cookie(running.post("/_privacy/consent", "choice=accept", read).all("set-cookie"))
        assert NOTICE not in running.ask("/page", accepted).text
        assert running.post("/_privacy/notice", "notice=2020-01-01").status == 400
        assert running.post("/_privacy/notice", f"notice={effective}", ("Sec-Fetch-Site", "cross-site")).status == 403
        assert "Neues" in running.ask("/page", ("Accept-Language", "de")).text


# -- signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("header", "name"), [("Sec-GPC", "Global Privacy Control"), ("DNT", "Do Not Track")])
def test_a_signal_is_a_refusal_and_is_shown_as_such(site: Front, header: str, name: str) -> None:
    text = site.ask("/page", (header, "1")).text
    assert BANNER not in text
    assert f"Your browser asked us not to ({name})" in text
    assert name in site.ask("/_privacy/", (header, "1")).text
    assert ' src="https://www.youtube.com' not in text


def test_a_later_choice_goes_before_the_signal_and_says_so(site: Front) -> None:
    signal = ("Sec-GPC", "1")
    given = site.post("/_privacy/consent", "choice=accept&surface=centre", signal).all("set-cookie")
    assert site.recording.records[-1]["signal"] == "gpc"
    text = site.ask("/page", signal, cookie(given)).text
    assert ' src="https://www.youtube.com/embed/x"' in text
    assert "Your own choice for this site goes before it" in site.ask("/_privacy/", signal, cookie(given)).text
    receipt = json.loads(site.ask("/_privacy/receipt", signal, cookie(given)).body)["receipt"]
    assert receipt["events"][0]["overridden_signal"] == "gpc"
