"""What is changed from the dashboard: roles, notes, tokens, shared links, trackers, the audit; and who is let in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser

from tests.admin import PASSWORD, SITE, Admin, MemoryBackend, MemoryOffice, admin, person, settings
from tests.servers import ROOT
from vestibule import config
from vestibule.core.errors import VestibuleError
from vestibule.dashboard import Role, create_app
from vestibule.dashboard.keys import LONGEST_SHARE, Keys
from vestibule.dashboard.office import Share, Table
from vestibule.dashboard.sessions import KEPT, LIFETIME
from vestibule.dashboard.trackers import ConfigDesk, declared, lines_for

OWN = {"Sec-Fetch-Site": "same-origin"}
STAFF = {"ada": "viewer", "erik": "engineer", "olga": "officer"}


def staff() -> MemoryBackend:
    return MemoryBackend(people={name: person(name, role) for name, role in STAFF.items()})


class Written:
    """What was written into trackers.yaml."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, folder: Path, service: str, state: str) -> None:
        if service == "broken":
            raise VestibuleError("trackers: no service named broken")
        self.lines.append((service, state))


@pytest.fixture(scope="module")
def written() -> Written:
    return Written()


@pytest.fixture(scope="module")
def house(written: Written) -> Iterator[Admin]:
    folder = ROOT / "demo" / "config"
    desk = ConfigDesk(config.load(folder, {}), folder, written)
    with admin(staff(), desk=desk) as served:
        yield served


def texts(body: str, selector: str) -> list[str]:
    return [" ".join(node.text().split()) for node in LexborHTMLParser(body).css(selector)]


# -- who may what ------------------------------------------------------------------------------------------------------


def test_every_route_holds_to_its_role(house: Admin) -> None:
    """Each route, asked by each role: let in exactly from the rule's role on."""
    order = list(Role)
    for name, role in STAFF.items():
        with house.signed_in(name, headers=OWN) as client:
            for rule in house.app.state.rules:
                if rule.role is None:
                    continue
                path = rule.path.replace("{panel}", "pages").replace("{record}", "r1")
                status = client.request(rule.methods[0], path).status_code
                allowed = order.index(Role(role)) >= order.index(rule.role)
                assert (status == 403) is not allowed, (name, rule.path, status)


def test_a_tag_in_a_role_is_no_role() -> None:
    with admin(MemoryBackend(people={"eve": person("eve", "<b>")})) as house, house.signed_in("eve") as client:
        answer = client.get("/")
        assert answer.status_code == 403
        assert "<b>" not in answer.text


