"""How Vestibule's parts look and read: theme, place, own words, the declaration; and what settings cannot bring in."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers import ROOT
from tests.sites import SITE_YAML, TRACKERS_YAML, Front, configured, front
from vestibule import catalogue
from vestibule.config import load
from vestibule.core.contrast import contrast, luminance
from vestibule.core.errors import ConfigError
from vestibule.privacy.banner import Banner
from vestibule.privacy.declaration import placed
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.visitor import Visitor

VISITOR = Visitor("https", "relaso.com", "relaso.com", (), None, "", "en", 0)


def problems(folder: Path, more: str, site: str = SITE_YAML) -> list[str]:
    """What is wrong with a setting, as ``setting: message``."""
    try:
        configured(folder, site + more)
    except ConfigError as error:
        return [f"{problem.setting}: {problem.message}" for problem in error.problems]
    return []


# -- contrast ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000", "#fff", 21.0),
        ("#ffffff", "#FFF", 1.0),
        ("#767676", "#fff", 4.54),
        ("#777777", "#fff", 4.48),
        ("#1f4b99", "#ffffff", 8.32),
    ],
)
def test_contrast_is_that_of_the_guidelines(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("colour", ["", "red", "#12", "#1234567", "#12345g", "1f4b99", "#fff;}"])
def test_what_is_no_colour_has_no_luminance(colour: str) -> None:
    with pytest.raises(ValueError, match="colour"):
        luminance(colour)


# -- the theme ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theme", "setting"),
    [
        ('light: {text: "#999999"}', "banner.theme.light.text"),
        ('light: {soft: "#aaaaaa"}', "banner.theme.light.soft"),
        ('light: {accent: "#88aaff"}', "banner.theme.light.accent"),
        ('dark: {background: "#777777"}', "banner.theme.dark.text"),
        ('light: {on_accept: "#888888"}', "banner.theme.light.on_accept"),
        ('light: {reject: "#e8e8e8", on_reject: "#333333"}', "banner.theme.light.reject"),
        ('light: {accept: "#0a2a66", reject: "#4a6fb5"}', "banner.theme.light.reject"),
        ('dark: {on_reject: "#2a3a5c"}', "banner.theme.dark.on_reject"),
        ('light: {accent: "red"}', "banner.theme.light.accent"),
        ('light: {accent: "#fff;}body{display:none"}', "banner.theme.light.accent"),
        ("font: 'x;}body{display:none'", "banner.theme.font"),
        ("font: 'url(https://evil.example/x)'", "banner.theme.font"),
        ('font: "a\\\\00003c"', "banner.theme.font"),
        ("radius: 41", "banner.theme.radius"),
        ("radius: 3px", "banner.theme.radius"),
        ("logo: https://elsewhere.example/logo.png", "banner.theme.logo"),
        ("position: middle", "banner.theme.position"),
    ],
)
def test_a_theme_that_would_not_do_is_refused(tmp_path: Path, theme: str, setting: str) -> None:
    found = problems(tmp_path, f"banner: {{theme: {{{theme}}}}}\n")
    assert any(each.startswith(f"{setting}: ") for each in found), found


@pytest.mark.parametrize(
    "theme",
    [
        "",
        'light: {accent: "#0b6b53"}, dark: {accent: "#7fd8bd"}',
        'light: {accept: "#4a6fb5", reject: "#0a2a66"}',
        "font: 'Inter, Segoe UI, sans-serif', radius: 0, position: corner, logo: /assets/logo.svg",
    ],
)
def test_a_theme_that_does_is_taken(tmp_path: Path, theme: str) -> None:
    assert problems(tmp_path, f"banner: {{theme: {{{theme}}}}}\n") == []


colours = st.from_regex(r"\A#[0-9a-f]{6}\Z")


@given(colours, colours, colours)
def test_no_colours_pass_in_which_refusing_is_less_visible(accept: str, reject: str, text: str) -> None:
    from tempfile import TemporaryDirectory

    theme = f'light: {{accept: "{accept}", reject: "{reject}", on_accept: "{text}"}}'
    with TemporaryDirectory() as folder:
        if not problems(Path(folder), f"banner: {{theme: {{{theme}}}}}\n"):
            assert contrast(reject, "#fff") >= contrast(accept, "#fff") >= 3
            assert contrast(text, reject) >= contrast(text, accept) >= 4.5


def test_the_theme_is_in_the_style_and_changes_its_address(tmp_path: Path) -> None:
    plain = Banner(SitePolicy(configured(tmp_path), ["test"]))
    theme = 'theme: {radius: 3, font: "Inter, serif", position: top, light: {accent: "#0B6B53"}}'
    own = f"banner: {{{theme}, link: {{place: corner}}}}\n"
    banner = Banner(SitePolicy(configured(tmp_path, SITE_YAML + own), ["test"]))
    style = banner.style.content.decode()
    for rule in ("--v-accent:#0b6b53", "--v-radius:3px", "--v-font:Inter, serif", "#vestibule{top:0;bottom:auto}"):
        assert rule in style
    assert "#vestibule-settings#vestibule-settings{position:fixed" in style
    assert banner.parts("https://relaso.com").style != plain.parts("https://relaso.com").style
    assert banner.centre_style.digest != plain.centre_style.digest


def test_pages_need_no_style_of_their_own(tmp_path: Path) -> None:
    """A strict policy forbids style attributes and elements, and handlers of events."""
    banner = Banner(SitePolicy(configured(tmp_path), ["test"]))
    text = banner.head(VISITOR) + banner.body(VISITOR, "/") + banner.foot(VISITOR, "/")
    assert not re.search(r"\sstyle=|<style|\son\w+=", text)


def test_a_logo_stands_in_the_banner_without_being_read_out(tmp_path: Path) -> None:
    config = configured(tmp_path, SITE_YAML + "banner: {theme: {logo: '/a\"b.svg'}}\n")
    body = Banner(SitePolicy(config, ["test"])).body(VISITOR, "/")
    assert '<img src="https://relaso.com/a&#34;b.svg" alt="">' in body


# -- size --------------------------------------------------------------------------------------------------------------


def test_even_the_largest_banner_is_small(tmp_path: Path) -> None:
    """With every service of the catalogue asked for, and every setting of looks, in bytes as they travel: HTML, style
    and script together."""
    services = ", ".join(f"{service.id}: ask" for service in catalogue.load().services)
    own = (
        'banner: {theme: {position: corner, logo: /logo.svg, light: {accept: "#4a6fb5", reject: "#0a2a66"}},'
        " link: {place: corner}}\n"
    )
    config = configured(tmp_path, SITE_YAML + own, f"unknown: ask\nservices: {{{services}}}\n")
    banner = Banner(SitePolicy(config, ["test"]))
    for language in ("en", "de"):
        body = banner.body(VISITOR, "/", language)
        added = banner.head(VISITOR) + body + banner.foot(VISITOR, "/", language)
        page = gzip.compress(added.encode())
        whole = len(page) + len(gzip.compress(banner.style.content)) + len(gzip.compress(banner.script.content))
        assert whole <= 5 * 1024
    assert re.search(r"\d+ weitere Dienste</a>", body), "the rest is in the centre"


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "setting", "message"),
    [
        ("xx: {banner: {title: a}}", "banner.texts.xx", "no such language"),
        ("en: {banner: {titel: a}}", "banner.texts.en.banner.titel", "did you mean title?"),
        ("en: {baner: {title: a}}", "banner.texts.en.baner", "did you mean banner?"),
        ("en: {direction: rtl}", "banner.texts.en.direction", "no such text"),
        ("en: {banner: a}", "banner.texts.en.banner", "texts below it"),
        ("en: {banner: {title: 3}}", "banner.texts.en.banner.title", "must be a text"),
        ("en: {banner: {title: ''}}", "banner.texts.en.banner.title", "must be a text"),
        ("en: {banner: {title: 'All of {sites}'}}", "banner.texts.en.banner.title", "{sites} is not filled in"),
        ("en: {banner: {accept: '{site}'}}", "banner.texts.en.banner.accept", "allowed: none"),
        ("en: {banner: {more: {one: a}}}", "banner.texts.en.banner.more", "needs a text for `other`"),
        ("en: {banner: {more: {other: a, some: b}}}", "banner.texts.en.banner.more", "others may be"),
        ("English: {banner: {title: a}}", "banner.texts", "must be a language"),
    ],
)
def test_words_without_a_place_are_refused(tmp_path: Path, texts: str, setting: str, message: str) -> None:
    found = problems(tmp_path, f"banner: {{texts: {{{texts}}}}}\n")
    assert any(each.startswith(setting) and message in each for each in found), found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("looks")
    own = """\
