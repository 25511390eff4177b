"""Temporary or kept: the token, the box, and visitors who sign in, come back and leave."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from typer.testing import CliRunner

from tests.jar import Jar
from tests.servers import ROOT, wait_until
from tests.sites import SECRET, Answer, Front, Header, Recording, configured, front
from vestibule.cli.app import app
from vestibule.core.errors import VestibuleError
from vestibule.core.pixels import is_pixel_name
from vestibule.core.revocations import Revocation, Revocations
from vestibule.core.sign_in import (
    MAX_LOOK,
    MAX_PREFERENCES,
    MAX_TOKEN,
    STAMPED,
    Keep,
    Keeper,
    language_of,
    read_account,
    read_preferences,
    ticked,
)
from vestibule.middleware import ConsentMiddleware
from vestibule.middleware import sign_in as signing
from vestibule.middleware.passage import NAMED_WITHIN, Said
from vestibule.recorder.revoking import PAGE, Log

DAY = 86_400
NOW = 1_800_000_000
MAIL = "ines@relaso.com"
NONCE = bytes(12)

# -- the token

KEEPER = Keeper(["a secret for tests"], "relaso.com")
KEEP = Keep("series-1", NOW * 1000, NOW, NOW + 30 * DAY, MAIL, "choice.token", "de", '{"sort": "value"}')

latin = st.text(st.characters(max_codepoint=255), max_size=300)
times = st.integers(0, 1 << 62)
keeps = st.builds(Keep, latin, times, times, times, latin, latin, latin, latin)


@given(keeps, st.binary(min_size=12, max_size=12))
def test_what_was_sealed_is_opened(keep: Keep, nonce: bytes) -> None:
    token = KEEPER.seal(keep, nonce)
    opened = KEEPER.open(token)
    assert opened is not None
    assert opened.keep == keep
    assert len(token) <= MAX_TOKEN


def test_a_choice_that_does_not_fit_is_left_out() -> None:
    keep = replace(KEEP, preferences="x" * MAX_PREFERENCES, choice="c" * 2000)
    assert not KEEPER.fits(keep)
    opened = KEEPER.open(KEEPER.seal(keep, NONCE))
    assert opened is not None
    assert opened.keep == replace(keep, choice="")
    assert KEEPER.fits(replace(keep, choice="c" * 600))


@given(keeps)
def test_what_fits_is_told_without_sealing(keep: Keep) -> None:
    large = replace(keep, choice=keep.choice * 9)
    assert KEEPER.fits(large) == (KEEPER.open(KEEPER.seal(large, NONCE)).keep == large)  # type: ignore[union-attr]


def test_secrets_rotate() -> None:
    old, both = (
        Keeper(["the older secret"], "relaso.com"),
        Keeper(["the newer secret", "the older secret"], "relaso.com"),
    )
    opened = both.open(old.seal(KEEP, NONCE))
    assert opened is not None
    assert (opened.keep, opened.newest) == (KEEP, False)
    again = both.open(both.seal(KEEP, NONCE))
    assert again is not None
    assert again.newest
    assert old.open(both.seal(KEEP, NONCE)) is None
    assert set(old.marks(series="x")) <= set(both.marks(series="x")), "revoked under one, revoked under both"


def test_a_token_of_another_site_is_none() -> None:
    assert Keeper(["a secret for tests"], "other.example").open(KEEPER.seal(KEEP, NONCE)) is None


def test_an_address_is_not_in_its_mark_and_its_letter_case_does_not_matter() -> None:
    assert KEEPER.marks(account="Ines@Relaso.com") == KEEPER.marks(account=MAIL)
    assert KEEPER.marks(account=MAIL) != KEEPER.marks(series=MAIL)
    assert all(len(mark) == 32 and mark.isalnum() for mark in KEEPER.marks(account=MAIL, series="s"))
    upper, lower = ("ÉMILE@relaso.com", "émile@relaso.com")
    marks = [KEEPER.marks(account=each.encode().decode("latin-1")) for each in (upper, lower)]
    assert marks[0] == marks[1], "addresses come as UTF-8"
    assert KEEPER.marks(account="\xe9@x"), "or as something else"
    assert Keeper(["a secret for tests"], "other.example").marks(account=MAIL) != KEEPER.marks(account=MAIL)


@pytest.mark.parametrize(
    ("now", "keep_for", "lives"),
    [
        (NOW, 30 * DAY, True),
        (NOW - 300, 30 * DAY, True),
        (NOW - 301, 30 * DAY, False),
        (NOW + 30 * DAY - 1, 30 * DAY, True),
        (NOW + 30 * DAY, 30 * DAY, False),
        (NOW + 30 * DAY, 60 * DAY, False),
        (NOW + 10 * DAY, 5 * DAY, False),
    ],
)
def test_how_long_a_token_lives(now: int, keep_for: int, lives: bool) -> None:
    assert KEEP.lives(now, keep_for) == lives


def test_no_address_is_shown_by_accident() -> None:
    assert MAIL not in repr(KEEP)
    assert "sort" not in repr(KEEP)
    assert MAIL not in repr(Said(MAIL, '{"sort": 1}'))
    assert "sort" not in repr(Said(MAIL, '{"sort": 1}'))


def forged(count: int) -> Iterator[str]:
    """Tokens that nobody sealed for this site, and one that is over."""
    chance = random.Random(6)
    tokens = [KEEPER.seal(replace(KEEP, issued=NOW + n), chance.randbytes(12)) for n in range(20)]
    foreign = Keeper(["another secret altogether"], "relaso.com")
    for number in range(count):
        token = chance.choice(tokens)
        raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        kind = number % 8
        if kind == 0:
            yield base64.urlsafe_b64encode(chance.randbytes(chance.randrange(1, 300))).decode().rstrip("=")
        elif kind == 1:
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
            yield base64.urlsafe_b64encode(raw).decode().rstrip("=")
        elif kind == 2:
            yield token[: chance.randrange(len(token))]
        elif kind == 3:
            cut = chance.randrange(1, len(token))
            yield token[cut:] + token[:cut]
        elif kind == 4:
            yield foreign.seal(KEEP, chance.randbytes(12))
        elif kind == 5:
            yield KEEPER.seal(replace(KEEP, issued=NOW - 40 * DAY, expires=NOW - 10 * DAY), chance.randbytes(12))
        elif kind == 6:
            at = chance.randrange(len(token))
            yield token[:at] + chance.choice("AZaz09-_=+/. %") + token[at:]
        else:
            other = chance.choice(tokens)
            yield token[: len(token) // 2] + other[len(other) // 2 :] if other != token else token[:-1]


def test_forged_tokens_say_nothing() -> None:
    for token in forged(10_000):
        opened = KEEPER.open(token)
        assert opened is None or not opened.keep.lives(NOW, 30 * DAY)


def test_flipped_padding_bits_make_another_text_and_no_token() -> None:
    keep = next(changed for n in range(3) if len(KEEPER.seal(changed := replace(KEEP, series="x" * n), NONCE)) % 4)
    token = KEEPER.seal(keep, NONCE)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [token[:-1] + char for char in alphabet if char != token[-1]]
    assert [other for other in others if KEEPER.open(other) is not None] == []


@given(st.text(max_size=100))
def test_no_text_breaks_it(text: str) -> None:
    assert KEEPER.open(text) is None


def test_a_stamp_holds_for_one_path_and_five_minutes() -> None:
    stamp = KEEPER.stamp("/app/?x=1", NOW)
    assert KEEPER.is_stamped(stamp, "/app/?x=1", NOW)
    assert KEEPER.is_stamped(stamp, "/app/?x=1", NOW + STAMPED - 1)
    for other in (
        ("/app/", stamp, NOW),
        ("/app/?x=1", stamp, NOW + STAMPED),
        ("/app/?x=1", stamp, NOW - 1),
        ("/app/?x=1", stamp[:-1], NOW),
        ("/app/?x=1", "", NOW),
        ("/app/?x=1", f"{NOW:x}-é", NOW),
        ("/app/?x=1", "zz-00", NOW),
    ):
        assert not KEEPER.is_stamped(other[1], other[0], other[2]), other


# -- what a site says


@pytest.mark.parametrize(
    ("value", "account"),
    [
        (b"ines@relaso.com", MAIL),
        (b"  ines@relaso.com ", MAIL),
        ("inès@relaso.com".encode(), "inès@relaso.com".encode().decode("latin-1")),
        (b"", None),
        (b"ines", None),
        (b"@relaso.com", None),
        (b"ines@", None),
        (b"a@b, c@d", None),
        (b"a b@c", None),
        (b"a@b@c", None),
        (b"<a@b>", None),
        (b"a\x00@b", None),
        (b"a@" + b"b" * 260, None),
    ],
)
def test_accounts(value: bytes, account: str | None) -> None:
    assert read_account(value) == account


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (b"{}", True),
        (b'{"sort": "value", "n": [1, 2]}', True),
        (b"[]", False),
        (b"1", False),
        (b"", False),
        (b"{", False),
        (b'{"a": "' + b"x" * (MAX_PREFERENCES - 9) + b'"}', True),
        (b'{"a": "' + b"x" * (MAX_PREFERENCES - 8) + b'"}', False),
        (b'{"a":\r\n1}', False),
        (b'{"a":' * 500, False),
        (b'{"a": NaN}', False),
        (b'{"a": -Infinity}', False),
        (b'{"a": 1e999}', False),
        (b'{"a": "\\ud800"}', False),
        (b'{"a": "\xff"}', False),
    ],
)
def test_preferences(value: bytes, good: bool) -> None:
    assert read_preferences(value) == (value.decode() if good else None)


@pytest.mark.parametrize(
    ("preferences", "tag"),
    [
        ('{"language": "de"}', "de"),
        ('{"language": "pt-BR"}', "pt-BR"),
        ('{"language": 5}', ""),
        ('{"language": "x; drop"}', ""),
        ('{"sort": "language"}', ""),
        ("", ""),
    ],
)
def test_a_language_among_the_preferences(preferences: str, tag: str) -> None:
    assert language_of(preferences) == tag


# -- the box

FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=XyZ"


def parts(*fields: tuple[str, str]) -> bytes:
    whole = "".join(f"--XyZ\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n" for head, value in fields)
    return f"{whole}--XyZ--\r\n".encode()


@pytest.mark.parametrize(
    ("content_type", "body", "wanted"),
    [
        (FORM, b"email=a%40b&keep=yes", True),
        (FORM, b"email=a%40b&keep=on", True),
        (FORM, b"keep=0&keep=1", True),
        (FORM, b"keep=0", False),
        (FORM, b"keep=", False),
        (FORM, b"keep=False", False),
        (FORM, b"email=keep", False),
        (FORM, b"xkeep=1", False),
        (FORM, b"&".join(b"a%d=1" % n for n in range(600)) + b"&keep=1", False),
        (FORM + "; charset=utf-8", b"keep=1", True),
        ("APPLICATION/X-WWW-FORM-URLENCODED", b"keep=1", True),
        ("text/plain", b"keep=1", False),
        ("", b"keep=1", False),
        ("application/json", b'{"keep": true}', True),
        ("application/json", b'{"keep": 1}', True),
        ("application/json", b'{"keep": "on"}', True),
        ("application/json", b'{"keep": false}', False),
        ("application/json", b'{"keep": "false"}', False),
        ("application/json", b'{"keep": null}', False),
        ("application/json", b'{"keep": {}}', False),
        ("application/json", b'{"user": {"keep": true}}', False),
        ("application/json", b'["keep"]', False),
        ("application/json", b'{"keep": tr', False),
        ("application/json", b"[" * 100_000, False),
        ("application/login+json; charset=utf-8", b'{"keep": true}', True),
        (PARTS, parts(('name="email"', "a@b"), ('name="keep"', "on")), True),
        (PARTS, parts(("name=keep", "1")), True),
        ('multipart/form-data; boundary="XyZ"', parts(('name="keep"', "on")), True),
        (PARTS, parts(('name="keep"', "0")), False),
        (PARTS, parts(('name="keep"; filename="x"', "on")), False),
        (PARTS, parts(('name="other"', 'Content-Disposition: form-data; name="keep"\r\n\r\non')), False),
        (PARTS, parts(('name="keep"', "on"))[:60], False),
        ("multipart/form-data", parts(('name="keep"', "on")), False),
    ],
)
def test_whether_the_box_was_ticked(content_type: str, body: bytes, wanted: bool) -> None:
    assert ticked(content_type, body, "keep") == wanted


@given(st.sampled_from([FORM, PARTS, "application/json"]), st.binary(max_size=200))
def test_no_body_breaks_it_and_garbage_ticks_nothing(content_type: str, body: bytes) -> None:
    assert ticked(content_type, body, "a field that is nowhere") is False


# -- revocations


def test_what_is_revoked() -> None:
    revoked = Revocations()
    revoked.add([Revocation("a" * 32, 1000)])
    assert revoked.cover(["a" * 32], 1000)
    assert not revoked.cover(["a" * 32], 1001), "signed in anew since"
    assert not revoked.cover(["b" * 32], 1)
    revoked.add([Revocation("a" * 32, 500)])
    assert revoked.cover(["a" * 32], 1000), "the later one holds"


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1000)), max_size=200))
def test_nothing_revoked_comes_back_by_there_being_too_much(rows: list[tuple[int, int]]) -> None:
    revoked = Revocations(limit=8)
    for number, time in rows:
        revoked.add([Revocation(f"{number:032x}", time)])
        assert len(revoked) <= 8
    assert all(revoked.cover([f"{number:032x}"], time) for number, time in rows)


def test_the_list_is_told_in_pages_and_anew_where_it_has_changed() -> None:
    epochs = iter("abcdef")
    log = Log(lambda: next(epochs), limit=2 * PAGE)
    log.add(Revocation(f"{n:032x}", n) for n in range(PAGE + 5))
    first = log.page("", 0)
    assert (len(first["rows"]), first["more"], first["epoch"]) == (PAGE, True, "a")
    second = log.page("a", first["next"])
    assert (len(second["rows"]), second["more"]) == (5, False)
    assert log.page("a", second["next"])["rows"] == []
    assert log.page("z", 7)["rows"] == first["rows"]
    log.add((Revocation(f"{n:032x}", n) for n in range(PAGE + 5, 2 * PAGE + 1)), over=3)
    begun = log.page("a", second["next"])
    assert (begun["epoch"], begun["floor"]) == ("b", 2 * PAGE - 2 * PAGE * 3 // 4)
    assert len(log) == 2 * PAGE * 3 // 4


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1000)), max_size=100), st.integers(1, 7))
def test_who_follows_the_list_knows_all_of_it(rows: list[tuple[int, int]], every: int) -> None:
    log = Log(lambda: secrets.token_hex(4), limit=10)
    known, epoch, after = Revocations(), "", 0
    for number, (mark, time) in enumerate(rows):
        log.add([Revocation(f"{mark:032x}", time)])
        if number % every == 0 or number == len(rows) - 1:
            page = log.page(epoch, after)
            known = Revocations() if page["epoch"] != epoch else known
            epoch, after = page["epoch"], page["next"]
            known.raise_floor(page["floor"])
            known.add(page["rows"])
    assert all(known.cover([f"{mark:032x}"], time) for mark, time in rows)


# -- a site, and visitors who sign in to it


class Slow:
    """Holds an answer back until it is let go."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()