def test_only_known_networks_are_answered() -> None:
    app = create_app(MemoryBackend(), settings(networks=("10.0.0.0/8", "2001:db8::/32")))

    async def ask(address: str) -> int:
        transport = httpx.ASGITransport(app, client=(address, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get("/login")).status_code

    for address, status in (
        ("10.1.2.3", 200),
        ("::ffff:10.1.2.3", 200),
        ("2001:db8::7", 200),
        ("192.0.2.1", 403),
        ("127.0.0.1", 403),
        ("2001:db9::1", 403),
        ("", 403),
    ):
        assert asyncio.run(ask(address)) == status, address


def test_a_kept_session_outlives_the_browser_and_ends() -> None:
    with admin(staff()) as house, house.client() as client:
        form = {"name": "ada", "password": PASSWORD, "keep": "1"}
        cookie = client.post("/login", data=form, headers=OWN).headers["set-cookie"].lower()
        assert f"max-age={KEPT}" in cookie
        house.clock.now += LIFETIME + 1
        assert client.get("/").status_code == 200
        house.clock.now += KEPT - LIFETIME
        assert client.get("/").status_code == 303


# -- notes -------------------------------------------------------------------------------------------------------------


def test_a_note_is_on_the_graph_the_api_and_in_the_audit() -> None:
    with admin(staff()) as house, house.signed_in("ada", headers=OWN) as ada, house.signed_in("olga") as olga:
        form = {"day": "2026-11-18", "text": "  Autumn <b>launch</b>\n", "next": "/?period=28d"}
        answer = ada.post("/notes", data=form)
        assert answer.headers["location"] == "/?period=28d"
        page = ada.get("/?period=28d").text
        assert texts(page, ".notes li bdi")[0] == "Autumn <b>launch</b>"
        assert len(LexborHTMLParser(page).css(".plot-x .flag")) == 1
        assert texts(ada.get("/consent?period=28d").text, "#turns tbody td") == ["38 %", "38 %"]
        assert texts(ada.get("/consent?from=2026-11-18&to=2026-11-20").text, "#turns tbody td") == ["–", "38 %"]
        notes = ada.get("/api/v1/annotations?from=2026-11-01&to=2026-11-30").json()["annotations"]
        assert [(note["day"], note["by"]) for note in notes] == [("2026-11-18", "ada")]
        assert ada.get("/api/v1/annotations?from=2026-11-19&to=2026-11-30").json() == {"annotations": []}
        assert "note.add" in texts(olga.get("/access").text, "#audit td")[1]
        assert ada.post("/notes/remove", data={"id": notes[0]["id"]}).status_code == 403
        assert olga.post("/notes/remove", data={"id": notes[0]["id"]}, headers=OWN).status_code == 303
        assert house.office.rows[Table.NOTES] == {}


@pytest.mark.parametrize("form", [{"day": "2026-13-01", "text": "x"}, {"day": "2026-11-01"}, {"text": "x"}, {}])
def test_a_note_without_day_or_text_is_none(form: dict[str, str]) -> None:
    with admin(staff()) as house, house.signed_in("ada", headers=OWN) as ada:
        assert ada.post("/notes", data=form).status_code == 303
        assert Table.NOTES not in house.office.rows


def test_what_cannot_be_written_down_is_not_done() -> None:
    office = MemoryOffice()
    with admin(staff(), office=office) as house, house.signed_in("ada", headers=OWN) as ada:
        office.failing = True
        assert ada.post("/notes", data={"day": "2026-11-18", "text": "x"}).status_code == 503
        assert ada.post("/access/tokens", data={"name": "x"}).status_code == 503
        assert ada.get("/").status_code == 200
        office.failing = False
        assert office.rows == {}


def test_without_an_office_there_are_none() -> None:
    app = create_app(staff(), settings())
    with admin(staff()) as house, house.signed_in("olga", headers=OWN) as known:
        cookie = known.cookies["vestibule-admin"]
        clock = house.clock

    async def ask() -> list[int]:
        app = create_app(staff(), settings(), clock)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            client.cookies.set("vestibule-admin", cookie)
            answers = [await client.get("/access"), await client.post("/notes", headers=OWN)]
            return [answer.status_code for answer in (*answers, await client.get("/"), await client.get("/shared/x/"))]

    assert asyncio.run(ask()) == [404, 404, 200, 404]
    assert app.state.rules


# -- tokens ------------------------------------------------------------------------------------------------------------

QUESTION = "/api/v1/breakdown?kind=view&by=page"


def make_token(client: httpx.Client) -> str:
    page = client.post("/access/tokens", data={"name": "report"}).text
    return texts(page, "#made")[0]


def test_a_token_may_what_its_owner_may_and_only_ask_the_api() -> None:
    with admin(staff()) as house, house.client() as nobody:
        with house.signed_in("ada", headers=OWN) as ada, house.signed_in("olga", headers=OWN) as olga:
            token, officers = make_token(ada), make_token(olga)
            assert token not in ada.get("/access").text, "it is shown once"
        bearer = {"Authorization": f"Bearer {token}"}
        assert nobody.get(QUESTION, headers=bearer).status_code == 200
        assert nobody.get("/", headers=bearer).status_code == 303
        assert nobody.post("/notes", headers={**bearer, **OWN}).status_code == 303
        record = "/api/v1/consent-records/r1"
        assert nobody.get(record, headers=bearer).status_code == 403
        assert nobody.get(record, headers={"Authorization": f"bearer {officers}"}).status_code == 200
        for wrong in (token[:-1], token[:-1] + "_", token + "x", "vst_", "x" * 5000):
            assert nobody.get(QUESTION, headers={"Authorization": f"Bearer {wrong}"}).status_code == 401
        assert nobody.get(QUESTION, headers={"Authorization": f"Basic {token}"}).status_code == 401
        assert token.rpartition("_")[2] not in repr(house.office.rows), "only its digest is kept"
        del house.backend.people["ada"]
        house.clock.now += 61
        assert nobody.get(QUESTION, headers=bearer).status_code == 401, "the owner is gone"


def test_a_removed_token_opens_nothing_and_is_only_its_owners() -> None:
    own = {"headers": OWN}
    with (
        admin(staff()) as house,
        house.client() as nobody,
        house.signed_in("ada", **own) as ada,
        house.signed_in("erik", **own) as erik,
    ):
        token = make_token(ada)
        bearer = {"Authorization": f"Bearer {token}"}
        assert nobody.get(QUESTION, headers=bearer).status_code == 200
        erik.post("/access/tokens/remove", data={"id": token[4:16]})
        assert nobody.get(QUESTION, headers=bearer).status_code == 200, "another's token stays"
        ada.post("/access/tokens/remove", data={"id": token[4:16]})
        assert nobody.get(QUESTION, headers=bearer).status_code == 401


# -- shared links ------------------------------------------------------------------------------------------------------


def make_share(client: httpx.Client, days: str = "7") -> str:
    page = client.post("/access/shares", data={"name": "board", "days": days}).text
    found = LexborHTMLParser(page).css_first("#link")
    assert found is not None
    return found.attributes["href"] or ""


def test_a_shared_link_shows_numbers_and_nothing_else() -> None:
    with admin(staff()) as house, house.client() as guest, house.signed_in("erik", headers=OWN) as erik:
        link = make_share(erik)
        base = link.rstrip("/")
        page = guest.get(link).text
        assert texts(page, "#pages tbody th a")[:2] == ["/", "/pricing"]
        for node in LexborHTMLParser(page).css("main a[href], header a.brand"):
            assert (node.attributes["href"] or "").startswith(f"{base}/"), node.html
        for path in ("/consent", "/crawlers", "/live", "/details/pages", QUESTION, "/?where=country:DE&period=28d"):
            assert guest.get(base + path).status_code == 200, path
        for hidden in ("blocked&by=service", "blocked&by=page", "view&by=hour", "bot&by=none"):
            assert guest.get(f"{base}/api/v1/breakdown?kind={hidden}").status_code in (400, 403), hidden
        assert guest.get(f"{base}/api/v1/breakdown?kind=view&by=page&where=previous:/").status_code == 200
        for path in ("/trackers", "/privacy", "/access", "/api/v1/export.zip", "/details/blocked"):
            assert guest.get(base + path).status_code == 404, path
        assert guest.post(f"{base}/notes", headers=OWN).status_code in (404, 405)
        assert guest.get("/").status_code == 303, "the link signs nobody in"
        assert guest.cookies.jar is not None
        assert not list(guest.cookies.jar)


def test_a_shared_link_ends_by_time_by_hand_and_cannot_be_forged() -> None:
    with admin(staff()) as house, house.client() as guest, house.signed_in("erik", headers=OWN) as erik:
        first, second = make_share(erik), make_share(erik, "30")
        for forged in (first[:-2] + "/", first.rstrip("/") + "A/", "/shared//", "/shared/" + "x" * 600 + "/"):
            assert guest.get(forged).status_code == 404, forged
        ids = {row["name"]: id_ for id_, row in house.office.rows[Table.SHARES].items()}
        assert guest.get(second).status_code == 200
        erik.post("/access/shares/remove", data={"id": ids["board"]})
        assert guest.get(second).status_code == 404, "taken back"
        assert guest.get(first).status_code == 200
        house.clock.now += timedelta(days=7).total_seconds()
        assert guest.get(first).status_code == 404, "over"


def test_a_share_is_bounded_and_signed_for_its_site() -> None:
    office = MemoryOffice()

    async def check() -> None:
        here = Keys(office, ("a-secret",), SITE, lambda: 1000.0)
        token = await here.new_share("x", "erik", 10 * LONGEST_SHARE)
        found = await here.share(token)
        assert found is not None
        assert found.until == 1000 + LONGEST_SHARE
        other = Keys(office, ("a-secret",), "other.example", lambda: 1000.0)
        assert await other.share(token) is None
        longer = Share(found.id, found.name, found.owner, found.until + 1)
        assert await Keys(office, ("another",), SITE, lambda: 1000.0).share(here.share_token(longer)) is None

    asyncio.run(check())


def test_frames_are_for_the_named_origins_and_shared_links_only() -> None:
    with admin(staff(), embed=("https://intranet.example",)) as house, house.client() as guest:
        with house.signed_in("erik", headers=OWN) as erik:
            link = make_share(erik)
            assert "frame-ancestors 'none'" in erik.get("/").headers["content-security-policy"]
        shared = guest.get(link).headers
        assert "frame-ancestors https://intranet.example" in shared["content-security-policy"]
        assert "x-frame-options" not in shared
        assert guest.get("/login").headers["x-frame-options"] == "DENY"


# -- trackers ----------------------------------------------------------------------------------------------------------


def test_the_stranger_has_a_verdict_and_lines_to_paste(house: Admin) -> None:
    with house.signed_in("erik") as erik:
        page = erik.get("/trackers").text
    assert texts(page, "#strangers tbody th") == ["cdn.stranger.example"]
    assert "unknown: block trackers.yaml" in texts(page, "#strangers tbody td")[1].replace(" · ", " ")
    assert "hosts: [cdn.stranger.example]" in texts(page, "#strangers pre")[0]
    assert "google-analytics" in texts(page, "#switches tbody th")[1]
    assert texts(page, "#paste h2") == ["Held back without being listed"]
    assert texts(page, "#paste pre")[-1].split() == ["cookies:", "declare:", "rl_visitor:", "{purpose:", "necessary}"]


def test_while_it_is_only_observed_the_page_says_what_enforcing_would_close() -> None:
    folder = ROOT / "demo" / "config"
    desk = ConfigDesk(config.load(folder, {}), folder, Written())
    with admin(staff(), desk=desk, observe=True) as house, house.signed_in("erik") as erik:
        page = erik.get("/trackers").text
    assert texts(page, "#paste h2") == ["What enforcing would close"]
    assert "rl_visitor" in texts(page, "#paste pre")[-1]


@pytest.mark.parametrize(
    ("service", "lines"),
    [
        ("hotjar", "services:\n  hotjar: ask\n"),
        (
            "unknown:www.a-b.example",
            "custom:\n  a-b-example: {hosts: [www.a-b.example], purpose: marketing, state: ask}\n",
        ),
        ("unknown:", ""),
        ("unknown:a], x: [b", ""),
        ("unknown:a\nb: c", ""),
    ],
)
def test_lines_to_paste_are_only_made_of_names(service: str, lines: str) -> None:
    assert lines_for(service) == lines


def test_lines_for_cookies_are_only_made_of_their_names() -> None:
    names = ("rl_visitor", "a b", "x: {}", "-y", "_ga.x-1", "n" * 65)
    found = declared(["hotjar", *map("cookie:{}".format, names)])
    assert found == "cookies:\n  declare:\n    rl_visitor: {purpose: necessary}\n    _ga.x-1: {purpose: necessary}\n"
    assert declared(["hotjar", "cookie:a b"]) == ""


def test_an_engineer_switches_and_a_viewer_does_not(house: Admin, written: Written) -> None:
    form = {"service": "hotjar", "state": "ask", "next": "/trackers?period=28d"}
    with house.signed_in("ada", headers=OWN) as ada, house.signed_in("erik", headers=OWN) as erik:
        assert ada.post("/trackers/set", data=form).status_code == 403
        assert "button" not in "".join(texts(ada.get("/trackers").text, "#switches button"))
        assert erik.post("/trackers/set", data=form).headers["location"] == "/trackers?period=28d"
        assert erik.post("/trackers/set", data={**form, "state": "open"}).status_code == 503
        assert "no service named broken" in erik.post("/trackers/set", data={**form, "service": "broken"}).text
    assert written.lines == [("hotjar", "ask")]
    assert "hotjar: ask" in {row["about"] for row in house.office.rows[Table.AUDIT].values()}


def test_the_switch_is_off_unless_the_configuration_says() -> None:
    desk = ConfigDesk(config.load(ROOT / "demo" / "config", {}))
    with admin(staff(), desk=desk) as house, house.signed_in("erik", headers=OWN) as erik:
        assert not LexborHTMLParser(erik.get("/trackers").text).css("#switches button")
        assert erik.post("/trackers/set", data={"service": "hotjar", "state": "ask"}).status_code == 403


# -- privacy -----------------------------------------------------------------------------------------------------------


def test_the_officer_finds_a_record_by_its_number(house: Admin) -> None:
    with house.signed_in("olga") as olga, house.signed_in("erik") as erik:
        assert texts(olga.get("/privacy?record=r1").text, "#record-found dd") == ["r1", SITE, "statistics"]
        assert "No record has this number" in olga.get("/privacy?record=r2").text
        assert "No record" in olga.get("/privacy", params={"record": "<b>" * 50}).text
        assert "record-found" not in erik.get("/privacy?record=r1").text
        facts = texts(olga.get("/privacy").text, "#facts dt")
    assert {"Smallest number of visitors shown", "Open days", "Closed days", "Hits lost on the way"} <= set(facts)


# -- languages ---------------------------------------------------------------------------------------------------------


def test_german_for_those_who_read_it(house: Admin) -> None:
    with house.signed_in("ada", headers={"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}) as ada:
        answer = ada.get("/")
        assert answer.headers["content-language"] == "de"
        assert texts(answer.text, ".tile-name")[0] == "Besucher"
        assert "Deutschland" in texts(answer.text, "#places tbody th a")
        assert "34.518" in ada.get("/?period=28d").text or re.search(r"\d\.\d{3}", answer.text)
        ada.post("/language", data={"language": "en", "next": "/"}, headers=OWN)
        assert texts(ada.get("/").text, ".tile-name")[0] == "Visitors"