banner:
  link: {text: {en: "Cookies <i>", de: Cookies}}
  texts:
    en:
      banner: {title: "<script>alert(1)</script> {site}", more: "{count} others"}
      centre: {lead: "</p><h1>{site}"}
      placeholder: {load: "\\"><img src=x> {service}"}
      purposes: {statistics: {name: "Counting & co"}}
"""
    config = configured(folder, SITE_YAML.replace("legal@relaso.com", "'\"<b>@x'") + own)
    with front("middleware", config, folder / "state") as running:
        yield running


def test_own_words_are_words(site: Front) -> None:
    """Texts of the configuration cannot bring in markup."""
    text = site.ask("/page").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; relaso.com" in text
    assert "<script>alert" not in text
    assert "&#34;&gt;&lt;img src=x&gt; YouTube" in text
    assert "Counting &amp; co" in text
    assert ">Cookies &lt;i&gt;</a>" in text
    centre = site.ask("/_privacy/").text
    assert "&lt;/p&gt;&lt;h1&gt;relaso.com" in centre
    assert centre.count("<h1") == 1
    assert "<b>@x" not in centre


def test_own_words_are_of_their_language(site: Front) -> None:
    text = site.ask("/page", ("Accept-Language", "de")).text
    assert "Sie entscheiden, was relaso.com verwenden darf" in text
    assert ">Cookies</a>" in text


@pytest.mark.parametrize(("place", "shown"), [("footer", True), ("corner", True), ("none", False)])
def test_the_way_back_is_where_the_site_wants_it(tmp_path: Path, place: str, shown: bool) -> None:
    config = configured(tmp_path, SITE_YAML + f"banner: {{link: {{place: {place}}}}}\n")
    with front("middleware", config, tmp_path / "state") as running:
        text = running.ask("/page", running.choice("accept")).text
        assert ("Withdraw consent" in text) is shown
        assert re.search('id="vestibule-settings" data-state="[^"]*" data-clear=', text), "the script is told by it"


# -- the declaration ---------------------------------------------------------------------------------------------------


def test_the_declaration_names_everything_that_may_be_stored(site: Front) -> None:
    text = site.ask("/_privacy/").text
    services = text[text.index('id="services"') : text.index('id="browser"')]
    for shown in ("YouTube", "Google Analytics", "Stripe", "Always on", "<code>theme</code>", "<code>session</code>"):
        assert shown in services
    assert "Hotjar" not in services
    assert re.search(r"<code>vestibule</code>.*?6 months", services, re.DOTALL)
    assert re.search(r'href="https://[^"]+" rel="noopener noreferrer">Its privacy policy', services)


def test_the_declaration_for_a_page_says_its_language(tmp_path: Path) -> None:
    policy = SitePolicy(configured(tmp_path), ["test"])
    text = placed(policy, "de").decode()
    assert text.startswith('<div class="vestibule-declaration" lang="de" dir="ltr">')
    assert "Irland" in text
    assert "id=" not in text, "it may stand in a page more than once"


# -- the centre --------------------------------------------------------------------------------------------------------


def switches(text: str) -> dict[str, bool]:
    form = text[text.index('action="/_privacy/consent"') : text.index('id="services"')]
    boxes = re.findall(r'<input type="checkbox" name="(\w+)" value="([\w-]+)"( checked)?>', form)
    return {f"{kind}.{name}": bool(checked) for kind, name, checked in boxes}


@pytest.mark.parametrize(
    ("answer", "on"),
    [
        ("reject", set()),
        ("accept", {"purpose.preferences", "purpose.statistics", "purpose.marketing"}),
        ("save&purpose=statistics", {"purpose.statistics"}),
        ("save&service=youtube", {"service.youtube"}),
    ],
)
def test_the_centre_shows_each_switch_as_it_is_and_saving_that_changes_nothing(
    site: Front, answer: str, on: set[str]
) -> None:
    chosen = site.choice(answer)
    found = switches(site.ask("/_privacy/", chosen).text)
    assert {name for name, checked in found.items() if checked} == on
    assert "service.google-analytics" in found
    fields = "".join(f"&{name.replace('.', '=', 1)}" for name in sorted(on))
    again = site.post("/_privacy/consent", f"choice=save&surface=centre{fields}", chosen)
    cookie = "Cookie", again.all("set-cookie")[0].partition(";")[0]
    assert switches(site.ask("/_privacy/", cookie).text) == found


def test_saving_a_refused_service_as_it_is_shown_lets_nothing_more_in(tmp_path: Path) -> None:
    trackers = TRACKERS_YAML.replace("youtube: ask", "youtube: ask, vimeo: ask")
    with front("middleware", configured(tmp_path, trackers=trackers), tmp_path / "state") as running:
        body = '{"purposes": {"preferences": true}, "services": {"vimeo": false}}'
        answer = running.post("/_privacy/consent", body, ("Content-Type", "application/json"))
        chosen = "Cookie", answer.all("set-cookie")[0].partition(";")[0]
        found = switches(running.ask("/_privacy/", chosen).text)
        assert {name for name, checked in found.items() if checked} == {"service.youtube"}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?done=saved", "Your choice has been saved."),
        ("?lang=de&done=erased", "wurde entfernt."),
        ("?done=title", ""),
        ("?done=<b>", ""),
        ("?" + "&" * 500, ""),
    ],
)
def test_the_centre_says_what_was_done(site: Front, query: str, said: str) -> None:
    text = site.ask("/_privacy/" + query).text
    assert ('role="status"' in text) is bool(said)
    assert said in text


# -- other settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "message"),
    [("relaso.com", ""), ("other.example", "none of site.hosts"), ("com", "nobody's own domain")],
)
def test_a_choice_is_shared_only_where_browsers_allow_it(tmp_path: Path, domain: str, message: str) -> None:
    found = problems(tmp_path, "", SITE_YAML.replace("cookies: {", f"cookies: {{domain: {domain}, "))
    assert bool(found) is bool(message)
    assert message in "".join(found)


def test_a_change_is_announced_thirty_days_ahead_or_refused(tmp_path: Path) -> None:
    def check(notice: str) -> list[str]:
        (tmp_path / "site.yaml").write_text(SITE_YAML.replace("policy: {", f"policy: {{notice: {{{notice}}}, "))
        try:
            load(tmp_path, {}, today=date(2026, 11, 22))
        except ConfigError as error:
            return [problem.setting for problem in error.problems]
        return []

    assert check("announced: 2026-11-01, effective: 2026-12-01, text: {en: a}") == []
    assert check("announced: 2026-11-02, effective: 2026-12-01, text: {en: a}") == ["policy.notice.effective"]
    assert check("effective: 2026-12-22, text: {en: a}") == []
    assert check("effective: 2026-12-21, text: {en: a}") == ["policy.notice.effective"]


def test_the_demo_can_be_shown(tmp_path: Path) -> None:
    assert Banner(SitePolicy(load(ROOT / "demo" / "config", {}), ["test"])).body(VISITOR, "/")