SITE_YAML = """\
site:
  name: relaso.com
  hosts: [relaso.com, www.relaso.com]
  upstream: http://127.0.0.1:3000
policy: {revision: "1", url: /privacy}
cookies: {declare: {theme: {purpose: preferences}}}
sign_in: {cookies: [session], login: {path: /login, field: keep}, logout: /logout}
store: chdb:///nowhere
"""


@dataclass
class House:
    """The site. Whoever asks gets a session where the proxy says who they are."""

    sessions: dict[str, str] = field(default_factory=dict)
    seen: list[list[tuple[str, str]]] = field(default_factory=list)
    slow: Slow = field(default_factory=Slow)
    quiet_logout: bool = False

    async def page(self, request: Request) -> Response:
        self.seen.append([(name.lower(), value) for name, value in request.headers.items()])
        response = HTMLResponse("<!doctype html><title>x</title><p>" + str(self._who(request)))
        account = request.headers.get("vestibule-account")
        if account and self._who(request) is None:
            self._open(response, account)
        for name, value in request.query_params.multi_items():
            response.headers.append(name, value)
        return response

    async def app(self, request: Request) -> Response:
        if self._who(request) is None and "vestibule-account" not in request.headers:
            return RedirectResponse("/login?next=/app/", 303)
        return await self.page(request)

    async def login(self, request: Request) -> Response:
        if request.method == "GET":
            return await self.page(request)
        body = await request.body()
        response: Response
        if b"wrong" in body:
            return HTMLResponse("<!doctype html><p>wrong", 200 if b"softly" in body else 401)
        led_on = RedirectResponse("/app/?from=login#here", 303)
        response = JSONResponse({"ok": True}) if b"json" in body else led_on
        account = MAIL if b"email" not in body else "other@relaso.com"
        if b"unnamed" not in body:
            response.headers["Vestibule-Account"] = account
        self._open(response, account)
        return response

    async def logout(self, request: Request) -> Response:
        if request.method != "POST":
            return Response(status_code=204) if self.quiet_logout else PlainTextResponse("by POST", 405)
        response = RedirectResponse("/", 303)
        self.sessions.pop(request.cookies.get("session", ""), None)
        response.delete_cookie("session")
        return response

    async def leave(self, request: Request) -> Response:
        response = PlainTextResponse("bye")
        response.headers["Vestibule-Sign-Out"] = request.query_params["how"]
        response.delete_cookie("session")
        return response

    async def report(self, request: Request) -> Response:
        self.seen.append([(name.lower(), value) for name, value in request.headers.items()])
        return Response(b"%PDF", media_type="application/pdf", headers={"Cache-Control": "public, max-age=600"})

    async def wait(self, request: Request) -> Response:
        self.seen.append([(name.lower(), value) for name, value in request.headers.items()])
        self.slow.reached.set()
        await asyncio.to_thread(self.slow.go.wait, 10)
        response = HTMLResponse("<!doctype html>late")
        response.set_cookie("session", "late", max_age=99)
        return response

    def _who(self, request: Request) -> str | None:
        return self.sessions.get(request.cookies.get("session", ""))

    def _open(self, response: Response, account: str) -> None:
        token = secrets.token_hex(8)
        self.sessions[token] = account
        response.set_cookie("session", token, max_age=14 * DAY)

    def make(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/login", self.login, methods=["GET", "POST"]),
                Route("/logout", self.logout, methods=["GET", "POST", "OPTIONS"]),
                Route("/leave", self.leave),
                Route("/wait", self.wait),
                Route("/report", self.report),
                Route("/app/", self.app),
                Route("/{path:path}", self.page, methods=["GET", "POST"]),
            ]
        )


