"""Signing in by OpenID Connect, against a real provider on loopback; and all the ways in which nobody is let in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

pytest.importorskip("authlib", reason='the extra "oidc" is not installed')

from tests.admin import Admin, Clock, MemoryBackend, MemoryOffice, person, settings
from tests.provider import CLIENT, SECRET, House, key, provider
from tests.servers import ROOT, free_port, serve_asgi
from vestibule import config
from vestibule.config.checks import OIDC_SECRET
from vestibule.core.errors import ConfigError
from vestibule.counting.admin import oidc_of
from vestibule.dashboard import Oidc, Role, create_app
from vestibule.dashboard.office import Table
from vestibule.dashboard.oidc import CALLBACK, PATIENCE

OWN = {"Sec-Fetch-Site": "same-origin"}
ADA = {"sub": "u1", "email": "ada@relaso.com", "email_verified": True, "groups": ["everyone", "web-engineers"]}
ROLES = {Role.VIEWER: ("everyone",), Role.ENGINEER: ("web-engineers",), Role.OFFICER: ("privacy",)}


class Door:
    """An admin app whose provider is a real one, and one browser at it."""

    def __init__(self, house: House, dashboard: Admin, client: httpx.Client) -> None:
        self.house = house
        self.dashboard = dashboard
        self.client = client

    def go(self, path: str = "/login/oidc") -> str:
        """Go to the provider and return where it sends the browser back to."""
        there = self.client.get(path)
        assert there.status_code == 303, there.text
        back = httpx.get(there.headers["location"])
        assert back.status_code == 302, back.text
        return str(back.headers["location"])

    def come(self, address: str) -> httpx.Response:
        return self.client.get(address)

    def is_in(self) -> bool:
        return self.client.get("/").status_code == 200


@pytest.fixture
def door() -> Iterator[Door]:
    url = f"http://127.0.0.1:{free_port()}"
    with provider(url + CALLBACK, dict(ADA)) as house:
        known = Oidc(house.url, CLIENT, SECRET, url, "groups", ROLES, "Relaso")
        clock, office = Clock(), MemoryOffice()
        clock.now = time.time()
        backend = MemoryBackend(people={"ada": person()})
        app = create_app(backend, settings(oidc=known), clock, office=office)
        with serve_asgi(app) as served, httpx.Client(timeout=10) as client:
            port = served.rpartition(":")[2]
            client.base_url = httpx.URL(served)
            # The dashboard says `url` to the provider; the test's server has a port of its own.
            client.event_hooks["request"] = [lambda request: _aim(request, url, int(port))]
            yield Door(house, Admin(served, app, backend, clock, office), client)


def _aim(request: httpx.Request, url: str, port: int) -> None:
    if str(request.url).startswith(url):
        request.url = request.url.copy_with(port=port)


def test_the_provider_s_people_come_in_with_their_role(door: Door) -> None:
    login = door.client.get("/login?next=/trackers").text
    assert "Sign in with Relaso" in login
    assert "/login/oidc?next=/trackers" in login
    arrived = door.come(door.go("/login/oidc?next=/trackers"))
    assert arrived.status_code == 200
    assert "url=/trackers" in arrived.text
    cookie = arrived.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "Max-Age=2592000" not in cookie, "it ends with the browser"
    page = door.client.get("/access")
    assert page.status_code == 200
    assert "oidc:ada@relaso.com" in door.client.get("/").text
    assert "Shared links" in page.text, "an engineer's"
    assert door.client.get("/api/v1/consent-records/r1").status_code == 403
    made = door.client.post("/access/tokens", data={"name": "x"}, headers=OWN)
    assert made.status_code == 403, "a token is of an account"
    door.client.post("/notes", data={"day": "2026-11-20", "text": "Launch"}, headers=OWN)
    assert [row["who"] for row in door.dashboard.office.rows[Table.AUDIT].values()] == ["oidc:ada@relaso.com"]
    assert "location" in door.client.post("/logout", headers=OWN).headers
    assert not door.is_in()


def test_the_session_ends_in_twelve_hours_and_with_the_settings(door: Door) -> None:
    door.come(door.go())
    assert door.is_in()
    staff = door.dashboard.app.state.staff
    ours = staff._provider
    staff.trust("another")
    assert not door.is_in()
    staff.trust(None)
    assert not door.is_in()
    staff.trust(ours)
    door.dashboard.clock.now += 12 * 3600 + 1
    assert not door.is_in()


CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({**ADA, "groups": ["privacy", "everyone"]}, "officer"),
    ({**ADA, "groups": "everyone"}, "viewer"),
    ({**ADA, "groups": ["nobody"]}, ""),
    ({**ADA, "groups": [7, None, {"privacy": 1}]}, ""),
    ({"sub": "u1"}, ""),
]


def test_the_claim_decides(door: Door) -> None:
    for user, role in CLAIMS:
        door.client.cookies.clear()
        door.house.user = user
        assert door.come(door.go()).status_code == (200 if role else 403), user
        assert door.is_in() is bool(role), user
        found = door.client.get("/api/v1/consent-records/r1").status_code
        assert found == (200 if role == "officer" else 403 if role else 401), user


def test_a_claim_may_be_only_at_the_user_info_endpoint(door: Door) -> None:
    door.house.in_token = False
    assert door.come(door.go()).status_code == 200
    assert door.is_in()


SPOILED: list[dict[str, Any]] = [
    {"aud": ["another"]},
    {"iss": "https://another.example"},
    {"exp": 1},
    {"nonce": "another"},
    {"iat": 9_999_999_999},
    {"azp": "another"},
    {"sub": ""},
    {"sub": 7},
    {"at_hash": "AAAA"},
]


def test_a_token_that_is_wrong_in_any_respect_opens_nothing(door: Door) -> None:
    for spoiled in SPOILED:
        door.house.spoil = spoiled
        assert door.come(door.go()).status_code == 403, spoiled
        assert not door.is_in(), spoiled
    door.house.spoil = {}
    assert door.come(door.go()).status_code == 200


def test_a_token_signed_by_another_key_opens_nothing_and_a_new_key_is_learned(door: Door) -> None:
    back = door.go()
    door.house.shown, door.house.key = door.house.key, key("two")
    assert door.come(back).status_code == 403
    assert not door.is_in()
    door.dashboard.clock.now += 31
    door.house.shown = None
    assert door.come(door.go()).status_code == 200


def test_whoever_did_not_begin_here_comes_in_nowhere(door: Door) -> None:
    """State, cookie, code and verifier belong together: a link from elsewhere signs nobody in."""
    back = door.go()
    query = dict(parse_qsl(urlsplit(back).query))
    path = urlsplit(back).path
    for wrong in ({**query, "state": "x"}, {"code": query["code"]}, {**query, "error": "access_denied"}):
        assert door.come(f"{path}?{urlencode(wrong)}").status_code == 403
    with httpx.Client(base_url=door.client.base_url) as other:
        assert other.get(f"{path}?{urlencode(query)}").status_code == 403, "another browser"
    with httpx.Client(base_url=door.client.base_url) as other:
        begun = other.get("/login/oidc")
        state = dict(parse_qsl(urlsplit(begun.headers["location"]).query))["state"]
        crossed = {**query, "state": state}
        assert other.get(f"{path}?{urlencode(crossed)}").status_code == 403, "a code of another's verifier"
    assert not door.is_in()
    assert door.come(door.go()).status_code == 200
    assert door.come(back).status_code == 403, "a code works once"


def test_a_journey_ends_in_time(door: Door) -> None:
    back = door.go()
    door.dashboard.clock.now += PATIENCE + 1
    assert door.come(back).status_code == 403


@pytest.mark.parametrize("issuer", ["https://another.example", ""])
def test_a_provider_of_another_name_is_none(door: Door, issuer: str) -> None:
    door.house.issuer = issuer
    assert door.client.get("/login/oidc").status_code == 502


def test_it_leads_nowhere_else(door: Door) -> None:
    for target in ("//evil.example", "https://evil.example", "/\\evil.example"):
        arrived = door.come(door.go("/login/oidc?" + urlencode({"next": target})))
        assert "evil.example" not in arrived.text


def test_without_a_provider_there_is_no_such_page() -> None:
    app = create_app(MemoryBackend(people={"ada": person()}), settings())
    with serve_asgi(app) as url:
        assert "Sign in with" not in httpx.get(f"{url}/login").text
        assert httpx.get(f"{url}/login/oidc").status_code == 404


def test_a_provider_that_is_away_is_said_so() -> None:
    away = Oidc(f"http://127.0.0.1:{free_port()}", CLIENT, SECRET, "http://127.0.0.1:1", "groups", ROLES)
    app = create_app(MemoryBackend(people={"ada": person()}), settings(oidc=away))
    with serve_asgi(app) as url:
        answer = httpx.get(f"{url}/login/oidc")
    assert answer.status_code == 502
    assert "does not answer" in answer.text
    assert SECRET not in answer.text


WRITTEN = {
    "issuer": "https://login.example.com/realms/relaso",
    "client_id": "vestibule",
    "url": "https://stats.example.com",
    "engineers": ["web"],
}


def load(folder: Path, written: dict[str, Any], environ: dict[str, str]) -> config.Config:
    """The demo's configuration with another ``dashboard.oidc``. Raises ConfigError."""
    lines = (ROOT / "demo" / "config" / "site.yaml").read_text("utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("dashboard:")]
    text = "\n".join([*kept, f"dashboard: {json.dumps({'oidc': written})}", ""])
    (folder / "site.yaml").write_text(text, "utf-8")
    return config.load(folder, environ)


def test_the_configuration_reaches_the_dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OIDC_SECRET, SECRET)
    known = oidc_of(load(tmp_path, WRITTEN, {OIDC_SECRET: SECRET}))
    assert known is not None
    assert (known.issuer, known.url, known.claim) == (WRITTEN["issuer"], WRITTEN["url"], "groups")
    assert known.roles[Role.ENGINEER] == ("web",)
    assert known.secret == SECRET
    assert SECRET not in repr(known)


@pytest.mark.parametrize(
    ("changed", "environ", "words"),
    [
        ({}, {}, f"needs the client's secret in {OIDC_SECRET}"),
        ({"engineers": []}, {OIDC_SECRET: SECRET}, "lets nobody in"),
        ({"issuer": "http://login.example.com"}, {OIDC_SECRET: SECRET}, "must be an https:// address"),
        ({"issuer": "https://login.example.com/?x"}, {OIDC_SECRET: SECRET}, "must be the provider's https:// address"),
        ({"url": "stats.example.com"}, {OIDC_SECRET: SECRET}, "must be http://HOST"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, changed: dict[str, Any], environ: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, {**WRITTEN, **changed}, environ)
    assert words in str(refused.value)
