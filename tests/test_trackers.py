"""Rules on third parties: whose something is, and whether it runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vestibule.core.consent import ASKED, Choice, Purpose, State
from vestibule.core.trackers import Cookie, Rules, Service, Verdict


def registrable(host: str) -> str | None:
    labels = host.split(".")
    return ".".join(labels[-2:]) if len(labels) > 1 else None


def service(id_: str, purpose: Purpose, *hosts: str, **more: Any) -> Service:
    return Service(id_, id_.title(), purpose, hosts=hosts, **more)


TAGS = service(
    "tags", Purpose.MARKETING, "*.tags.example", inline=(r"tags\.example/t\.js",), relays=("*/tags.js", "/t/")
)
COUNT = service(
    "count",
    Purpose.STATISTICS,
    "count.example",
    "*.count.example",
    paths=("www.tags.example/count",),
    inline=(r"count\(['\"]C-",),
    cookies=(Cookie("_c", Purpose.STATISTICS, 3600, "count"), Cookie("_c_*", Purpose.STATISTICS, 0, "count")),
)
ADS = service(
    "ads",
    Purpose.MARKETING,
    "ads.example",
    "*.ads.example",
    "beacon.count.example",
    paths=("www.tags.example/count?*id=AW-*", "*.big.example/ads/", "social.example/tr"),
    inline=(r"count\(['\"]AW-",),
)
CAPTCHA = service("captcha", Purpose.PREFERENCES, paths=("www.big.example/captcha/",))
SOCIAL = service("social", Purpose.MARKETING, "social.example")
VIDEO = service("video", Purpose.PREFERENCES, "video.example", "*.video.example.net")
PAY = service("pay", Purpose.NECESSARY, "pay.example", cookies=(Cookie("__pay", Purpose.NECESSARY, 0, "pay"),))
OWN = service("own", Purpose.STATISTICS, "site.example", "cdn.site.example")
CATALOGUE = (TAGS, COUNT, ADS, CAPTCHA, SOCIAL, VIDEO, PAY, OWN)

ALL = Choice(frozenset(ASKED), "1", 0)
NONE = Choice(frozenset(), "1", 0)
STATISTICS = Choice(frozenset({Purpose.STATISTICS}), "1", 0)


def rules(
    states: Mapping[str, str] | None = None,
    unknown: str = "block",
    *,
    custom: Sequence[Service] = (),
    custom_states: Mapping[str, str] | None = None,
    **more: Any,
) -> Rules:
    return Rules(
        CATALOGUE,
        states={id_: State(state) for id_, state in (states or {}).items()},
        unknown=State(unknown),
        first_party=["site.example", "www.site.example"],
        registrable=registrable,
        custom=custom,
        custom_states={id_: State(state) for id_, state in (custom_states or {}).items()},
        **more,
    )


CASES = [
    # the site itself
    ("site.example", "/", None, "allow"),
    ("www.site.example", "/x?y", None, "allow"),
    ("other.site.example", "/", None, "allow"),
    ("site.example:8443", "/", "own", "block"),
    ("othersite.example", "/", None, "block"),
    ("site.example.evil.example", "/", None, "block"),
    # suffixes
    ("tags.example", "/", "tags", "ask"),
    ("a.b.tags.example", "/", "tags", "ask"),
    ("nottags.example", "/", None, "block"),
    ("tags.example.org", "/", None, "block"),
    ("count.example", "/", "count", "ask"),
    ("x.count.example", "/", "count", "ask"),
    ("beacon.count.example", "/", "ads", "block"),
    ("x.beacon.count.example", "/", "ads", "block"),
    # a port or a stray dot or capital does not change whose a host is
    ("tags.example:8080", "/", "tags", "ask"),
    ("TAGS.example", "/", "tags", "ask"),
    ("tags.example.", "/", "tags", "ask"),
    ("tags.example.:8080", "/", "tags", "ask"),
    ("other.site.example:8443", "/", "own", "block"),
    # paths, the longest first
    ("www.tags.example", "/t.js", "tags", "ask"),
    ("www.tags.example", "/count", "count", "ask"),
    ("www.tags.example", "/count?id=C-1", "count", "ask"),
    ("www.tags.example", "/count?id=AW-1", "ads", "block"),
    ("www.tags.example", "/count?l=x&id=AW-1", "ads", "block"),
    ("www.tags.example", "/counter", "tags", "ask"),
    # a host that nobody has whole
    ("www.big.example", "/captcha/api.js", "captcha", "allow"),
    ("www.big.example", "/ads/x", "ads", "block"),
    ("www.big.example", "/", None, "block"),
    ("big.example", "/captcha/api.js", None, "block"),
    # paths that a server may read otherwise get the stricter verdict
    ("www.big.example", "/captcha/../ads/x", "ads", "block"),
    ("www.big.example", "/captcha/../x", None, "block"),
    ("www.big.example", "/captcha/%2e%2e/x", None, "block"),
    ("www.big.example", "/captcha\\..\\x", None, "block"),
    ("www.big.example", "/%63aptcha/api.js", None, "block"),
    ("social.example", "/plugins", "social", "allow"),
    ("social.example", "/tr", "ads", "block"),
    ("social.example", "/%74r", "ads", "block"),
    ("social.example", "//tr", "ads", "block"),
    ("social.example", "/x/../tr", "ads", "block"),
    ("social.example", "/tr;x", "ads", "block"),
    # addresses are nobody's
    ("192.0.2.1", "/", None, "block"),
    ("[2001:db8::1]", "/", None, "block"),
    ("[2001:db8::1]:8443", "/", None, "block"),
    ("", "/", None, "block"),
    ("localhost", "/", None, "block"),
    # relays and names in disguise
    ("site.example", "/x/tags.js?v=1", "tags", "ask"),
    ("cdn.site.example", "/t/collect", "tags", "ask"),
    ("site.example", "/x/%74ags.js", "tags", "ask"),
    ("site.example", "/tags.json", None, "allow"),
    ("metrics.site.example", "/b/ss", "count", "ask"),
    ("x.metrics.site.example", "/b/ss", None, "allow"),
]
STATES = {"tags": "ask", "count": "ask", "ads": "block", "captcha": "allow", "social": "allow"}


@pytest.mark.parametrize(("host", "path", "id_", "state"), CASES)
def test_decide(host: str, path: str, id_: str | None, state: str) -> None:
    for _ in ("cold", "warm"):
        verdict = rules(STATES, cname={"metrics.site.example": "count"}).decide(host, path)
        assert (verdict.service, verdict.state, verdict.host) == (id_, state, host)


def test_a_verdict_kept_is_the_verdict_made() -> None:
    kept = rules(STATES, cname={"metrics.site.example": "count"})
    for host, path, _, _ in CASES * 2:
        assert kept.decide(host, path) == rules(STATES, cname={"metrics.site.example": "count"}).decide(host, path)


def test_what_is_kept_is_bounded() -> None:
    bounded = rules(STATES)
    bounded.MAX_CACHED = 10
    for number in range(100):
        assert bounded.decide(f"h{number}.example", "/").state is State.BLOCK
        assert bounded.decide("www.big.example", f"/captcha/{number}").state is State.ALLOW
    assert len(bounded._by_host) <= 10
    assert len(bounded._by_url) <= 10
    assert bounded.decide("www.big.example", "/captcha/" + "x" * 10_000).state is State.ALLOW
    assert all(len(path) < 1000 for _, path, _ in bounded._by_url)


@pytest.mark.parametrize(
    ("unknown", "listed", "choice", "expected"),
    [
        ("block", None, ALL, False),
        ("ask", None, None, False),
        ("ask", None, NONE, False),
        ("ask", None, STATISTICS, True),
        ("allow", None, None, True),
        ("allow", "block", ALL, False),
        ("block", "ask", None, False),
        ("block", "ask", STATISTICS, True),
        ("block", "allow", NONE, True),
    ],
)
def test_states_of_a_service(unknown: str, listed: str | None, choice: Choice | None, expected: bool) -> None:
    made = rules({"count": listed} if listed else {}, unknown)
    assert made.decide("count.example", "/").open(choice) is expected


@pytest.mark.parametrize(
    ("unknown", "choice", "expected"),
    [
        ("block", ALL, False),
        ("ask", None, False),
        ("ask", STATISTICS, False),
        ("ask", ALL, True),
        ("allow", None, True),
        ("allow", NONE, True),
    ],
)
def test_unknown_hosts(unknown: str, choice: Choice | None, expected: bool) -> None:
    verdict = rules({}, unknown).decide("unheard.example", "/")
    assert verdict.open(choice) is expected
    assert (verdict.service, verdict.name, verdict.purpose) == (None, "unheard.example", Purpose.MARKETING)


def test_single_unknown_hosts_can_be_chosen() -> None:
    made = rules({"count": "block"}, "ask")
    one = Choice(frozenset(), "1", 0, services={"unknown:one.example": True})
    assert made.decide("one.example", "/").open(one)
    assert not made.decide("two.example", "/").open(one)
    assert "one.example" in made.allowed_hosts(one)
    assert "one.example" not in made.allowed_hosts(None)
    assert not rules({}, "block").decide("one.example", "/").open(one)
    assert "one.example" not in rules({}, "block").allowed_hosts(one)


def test_where_one_host_is_refused_not_everything_is_open() -> None:
    made = rules({}, "ask")
    but_one = Choice(frozenset(ALL.purposes), "1", 0, services={"unknown:one.example": False})
    assert made.everything_open(ALL)
    assert not made.everything_open(but_one)
    assert "*" not in made.allowed_hosts(but_one)
    assert not made.decide("one.example", "/").open(but_one)


def test_single_services_can_be_chosen() -> None:
    made = rules({"count": "ask", "tags": "ask"})
    choice = Choice(frozenset({Purpose.STATISTICS}), "1", 0, services={"count": False, "tags": True})
    assert not made.decide("count.example", "/").open(choice)
    assert made.decide("tags.example", "/").open(choice)


def test_asking_for_a_necessary_service_asks_for_preferences() -> None:
    made = rules({"pay": "ask"})
    verdict = made.decide("pay.example", "/")
    assert verdict.purpose is Purpose.PREFERENCES
    assert [verdict.open(choice) for choice in (None, NONE, STATISTICS, ALL)] == [False, False, False, True]
    assert [(each.id, each.purpose) for each, _ in made.services_in_use()] == [("pay", Purpose.PREFERENCES)]
    cookie = made.cookie("__pay")
    assert cookie is not None
    assert cookie.purpose is Purpose.PREFERENCES
    allowed = rules({"pay": "allow"})
    assert allowed.decide("pay.example", "/").purpose is Purpose.NECESSARY


@pytest.mark.parametrize(
    ("host", "path", "rule", "source"),
    [
        ("count.example", "/", "services.count: ask", "trackers.yaml:4"),
        ("tags.example", "/", "services.tags: ask", "trackers.yaml"),
        ("video.example", "/", "unknown: block (video is not listed)", "trackers.yaml:1"),
        ("unheard.example", "/", "unknown: block", "trackers.yaml:1"),
        ("widget.example", "/w/1", "custom.widget: ask", "trackers.yaml:9"),
        ("site.example", "/", "first party", "first party"),
        ("site.example", "/t/x", "first-party path, services.tags: ask", "trackers.yaml"),
        ("m.site.example", "/", "cname.m.site.example: count, services.count: ask", "trackers.yaml:4"),
    ],
)
def test_a_verdict_says_why(host: str, path: str, rule: str, source: str) -> None:
    made = rules(
        {"count": "ask", "tags": "ask"},
        custom=[service("widget", Purpose.MARKETING, "widget.example", paths=("/w/*",))],
        custom_states={"widget": "ask"},
        where={"unknown": "trackers.yaml:1", "count": "trackers.yaml:4", "widget": "trackers.yaml:9"},
        cname={"m.site.example": "count"},
    )
    verdict = made.decide(host, path)
    assert (verdict.rule, verdict.source) == (rule, source)


def test_a_disguise_of_nothing_known_stays_closed() -> None:
    verdict = rules({}, "allow", cname={"m.site.example": "nothing"}).decide("m.site.example", "/")
    assert verdict.state is State.BLOCK


# Services of the configuration


@pytest.mark.parametrize(
    ("host", "path", "id_"),
    [
        ("widget.partner.example", "/w/1", "partner"),
        ("x.widget.partner.example", "/w/1", "partner"),
        ("widget.partner.example", "/", None),
        ("partner.example", "/w/1", None),
    ],
)
def test_custom_services(host: str, path: str, id_: str | None) -> None:
    partner = service("partner", Purpose.MARKETING, "widget.partner.example", paths=("/w/*",))
    made = rules(custom=[partner], custom_states={"partner": "allow"})
    assert made.decide(host, path).service == id_
    assert made.decide(host, path).state == ("allow" if id_ else "block")


def test_a_custom_service_wins_over_the_catalogue_on_the_same_host() -> None:
    mine = service("mine", Purpose.STATISTICS, "social.example")
    made = rules({"social": "block"}, custom=[mine], custom_states={"mine": "allow"})
    assert made.decide("social.example", "/").service == "mine"
    assert made.decide("social.example", "/tr").service == "ads"


def test_custom_services_close_paths_and_hosts_of_the_site() -> None:
    relay = service("relay", Purpose.MARKETING, "site.example", paths=("/gtm/*",))
    hidden = service("hidden", Purpose.STATISTICS, "stats.site.example")
    made = rules(custom=[relay, hidden], custom_states={"relay": "ask", "hidden": "block"})
    assert made.decide("site.example", "/gtm/collect").service == "relay"
    assert made.decide("www.site.example", "/gtm/collect").service == "relay"
    assert made.decide("site.example", "/gtmx").service is None
    assert made.decide("stats.site.example", "/").state is State.BLOCK
    assert "*.site.example" not in made.allowed_hosts(ALL)


def test_the_configuration_can_add_to_a_service_of_the_catalogue() -> None:
    more = service("video", Purpose.MARKETING, "video2.example")
    made = rules(custom=[more], custom_states={"video": "ask"})
    for host in ("video.example", "video2.example"):
        assert (made.decide(host, "/").service, made.decide(host, "/").purpose) == ("video", Purpose.MARKETING)
    found = made.service("video")
    assert found is not None
    assert found.hosts == ("video.example", "*.video.example.net", "video2.example")


def test_of_two_claims_the_stricter_wins() -> None:
    claims = [service("a", Purpose.MARKETING, "both.example"), service("b", Purpose.STATISTICS, "both.example")]
    for order in (claims, claims[::-1]):
        made = rules(custom=order, custom_states={"a": "ask", "b": "ask"})
        assert made.decide("both.example", "/").service == "a"
        made = rules(custom=order, custom_states={"a": "allow", "b": "ask"})
        assert made.decide("both.example", "/").service == "b"


class Trap:
    """A block list that names one host, and images anywhere."""

    def rule(self, host: str, path: str, kind: str) -> str | None:
        return f"||{host}^" if host == "listed.example" or kind == "image" or path == "/pixel" else None


def test_block_lists() -> None:
    made = rules({"count": "allow"}, "allow", lists=[Trap()])
    assert made.decide("listed.example", "/").rule == "||listed.example^"
    assert made.decide("listed.example", "/").state is State.BLOCK
    assert made.decide("unheard.example", "/").state is State.ALLOW
    assert made.decide("unheard.example", "/", "image").state is State.BLOCK
    assert made.decide("site.example", "/pixel").state is State.BLOCK
    assert made.decide("site.example", "/").state is State.ALLOW
    assert made.decide("count.example", "/", "image").state is State.ALLOW


# Inline scripts


@pytest.mark.parametrize(
    ("script", "id_"),
    [
        (b"load('//www.tags.example/t.js')", "tags"),
        (b"count('C-1')", "count"),
        (b"count('AW-1')", "ads"),
        (b"count('C-1');count('AW-1')", "ads"),
        (b"count('C-1');load('https:\\/\\/www.tags.example\\/t.js')", "tags"),
        (b"alert(1)", None),
        (b"", None),
    ],
)
def test_inline(script: bytes, id_: str | None) -> None:
    made = rules({"tags": "ask", "count": "ask", "ads": "ask"})
    for _ in ("cold", "warm"):
        verdict = made.decide_inline(script)
        assert (verdict and verdict.service) == id_


def test_a_closed_service_closes_a_script_of_several() -> None:
    made = rules({"tags": "ask", "count": "block"})
    verdict = made.decide_inline(b"load('//www.tags.example/t.js');count('C-1')")
    assert verdict is not None
    assert (verdict.service, verdict.state) == ("count", State.BLOCK)


def test_inline_verdicts_kept_are_bounded() -> None:
    made = rules()
    made.MAX_INLINE_CACHED = 5
    for number in range(50):
        assert made.decide_inline(b"x%d" % number) is None
    assert len(made._by_inline) <= 5


# What visitors are told


def test_services_in_use_are_the_listed_ones_that_are_not_blocked() -> None:
    widget = service("widget", Purpose.MARKETING, "widget.example")
    made = rules(
        {"tags": "ask", "count": "ask", "video": "block", "pay": "allow"},
        "ask",
        custom=[widget],
        custom_states={"widget": "ask"},
    )
    assert [(each.id, state) for each, state in made.services_in_use()] == [
        ("pay", State.ALLOW),
        ("count", State.ASK),
        ("tags", State.ASK),
        ("widget", State.ASK),
    ]


def test_asking_about_single_services() -> None:
    made = rules({"count": "ask"})
    assert made.service("count") == COUNT
    assert made.service("nothing") is None
    assert made.verdict("nothing") is None
    assert made.verdict("count") == Verdict(
        "count", "Count", Purpose.STATISTICS, State.ASK, "services.count: ask", "trackers.yaml", ""
    )
    cookie = made.cookie("_c_1")
    assert cookie is not None
    assert (cookie.pattern, cookie.service) == ("_c_*", "count")
    assert made.cookie("other") is None


# Policies

OWN_SOURCES = ("site.example", "*.site.example")


@pytest.mark.parametrize(
    ("states", "unknown", "choice", "expected"),
    [
        ({}, "block", None, OWN_SOURCES),
        ({"count": "ask"}, "block", None, OWN_SOURCES),
        # `count` has a closed host below it (that of `ads`), so no `*`
        ({"count": "allow"}, "block", None, (*OWN_SOURCES, "count.example", "www.count.example",
                                             "www.tags.example/count", "www.tags.example/count/")),
        ({"count": "allow", "ads": "allow"}, "block", None,
         (*OWN_SOURCES, "ads.example", "*.ads.example", "*.big.example/ads/",
          "count.example", "*.count.example", "www.tags.example/count", "www.tags.example/count/",
          "social.example/tr", "social.example/tr/")),
        ({"captcha": "allow"}, "block", None, (*OWN_SOURCES, "www.big.example/captcha/")),
        # a bare name stands for itself, one with `*` for what is below it
        ({"video": "ask"}, "block", ALL,
         (*OWN_SOURCES, "video.example", "*.video.example.net")),
        ({"tags": "ask"}, "block", ALL, (*OWN_SOURCES, "*.tags.example")),
        ({}, "allow", None, ("*",)),
        ({"tags": "block"}, "allow", None, ("*",)),
        ({}, "ask", ALL, ("*",)),
    ],
)  # fmt: skip
def test_policy_sources(states: dict[str, str], unknown: str, choice: Choice | None, expected: tuple[str, ...]) -> None:
    made = rules(states, unknown)
    assert set(made.allowed_hosts(choice)) == set(expected)
    assert made.allowed_hosts(choice) is made.allowed_hosts(choice)


def test_a_partial_choice_with_unknown_hosts_asked_for_is_still_locked() -> None:
    made = rules({"count": "ask"}, "ask")
    marketing = Choice(frozenset({Purpose.MARKETING}), "1", 0)
    assert made.decide("unheard.example", "/").open(marketing)
    sources = made.allowed_hosts(marketing)
    assert "*" not in sources
    assert "ads.example" in sources
    assert "count.example" not in sources


def test_custom_hosts_open_the_names_below_them() -> None:
    widget = service("widget", Purpose.MARKETING, "w.partner.example", paths=("/w/*",))
    sources = rules(custom=[widget], custom_states={"widget": "ask"}).allowed_hosts(ALL)
    assert sources == (*OWN_SOURCES, "w.partner.example/w/", "*.w.partner.example/w/")


def test_first_sources_are_the_most_important() -> None:
    sources = rules({"count": "allow"}, "ask").allowed_hosts(ALL)
    assert sources == ("*",)
    sources = rules({"count": "allow", "own": "block"}, "ask").allowed_hosts(ALL)
    assert sources[:3] == (*OWN_SOURCES, "count.example")


def test_a_closed_name_of_the_site_is_not_opened_by_its_domain() -> None:
    made = rules({"count": "ask"}, cname={"m.site.example": "count"}, exactly=["files.other.example"])
    assert made.allowed_hosts(None) == ("site.example", "www.site.example", "files.other.example")
    assert "*.site.example" in made.allowed_hosts(ALL)
    assert made.decide("files.other.example", "/").state is State.ALLOW
    assert made.decide("x.other.example", "/").state is State.BLOCK


def test_policies_kept_are_bounded() -> None:
    made = rules({"count": "ask"})
    made.MAX_POLICIES_CACHED = 3
    for number in range(20):
        made.allowed_hosts(Choice(frozenset(), "1", 0, services={f"s{number}": True}))
    assert len(made._policies) <= 3


def covers(source: str, host: str, path: str) -> bool:
    """Whether a policy source lets a URL load (CSP Level 3, sections 6.7.2.8 to 6.7.2.11)."""
    if source == "*":
        return True
    name, slash, folder = source.partition("/")
    fits = host.endswith(name[1:]) and host != name[2:] if name.startswith("*.") else host == name
    if not slash:
        return fits
    plain = path.partition("?")[0]
    return fits and (plain.startswith("/" + folder) if folder.endswith("/") or not folder else plain == "/" + folder)


HOSTS = sorted({host for host, _, _, _ in CASES if host and "example." not in host} | {"www.count.example"})
PATHS = ["/", "/captcha/x", "/ads/x", "/count", "/count/x", "/x"]
CHOICES = [
    None,
    *(Choice(frozenset(some), "1", 0) for size in range(4) for some in itertools.combinations(ASKED, size)),
]


@settings(max_examples=300, deadline=None)
@example(states={"ads": State.ALLOW}, unknown=State.BLOCK, choice=None, host="www.tags.example", path="/count")
@given(
    states=st.dictionaries(st.sampled_from([each.id for each in CATALOGUE]), st.sampled_from(list(State))),
    unknown=st.sampled_from([State.BLOCK, State.ASK]),
    choice=st.sampled_from(CHOICES),
    host=st.sampled_from(HOSTS),
    path=st.sampled_from(PATHS),
)
def test_what_a_policy_opens_is_open(
    states: dict[str, State], unknown: State, choice: Choice | None, host: str, path: str
) -> None:
    made = rules(states, unknown)
    sources = made.allowed_hosts(choice)
    opened = any(covers(source, host, path) for source in sources)
    # A policy cannot leave out a part of an open host, nor tell queries apart; those are closed by rewriting alone.
    whole = made.decide(host, "/nobody/has/this").open(choice)
    if opened and not whole:
        assert any(made.decide(host, path + query).open(choice) for query in ("", "?id=AW-1"))