class Hours:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@dataclass
class Browser:
    """As much of a browser as it takes."""

    front: Front
    clock: Hours
    secure: bool = True
    cookies: bool = True
    host: str = "relaso.com"
    jar: Jar = field(default_factory=lambda: Jar(NOW))

    def ask(self, path: str, *extra: Header, method: str = "GET", body: bytes | None = None) -> Answer:
        """One request; cookies as a browser has it."""
        self.jar.now = int(self.clock.now)
        cookie = self.jar.header(self.host, path.partition("?")[0], secure=self.secure)
        headers = [("X-Forwarded-Proto", "https")] if self.secure else []
        headers += [("Cookie", cookie)] if cookie else []
        answer = self.front.ask(path, *headers, *extra, method=method, body=body, host=self.host)
        if self.cookies:
            for value in answer.all("set-cookie"):
                self.jar.receive(value, self.host, path.partition("?")[0], secure=self.secure)
        return answer

    def go(self, path: str, *extra: Header) -> Answer:
        """A navigation, redirects followed; at most ten."""
        answer = self.ask(path, *extra)
        for _ in range(10):
            location = answer.get("location")
            if answer.status not in (301, 302, 303) or location is None:
                return answer
            answer = self.ask(location.partition("#")[0], *extra)
        raise AssertionError("redirected in a circle")

    def post(self, path: str, fields: Mapping[str, str] | None = None, *extra: Header) -> Answer:
        given = any(name.lower() == "content-type" for name, _ in extra)
        form = () if given else (("Content-Type", FORM),)
        return self.ask(path, *form, *extra, method="POST", body=urlencode(fields or {}).encode())

    def sign_in(self, *, keep: bool, **fields: str) -> Answer:
        return self.post("/login", {"name": "x"} | ({"keep": "on"} if keep else {}) | fields)

    def close(self) -> None:
        self.jar.close()

    @property
    def keep(self) -> str | None:
        return self.jar.value("__Host-keep" if self.secure else "keep")


