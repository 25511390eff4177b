"""The admin app as a browser sees it: signing in, the page, its states, hostile values."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from tests.admin import NOW, PASSWORD, SITE, VALUES, Admin, MemoryBackend, Person, admin, person, settings
from tests.servers import ROOT, free_port, vestibule_process, wait_until
from vestibule.assets import static
from vestibule.core.visit import Hit
from vestibule.dashboard import Role, create_app, first_login_path
from vestibule.dashboard import address as addresses
from vestibule.dashboard.assets import Assets
from vestibule.dashboard.chart import Point, bars, by_hour, counts_of, nice_top, pick_ticks
from vestibule.dashboard.crawlers import kind_of
from vestibule.dashboard.dimensions import keeps
from vestibule.dashboard.guard import local_path
from vestibule.dashboard.panels import BY_ID, PANELS, TABS, VIEWS, VIEWS_BY_ID
from vestibule.dashboard.passwords import complaint, hash_password, verify
from vestibule.dashboard.periods import NAMES, Period, between, describe, named
from vestibule.dashboard.sessions import LIFETIME, REVOKED_KEPT, Session, Sessions
from vestibule.dashboard.staff import may
from vestibule.dashboard.throttle import Pace, SignInThrottle, Throttle, network_of
from vestibule.dashboard.values import label, labelled, visible
from vestibule.dashboard.words import Words
from vestibule.link import Sender

OWN = {"Sec-Fetch-Site": "same-origin"}
TODAY = NOW.date()
OVERVIEW = [BY_ID[name] for name in VIEWS_BY_ID["overview"].panels]


@pytest.fixture(scope="module")
def house() -> Iterator[Admin]:
    with admin() as served:
        yield served


@pytest.fixture(scope="module")
def ada(house: Admin) -> Iterator[httpx.Client]:
    with house.signed_in() as client:
        yield client


def texts(tree: LexborHTMLParser | LexborNode, selector: str) -> list[str]:
    return [" ".join(node.text().split()) for node in tree.css(selector)]


def first(tree: LexborHTMLParser | LexborNode, selector: str) -> LexborNode:
    node = tree.css_first(selector)
    assert node is not None, selector
    return node


def page(client: httpx.Client, path: str = "/") -> LexborHTMLParser:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return LexborHTMLParser(answer.text)


# -- who may come in ---------------------------------------------------------------------------------------------------

OPEN = {"/language", "/login", "/logout", "/setup", "/healthz", "/readyz", "/metrics", "/static/{path:path}"}


def test_every_route_but_the_named_ones_needs_a_session(house: Admin) -> None:
    rules = house.app.state.rules
    assert {rule.path for rule in rules if rule.role is None} == OPEN
    with house.client() as client:
        for rule in rules:
            if rule.role is not None:
                path = rule.path.replace("{panel}", "pages").replace("{record}", "r1")
                answer = client.request(rule.methods[0], path, headers=OWN)
                assert answer.status_code in (303, 401), rule.path
                assert answer.headers.get("location", "/login").startswith("/login")
                assert SITE not in answer.text


def test_every_post_needs_a_form_of_this_listener(house: Admin) -> None:
    wrong: list[dict[str, str]] = [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": house.url},
        {"Origin": "null"},
        {"Origin": "http://elsewhere.example"},
        {"Origin": house.url + ".elsewhere.example"},
    ]
    form = {"name": "ada", "password": PASSWORD}
    with house.client() as client:
        for rule in house.app.state.rules:
            if "POST" in rule.methods:
                for headers in wrong:
                    assert client.post(rule.path, data=form, headers=headers).status_code == 403, (rule.path, headers)
        assert client.post("/login", data=form, headers={"Origin": house.url}).status_code == 303


def test_signing_in_and_out(house: Admin) -> None:
    with house.client() as client:
        answer = client.get("/?period=today")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2F%3Fperiod%3Dtoday")
        form = {"name": "ada", "password": PASSWORD, "next": "/?period=today"}
        answer = client.post("/login", data=form, headers=OWN)
        assert (answer.status_code, answer.headers["location"]) == (303, "/?period=today")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("vestibule-admin=")
        assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.lower().split("; "))
        assert "max-age" not in cookie.lower()
        assert "expires" not in cookie.lower()
        kept = client.cookies["vestibule-admin"]
        assert client.get("/").status_code == 200
        assert client.post("/logout", headers=OWN).headers["location"] == "/login"
        assert client.get("/").status_code == 303
        client.cookies.set("vestibule-admin", kept)
        assert client.get("/").status_code == 303, "a copy of the cookie outlives signing out"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        "/\t/evil",
        "/" * 2,
        "/\n",
    ],
)
def test_signing_in_never_leads_elsewhere(house: Admin, target: str) -> None:
    assert local_path(target) == "/"
    with house.client() as client:
        form = {"name": "ada", "password": PASSWORD, "next": target}
        assert client.post("/login", data=form, headers=OWN).headers["location"] == "/"


def test_a_wrong_password_and_an_unknown_name_look_the_same(house: Admin) -> None:
    with house.client() as client:
        pages = [
            client.post("/login", data={"name": name, "password": "wrong password"}, headers=OWN)
            for name in ("ada", "bob", "a b", "")
        ]
    assert {answer.status_code for answer in pages} == {403}
    assert len({re.sub(r'value="[^"]*"| autofocus', "", answer.text) for answer in pages}) == 1
    assert all("set-cookie" not in answer.headers for answer in pages)


def test_guessing_is_slowed_down() -> None:
    with admin() as house, house.client() as client:
        wrong = {"name": "ada", "password": "wrong password"}
        statuses = [client.post("/login", data=wrong, headers=OWN).status_code for _ in range(7)]
        assert statuses == [403] * 5 + [429] * 2
        right = {"name": "ada", "password": PASSWORD}
        answer = client.post("/login", data=right, headers=OWN)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        house.clock.now += 1000
        assert client.post("/login", data=right, headers=OWN).status_code == 303


def test_a_session_ends_with_time_password_and_account() -> None:
    backend = MemoryBackend(people={"ada": person()})
    with admin(backend) as house:
        with house.signed_in() as client:
            house.clock.now += LIFETIME - 1
            assert client.get("/").status_code == 200
            house.clock.now += 1
            assert client.get("/").status_code == 303
        with house.signed_in() as client:
            backend.people["ada"] = Person("ada", hash_password("another password"))
            house.clock.now += 61
            assert client.get("/").status_code == 303
        backend.people["ada"] = person()
        with house.signed_in() as client:
            backend.people.clear()
            house.clock.now += 61
            assert client.get("/").status_code == 303


@pytest.mark.parametrize("body", [b"x" * 20_000, b"&" * 9000, b"\xff\xfe=%ff", b""])
def test_odd_forms_do_no_harm(house: Admin, body: bytes) -> None:
    with house.client() as client:
        for path in ("/login", "/setup"):
            assert client.post(path, content=body, headers=OWN).status_code in (400, 403, 413, 429)


def test_roles() -> None:
    assert may(Person("a", "", "officer"), Role.VIEWER)
    assert may(Person("a", "", "engineer"), Role.ENGINEER)
    assert not may(Person("a", "", "viewer"), Role.ENGINEER)
    assert not may(Person("a", "", "owner"), Role.VIEWER)


def test_an_unknown_role_sees_nothing() -> None:
    with admin(MemoryBackend(people={"eve": person("eve", "owner")})) as house, house.signed_in("eve") as client:
        assert client.get("/").status_code == 403
        assert client.get("/api/v1/breakdown?kind=view&by=page").json()["code"] == "role"


# -- the first account -------------------------------------------------------------------------------------------------


def test_the_first_link_makes_one_account_and_is_spent() -> None:
    backend = MemoryBackend()
    with admin(backend) as house, house.client() as client, house.client() as other:
        link = asyncio.run(first_login_path(house.app))
        assert link is not None
        assert "Welcome" in client.get(link).text
        assert client.get(link).status_code == 200, "reading the page does not spend the link"
        token = link.partition("token=")[2]
        form = {"token": token, "name": "grace", "password": PASSWORD}
        for wrong in ({"name": "two words"}, {"password": "short"}, {"password": "aaaaaaaaaaaa"}, {"token": "guess"}):
            assert client.post("/setup", data={**form, **wrong}, headers=OWN).status_code in (400, 403)
        assert backend.people == {}
        answer = client.post("/setup", data=form, headers=OWN)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert client.get("/").status_code == 200
        assert backend.people["grace"].role == "officer"
        assert backend.people["grace"].password_hash.startswith("$argon2id$")
        assert other.post("/setup", data={**form, "name": "eve"}, headers=OWN).status_code == 403
        assert other.get(link).status_code == 403
        assert set(backend.people) == {"grace"}
        assert asyncio.run(first_login_path(house.app)) is None


def test_the_first_link_is_closed_where_there_are_accounts(house: Admin) -> None:
    assert asyncio.run(first_login_path(house.app)) is None
    with house.client() as client:
        for token in ("", "guess", house.app.state.staff._setup_token):
            assert client.get("/setup", params={"token": token}).status_code == 403


def test_two_at_once_make_one_account() -> None:
    backend = MemoryBackend()
    app = create_app(backend, settings())

    async def both() -> list[int]:
        link = await first_login_path(app)
        assert link is not None
        token = link.partition("token=")[2]
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            forms = [{"token": token, "name": name, "password": PASSWORD} for name in ("grace", "eve")]
            answers = await asyncio.gather(*(client.post("/setup", data=form, headers=OWN) for form in forms))
        return sorted(answer.status_code for answer in answers)

    assert asyncio.run(both()) == [303, 403]
    assert len(backend.people) == 1


def test_https_has_a_host_cookie() -> None:
    app = create_app(MemoryBackend(people={"ada": person()}), settings())

    async def sign_in() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://localhost") as client:
            answer = await client.post("/login", data={"name": "ada", "password": PASSWORD}, headers=OWN)
            return answer.headers["set-cookie"]

    cookie = asyncio.run(sign_in())
    assert cookie.startswith("__Host-vestibule-admin=")
    assert "secure" in cookie.lower().split("; ")


# -- what every answer carries -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/login", "/live", "/details/pages", "/healthz", "/nothing", "/api/v1/breakdown"]
)
def test_every_answer_is_closed(ada: httpx.Client, path: str) -> None:
    headers = ada.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/login", "/details/pages", "/?period=12m&where=country:DE"])
def test_pages_need_nothing_inline_and_nothing_foreign(ada: httpx.Client, path: str) -> None:
    tree = page(ada, path)
    assert not tree.css("[style], style, [onclick], [onload]")
    assert all(node.attributes.get("src") and not node.text().strip() for node in tree.css("script"))
    for node in tree.css("[src], [href], [action]"):
        for name in ("src", "href", "action"):
            value = node.attributes.get(name)
            assert value is None or value.startswith(("/", "#")), value
            assert value is None or not value.startswith("//")


def test_static_files_are_immutable_and_all_there(ada: httpx.Client) -> None:
    tree = page(ada)
    links = [node.attributes["href"] for node in tree.css("link")] + [
        node.attributes["src"] for node in tree.css("script")
    ]
    assert len(links) == 5
    total = 0
    for link in links:
        assert link is not None
        answer = ada.get(link)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        total += int(answer.headers["content-length"])
    html = ada.get("/", headers={"Accept-Encoding": "gzip"})
    total += html.num_bytes_downloaded
    assert total < 90_000, "the page weighs more than 90 KB"
    assert ada.get("/static/dashboard.css").status_code == 404
    assert ada.get("/static/..%2f..%2fpyproject.toml").status_code == 404


def test_the_graph_library_comes_with_its_licence() -> None:
    names = Assets(static() / "dashboard").names
    assert {"vendor/uPlot.iife.min.js", "vendor/uPlot.min.css", "vendor/uPlot.LICENSE"} <= set(names)


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_has_what_was_promised(ada: httpx.Client) -> None:
    tree = page(ada)
    assert texts(tree, ".panel h2") == [panel.title for panel in OVERVIEW]
    names = ["Visitors", "Visits", "Views", "Views a visit", "Time a visit", "One page only", "Accepted", "Blocked"]
    assert texts(tree, ".tile-name") == names
    values = dict(zip(texts(tree, ".tile-name"), texts(tree, ".tile-value"), strict=True))
    assert values["Accepted"] == "38 %"  # 902 of 902 + 1210 + 241; objections are no choice
    points = [int(node.attributes["data-n"] or "") for node in tree.css("#points tbody tr")]
    assert len(points) == 7
    assert values["Views"] == f"{sum(points):,}"
    assert values["Visitors"] == f"{sum(count // 3 for count in points):,}"
    assert texts(tree, "#pages tbody th a")[:2] == ["/", "/pricing"]
    assert texts(tree, "#places tbody th a")[0] == "Germany"
    assert texts(page(ada, "/trackers"), "#blocked tbody th a")[0] == "Google Tag Manager"


@pytest.mark.parametrize("period", ["today", "yesterday", "28d"])
def test_a_share_is_of_what_was_released_with_it(ada: httpx.Client, period: str) -> None:
    """2,200 of 4,337 visits, and of as many before: not of the live total, nor of a few hours of the day before."""
    tree = page(ada, f"/?period={period}")
    assert texts(tree, "#tile-bounce .tile-value") == ["51 %"]
    assert texts(tree, "#tile-bounce .tile-change") == ["as before"]


def test_rare_values_are_added_up_and_explained(ada: httpx.Client) -> None:
    row = first(page(ada), "#devices tr.rare")
    assert "fewer than 5 visitors" in row.text()
    assert texts(row, "td") == ["21", "37"]


def test_numbers_equal_the_api(ada: httpx.Client) -> None:
    tree = page(ada, "/?from=2026-11-02&to=2026-11-08")
    body = ada.get("/api/v1/breakdown?kind=view&by=browser&from=2026-11-02&to=2026-11-08").json()
    shown = [texts(row, "td") for row in tree.css("#devices tbody tr:not(.rare)")]
    assert shown == [[f"{row['visitors']:,}", f"{row['count']:,}"] for row in body["rows"]]
    series = ada.get("/api/v1/timeseries?kind=view&interval=day&from=2026-11-02&to=2026-11-08").json()["points"]
    points = [(node.attributes["data-t"], node.attributes["data-n"]) for node in tree.css("#points tbody tr")]
    assert points == [(point["time"], str(point["count"])) for point in series]


@pytest.mark.parametrize("name", NAMES)
def test_every_period_is_a_page(ada: httpx.Client, name: str) -> None:
    tree = page(ada, f"/?period={name}")
    assert texts(tree, ".periods a[aria-current]") == [NAMES[name]]
    period = named(name, TODAY)
    assert period is not None
    assert texts(tree, "h1") == [describe(period)]
    expected = period.days * 24 if period.days <= 2 else period.days
    assert len(tree.css("#points tbody tr")) == expected
    assert bool(tree.css(".under .mark:not(.dash)")) is period.includes(TODAY)


@pytest.mark.parametrize(
    "query",
    [
        "period=soon",
        "from=x&to=y",
        "from=2027-01-01&to=2027-02-01",
        "where=shoe:44",
        "where=page",
        "graph=x",
        "tab-pages=x",
    ],
)
def test_an_address_that_makes_no_sense_is_the_page_as_ever(ada: httpx.Client, query: str) -> None:
    tree = page(ada, f"/?{query}")
    assert texts(tree, "h1") == ["16 – 22 Nov 2026"]
    assert not tree.css(".chip")


def test_a_click_on_a_row_filters_the_whole_page(house: Admin, ada: httpx.Client) -> None:
    tree = page(ada)
    link = next(node for node in tree.css("#places tbody th a") if "Austria" in node.text())
    house.backend.asked.clear()
    filtered = page(ada, link.attributes["href"] or "")
    assert texts(filtered, ".chip strong") == ["Austria"]
    asked = [ask for ask in house.backend.asked if ask["method"] == "breakdown" and ask["by"] == "page"]
    assert {ask["where"] for ask in asked if ask["kind"] == "view"} == {("country", "AT")}
    on_trackers = page(ada, "/trackers?where=country:AT")
    assert texts(on_trackers, "#blocked .state strong") == ["Not with this filter"]
    assert "not kept by country" in first(filtered, "#errors .state").text()
    assert texts(filtered, "#places tr.active th a") == ["Austria"]
    removed = first(filtered, ".chip a").attributes["href"] or ""
    assert not page(ada, removed).css(".chip")


def test_the_filter_is_never_asked_of_what_lacks_it(house: Admin, ada: httpx.Client) -> None:
    for where in ("service:hotjar", "entry:/", "status:404", "choice:accept", "screen:xl", "name:x"):
        house.backend.asked.clear()
        page(ada, f"/?where={where}")
        dimension = where.partition(":")[0]
        for ask in house.backend.asked:
            if ask["where"] is not None:
                assert keeps(ask["kind"], dimension), ask
                assert ask.get("by") != dimension, ask


def test_tabs_are_links(ada: httpx.Client) -> None:
    for view in VIEWS:
        panels = [BY_ID[name] for name in view.panels]
        for number in range(1, max((len(panel.tabs) for panel in panels), default=1)):
            chosen = {panel.id: panel.tabs[number] for panel in panels if len(panel.tabs) > number}
            tree = page(ada, f"{view.path}?" + "&".join(f"tab-{id_}={tab.id}" for id_, tab in chosen.items()))
            for id_, tab in chosen.items():
                assert texts(tree, f"#{id_} .tabs [aria-current]") == [tab.name]


def test_details_are_a_page_without_javascript(ada: httpx.Client) -> None:
    tree = page(ada)
    assert len(tree.css("#pages tbody tr")) == 9
    details = page(ada, first(tree, "#pages a.details").attributes["href"] or "")
    assert len(details.css("tbody tr:not(.rare)")) == 11
    assert ada.get("/details/shoes").status_code == 404


def test_the_csv_link_works(ada: httpx.Client) -> None:
    link = first(page(ada, "/?where=country:DE"), "#pages .panel-foot a[download]").attributes["href"]
    assert link is not None
    answer = ada.get(link)
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.startswith("value,count,visitors\r\n/,")


# -- when there is little or nothing -----------------------------------------------------------------------------------


def test_an_empty_house() -> None:
    backend = MemoryBackend(values={}, daily={}, people={"ada": person()})
    with admin(backend) as house, house.signed_in() as client:
        tree = page(client)
        assert texts(tree, ".panel .state strong") == ["Nothing yet in this time"] * len(OVERVIEW)
        assert "Views: nothing in this time" in texts(tree, ".plot-empty strong")
        assert "0 views in the last 30 minutes" in texts(tree, "#live")[0]


def test_too_few_visitors() -> None:
    backend = MemoryBackend(values={("view", "page"): []}, people={"ada": person()})
    with admin(backend) as house, house.signed_in() as client:
        state = first(page(client), "#pages .state")
        assert "Too few visitors to show" in state.text()
        assert "every value has fewer than 5 visitors" in state.text()
        assert "37 counted" in state.text()


@pytest.mark.parametrize("failing", ["breakdown", "timeseries", "health", "view", "error"])
def test_the_page_answers_though_the_store_fails(failing: str) -> None:
    backend = MemoryBackend(people={"ada": person()})
    with admin(backend) as house, house.signed_in() as client:
        backend.failing = {failing}
        tree = page(client)
        troubled = {node.attributes["id"] for node in tree.css(".panel") if node.css(".trouble")}
        expected = {
            "breakdown": {panel.id for panel in OVERVIEW},
            "timeseries": set(),
            "health": set(),
            "view": {panel.id for panel in OVERVIEW if panel.tabs[0].kind == "view"},
            "error": {"errors"},
        }
        assert troubled == expected[failing]
        assert bool(tree.css("#graph .trouble")) is (failing in ("timeseries", "view"))
        assert bool(tree.css(".alert")) is (failing == "health")


def test_without_accounts_to_read_the_door_says_so() -> None:
    backend = MemoryBackend(people={"ada": person()})
    with admin(backend) as house, house.signed_in() as client:
        assert client.get("/").status_code == 200
        backend.failing = {"user", "breakdown"}
        assert client.get("/").status_code == 200, "an account just read is known for a minute"
        house.clock.now += 61
        answer = client.get("/")
        assert answer.status_code == 503
        assert "store does not answer" in answer.text
        assert client.get("/api/v1/breakdown").json()["code"] == "store-unavailable"
        assert client.post("/login", data={"name": "ada", "password": PASSWORD}, headers=OWN).status_code == 503


def test_alerts_tell_of_a_refused_configuration() -> None:
    backend = MemoryBackend(people={"ada": person()}, config={"error": "site.yaml:3: site.hosts: is <empty>"})
    with admin(backend) as house, house.signed_in() as client:
        assert "site.yaml:3: site.hosts: is <empty>" in texts(page(client), ".alert")[0]


# -- hostile values ----------------------------------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "/\u202egnp.exe",
    "/" + "x" * 10_000,
    "javascript:alert(1)",
    "{{ 7 * 7 }}",
    "\x00\x1b[31m",
    "=cmd|' /C calc'!A0",
    "&lt;b&gt;",
    "a\nb",
]


@dataclass(slots=True)
class Young(MemoryBackend):
    """A site that is counted since a day. ``since``: that day, as ISO 8601 text."""

    since: str = ""

    async def timeseries(self, **asked: Any) -> Mapping[str, Any]:
        answer = await MemoryBackend.timeseries(self, **asked)
        return {"points": [point for point in answer["points"] if point["time"] >= self.since]}


@pytest.mark.parametrize(
    ("since", "compared"), [("2026-09-28", True), ("2026-10-02", True), ("2026-10-03", False), ("2026-11-20", False)]
)
def test_days_before_anything_was_counted_are_nothing_to_compare_with(since: str, compared: bool) -> None:
    backend = Young(people={"ada": person()}, since=since)
    with admin(backend) as house, house.signed_in() as client:
        tree = page(client, "/?period=28d")
        assert bool(tree.css(".mark.dash")) is compared
        assert bool(texts(tree, "#tile-view .tile-change")[0].strip("\xa0")) is compared
        told = texts(tree, ".under > .muted")
        assert told == ([] if compared else ["Not compared with 28 Sep – 25 Oct 2026: counting began later."])
        assert not page(client, "/?period=28d&against=nothing").css(".under > .muted")


@dataclass(slots=True)
class Even(MemoryBackend):
    """Every hour is like every other; it is 14:37, and the visits of the last half hour go on."""

    async def timeseries(self, **asked: Any) -> Mapping[str, Any]:
        answer = await MemoryBackend.timeseries(self, **asked)
        today, visits = NOW.date().isoformat(), asked["kind"] == "visit"
        if asked["interval"] == "day":
            so_far = 14 * 60 + (7 if visits else 37)
            points = [
                {"time": point["time"], "count": so_far, "visitors": 50}
                if point["time"] == today
                else {"time": point["time"], "count": 24 * 60, "visitors": 100}
                for point in answer["points"]
            ]
        elif asked["interval"] == "hour":
            hours = [f"{asked['start']}T{hour:02}:00" for hour in range(24)]
            points = [{"time": hour, "count": 60} for hour in hours if hour < f"{today}T14:00"]
            points += [{"time": f"{today}T14:00", "count": 7 if visits else 37}] if hours[0] > today else []
        else:
            return answer
        return {"points": points}


@pytest.mark.parametrize(
    ("tile", "query", "value", "change"),
    [
        ("visitors", "?period=7d", "650", "as before"),
        ("visitors", "?period=7d&against=year", "650", "as before"),
        ("visitors", "?period=today", "50", ""),
        ("visitors", "?period=yesterday", "100", "as before"),
        ("visitors", "?period=7d&where=country:DE", "650", "as before"),
        ("view", "?period=7d&where=country:DE", f"{6 * 1440 + 877:,}", "as before"),
        ("view", "?period=12m", f"{356 * 1440 + 877:,}", "as before"),
        ("view", "?period=12m&against=nothing", f"{356 * 1440 + 877:,}", ""),
        ("view", "?period=today", "877", "as before"),
        ("view", "?period=7d", f"{6 * 1440 + 877:,}", "as before"),
        ("view", "?period=28d&against=year", f"{27 * 1440 + 877:,}", "as before"),
        ("visit", "?period=today", "847", "as before"),
        ("visit", "?period=7d", f"{6 * 1440 + 847:,}", "as before"),
        ("per-visit", "?period=7d", "1.0", "as before"),
        ("per-visit", "?period=today", "–", "known tomorrow"),
        ("per-visit", "?period=yesterday", "1.0", "as before"),
    ],
)
def test_a_day_that_goes_on_is_not_compared_with_a_whole_one(tile: str, query: str, value: str, change: str) -> None:
    with admin(Even(people={"ada": person()})) as house, house.signed_in() as client:
        tree = page(client, f"/{query}")
        assert texts(tree, f"#tile-{tile} .tile-value") == [value]
        assert texts(tree, f"#tile-{tile} .tile-change") == [change]


@pytest.mark.parametrize(("today", "value"), [(0, "–"), (10, "10")])
def test_too_few_are_not_compared(today: int, value: str) -> None:
    """Twenty a day the week before, too few of late: that is not known to be less."""

    class Less(MemoryBackend):
        async def timeseries(self, **asked: Any) -> Mapping[str, Any]:
            points = [{"time": f"2026-11-{day}", "count": 20, "visitors": 20} for day in range(10, 16)]
            points += [{"time": "2026-11-22", "count": today, "visitors": today}] if today else []
            return {
                "points": [point for point in points if str(asked["start"]) <= str(point["time"]) <= str(asked["end"])]
            }

    with admin(Less(people={"ada": person()})) as house, house.signed_in() as client:
        tree = page(client, "/?period=7d&where=country:AT")
    for tile in ("view", "visitors"):
        assert texts(tree, f"#tile-{tile} .tile-value") == [value]
        assert texts(tree, f"#tile-{tile} .tile-change") == [""]


def test_views_a_visit_are_drawn_by_days_that_are_over(ada: httpx.Client) -> None:
    rows = page(ada, "/?graph=per-visit").css("#points tbody tr")
    assert ["data-n" in row.attributes for row in rows] == [True] * 6 + [False]
    assert texts(rows[-1], "td")[0] == "–"
    assert texts(page(ada, "/?graph=per-visit&period=today"), ".graph .state strong")


@pytest.mark.parametrize(
    ("choices", "rare", "accepted", "rejected"),
    [
        ([("reject", 40, 40), ("accept", 30, 30)], 30, "30 %", "40 %"),
        ([("reject", 40, 40)], 10, "–", "80 %"),
        ([("reject", 40, 40)], 0, "0 %", "100 %"),
        ([], 9, "–", "–"),
        ([], 0, "–", "–"),
    ],
)
def test_a_choice_that_is_not_told_is_not_nothing(
    choices: list[tuple[str, int, int]], rare: int, accepted: str, rejected: str
) -> None:
    values = {**VALUES, ("consent", "choice"): choices}
    backend = MemoryBackend(values=values, rare=(rare, rare), people={"ada": person()})
    with admin(backend) as house, house.signed_in() as client:
        tree = page(client, "/consent")
    assert texts(tree, "#tile-accepted .tile-value") == [accepted]
    assert texts(tree, "#tile-rejected .tile-value") == [rejected]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("?from=2020-01-01&to=2026-11-22", True),
        ("?from=2027-01-01&to=2027-01-02", True),
        ("?from=x", True),
        ("?from=2026-11-01&to=' OR 1=1 --", True),
        ("?from=2026-11-01&to=2026-11-03", False),
        ("?period=x", False),
    ],
)
def test_days_that_cannot_be_shown_are_said_so(ada: httpx.Client, query: str, told: bool) -> None:
    found = texts(page(ada, f"/{query}"), ".alert")
    assert bool(found) is told
    assert not told or found[0].startswith("Those days can’t be shown: up to 1,200 days can")


def test_notes_ask_no_more_often() -> None:
    with admin(MemoryBackend(people={"ada": person()})) as house, house.signed_in(headers=OWN) as client:
        for day in range(10, 20):
            client.post("/notes", data={"day": f"2026-11-{day}", "text": "banner"})
        house.backend.asked.clear()
        assert len(page(client, "/consent?period=28d").css("#turns tbody tr")) == 5
        spans = {(each["start"], each["end"]) for each in house.backend.asked if each["method"] == "timeseries"}
        assert len(spans) == 4, "the period, the one before, and the last day of either, by the hour"


def test_figures_that_a_filter_has_not_say_so(ada: httpx.Client) -> None:
    tree = page(ada, "/?where=page:/pricing")
    assert texts(tree, "#tile-visit .tile-change") == ["not by page"]
    assert texts(tree, "#tile-visit .tile-value") == ["–"]
    assert "not by" not in texts(tree, "#tile-view .tile-change")[0]


def test_hostile_values_show_harmlessly() -> None:
    rows = [(value, 50 - index, 20) for index, value in enumerate(HOSTILE[:9])]
    values = {("view", "page"): rows, ("view", "referrer"): rows, ("error", "page"): rows}
    with admin(MemoryBackend(values=values, people={"ada": person()})) as house, house.signed_in() as client:
        answer = client.get("/")
        tree = LexborHTMLParser(answer.text)
        assert "<script>alert" not in answer.text
        assert not tree.css("img")
        assert "\u202e" not in answer.text
        assert "\x1b" not in answer.text
        assert "49" not in texts(tree, "#pages th")
        shown = texts(tree, "#pages tbody th bdi")
        assert len(shown) == 9
        assert max(map(len, shown)) <= 160
        assert all(len(node.attributes.get("title") or "") <= 600 for node in tree.css("[title]"))
        for node in tree.css("#pages tbody th a"):
            assert (node.attributes["href"] or "").startswith("/?")
        long = next(node for node in tree.css("#pages tbody th") if "xxx" in node.text())
        assert not long.css("a"), "a value too long to be an address is no link"


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_filter_shows_harmlessly(ada: httpx.Client, value: str) -> None:
    answer = ada.get("/", params={"where": f"page:{value}"})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    tree = LexborHTMLParser(answer.text)
    assert not tree.css("img")
    assert "\u202e" not in first(tree, "body").text()
    assert all("\u202e" not in (node.attributes.get("title") or "") for node in tree.css("[title]"))


@given(st.text(max_size=400))
def test_shown_text_has_no_controls_and_is_short(text: str) -> None:
    shown = visible(text)
    assert len(shown) <= 160
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ufeff\u2028\u2029]", shown)
    if len(text) <= 160 and text.isascii() and text.isprintable():
        assert shown == text


def test_labels() -> None:
    assert label("country", "DE") == "Germany"
    assert label("country", "XX") == "XX"
    assert labelled("country", "Europe (others)") == ("Europe", "others")
    assert labelled("referrer", "search: Google") == ("Google", "search")
    assert labelled("referrer", "social: X (others)") == ("X", "social, others")
    assert labelled("referrer", "search: Google", Words("de")) == ("Google", "Suche")
    assert labelled("referrer", "own group: X") == ("X", "own group")
    assert label("referrer", "social") == "Social networks"
    assert labelled("country", "Europe (others)", Words("de")) == ("Europa", "andere")
    assert labelled("service", "google-analytics") == ("Google Analytics", "")
    assert labelled("service", "cookie:_ga") == ("_ga", "cookie")
    assert labelled("service", "unknown:x.example") == ("x.example", "unknown")
    assert label("service", "an-own-one") == "an-own-one"
    assert label("language", "de-DE") == "German (Germany)"
    assert label("language", "nl", Words("de")) == "Niederländisch"
    assert [label("language", odd) for odd in ("xx-DE", "de-XX", "de-DE-x", "")] == [
        "xx-DE",
        "de-XX",
        "de-DE-x",
        "(none)",
    ]
    assert label("purpose", "preferences+statistics+marketing") == "Preferences, statistics, marketing"
    assert label("purpose", "statistics+marketing", Words("de")) == "Statistik, Marketing"
    assert label("page", "search: Google") == "search: Google"
    assert label("choice", "accept") == "Accepted all"
    assert label("campaign", "") == "(none)"


# -- parts -------------------------------------------------------------------------------------------------------------

PERIODS = [
    ("today", date(2026, 3, 1), date(2026, 3, 1), date(2026, 3, 1)),
    ("yesterday", date(2026, 3, 1), date(2026, 2, 28), date(2026, 2, 28)),
    ("7d", date(2026, 3, 1), date(2026, 2, 23), date(2026, 3, 1)),
    ("28d", date(2026, 3, 1), date(2026, 2, 2), date(2026, 3, 1)),
    ("month", date(2026, 3, 31), date(2026, 3, 1), date(2026, 3, 31)),
    ("last-month", date(2024, 3, 31), date(2024, 2, 1), date(2024, 2, 29)),
    ("last-month", date(2026, 1, 15), date(2025, 12, 1), date(2025, 12, 31)),
    ("12m", date(2026, 11, 22), date(2025, 12, 1), date(2026, 11, 22)),
    ("12m", date(2026, 12, 31), date(2026, 1, 1), date(2026, 12, 31)),
    ("12m", date(2024, 2, 29), date(2023, 3, 1), date(2024, 2, 29)),
]


@pytest.mark.parametrize(("name", "today", "start", "end"), PERIODS)
def test_periods(name: str, today: date, start: date, end: date) -> None:
    assert named(name, today) == Period(name, start, end)


@given(st.dates(date(2001, 1, 1), date(2100, 1, 1)), st.sampled_from(list(NAMES)))
def test_the_period_before_ends_where_this_one_starts(today: date, name: str) -> None:
    period = named(name, today)
    assert period is not None
    before = period.before()
    assert before.days == period.days == before.after().days
    assert before.end + timedelta(days=1) == period.start
    assert before.after().start == period.start


def test_custom_periods() -> None:
    assert between("2026-11-03", "2026-11-01", TODAY) == Period("custom", date(2026, 11, 1), date(2026, 11, 3))
    assert between("2026-11-20", "2026-12-24", TODAY) == Period("custom", date(2026, 11, 20), TODAY)
    for start, end in (
        ("2026-12-01", "2026-12-24"),
        ("1999-01-01", "2026-01-01"),
        ("2026-13-01", "2026-01-01"),
        ("", ""),
    ):
        assert between(start, end, TODAY) is None


@given(
    st.sampled_from([*NAMES, "custom"]),
    st.none() | st.tuples(st.sampled_from(["page", "country", "service"]), st.text(min_size=1, max_size=50)),
    st.sampled_from(addresses.GRAPHS),
)
def test_an_address_reads_back(name: str, where: tuple[str, str] | None, graph: str) -> None:
    period = named(name, TODAY) or Period("custom", date(2026, 10, 1), date(2026, 10, 9))
    if where is not None:
        where = (where[0], where[1].encode("utf-8", "replace").decode())
    here = addresses.Address(period, where, graph, {"pages": "visit-entry"})
    query = dict(httpx.QueryParams(here.query()).multi_items())
    assert addresses.parse(query, TODAY, TABS) == here


def test_the_graph_follows_the_filter() -> None:
    period = named("7d", TODAY)
    assert period is not None
    here = addresses.Address(period)
    filtered = here.with_where(("service", "hotjar"))
    assert filtered.graph == "blocked"
    assert filtered.with_where(None).graph == "view"
    assert here.with_where(("country", "DE")).graph == "view"
    assert here.with_graph("error").with_where(("page", "/")).graph == "error"
    assert here.with_graph("error").with_where(("country", "DE")).graph == "view"
    assert addresses.parse({"where": "service:hotjar"}, TODAY, TABS).graph == "blocked"


@given(st.integers(0, 10**9))
def test_the_axis_is_even_and_not_far_above(largest: int) -> None:
    top = nice_top(largest)
    assert top % 2 == 0
    assert largest <= top <= max(4, largest * 2)


@given(st.lists(st.integers(0, 10**6), max_size=400))
def test_bars_stay_inside_the_box(counts: list[int]) -> None:
    points = [Point(str(index), str(index), count) for index, count in enumerate(counts)]
    top = nice_top(max(counts, default=0))
    path = bars(points, top, current=False)
    assert path.count("z") == sum(count > 0 for count in counts)
    for left, height, width in re.findall(r"M([\d.]+) 200v-([\d.]+)h([\d.]+)", path):
        assert 0 <= float(left) < float(left) + float(width) <= 1000.2
        assert 0 < float(height) <= 200
    ticks = pick_ticks(points, 7)
    assert len(ticks) <= 7
    assert all(0 < at < 100 for at, _ in ticks)


def test_an_hour_that_comes_twice_is_added_up() -> None:
    points = [{"time": "2026-10-25T02:00", "count": 3}, {"time": "2026-10-25T02:00", "count": 4}]
    assert counts_of(points, 16) == {"2026-10-25T02:00": 7}
    drawn = by_hour(
        counts_of(points, 16), Period("custom", date(2026, 10, 25), date(2026, 10, 25)), datetime(2026, 10, 26)
    )
    assert [point.count for point in drawn][:4] == [0, 0, 7, 0]


def test_sessions_are_signed_bounded_and_rotate() -> None:
    session = Session("ada", "f" * 16, "id", 1000)
    old, new = Sessions(["old"], SITE), Sessions(["new", "old"], SITE)
    token = old.dumps(session)
    assert new.loads(token, 1000) == session
    assert old.loads(new.dumps(session), 1000) is None
    assert Sessions(["old"], "elsewhere.example").loads(token, 1000) is None
    assert old.loads(token, 1000 + LIFETIME) is None
    assert old.loads(token, 0) is None
    assert old.loads(token[:-2], 1000) is None
    assert old.loads("x" * 5000, 1000) is None
    for number in range(REVOKED_KEPT + 5):
        new.revoke(Session("ada", "", str(number), 0))
    assert len(new._revoked) == REVOKED_KEPT
    with pytest.raises(ValueError):
        Sessions([], SITE)


def test_the_throttle_doubles_and_forgets() -> None:
    throttle = Throttle(Pace(free=3, ceiling=60), capacity=10)
    waits = []
    for _ in range(12):
        waits.append(throttle.wait("key", 1000.0))
        throttle.fail("key", 1000.0)
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert throttle.wait("key", 1061.0) == 0
    throttle.fail("key", 1000.0 + 100_000)
    assert throttle.wait("key", 1000.0 + 100_000) == 0
    for number in range(100):
        throttle.fail(str(number), 0)
    assert len(throttle) == 10


def test_a_stranger_cannot_lock_a_colleague_out_for_long() -> None:
    throttle = SignInThrottle()
    for number in range(500):
        throttle.begin(f"198.51.{number // 250}.{number % 250}", "ada", 1000.0 + number * 31)
    assert throttle.begin("203.0.113.1", "ada", 1000.0 + 500 * 31) == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("", "unknown"),
    ],
)
def test_networks_of_guessers(address: str, network: str) -> None:
    assert network_of(address) == network


def test_passwords() -> None:
    encoded = hash_password("correct horse")
    assert encoded.startswith("$argon2id$")
    assert verify(encoded, "correct horse")
    assert not verify(encoded, "wrong horse")
    assert not verify("no hash at all", "correct horse")
    assert complaint("correct horse") is None
    assert complaint("short") is not None
    assert complaint("x" * 201) is not None


# -- over the real recorder and store ----------------------------------------------------------------------------------


def visit(number: int, path: str) -> Hit:
    """A view by a visitor of its own."""
    return Hit(
        site=SITE,
        time=time.time(),
        address=f"203.0.113.{number}",
        host=SITE,
        path=path,
        content_type="text/html",
        agent="Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
        language="de-DE",
        accept="text/html",
        fetch_dest="document",
        fetch_mode="navigate",
        fetch_site="none",
    )


async def send(hits: list[Hit], socket: Path) -> None:
    sender = Sender(str(socket))
    running = asyncio.create_task(sender.run())
    for hit in hits:
        sender.send(hit)
    await asyncio.sleep(0.5)
    await sender.close()
    await running


@pytest.mark.skipif(importlib.util.find_spec("chdb") is None, reason="needs the extra embedded")
def test_from_the_first_link_to_the_numbers(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    environ = {
        "VESTIBULE_DASHBOARD__LISTEN": url.removeprefix("http://"),
        "VESTIBULE_STORE": f"chdb://{tmp_path}/store",
        "VESTIBULE_ANALYTICS__LIVE_EVERY": "1s",
        "VESTIBULE_ANALYTICS__K": "5",
    }
    folder = tmp_path / "config"
    shutil.copytree(ROOT / "demo" / "config", folder)
    site = folder / "site.yaml"
    own = {"edit": True, "embed": ["https://intranet.example"], "networks": ["127.0.0.0/8", "::1/128"]}
    kept = [line for line in site.read_text("utf-8").splitlines() if not line.startswith("dashboard:")]
    site.write_text("\n".join([*kept, f"dashboard: {json.dumps(own)}", ""]), "utf-8")
    arguments = ["recorder", "--config", str(folder), "--state", str(tmp_path / "state"), "--dev"]
    with (
        vestibule_process(arguments, environ, ready=f"{url}/healthz") as recorder,
        httpx.Client(base_url=url, timeout=10, verify=False) as client,
    ):
        wait_until(lambda: "/setup?token=" in recorder.output(), "the first link")
        token = re.search(r"/setup\?token=(\S+)", recorder.output())
        assert token is not None
        form = {"token": token[1], "name": "grace", "password": PASSWORD}
        assert client.post("/setup", data=form, headers=OWN).status_code == 303
        assert texts(page(client), ".panel .state strong")[0] == "Nothing yet in this time"

        views = {"/pricing": 23, "/contact": 17, "/login": 7, "/secret": 2}
        hits = [visit(number, path) for path, visitors in views.items() for number in range(1, visitors + 1)]
        asyncio.run(send(hits, tmp_path / "state" / "recorder.sock"))
        question = "/api/v1/breakdown?kind=view&by=page"
        wait_until(lambda: len(client.get(question).json()["rows"]) == 2, "the snapshot")

        wait_until(lambda: texts(page(client), "#tile-view .tile-value") == ["49"], "the page to ask anew")
        tree = page(client)
        assert "/secret" not in client.get("/").text
        assert texts(tree, "#pages tbody tr:not(.rare) td") == ["20", "20", "15", "15"], "multiples of k"
        assert texts(tree, "#devices tbody th a") == ["Firefox"]
        filtered = page(client, first(tree, "#devices tbody th a").attributes["href"] or "")
        assert texts(filtered, ".chip strong") == ["Firefox"]
        assert not filtered.css(".trouble")
        for number in range(max(len(panel.tabs) for panel in PANELS)):
            # One page shows a tab of every panel: all questions get asked, with a filter and without.
            tabs = "&".join(f"tab-{panel.id}={panel.tabs[number % len(panel.tabs)].id}" for panel in PANELS)
            for where in ("", "&where=browser:Firefox"):
                for view in VIEWS:
                    assert not page(client, f"{view.path}?{tabs}{where}").css(".trouble"), (view.id, tabs, where)
        body = client.get(question).json()
        assert [row["value"] for row in body["rows"]] == ["/pricing", "/contact"]
        assert body["provisional"] is True
        assert client.get("/api/v1/timeseries?kind=view&interval=day").json()["points"][0]["count"] == 49
        assert client.get("/readyz").json() == {"ready": True}
        assert 'vestibule_facts{name="view"} 49.0' in client.get("/metrics").text
        assert client.post("/setup", data=form, headers=OWN).status_code == 403

        def run(*command: str) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "vestibule", *command, f"--config={folder}", f"--state={tmp_path / 'state'}"],
                env={**os.environ, **environ, "PYTHONPATH": str(ROOT / "proxy")},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        assert json.loads(run("stats", "breakdown", "--kind", "view", "--by", "page"))["rows"] == body["rows"]
        days = json.loads(run("stats", "timeseries", "--kind", "view", "--interval", "day"))["points"]
        assert [(day["count"], day["visitors"]) for day in days] == [(49, 20)], "visitors to multiples of k"
        assert texts(page(client), "#tile-visitors .tile-value") == ["20"]
        run("annotate", "Autumn launch")
        bearer = {"Authorization": f"Bearer {run('users', 'token', 'grace')}"}
        client.cookies.clear()
        answer = client.get("/api/v1/annotations", headers=bearer)
        assert [note["text"] for note in answer.json()["annotations"]] == ["Autumn launch"]
        assert client.get("/api/v1/annotations").status_code == 401
        client.post("/login", data=form, headers=OWN)
        assert texts(page(client), ".notes li bdi") == ["Autumn launch"]
        link = first(LexborHTMLParser(client.post("/access/shares", data={"name": "x"}, headers=OWN).text), "#link")
        shared = link.attributes["href"] or ""
        audit = texts(page(client, "/access"), "#audit td:last-child")
        assert [line.split()[0] for line in audit] == ["share.add", "token.add", "note.add", "user.add"][: len(audit)]
        client.post("/trackers/set", data={"service": "hotjar", "state": "allow"}, headers=OWN)
        assert "hotjar: allow" in (folder / "trackers.yaml").read_text("utf-8")
        wait_until(lambda: "Configuration" in texts(page(client), ".notes")[0], "the reload to be noted by itself")
        client.cookies.clear()
        seen = client.get(shared)
        assert "frame-ancestors https://intranet.example" in seen.headers["content-security-policy"]
        assert texts(LexborHTMLParser(seen.text), "#pages tbody tr:not(.rare) th a") == ["/pricing", "/contact"]
        run("users", "remove", "grace")
        wait_until(lambda: client.get(question, headers=bearer).status_code == 401, "the token to go with its owner")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8081", 200),
        ("127.0.0.1:8081", 200),
        ("[::1]:8081", 200),
        ("192.168.1.7", 200),
        ("stats.example.com", 200),
        ("STATS.example.com:443", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
    ],
)
def test_only_known_names_are_answered_for(host: str, status: int) -> None:
    """A name that leads here for a moment (DNS rebinding) gets nothing, not even what loopback may read."""
    app = create_app(MemoryBackend(), settings(hosts=("stats.example.com",)))

    async def ask(path: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return (await client.get(path, headers={"host": host})).status_code

    assert asyncio.run(ask("/login")) in ((status,) if status == 421 else (200, 303))
    assert asyncio.run(ask("/healthz")) == status


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Googlebot", "search"),
        ("bingbot", "search"),
        ("GPTBot", "ai"),
        ("ClaudeBot", "ai"),
        ("Applebot-Extended", "ai"),
        ("Applebot", "search"),
        ("facebookexternalhit", "preview"),
        ("AhrefsBot", "seo"),
        ("curl", "other"),
        ("(unnamed bot)", "other"),
    ],
)
def test_kinds_of_crawlers(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_crawlers_are_shown_by_kind(ada: httpx.Client) -> None:
    tree = page(ada, "/crawlers?tab-crawlers=bot-name-kinds")
    assert texts(tree, "#crawlers tbody th .value")[:3] == ["Search engines", "AI", "Search optimisation"]
    assert texts(tree, "#crawlers tbody td.strong")[:3] == ["5,500", "2,200", "900"], "their names' added up"
    assert not tree.css("#crawlers tbody a"), "a kind is nothing that could be asked for"


def test_today_says_as_of_when(ada: httpx.Client) -> None:
    assert "as of 14:30" in texts(page(ada), ".mark")[0]


def test_one_page_asks_the_store_twice_at_most(
    house: Admin, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever belongs together is asked together; only movements need to know the most read page first."""
    asked: list[int] = []
    answers = house.backend.answers

    async def counted(questions: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any] | None]:
        asked.append(len(questions))
        return await answers(questions)

    monkeypatch.setattr(type(house.backend), "answers", lambda _, questions: counted(questions))
    for view in VIEWS:
        for query in ("", "?period=28d", "?period=today&where=country:DE"):
            asked.clear()
            page(ada, view.path + query)
            assert len(asked) <= 2, (view.id, query, asked)
