"""From hits to facts: what is counted of a request, what is dropped and why, what each dimension holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule import catalogue
from vestibule.core import agents
from vestibule.core.agents import Agent
from vestibule.core.drops import AFTER_ASSET, DROPS
from vestibule.core.hits import NONE, UNKNOWN
from vestibule.core.networks import CONTINENTS, continent, language, supernet, truncate
from vestibule.core.trees import Trees
from vestibule.core.visit import DIMENSIONS, Drop, Fact, Hit, Settings, depth, duration, facts, is_part
from vestibule.recorder.lookups import Agents, load_referrers

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
    "Mobile/15E148 Safari/604.1"
)
HTML = "text/html; charset=utf-8"
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
NOON = 1_795_003_200.0
"""2026-11-18 12:00 UTC, 13:00 in Berlin."""


@dataclass
class Tables:
    """Real readers of agents and referrers, and a country for each address."""

    trees: Trees = field(default_factory=lambda: Trees(load_referrers()))
    agents: Agents = field(default_factory=Agents)

    def agent(self, agent: str) -> Agent:
        return self.agents(agent)

    def country(self, address: str) -> str:
        return {"203.0.113.0": "DE", "2001:db8:1::": "BR"}.get(address, "")


TABLES = Tables()
SETTINGS = Settings(
    hosts=frozenset({"relaso.com", "www.relaso.com"}),
    first_party=frozenset({"relaso-help.example"}),
    timezone=ZoneInfo("Europe/Berlin"),
    pages={"/app/deals/*": "/app/deals/:id"},
    own=("198.51.100.0/24", "2001:db8:ffff::/48", "::ffff:198.18.0.0/120", "::fffe:0:0/95", "nonsense"),
    spam=frozenset({"spam.example"}),
)
VIEW = Hit(
    site="relaso.com",
    time=NOON,
    address="203.0.113.77",
    host="relaso.com",
    path="/blog/2026/hello",
    content_type=HTML,
    agent=CHROME,
    language="de-DE,de;q=0.9,en;q=0.8",
    accept=ACCEPT,
    fetch_dest="document",
    fetch_mode="navigate",
    fetch_site="none",
    fetch_user="?1",
)


def seen(**changed: Any) -> tuple[tuple[Fact, ...], Drop | None]:
    return facts(VIEW._replace(**changed), SETTINGS, TABLES)


def view(**changed: Any) -> Mapping[str, tuple[str, ...]]:
    """The dimensions of the one view that a hit becomes."""
    found, reason = seen(**changed)
    assert reason is None
    assert [fact.kind for fact in found] == ["view"]
    return found[0].values


def test_a_view_has_all_its_dimensions() -> None:
    found, reason = seen(
        referrer="https://news.ycombinator.com/item?id=1", query="utm_campaign=Spring&utm_medium=E-Mail"
    )
    assert reason is None
    (fact,) = found
    assert (fact.site, fact.kind, fact.time) == ("relaso.com", "view", NOON)
    assert fact.visitor == f"203.0.113.77\n{CHROME}\nrelaso.com"
    assert fact.values == {
        "page": ("/blog/2026/hello", "/blog/2026/*", "/blog/*"),
        "referrer": ("news.ycombinator.com/item", "news.ycombinator.com", "social: Hacker News", "social"),
        "campaign": ("spring",),
        "medium": ("email",),
        "hour": ("13",),
        "country": ("DE", "Europe"),
        "network": ("203.0.113.0/24", "203.0.0.0/16"),
        "language": ("de-DE", "de"),
        "browser": ("Chrome 131", "Chrome"),
        "os": ("Windows 10", "Windows"),
        "device": ("desktop",),
        "previous": (NONE,),
    }


# -- what is counted as what -----------------------------------------------------------------------------------------

OLD = {"fetch_dest": "", "fetch_mode": "", "fetch_site": "", "fetch_user": ""}
"""A browser without Fetch Metadata."""
LOG = {**OLD, "accept": "", "content_type": "", "language": ""}
"""A line of a log."""


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({}, "view"),
        ({"status": 304, "content_type": ""}, "view"),
        ({"content_type": ""}, "view"),
        ({"content_type": "application/xhtml+xml"}, "view"),
        (OLD, "view"),
        (LOG, "view"),
        ({**LOG, "path": "/a.php"}, "view"),
        ({**LOG, "path": "/v2.13"}, "view"),
        # parts of pages
        ({"fetch_dest": "style", "path": "/a.css", "content_type": "text/css"}, None),
        ({"fetch_dest": "script", "path": "/a", "content_type": "text/javascript"}, None),
        ({"fetch_dest": "iframe", "fetch_mode": "navigate"}, None),
        ({"fetch_dest": "empty", "content_type": HTML}, None),
        ({**OLD, "path": "/logo.png", "content_type": "image/png"}, None),
        ({**OLD, "accept": "*/*"}, None),
        ({**OLD, "content_type": "application/json", "path": "/api/deals"}, None),
        ({**LOG, "path": "/logo.PNG"}, None),
        ({**LOG, "path": "/a.unknown"}, None),
        # files
        ({"path": "/a.pdf", "content_type": "application/pdf"}, "file"),
        ({**OLD, "path": "/a.pdf", "content_type": "application/pdf"}, "file"),
        ({**LOG, "path": "/a.zip"}, "file"),
        ({**LOG, "path": "/feed.xml"}, "file"),
        ({**OLD, "path": "/export", "content_type": "text/csv"}, "file"),
        ({"path": "/logo.png", "content_type": "image/png"}, "file"),
        # errors, of anything but what scripts ask for
        ({"status": 404}, "error"),
        ({"status": 500, "method": "POST"}, "error"),
        ({"status": 404, "fetch_dest": "image", "path": "/logo.png", "content_type": HTML}, "error"),
        ({**LOG, "status": 404, "path": "/logo.png"}, "error"),
        ({"status": 404, "fetch_dest": "empty"}, None),
        ({"status": 500, "fetch_dest": "empty"}, "error"),
    ],
)
def test_kinds(changed: dict[str, Any], kind: str | None) -> None:
    found, reason = seen(**changed)
    assert [fact.kind for fact in found] == ([kind] if kind else [])
    assert reason is (None if kind else Drop.ASSET)


@pytest.mark.parametrize(
    ("changed", "values"),
    [
        (
            {"status": 404, "path": "/app/deals/7/edit"},
            {"status": ("404", "4xx"), "page": ("/app/deals/:id/edit", "/app/deals/:id/*", "/app/deals/*", "/app/*")},
        ),
        (
            {"path": "/files/Price List.pdf", "content_type": "application/pdf"},
            {"path": ("/files/price list.pdf", "/files/*"), "type": ("pdf",)},
        ),
        ({"path": "/export", "content_type": "text/csv"}, {"path": ("/export",), "type": ("download",)}),
        ({"path": "/feed", "content_type": "application/rss+xml"}, {"path": (NONE,), "type": ("feed",)}),
        ({"path": "/a.mp4", "fetch_dest": "video", "content_type": "video/mp4"}, {"path": (NONE,), "type": ("video",)}),
    ],
)
def test_dimensions_of_errors_and_files(changed: dict[str, Any], values: dict[str, Any]) -> None:
    (fact,), _ = seen(**changed)
    assert set(fact.values) == set(DIMENSIONS[fact.kind])
    assert {name: fact.values[name] for name in values} == values


@given(
    st.sampled_from(["", "document", "image", "script", "empty", "iframe", "video", "nonsense"]),
    st.sampled_from(["/", "/a.css", "/a.png", "/a.pdf", "/a.JS", "/a"]),
    st.sampled_from([200, 204, 304, 404, 500]),
    st.sampled_from(["", HTML, "Text/HTML", "image/png", "text/css"]),
)
def test_what_a_worker_passes_over_would_not_be_counted(dest: str, path: str, status: int, kind: str) -> None:
    if is_part(dest, path, status, kind):
        for accept in ("", ACCEPT, "*/*"):
            hit = VIEW._replace(fetch_dest=dest, path=path, status=status, content_type=kind, accept=accept)
            assert facts(hit, SETTINGS, TABLES)[1] in (Drop.ASSET, Drop.STATUS)


def test_most_parts_of_a_page_are_passed_over() -> None:
    assert is_part("image", "/a", 200, "image/png")
    assert is_part("empty", "/api", 404, "application/json")
    assert is_part("", "/a.css", 304, "")
    assert not is_part("", "/a.css", 404, "text/css")
    assert not is_part("", "/a", 200, HTML)
    assert not is_part("document", "/a.png", 200, "image/png")


# -- drops -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"count": False}, Drop.UNCOUNTED),
        ({"method": "HEAD"}, Drop.METHOD),
        ({"method": "HEAD", "status": 404}, Drop.METHOD),
        ({"method": "POST"}, Drop.METHOD),
        ({"status": 302}, Drop.STATUS),
        ({"status": 101}, Drop.STATUS),
        ({"status": 204}, Drop.STATUS),
        ({"status": 206, "path": "/a.pdf"}, Drop.STATUS),
        ({"status": 0}, Drop.STATUS),
        ({"purpose": "prefetch"}, Drop.PREFETCH),
        ({"purpose": "prefetch;prerender"}, Drop.PREFETCH),
        ({"purpose": "preview"}, Drop.PREFETCH),
        ({"address": "198.51.100.9"}, Drop.OWN),
        ({"address": "::ffff:198.51.100.9"}, Drop.OWN),
        ({"address": "2001:db8:ffff::1"}, Drop.OWN),
        ({"address": "198.18.0.77"}, Drop.OWN),
        ({"address": "::ffff:198.18.0.77"}, Drop.OWN),
        ({"agent": "kube-probe/1.29", "path": "/"}, Drop.HEALTH),
        ({"agent": "ELB-HealthChecker/2.0"}, Drop.HEALTH),
        ({"agent": "", "path": "/healthz"}, Drop.HEALTH),
        ({"referrer": "https://semalt.com/"}, Drop.SPAM),
        ({"referrer": "http://www.spam.example/offer"}, Drop.SPAM),
        ({"referrer": "http://deep.in.spam.example/"}, Drop.SPAM),
        ({"objects": "gpc"}, Drop.OBJECTION),
        ({"objects": "gpc", "agent": "curl/8.0"}, Drop.OBJECTION),
        ({"agent": "curl/8.0"}, Drop.BOT_AGENT),
        ({"agent": ""}, Drop.BOT_AGENT),
        ({"agent": CHROME.replace("131", "400")}, Drop.BOT_VERSION),
        ({"fetch_mode": "cors"}, Drop.BOT_HEADERS),
        ({"ch_ua": '"Chromium";v="99"'}, Drop.BOT_HEADERS),
        ({"kind": "invented"}, Drop.MALFORMED),
        ({"kind": "visit"}, Drop.MALFORMED),
        ({"kind": "bot"}, Drop.MALFORMED),
    ],
)
def test_drops(changed: dict[str, Any], reason: Drop) -> None:
    found, dropped = seen(**changed)
    assert dropped is reason
    assert not {"view", "file", "error"} & {fact.kind for fact in found}


@pytest.mark.parametrize(
    "changed",
    [
        {"address": "203.0.113.1"},
        {"path": "/health"},
        {"referrer": "https://relaso.com/"},
        {"agent": agents.UNRECORDED, **LOG},
        {"agent": SAFARI, **OLD},
        {"ch_ua": '"Chromium";v="131"', "ch_platform": '"Windows"'},
        {"purpose": ""},
    ],
)
def test_people_are_counted(changed: dict[str, Any]) -> None:
    view(**changed)


def test_a_page_that_asked_is_counted_beside_its_view() -> None:
    found, reason = seen(asked=True)
    assert reason is None
    assert [fact.kind for fact in found] == ["view", "asked"]
    # Nothing that the view tells, too: what is left of the views would tell of those who were not asked.
    assert (found[1].kind, found[1].values) == ("asked", {})
    assert found[1].visitor == found[0].visitor
    for changed in ({"status": 404}, {"objects": "gpc"}, {"agent": "curl/8.0"}, {"count": False}):
        assert "asked" not in {fact.kind for fact in seen(asked=True, **changed)[0]}


def test_an_objection_leaves_one_more_objection_and_nothing_of_the_visit() -> None:
    found, _ = seen(objects="gpc", blocked=(("hotjar", "statistics", "", "url"),))
    assert [(fact.kind, fact.values) for fact in found] == [
        ("consent", {"choice": ("objection",), "surface": ("signal",)})
    ]
    for changed in ({"status": 404}, {"path": "/a.pdf", "content_type": "application/pdf"}, {"kind": "client"}):
        assert seen(objects="dnt", **changed) == ((), Drop.OBJECTION)
    found, _ = seen(objects="objection", kind="consent", event=(("choice", "objection"), ("surface", "centre")))
    assert [fact.values for fact in found] == [{"choice": ("objection",), "surface": ("centre",)}]


def test_a_bot_is_counted_by_name() -> None:
    (fact,), reason = seen(agent="curl/8.0", status=404, path="/wp-login.php")
    assert reason is Drop.BOT_AGENT
    assert fact.kind == "bot"
    assert fact.values == {"name": ("curl",), "page": ("/wp-login.php",), "status": ("404", "4xx")}


def test_what_was_held_back_is_counted_with_its_page() -> None:
    blocked = (("hotjar", "statistics", "", "url"), ("meta-pixel", "marketing", "/Pricing?x=1", "csp"))
    found, reason = seen(blocked=blocked)
    assert reason is None
    assert [fact.kind for fact in found] == ["view", "blocked", "blocked"]
    assert found[1].values == {
        "service": ("hotjar",),
        "purpose": ("statistics",),
        "page": ("/blog/2026/hello", "/blog/2026/*", "/blog/*"),
        "reason": ("url",),
    }
    assert found[2].values["page"] == ("/pricing",)


def test_what_was_held_back_on_an_asset_counts_for_the_page_that_it_is_part_of() -> None:
    asset = {
        "fetch_dest": "image",
        "fetch_mode": "no-cors",
        "accept": "image/*",
        "path": "/t.gif",
        "content_type": "image/gif",
    }
    found, reason = seen(**asset, referrer="https://relaso.com/pricing", blocked=(("ga", "statistics", "", "cookie"),))
    assert reason is Drop.ASSET
    assert [(fact.kind, fact.values["page"]) for fact in found] == [("blocked", ("/pricing",))]
    assert seen(**asset, agent="curl/8", blocked=(("ga", "statistics", "", "cookie"),)) == ((), Drop.ASSET)
    assert seen(**asset, objects="gpc", blocked=(("ga", "statistics", "", "cookie"),)) == ((), Drop.ASSET)


def test_blocked_facts_of_one_hit_are_bounded() -> None:
    found, _ = seen(kind="blocked", blocked=tuple((f"s{number}", "marketing", "/", "csp") for number in range(500)))
    assert len(found) == 64


def test_every_drop_has_its_step_and_every_step_its_reason() -> None:
    names = [step.__name__.removeprefix("drop_") for step in DROPS]
    reasons = {reason.value.partition("-")[0] for reason in Drop} - {"malformed"}
    assert set(names) == reasons
    assert names.index("objection") < names.index("bot")
    assert [step.__name__ for step in AFTER_ASSET] == [step.__name__ for step in DROPS[4:]]


# -- dimensions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "referrer"),
    [
        ({}, "direct"),
        ({"referrer": "https://www.google.de/"}, "google.de"),
        ({"referrer": "https://example.com/u/jane@example.com?token=1"}, "example.com/u/:email"),
        ({"referrer": "android-app://com.google.android.gm/"}, "com.google.android.gm"),
        ({"referrer": "https://intranet/"}, "link"),
        ({"referrer": "https://relaso.com/pricing"}, "internal"),
        ({"referrer": "https://www.relaso.com/pricing"}, "internal"),
        ({"referrer": "https://docs.relaso-help.example/a"}, "internal"),
        ({"referrer": "https://relaso.com.evil.example/a"}, "relaso.com.evil.example/a"),
        # ads, by the presence of a click id; the id is kept nowhere
        ({"query": "gclid=SECRET"}, "ads: Google Ads"),
        ({"query": "gclid=SECRET", "referrer": "https://www.google.com/"}, "ads: Google Ads"),
        ({"query": "a=b&MSCLKID=SECRET"}, "ads: Microsoft Ads"),
        ({"query": "fbclid=SECRET"}, "social: Facebook"),
        ({"query": "fbclid=SECRET", "referrer": "https://l.facebook.com/"}, "l.facebook.com"),
        ({"query": "gclid="}, "direct"),
        # campaigns
        ({"query": "utm_source=facebook"}, "social: Facebook"),
        ({"query": "utm_source=Partner%20Fair"}, "campaign: partner fair"),
        ({"query": "utm_source=partner&utm_medium=email"}, "mail"),
        ({"query": "utm_campaign=spring"}, "campaign"),
        ({"query": "utm_source=google&utm_medium=cpc"}, "ads: Google Ads"),
        ({"query": "utm_medium=cpc", "referrer": "https://www.bing.com/"}, "ads: Microsoft Ads"),
        ({"query": "utm_source=linkedin&utm_medium=paid-social"}, "ads: LinkedIn"),
        ({"query": "utm_source=nobody&utm_medium=PPC"}, "ads"),
        ({"query": "pk_source=newsletter"}, "mail"),
        ({"query": "ref=producthunt"}, "social: Product Hunt"),
        ({"query": "utm_source=twitter", "referrer": "https://t.co/x"}, "t.co/x"),
    ],
)
def test_referrer(changed: dict[str, Any], referrer: str) -> None:
    values = view(**changed)["referrer"]
    assert values[0] == referrer
    assert "SECRET" not in str(values)
    assert len(values) <= 4


@pytest.mark.parametrize(
    ("query", "campaign", "medium"),
    [
        ("", NONE, NONE),
        ("utm_campaign=Spring+Sale&utm_medium=social-network", "spring sale", "social"),
        ("utm-campaign=a&UTM_MEDIUM=E-Mail", "a", "email"),
        ("mtm_campaign=a&mtm_medium=cpc", "a", "cpc"),
        ("pk_cpn=a", "a", NONE),
        ("utm_source=x&amp;utm_campaign=a&amp;utm_medium=email", "a", "email"),
        ("utm%5Fcampaign=a&UTM%5fmedium=email", "a", "email"),
        ("%61" * 5000 + "=a&utm%5Fcampaign=b", NONE, NONE),
        ("%61" * 99 + "=a&utm%5Fcampaign=b", "b", NONE),
        ("utm_campaign=a&utm_campaign=b", "a", NONE),
        ("utm_campaign=jane%40example.com", ":email", NONE),
        ("utm_campaign=" + "x" * 900, "x" * 63 + "…", NONE),
        ("utm_campaign", NONE, NONE),
    ],
)
def test_campaign_and_medium(query: str, campaign: str, medium: str) -> None:
    values = view(query=query)
    assert (values["campaign"][0], values["medium"][0]) == (campaign, medium)


@pytest.mark.parametrize(
    ("referrer", "previous"),
    [
        ("", (NONE,)),
        ("https://relaso.com/", ("/",)),
        ("https://www.relaso.com/app/deals/7?x=1", ("/app/deals/:id", "/app/deals/*", "/app/*")),
        ("https://relaso-help.example/a", (NONE,)),
        ("https://example.com/a", (NONE,)),
    ],
)
def test_previous(referrer: str, previous: tuple[str, ...]) -> None:
    assert view(referrer=referrer)["previous"] == previous


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", ("203.0.113.0/24", "203.0.0.0/16")),
        ("::ffff:203.0.113.77", ("203.0.113.0/24", "203.0.0.0/16")),
        ("203.0.113.77:4711", ("203.0.113.0/24", "203.0.0.0/16")),
        ("2001:db8:1:2:3:4:5:6", ("2001:db8:1::/48", "2001:db8::/32")),
        ("[2001:db8:1::1]:443", ("2001:db8:1::/48", "2001:db8::/32")),
        ("fe80::1%eth0", ("fe80::/48", "fe80::/32")),
        ("999.1.1.1", (UNKNOWN,)),
        ("010.1.1.1", (UNKNOWN,)),
        ("unix:", (UNKNOWN,)),
        ("", (UNKNOWN,)),
    ],
)
def test_network(address: str, network: tuple[str, ...]) -> None:
    assert view(address=address)["network"] == network


@given(st.ip_addresses())
def test_no_address_survives_truncation(address: Any) -> None:
    network = truncate(str(address))
    assert network.endswith("/24" if "." in network else "/48")
    assert supernet(network)[0].endswith("/16" if "." in network else "/32")
    if address.version == 4:
        assert network.rpartition(".")[0] == str(address).rpartition(".")[0]


@pytest.mark.parametrize(
    ("accepted", "best"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de-DE"),
        ("en;q=0.5, FR_ch ;q=0.9", "fr-CH"),
        ("zh-Hant-TW", "zh-TW"),
        ("es-419", "es-419"),
        ("*", UNKNOWN),
        ("", UNKNOWN),
        ("de;q=0", UNKNOWN),
        ("de;q=nan, en;q=0.1", "en"),
        ("<script>", UNKNOWN),
        ("x" * 10_000, UNKNOWN),
    ],
)
def test_language(accepted: str, best: str) -> None:
    assert language(accepted) == best


def test_countries_and_continents() -> None:
    assert view(address="2001:db8:1::9")["country"] == ("BR", "South America")
    assert view(address="192.0.2.1")["country"] == (UNKNOWN,)
    assert continent("XX") == ()
    shipped = json.loads((Path(catalogue.__file__).parent / "continents.json").read_text(encoding="utf-8"))
    assert sorted(sorted(countries.split()) for countries in CONTINENTS.values()) == sorted(
        map(sorted, shipped.values())
    )


@pytest.mark.parametrize(
    ("time", "hour"),
    [
        (NOON, "13"),
        (1_792_886_400.0, "02"),  # 2026-10-25 00:00 UTC: still summer
        (1_792_893_600.0, "03"),  # 2026-10-25 02:00 UTC: winter, an hour was repeated
        (1_774_746_000.0, "03"),  # 2026-03-29 01:00 UTC: the hour from two to three is missing
    ],
)
def test_hour_where_the_site_is(time: float, hour: str) -> None:
    assert view(time=time)["hour"] == (hour,)


# -- explicit facts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "event", "values"),
    [
        (
            "client",
            {"timezone": "Europe/Berlin", "screen": "1440x900", "page": "/Pricing?x=1"},
            {"timezone": ("Europe/Berlin", "Europe"), "screen": ("l",), "page": ("/pricing",), "device": ("desktop",)},
        ),
        (
            "client",
            {"timezone": "<x>", "screen": "huge"},
            {"timezone": (UNKNOWN,), "screen": (UNKNOWN,), "page": (NONE,)},
        ),
        ("client", {"screen": "xs", "page": "https://relaso.com/a"}, {"screen": ("xs",), "page": ("/a",)}),
        (
            "event",
            {"name": "Export", "value": "CSV", "page": "/"},
            {"name": ("export",), "value": ("csv",), "page": ("/",)},
        ),
        ("event", {"name": "jane@example.com"}, {"name": (":email",), "value": (NONE,)}),
        ("outbound", {"host": "https://www.example.com/a?b"}, {"host": ("example.com",)}),
        ("outbound", {"host": "example.com"}, {"host": ("example.com",)}),
        ("outbound", {"host": "//"}, {"host": (UNKNOWN,)}),
        ("pixel", {"name": "Newsletter 12"}, {"name": ("newsletter 12",), "country": ("DE", "Europe")}),
        (
            "consent",
            {"choice": "save", "purpose": "statistics", "surface": "banner"},
            {"choice": ("save",), "purpose": ("statistics",), "surface": ("banner",), "language": ("de-DE", "de")},
        ),
        ("view", {"page": "/app/deals/9", "previous": "/app"}, {"page": ("/app/deals/:id", "/app/deals/*", "/app/*")}),
        ("view", {"page": "/x", "previous": "/app"}, {"previous": ("/app",), "referrer": ("internal",)}),
    ],
)
def test_explicit_facts(kind: str, event: dict[str, str], values: dict[str, Any]) -> None:
    (fact,), reason = seen(kind=kind, event=tuple(event.items()), method="POST", status=204, **OLD)
    assert reason is None
    assert fact.kind == kind
    assert set(fact.values) == set(DIMENSIONS[kind])
    assert {name: fact.values[name] for name in values} == values


def test_several_purposes_are_one_choice() -> None:
    event = (("choice", "save"), ("purpose", "preferences"), ("purpose", "statistics"))
    (fact,), _ = seen(kind="consent", event=event)
    assert fact.values["purpose"] == ("preferences+statistics",)


@pytest.mark.parametrize(
    "agent",
    ["Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "Mozilla/5.0"],
)
def test_mailboxes_fetch_pixels_for_people(agent: str) -> None:
    found, reason = seen(kind="pixel", event=(("name", "a"),), agent=agent, **OLD)
    assert ([fact.kind for fact in found], reason) == (["pixel"], None)
    assert seen(kind="pixel", agent="curl/8.0")[1] is Drop.BOT_AGENT


# -- properties ------------------------------------------------------------------------------------------------------

texts = st.text(max_size=60)
pairs = st.tuples(st.sampled_from(["page", "name", "value", "host", "timezone", "screen", "purpose", "x"]), texts)
hits = st.builds(
    Hit,
    site=st.just("relaso.com"),
    time=st.floats(0, 4e9),
    address=st.one_of(texts, st.ip_addresses().map(str)),
    method=st.sampled_from(["GET", "POST", "HEAD", "get"]),
    host=texts,
    path=st.one_of(texts, texts.map("/".__add__)),
    query=st.one_of(texts, texts.map("utm_source=".__add__)),
    status=st.integers(0, 999),
    content_type=st.one_of(texts, st.sampled_from([HTML, "application/pdf", "image/png"])),
    agent=st.one_of(texts, st.sampled_from([CHROME, SAFARI, "curl/8"])),
    language=texts,
    referrer=st.one_of(texts, texts.map("https://".__add__)),
    accept=st.one_of(texts, st.just(ACCEPT)),
    fetch_dest=st.one_of(texts, st.sampled_from(["", "document", "image"])),
    fetch_mode=st.sampled_from(["", "navigate"]),
    objects=st.sampled_from(["", "", "gpc"]),
    blocked=st.lists(st.tuples(texts, texts, texts, texts), max_size=3).map(tuple),
    event=st.one_of(st.none(), st.lists(pairs, max_size=5).map(tuple)),
    kind=st.sampled_from(["", "", "client", "event", "outbound", "pixel", "consent", "blocked", "view", "x"]),
)


@given(hits)
def test_any_hit_gives_well_formed_facts(hit: Hit) -> None:
    """Nothing raises; dimensions are of the kind; values are bounded lines whose ancestors the trees know."""
    found, reason = facts(hit, SETTINGS, TABLES)
    assert reason is not None or found or hit.kind == "blocked"
    for fact in found:
        assert set(fact.values) <= set(DIMENSIONS[fact.kind])
        if fact.kind not in ("consent",):
            assert set(fact.values) == set(DIMENSIONS[fact.kind])
        for dimension, line in fact.values.items():
            assert 1 <= len(line) <= 4
            assert line[1:] == TABLES.trees.parents(dimension, line[0])
            for level, value in enumerate(line):
                assert TABLES.trees.parents(dimension, value) == line[level + 1 :]
                assert value
                assert value.isprintable()
                assert len(value) < 3000
        assert "?" not in fact.values.get("page", ("",))[0].partition("?")[1]


@given(hits)
def test_hits_survive_the_socket(hit: Hit) -> None:
    text = json.dumps(hit.to_json(), ensure_ascii=False, separators=(",", ":"))
    assert Hit.from_json(json.loads(text)) == hit
    assert len(hit.to_json()) == len(Hit._fields)


@pytest.mark.parametrize(
    "row",
    [
        [],
        ["relaso.com"],
        [*VIEW.to_json()[:-5], 3, None, "", True, False],
        [*VIEW.to_json()[:-4], 3, "", True, False],
        [1, "x"],
        ["relaso.com", "now"],
        [""] * 100,
        {},
        VIEW._replace(time=float("nan")).to_json(),
        VIEW._replace(time=1e12).to_json(),
        VIEW._replace(event=(("name", None),)).to_json(),  # type: ignore[arg-type]
        VIEW._replace(blocked=(("service", "purpose", "page"),)).to_json(),  # type: ignore[arg-type]
    ],
)
def test_rows_that_are_no_hit(row: list[Any]) -> None:
    with pytest.raises(ValueError, match="not a hit"):
        Hit.from_json(row)


@pytest.mark.parametrize(
    ("views", "name"), [(1, "1"), (4, "4"), (5, "5-9"), (9, "5-9"), (10, "10-19"), (20, "20+"), (5000, "20+")]
)
def test_depth(views: int, name: str) -> None:
    assert depth(views) == name


@pytest.mark.parametrize(
    ("seconds", "name"),
    [(0, "0-9 s"), (9.9, "0-9 s"), (10, "10-59 s"), (179, "1-2 min"), (599, "3-9 min"), (1800, "30+ min")],
)
def test_duration(seconds: float, name: str) -> None:
    assert duration(seconds) == name