@dataclass
class Place:
    house: House
    front: Front
    clock: Hours
    new: Callable[..., Browser]

    def afresh(self) -> Place:
        """The same for the next test, which begins a long time after the last."""
        self.house.sessions.clear()
        self.house.seen.clear()
        self.house.slow = Slow()
        self.house.quiet_logout = False
        self.clock.now += 1000 * DAY
        return self

    def account(self) -> str | None:
        """Who the site was told comes, by the last request."""
        return dict(self.house.seen[-1]).get("vestibule-account")


@pytest.fixture(scope="module", params=["middleware", "proxy"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from a_place(request.param, tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from a_place("middleware", tmp_path_factory.mktemp("config"))


@pytest.fixture
def place(both: Place) -> Place:
    return both.afresh()


@pytest.fixture
def inside(one: Place) -> Place:
    return one.afresh()


def a_place(form: str, folder: Path, yaml: str = SITE_YAML, **options: Any) -> Iterator[Place]:
    house, clock = House(), Hours()
    config = configured(folder, yaml)
    with front(form, config, folder, house.make(), clock=clock, **options) as running:
        yield Place(house, running, clock, lambda **given: Browser(running, clock, **given))


def cookie_of(answer: Answer, name: str) -> str:
    return next(value for value in answer.all("set-cookie") if value.startswith(f"{name}="))


def test_without_the_box_a_session_ends_with_the_browser(place: Place) -> None:
    visitor = place.new()
    answer = visitor.sign_in(keep=False)
    session = cookie_of(answer, "session")
    assert "max-age" not in session.lower()
    assert "expires" not in session.lower()
    assert {"HttpOnly", "Secure"} <= set(session.split("; "))
    assert not visitor.keep
    assert answer.get("vestibule-account") is None
    assert MAIL in visitor.go("/app/").text
    visitor.close()
    assert "<p>None" in visitor.go("/app/").text
    assert place.account() is None


def test_with_the_box_the_visitor_is_back_after_the_browser_was_closed(place: Place) -> None:
    visitor = place.new()
    answer = visitor.sign_in(keep=True)
    assert "Max-Age=2592000" in cookie_of(answer, "session")
    keep = cookie_of(answer, "__Host-keep")
    assert {"Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Lax", "Secure"} == set(keep.split("; ")[1:])
    visitor.close()
    assert MAIL in visitor.go("/app/").text, "the site's own session was kept, too"
    place.house.sessions.clear()
    visitor.jar.stored = [each for each in visitor.jar.stored if each.name != "session"]
    visitor.go("/app/")
    assert place.account() == MAIL
    assert MAIL in visitor.go("/app/").text, "which opened a session"
    assert place.account() is None, "and is not told again"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"keep=1"),
        (PARTS, parts(('name="keep"', "on"))),
        ("application/json", b'{"keep": true, "as": "json"}'),
    ],
)
def test_the_box_may_come_as_any_form(place: Place, content_type: str, body: bytes) -> None:
    visitor = place.new()
    visitor.ask("/login", ("Content-Type", content_type), ("Sec-Fetch-Dest", "empty"), method="POST", body=body)
    assert visitor.keep


def test_a_box_behind_a_large_upload_is_not_looked_for_and_nothing_is_held_up(inside: Place) -> None:
    visitor = inside.new()
    body = b"x=" + b"y" * MAX_LOOK + b"&keep=1"
    answer = visitor.ask("/login", ("Content-Type", FORM), method="POST", body=body)
    assert answer.status == 303
    assert not visitor.keep


@pytest.mark.parametrize(
    ("extra", "method", "told"),
    [
        ((), "GET", True),
        ((("Sec-Fetch-Dest", ""), ("Sec-Fetch-Mode", "")), "GET", True),
        ((("Sec-Fetch-Dest", ""), ("Sec-Fetch-Mode", ""), ("Accept", "*/*")), "GET", False),
        ((("Sec-Fetch-Dest", "empty"),), "GET", False),
        ((("Sec-Fetch-Dest", "image"),), "GET", False),
        ((("Sec-Fetch-Dest", "iframe"),), "GET", False),
        ((), "POST", False),
        ((("Cookie", "session=anything"),), "GET", False),
    ],
)
def test_the_site_is_told_with_a_navigation_only(
    inside: Place, extra: Sequence[Header], method: str, told: bool
) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    keep = f"__Host-keep={visitor.keep}"
    headers = dict(extra)
    headers["Cookie"] = "; ".join(filter(None, (keep, headers.get("Cookie"))))
    headers["X-Forwarded-Proto"] = "https"
    inside.front.ask("/page", *headers.items(), method=method, body=b"" if method == "POST" else None)
    assert (inside.account() == MAIL) == told


def test_preferences_come_back_with_the_account(place: Place) -> None:
    visitor = place.new()
    visitor.sign_in(keep=True)
    visitor.ask("/page?" + urlencode({"Vestibule-Preferences": '{"sort": "value"}'}))
    visitor.jar.stored = [each for each in visitor.jar.stored if each.name != "session"]
    visitor.ask("/page")
    assert dict(place.house.seen[-1])["vestibule-preferences"] == '{"sort": "value"}'


def test_whom_the_site_names_later_is_remembered_by_the_box(inside: Place) -> None:
    """A sign-in in two steps: the box in the first, the name in the second."""
    visitor = inside.new()
    visitor.sign_in(keep=True, unnamed="1")
    assert visitor.keep
    visitor.close()
    visitor.jar.stored = [each for each in visitor.jar.stored if each.name != "session"]
    visitor.ask("/page")
    assert inside.account() is None, "nobody knows yet who it is"
    visitor.ask("/page?" + urlencode({"Vestibule-Account": MAIL}))
    visitor.ask("/page")
    assert inside.account() == MAIL


def test_later_cookies_of_a_kept_session_are_kept_as_long(inside: Place) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    inside.clock.now += 10 * DAY
    answer = visitor.ask("/page?" + urlencode({"Set-Cookie": "session=rolled; Max-Age=60"}))
    (life,) = [part for part in cookie_of(answer, "session").split("; ") if part.startswith("Max-Age")]
    assert abs(int(life.partition("=")[2]) - 20 * DAY) < 5


def test_a_sign_in_without_the_box_ends_what_was_kept(place: Place) -> None:
    visitor = place.new()
    visitor.sign_in(keep=True)
    kept = visitor.keep
    answer = visitor.sign_in(keep=False)
    assert "Max-Age=0" in cookie_of(answer, "__Host-keep")
    assert not visitor.keep
    place.front.ask("/page", ("X-Forwarded-Proto", "https"), ("Cookie", f"__Host-keep={kept}"))
    assert place.account() is None, "a copy of it is over, too"


@pytest.mark.parametrize("how", ["hard", "softly"])
def test_a_sign_in_that_failed_changes_nothing_for_who_was_kept(inside: Place, how: str) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    kept = visitor.keep
    visitor.sign_in(keep=True, wrong=how)
    visitor.sign_in(keep=False, wrong=how)
    assert visitor.keep == kept


def test_another_account_ends_what_was_kept_of_the_first(inside: Place) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    visitor.ask("/page?" + urlencode({"Vestibule-Account": "other@relaso.com"}))
    assert not visitor.keep


def test_two_accounts_in_one_answer_are_none(inside: Place) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True, unnamed="1")
    visitor.ask("/page?" + urlencode([("Vestibule-Account", MAIL), ("Vestibule-Account", "other@relaso.com")]))
    visitor.jar.stored = [each for each in visitor.jar.stored if each.name != "session"]
    visitor.ask("/page")
    assert inside.account() is None


def test_a_box_of_a_sign_in_that_failed_is_not_for_whoever_comes_later(inside: Place) -> None:
    """Another person signs in on that computer, without the box, by another way than the form."""
    visitor = inside.new()
    visitor.sign_in(keep=True, wrong="softly")
    assert visitor.keep
    inside.clock.now += NAMED_WITHIN / 1000
    headers = [("Vestibule-Account", "other@relaso.com"), ("Set-Cookie", "session=theirs; Max-Age=99999")]
    answer = visitor.ask("/page?" + urlencode(headers))
    assert not visitor.keep
    assert "max-age" not in cookie_of(answer, "session").lower()


# -- time


def test_it_is_renewed_when_half_its_life_is_over_and_not_before(place: Place) -> None:
    visitor = place.new()
    visitor.sign_in(keep=True)
    first = visitor.keep
    place.clock.now += 15 * DAY - 60
    assert visitor.ask("/page").all("set-cookie") == []
    place.clock.now += 120
    assert visitor.ask("/page", ("Sec-Fetch-Dest", "empty")).all("set-cookie") == []
    assert "Max-Age=2592000" in cookie_of(visitor.ask("/page"), "__Host-keep")
    assert visitor.keep != first
    place.clock.now += 29 * DAY
    visitor.ask("/page")
    assert place.account() == MAIL, "44 days after the box was ticked"


def test_after_thirty_days_it_is_over_also_for_a_browser_that_keeps_its_cookies(place: Place) -> None:
    visitor = place.new()
    visitor.sign_in(keep=True)
    jar = visitor.jar.header("relaso.com", "/app/", secure=True)
    place.clock.now += 30 * DAY + 1
    assert "<p>None" in visitor.go("/app/").text
    answer = place.front.ask("/page", ("X-Forwarded-Proto", "https"), ("Cookie", jar))
    assert place.account() is None
    assert "session=" not in dict(place.house.seen[-1]).get("cookie", "")
    gone = [value for value in answer.all("set-cookie") if "Max-Age=0" in value]
    assert {value.partition("=")[0] for value in gone} == {"__Host-keep", "session"}


# -- signing out


@pytest.mark.parametrize("how", ["path", "header"])
def test_signing_out_removes_it_and_what_was_copied_is_over(place: Place, how: str) -> None:
    visitor = place.new()
    visitor.sign_in(keep=True)
    copy = visitor.keep
    visitor.ask("/logout")
    assert visitor.keep, "the site refused to sign out by a GET"
    if how == "path":
        visitor.post("/logout")
    else:
        visitor.ask("/leave?how=1", ("Sec-Fetch-Dest", "empty"))
    assert not visitor.keep
    place.front.ask("/page", ("X-Forwarded-Proto", "https"), ("Cookie", f"__Host-keep={copy}"))
    assert place.account() is None


def test_an_answer_that_comes_after_the_sign_out_in_another_tab_renews_nothing(place: Place) -> None:
    visitor = place.new()
    visitor.sign_in(keep=True)
    place.clock.now += 20 * DAY
    late: list[Answer] = []
    other = Browser(visitor.front, visitor.clock, jar=Jar(NOW, stored=list(visitor.jar.stored)))
    tab = threading.Thread(target=lambda: late.append(other.ask("/wait")))
    tab.start()
    assert place.house.slow.reached.wait(10)
    visitor.post("/logout")
    place.house.slow.go.set()
    tab.join(10)
    (answer,) = late
    assert [
        value for value in answer.all("set-cookie") if value.startswith("__Host-keep") and "Max-Age=0" not in value
    ] == []
    assert "max-age" not in cookie_of(answer, "session").lower()


@pytest.mark.parametrize("how", ["logout", "centre", "erased"])
def test_a_clock_that_was_set_back_takes_nothing_from_a_sign_out(inside: Place, how: str) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    copy = visitor.keep
    inside.clock.now -= 60
    if how == "logout":
        visitor.post("/logout")
    else:
        path = "/_privacy/sign-out" if how == "centre" else "/_privacy/erase"
        visitor.post(path, {}, ("Sec-Fetch-Site", "same-origin"))
    inside.clock.now += 120
    inside.front.ask("/page", ("X-Forwarded-Proto", "https"), ("Cookie", f"__Host-keep={copy}"))
    assert inside.account() is None


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_to_look_at_the_way_out_is_not_to_leave(inside: Place, method: str) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    inside.house.quiet_logout = True
    assert visitor.ask("/logout", method=method).status == 204
    assert visitor.keep


def test_who_holds_a_cookie_that_is_over_learns_nothing_and_ends_nothing(inside: Place) -> None:
    thief, owner = inside.new(), inside.new()
    thief.sign_in(keep=True)
    copy = list(thief.jar.stored)
    thief.post("/logout")
    owner.sign_in(keep=True)
    thief.jar.stored = list(copy)
    assert json.loads(thief.ask("/_privacy/data").body)["sign_in"] is None
    assert MAIL not in thief.ask("/_privacy/").text
    thief.jar.stored = list(copy)
    thief.post("/_privacy/sign-out", {}, ("Sec-Fetch-Site", "same-origin"))
    owner.jar.stored = [each for each in owner.jar.stored if each.name != "session"]
    owner.ask("/page")
    assert inside.account() == MAIL


@pytest.mark.parametrize("how", ["site", "centre"])
def test_everywhere_is_every_device_at_once(place: Place, how: str) -> None:
    one, two, stranger = place.new(), place.new(), place.new()
    for visitor in (one, two):
        visitor.sign_in(keep=True)
    stranger.sign_in(keep=True, email="other@relaso.com")
    if how == "site":
        one.ask("/leave?how=everywhere")
    else:
        assert MAIL in one.ask("/_privacy/").text
        answer = one.post("/_privacy/sign-out", {}, ("Sec-Fetch-Site", "same-origin"))
        assert answer.status == 303
        assert "signed out on all devices" in one.go(answer.get("location") or "").text
    assert not one.keep
    answer = two.ask("/app/")
    assert answer.status == 303, "its session does not reach the site either"
    assert not two.keep
    assert two.jar.value("session") is None
    assert "other@relaso.com" in stranger.go("/app/").text
    two.sign_in(keep=True)
    two.jar.stored = [each for each in two.jar.stored if each.name != "session"]
    two.ask("/page")
    assert place.account() == MAIL, "whoever signs in anew is kept anew"


def test_everywhere_works_without_the_cookie_where_the_site_says_whose_it_is(inside: Place) -> None:
    one, two = inside.new(), inside.new()
    one.sign_in(keep=True)
    two.sign_in(keep=False)
    two.ask("/page?" + urlencode({"Vestibule-Sign-Out": "everywhere", "Vestibule-Account": MAIL}))
    assert one.ask("/app/").status == 303


def test_a_foreign_page_signs_nobody_out(inside: Place) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    answer = visitor.post("/_privacy/sign-out", {}, ("Sec-Fetch-Site", "cross-site"))
    assert answer.status == 403
    assert visitor.keep


def test_erasing_everything_ends_it(inside: Place) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    copy = visitor.keep
    visitor.post("/_privacy/erase", {}, ("Sec-Fetch-Site", "same-origin"))
    assert not visitor.keep
    inside.front.ask("/page", ("X-Forwarded-Proto", "https"), ("Cookie", f"__Host-keep={copy}"))
    assert inside.account() is None


def test_what_it_holds_is_told_to_its_owner(inside: Place) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    visitor.ask("/page?" + urlencode({"Vestibule-Preferences": '{"sort": "value"}'}))
    held = json.loads(visitor.ask("/_privacy/data").body)["sign_in"]
    assert (held["account"], held["preferences"]) == (MAIL, {"sort": "value"})


@pytest.mark.parametrize(("mode", "told"), [("navigate", True), ("", True), ("cors", False), ("no-cors", False)])
def test_no_script_reads_what_the_cookie_keeps_from_it(inside: Place, mode: str, told: bool) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    how = (("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", "empty" if mode else ""))
    for path in ("/_privacy/", "/_privacy/data"):
        text = visitor.ask(path, *how).text
        assert (MAIL in text) == told, path
        for name in ("__Host-keep", "session"):
            value = visitor.jar.value(name)
            assert value
            assert told or value not in text, (path, name)


# -- the choice


def choose(visitor: Browser, choice: str) -> None:
    visitor.post("/_privacy/consent", {"choice": choice}, ("Sec-Fetch-Site", "same-origin"))


def forget_choice(visitor: Browser) -> None:
    visitor.jar.stored = [each for each in visitor.jar.stored if each.name != "__Host-vestibule"]


def told_consent(place: Place) -> str:
    return dict(place.house.seen[-1])["vestibule-consent"]


@pytest.mark.parametrize("order", ["choice first", "box first"])
def test_a_choice_is_restored_with_its_time(place: Place, order: str) -> None:
    visitor = place.new()
    if order == "choice first":
        choose(visitor, "accept")
    visitor.sign_in(keep=True)
    if order == "box first":
        choose(visitor, "accept")
    before = json.loads(visitor.ask("/_privacy/consent").body)
    forget_choice(visitor)
    place.clock.now += 20 * DAY
    answer = visitor.ask("/page")
    assert "marketing=1" in told_consent(place)
    (life,) = [part for part in cookie_of(answer, "__Host-vestibule").split("; ") if part.startswith("Max-Age")]
    assert abs(int(life.partition("=")[2]) - 160 * DAY) <= 2 * 3600
    after = json.loads(visitor.ask("/_privacy/consent").body)
    assert (after["time"], after["record"]) == (before["time"], before["record"])


def test_a_choice_is_never_restored_beyond_its_life(tmp_path: Path) -> None:
    yaml = SITE_YAML.replace("policy:", "consent: {keep_for: 10d}\npolicy:")
    for place in a_place("middleware", tmp_path, yaml):
        visitor = place.new()
        choose(visitor, "accept")
        visitor.sign_in(keep=True)
        place.clock.now += 11 * DAY
        visitor.ask("/page")
        assert "marketing=0" in told_consent(place)
        assert visitor.jar.value("__Host-vestibule") is None


def test_what_was_withdrawn_is_not_restored(place: Place) -> None:
    visitor = place.new()
    choose(visitor, "accept")
    visitor.sign_in(keep=True)
    choose(visitor, "reject")
    forget_choice(visitor)
    visitor.ask("/page")
    assert "marketing=0" in told_consent(place)


@pytest.mark.parametrize("lost", [False, True])
def test_a_late_page_writes_no_choice_over_one_that_was_made_meanwhile(place: Place, lost: bool) -> None:
    visitor = place.new()
    choose(visitor, "accept")
    visitor.sign_in(keep=True)
    forget_choice(visitor)
    place.clock.now += 16 * DAY
    late: list[Answer] = []
    other = Browser(visitor.front, visitor.clock, jar=Jar(NOW, stored=list(visitor.jar.stored)))
    tab = threading.Thread(target=lambda: late.append(other.ask("/wait")))
    tab.start()
    assert place.house.slow.reached.wait(10)
    choose(visitor, "reject")
    place.house.slow.go.set()
    tab.join(10)
    for value in late[0].all("set-cookie"):
        visitor.jar.receive(value, visitor.host, "/wait", secure=True)
    assert "marketing=1" in told_consent(place), "it began with the choice that was restored"
    if lost:
        # Nor is the older one kept with the sign-in, which the late page renewed.
        forget_choice(visitor)
    visitor.ask("/page")
    assert "marketing=0" in told_consent(place)


def test_a_page_that_takes_its_time_restores_a_choice_for_itself_only(
    inside: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other tab may have been with another worker, of which nothing is known here."""
    visitor = inside.new()
    choose(visitor, "accept")
    visitor.sign_in(keep=True)
    forget_choice(visitor)
    monkeypatch.setattr(signing, "PROMPT", 0.0)
    visitor.ask("/page")
    assert "marketing=1" in told_consent(inside)
    assert visitor.jar.value("__Host-vestibule") is None
    monkeypatch.setattr(signing, "PROMPT", 60.0)
    other = Browser(visitor.front, visitor.clock, jar=Jar(NOW, stored=list(visitor.jar.stored)))
    other.ask("/page?" + urlencode({"Vestibule-Preferences": "{}"}))
    assert other.jar.value("__Host-vestibule")


def test_their_language_comes_first_where_the_site_knows_it(inside: Place) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    visitor.ask("/page?" + urlencode({"Vestibule-Preferences": '{"language": "de"}'}))
    assert 'lang="de"' in visitor.ask("/_privacy/", ("Accept-Language", "en")).text


# -- forging


def test_ten_thousand_forged_tokens_name_nobody(tmp_path: Path) -> None:
    told = 0

    async def site(scope: Any, receive: Any, send: Any) -> None:
        nonlocal told
        told += any(name.startswith(b"vestibule-") and name != b"vestibule-consent" for name, _ in scope["headers"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        pass

    async def run(tokens: Iterator[str]) -> None:
        whole = ConsentMiddleware(
            site,
            configured(tmp_path, SITE_YAML),
            secrets=[SECRET],
            sender=Recording(),
            state=tmp_path,
            clock=lambda: NOW,
        )
        for token in tokens:
            await whole(
                {
                    "type": "http", "method": "GET", "path": "/", "query_string": b"", "scheme": "http",
                    "client": ("127.0.0.1", 1), "http_version": "1.1",
                    "headers": [
                        (b"host", b"relaso.com"), (b"accept", b"text/html"),
                        (b"cookie", b"keep=" + token.encode("latin-1")),
                    ],
                },
                receive,
                send,
            )  # fmt: skip

    asyncio.run(run(forged(10_000)))
    assert told == 0
    asyncio.run(run(iter([Keeper([SECRET], "relaso.com").seal(KEEP, os.urandom(12))])))
    assert told == 1, "a true one names somebody"


SPELLINGS = (
    "Vestibule-Account",
    "VESTIBULE-ACCOUNT",
    "vestibule_account",
    "Vestibule_Account",
    "vEsTiBuLe.AcCoUnT",
    "Vestibule~Account",
    "Vestibule!Account",
    "Vestibule-Preferences",
    "Vestibule_Preferences",
    "Vestibule-Sign-Out",
)


@pytest.mark.parametrize("name", SPELLINGS)
def test_no_client_says_who_it_is_in_any_spelling(place: Place, name: str) -> None:
    for extra in ([(name, MAIL)], [(name, MAIL), (name, "x@y")], [("Connection", name), (name, MAIL)]):
        place.front.ask("/page", *extra)
        assert MAIL not in json.dumps(place.house.seen)


def test_two_cookies_that_could_both_be_true_are_none(inside: Place) -> None:
    """Over plain http a subdomain can set one of its own (cookie tossing)."""
    mine, theirs = inside.new(secure=False), inside.new(secure=False)
    mine.sign_in(keep=True)
    theirs.sign_in(keep=True, email="other@relaso.com")
    for pair in ((mine.keep, theirs.keep), (theirs.keep, mine.keep)):
        inside.front.ask("/page", ("Cookie", f"keep={pair[0]}; keep={pair[1]}"))
        assert inside.account() is None
    inside.front.ask("/page", ("Cookie", f"keep={mine.keep}; keep={mine.keep}"))
    assert inside.account() == MAIL


def test_of_two_that_could_be_true_a_sign_out_ends_both(inside: Place) -> None:
    mine, theirs = inside.new(secure=False), inside.new(secure=False)
    mine.sign_in(keep=True)
    theirs.sign_in(keep=True, email="other@relaso.com")
    inside.front.ask("/logout", ("Cookie", f"keep={theirs.keep}; keep={mine.keep}"), method="POST", body=b"")
    for keep in (mine.keep, theirs.keep):
        inside.front.ask("/page", ("Cookie", f"keep={keep}"))
        assert inside.account() is None


def test_among_many_none_is_looked_for(inside: Place) -> None:
    visitor = inside.new(secure=False)
    visitor.sign_in(keep=True)
    for others, account in ((7, MAIL), (8, None)):
        jar = "; ".join([*(f"keep={'A' * (40 + number)}" for number in range(others)), f"keep={visitor.keep}"])
        inside.front.ask("/page", ("Cookie", jar))
        assert inside.account() == account


def test_on_https_only_the_prefixed_name_counts(inside: Place) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    for name in ("keep", "__Secure-keep", "__host-keep", "__Host-Keep"):
        inside.front.ask("/page", ("X-Forwarded-Proto", "https"), ("Cookie", f"{name}={visitor.keep}"))
        assert inside.account() is None, name


def test_eight_kilobytes_of_cookies_pass_as_the_policy_says(place: Place) -> None:
    jar = "session=first; session=second; " + "; ".join(f"junk{number}={'x' * 90}" for number in range(82))
    assert len(jar) > 8000
    answer = place.front.ask("/page", ("Cookie", jar))
    assert answer.status == 200
    assert dict(place.house.seen[-1])["cookie"] == "session=first; session=second", "duplicates pass in their order"


def test_a_cookie_that_is_one_visitors_own_is_kept_by_no_cache(inside: Place) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    inside.clock.now += 16 * DAY
    shared = {
        "Content-Type": "application/pdf",
        "Cache-Control": "public, max-age=600",
        "Surrogate-Control": "max-age=9",
    }
    answer = visitor.ask("/page?" + urlencode(shared))
    assert cookie_of(answer, "__Host-keep")
    assert "private" in (answer.get("cache-control") or "")
    assert "public" not in ",".join(answer.all("cache-control"))
    assert answer.get("surrogate-control") is None


def test_an_answer_to_somebody_who_is_remembered_is_kept_by_no_cache(inside: Place) -> None:
    visitor = inside.new()
    visitor.sign_in(keep=True)
    visitor.jar.stored = [each for each in visitor.jar.stored if each.name != "session"]
    answer = visitor.ask("/report")
    assert inside.account() == MAIL
    assert "private" in (answer.get("cache-control") or "")
    assert "public" not in ",".join(answer.all("cache-control"))


@pytest.mark.parametrize("life", ["Max-Age=0; Max-Age=x", "Max-Age=0; Max-Age=%2B9999", "Max-Age=-1; Max-Age="])
@pytest.mark.parametrize("name", ["nobody", "theme", "session"])
def test_no_cookie_is_set_in_the_words_of_its_removal(inside: Place, name: str, life: str) -> None:
    answer = inside.front.ask(f"/page?Set-Cookie={name}=secret%3B+{life.replace('; ', '%3B+')}")
    removed = cookie_of(answer, name).split("; ")
    assert removed[0] == f"{name}="
    assert {"Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Max-Age=0"} <= set(removed)
    assert len([part for part in removed if part.startswith("Max-Age")]) == 1


# -- cookies turned off


def test_who_has_cookies_turned_off_is_told_why_and_led_in_no_circle(place: Place) -> None:
    visitor = place.new(cookies=False)
    assert visitor.go("/page").status == 200
    answer = visitor.sign_in(keep=True)
    location = (answer.get("location") or "").partition("#")[0]
    assert location.startswith("/app/?from=login&")
    asked = len(place.house.seen)
    page = visitor.ask(location, ("Accept-Language", "de"))
    assert page.status == 403
    assert "keine Cookies" in page.text
    assert "no-store" in (page.get("cache-control") or "")
    assert 'href="/app/?from=login"' in page.text
    assert page.all("set-cookie") == []
    assert len(place.house.seen) == asked, "the site is not asked"
    assert visitor.go("/page").status == 200


def test_who_has_cookies_is_led_on_to_the_address_as_the_site_wrote_it(place: Place) -> None:
    visitor = place.new()
    answer = visitor.sign_in(keep=False)
    arrived = visitor.ask((answer.get("location") or "").partition("#")[0])
    assert (arrived.status, arrived.get("location")) == (303, "/app/?from=login")
    again = place.new()
    again.jar.receive("theme=1", "relaso.com")
    assert again.sign_in(keep=False).get("location") == "/app/?from=login#here", "who sends a cookie takes cookies"


def test_the_mark_within_a_search_is_no_mark(inside: Place) -> None:
    assert inside.front.ask("/app/?q=vestibule-signed-in").get("location") != "/app/?q=vestibule-signed-in"


@pytest.mark.parametrize("stamp", ["", "1-2", "forged"])
def test_a_mark_that_is_forged_or_old_shows_nothing(inside: Place, stamp: str) -> None:
    answer = inside.front.ask(f"/app/?vestibule-signed-in={stamp}")
    assert (answer.status, answer.get("location")) == (303, "/app/")
    answer = inside.front.ask(f"//evil.example/?vestibule-signed-in={stamp}")
    assert answer.get("location") == "/evil.example/"


def test_an_old_mark_in_a_bookmark_is_taken_off(inside: Place) -> None:
    visitor = inside.new(cookies=False)
    location = (visitor.sign_in(keep=False).get("location") or "").partition("#")[0]
    inside.clock.now += STAMPED + 1
    assert visitor.ask(location).status == 303


# -- while the recorder is away


class Away:
    """The recorder has not been heard."""

    fresh = False

    def cover(self, marks: Sequence[str], signed_in: int) -> bool:
        return False

    def add(self, marks: Sequence[str], when: int) -> None:
        pass


def test_while_it_is_not_known_what_is_revoked_nobody_is_remembered(
    inside: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("vestibule.middleware.app.Alone", Away)
    for place in a_place("middleware", tmp_path):
        visitor = place.new()
        visitor.sign_in(keep=True)
        kept = visitor.keep
        place.clock.now += 16 * DAY
        assert MAIL in visitor.ask("/page").text, "a session goes on"
        visitor.jar.stored = [each for each in visitor.jar.stored if each.name != "session"]
        visitor.ask("/page")
        assert place.account() is None
        assert visitor.keep == kept, "neither renewed nor removed"


# -- secrets


def test_a_new_secret_signs_nobody_out_and_seals_anew(tmp_path: Path) -> None:
    with ExitStack() as stack:
        house, clock = House(), Hours()
        config = configured(tmp_path, SITE_YAML)
        old, new = "the older secret here", "the newer secret here"
        first = stack.enter_context(_fronted(house, config, tmp_path, clock, [old]))
        second = stack.enter_context(_fronted(house, config, tmp_path, clock, [new, old]))
        third = stack.enter_context(_fronted(house, config, tmp_path, clock, [new]))
        visitor = Browser(first, clock)
        visitor.sign_in(keep=True)
        before = visitor.keep
        visitor.front = second
        visitor.ask("/page")
        assert visitor.keep != before
        visitor.jar.stored = [each for each in visitor.jar.stored if each.name != "session"]
        visitor.front = third
        visitor.ask("/page")
        assert dict(house.seen[-1])["vestibule-account"] == MAIL


def _fronted(house: House, config: Any, folder: Path, clock: Hours, keys: list[str]) -> Any:
    from contextlib import contextmanager

    from tests.servers import serve_asgi

    @contextmanager
    def running() -> Iterator[Front]:
        recording = Recording()
        whole = ConsentMiddleware(house.make(), config, secrets=keys, sender=recording, state=folder, clock=clock)
        with serve_asgi(whole) as url:
            yield Front(url, recording)

    return running()


# -- pixels


def test_a_pixel_is_small_uncached_and_tells_nobody_apart(place: Place) -> None:
    place.front.recording.hits.clear()
    answer = place.front.ask("/_privacy/pixel/newsletter-2026-11.gif?user=ines@relaso.com", ("Cookie", "session=1"))
    assert (answer.status, len(answer.body), answer.get("content-type")) == (200, 43, "image/gif")
    assert answer.get("cache-control") == "no-store"
    assert answer.all("set-cookie") == []
    hits = place.front.recording.hits
    wait_until(lambda: any(hit.kind == "pixel" for hit in hits), "the pixel's hit")
    (hit,) = (hit for hit in hits if hit.kind == "pixel")
    assert (hit.event, hit.query) == ((("name", "newsletter-2026-11"),), "")
    assert "ines" not in repr(hit.to_json())


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("newsletter", True),
        ("newsletter-2026-11", True),
        ("2026-11-22.welcome_mail", True),
        ("", False),
        ("ines@relaso.com", False),
        ("user-123456", False),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", False),
        ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", False),
        ("x9Kq2Lm4Zt7Rw1Pb", False),
        ("a b", False),
        ("a/b", False),
        ("é", False),
        ("a" * 65, False),
    ],
)
def test_a_pixels_name_stands_for_nobody(inside: Place, name: str, good: bool) -> None:
    assert is_pixel_name(name) == good
    answer = inside.front.ask(f"/_privacy/pixel/{quote(name)}.gif")
    assert answer.status == (200 if good else 404)


def test_the_command_prints_a_pixels_tag(tmp_path: Path) -> None:
    configured(tmp_path, SITE_YAML)
    runner = CliRunner()
    done = runner.invoke(app, ["pixel", "newsletter-2026-11", "--config", str(tmp_path)])
    assert done.stdout == (
        '<img src="https://relaso.com/_privacy/pixel/newsletter-2026-11.gif" width="1" height="1" alt="">\n'
    )
    assert isinstance(runner.invoke(app, ["pixel", "user-123456", "--config", str(tmp_path)]).exception, VestibuleError)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("session", ["sign_in.cookies: session", "until the browser closes", "HttpOnly", "site.yaml:7"]),
        ("theme", ["cookies.declare.theme: preferences", "ask: is let through after consent to preferences"]),
        ("nobody", ["cookies.unknown: block", "block: never"]),
        ("__Host-keep", ["Vestibule itself", "keeps the visitor signed in"]),
        ("vestibule", ["Vestibule itself", "holds the choice"]),
    ],
)
def test_a_cookie_is_explained(tmp_path: Path, name: str, words: list[str]) -> None:
    configured(tmp_path, SITE_YAML)
    done = CliRunner().invoke(app, ["explain", "--cookie", name, "--config", str(tmp_path)])
    assert [word for word in words if word not in done.stdout] == []


def test_the_recipe_in_the_documentation_is_what_the_demo_does() -> None:
    code = (ROOT / "demo" / "site" / "remembering.py").read_text(encoding="utf-8")
    recipe = code.partition("# recipe\n")[2].partition("# end of the recipe")[0].strip()
    assert recipe.startswith("def remembered")
    assert recipe in (ROOT / "docs" / "sign-in.md").read_text(encoding="utf-8")
