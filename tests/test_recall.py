"""What is remembered of requests changes nothing but the time they take."""

from __future__ import annotations

import itertools
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sites import SECRET, SITE_YAML, TRACKERS_YAML, Recording, configured, in_process, scope
from vestibule.middleware import ConsentMiddleware
from vestibule.middleware.recall import KEPT, MAX_KNOWN, MAX_PLAIN, MAX_TARGET, Known, Recall
from vestibule.middleware.response import Responder

Message = MutableMapping[str, Any]
Header = tuple[bytes, bytes]

REQUESTS: tuple[list[Header], ...] = tuple(
    [(b"host", b"relaso.com"), *extra]
    for extra in (
        [],
        [(b"sec-fetch-dest", b"empty"), (b"cookie", b"session=1; _ga=2")],
        [(b"sec-fetch-dest", b"image"), (b"accept-encoding", b"gzip, x")],
        [(b"sec-fetch-dest", b"worker"), (b"if-none-match", b'"a"')],
        [(b"sec-fetch-dest", b"document"), (b"range", b"bytes=0-1")],
        [(b"accept", b"text/html"), (b"sec-gpc", b"1")],
        [(b"service-worker", b"script"), (b"x-forwarded-for", b"9.9.9.9")],
    )
)
VALUES: dict[bytes, list[bytes]] = {
    b"content-type": [
        b"application/json",
        b"text/html",
        b"image/svg+xml",
        b"TEXT/JavaScript; charset=utf-8",
        b"*/*",
        b"",
    ],
    b"cache-control": [b"public, max-age=60", b"no-store"],
    b"vary": [b"Accept-Encoding", b"Vestibule-Consent", b"*"],
    b"etag": [b'"a"', b'W/"b"'],
    b"set-cookie": [b"session=1; Path=/", b"_ga=1", b"other=1"],
    b"link": [b"</a.css>; rel=preload", b"<https://evil.example/>; rel=preconnect"],
    b"x-accel-expires": [b"60"],
    b"Server": [b"x"],
    b"vestibule-count": [b"no"],
    b"content-security-policy": [b"default-src 'self'; report-uri https://evil.example/"],
    b"nel": [b"{}"],
    b"date": [b"Sun, 22 Nov 2026 10:00:00 GMT"],
    b"expires": [b"0"],
}


class App:
    """Answers with what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[Header] = []
        self.asked: list[list[Header]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(list(scope["headers"]))
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": b"<p>x", "more_body": True})
        await send({"type": "http.response.body", "body": b"</p>"})


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[App, ConsentMiddleware, Recording]:
    folder, app, recording = tmp_path_factory.mktemp("recall"), App(), Recording()
    whole = ConsentMiddleware(app, configured(folder), secrets=[SECRET], sender=recording, state=folder)
    return app, whole, recording


def told(recording: Recording) -> list[object]:
    """What the recorder was told, but for the time."""
    hits = [hit._replace(time=0.0) for hit in recording.hits]
    recording.hits.clear()
    return list(hits)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_answers_that_pass_at_a_glance_are_as_a_closer_look_has_them(
    data: st.DataObject, parts: tuple[App, ConsentMiddleware, Recording]
) -> None:
    app, whole, recording = parts
    names = data.draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=5))
    app.headers = [(name, data.draw(st.sampled_from(VALUES[name]))) for name in names]
    app.status = data.draw(st.sampled_from([200, 204, 206, 302, 304, 404]))
    asked = scope(data.draw(st.sampled_from(REQUESTS)), data.draw(st.sampled_from(["GET", "HEAD", "POST"])))
    recording.hits.clear()
    quick, quickly = in_process(whole, asked), told(recording)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Responder, "_passed", lambda *_: None)
        slow, slowly = in_process(whole, asked), told(recording)
    assert quickly == slowly
    assert [message.get("body") for message in quick] == [message.get("body") for message in slow]
    assert sorted(quick[0]["headers"]) == sorted(slow[0]["headers"])
    assert quick[0]["status"] == slow[0]["status"]


def test_requests_are_told_apart_by_all_that_matters(parts: tuple[App, ConsentMiddleware, Recording]) -> None:
    """Each request, after all others in turn, reaches the site as it does alone."""
    app, whole, _ = parts
    app.status, app.headers = 200, [(b"content-type", b"application/json")]
    alone: list[list[Header]] = []
    for headers in REQUESTS:
        whole._recall = Recall(whole._recall.snapshot)
        app.asked.clear()
        in_process(whole, scope(headers))
        alone.append(app.asked[0])
    app.asked.clear()
    for first, second in itertools.permutations(range(len(REQUESTS)), 2):
        in_process(whole, scope(REQUESTS[first]))
        in_process(whole, scope(REQUESTS[second]))
    expected = [alone[number] for pair in itertools.permutations(range(len(REQUESTS)), 2) for number in pair]
    assert app.asked == expected


def test_what_is_known_is_asked_anew_after_a_while(parts: tuple[App, ConsentMiddleware, Recording]) -> None:
    recall = Recall(parts[1]._recall.snapshot)
    asked = scope(REQUESTS[1])
    first = recall.of(asked, 100.0)
    assert recall.of(asked, 100.0 + KEPT * 0.9) is first
    later = recall.of(asked, 100.0 + KEPT * 1.1)
    assert later is not first
    assert later is not None
    assert later.visitor.now == int(100.0 + KEPT * 1.1)


@pytest.mark.parametrize(
    "extra",
    [
        [(b"content-length", b"1")],
        [(b"transfer-encoding", b"chunked")],
        [(b"cookie", b"keep=x")],
        [(b"cookie", b"__Host-keep=x")],
        [(b"x", b"x" * 5000)],
    ],
)
def test_some_are_never_remembered(extra: list[Header], parts: tuple[App, ConsentMiddleware, Recording]) -> None:
    recall = Recall(parts[1]._recall.snapshot)
    asked = scope([*REQUESTS[0], *extra])
    assert recall.of(asked, 100.0) is not recall.of(asked, 100.0)


@pytest.mark.parametrize("kind", [tuple, list])
def test_the_very_same_fields_are_known_for_no_longer(
    kind: type[tuple[Header, ...] | list[Header]], parts: tuple[App, ConsentMiddleware, Recording]
) -> None:
    recall, asked = Recall(parts[1]._recall.snapshot), scope(kind(REQUESTS[1]))
    first = recall.of(asked, 100.0)
    assert recall.of(asked, 100.0 + KEPT * 0.6) is first
    assert recall.of({**asked, "headers": kind(REQUESTS[1])}, 100.0 + KEPT * 0.9) is first
    assert recall.of(asked, 100.0 + KEPT * 1.1) is not first
    later = recall.of(asked, 100.0 + KEPT * 1.2)
    for changed in ({"client": ("127.0.0.2", 1)}, {"scheme": "https"}, {"headers": kind(REQUESTS[2])}):
        assert recall.of({**asked, **changed}, 100.0 + KEPT * 1.2) is not later


def test_memory_is_bounded(parts: tuple[App, ConsentMiddleware, Recording]) -> None:
    recall = Recall(parts[1]._recall.snapshot)
    for number in range(MAX_KNOWN * 2 + 5):
        assert recall.of(scope([*REQUESTS[0], (b"x", b"%d" % number)]), 100.0) is not None
        assert len(recall._known) <= MAX_KNOWN


def ways(folder: Path, more: str = "") -> tuple[App, ConsentMiddleware]:
    """An app behind, by whose being asked one sees what was left to the site."""
    site = SITE_YAML + "sign_in: {cookies: [session], login: {path: /login}, logout: /logout}\n"
    relay = "custom: {relay: {hosts: [relaso.com], paths: ['/relay'], purpose: statistics, state: ask}}\n"
    app = App()
    config = configured(folder, site, TRACKERS_YAML + relay + more)
    return app, ConsentMiddleware(app, config, secrets=[SECRET], sender=Recording(), state=folder, clock=lambda: 1.8e9)


def known_of(whole: ConsentMiddleware, asked: dict[str, Any]) -> Known:
    known = whole._recall.of(asked, 1.8e9)
    assert known is not None
    return known


@pytest.mark.parametrize(
    ("path", "query", "left"),
    [
        ("/x", b"", True),
        ("/x", b"a=b", True),
        ("/_privacy/signals", b"", False),
        ("/relay", b"", False),
        ("/x", b"vestibule-signed-in=1", False),
        ("/login", b"", True),
        ("/logout", b"", True),
    ],
)
def test_what_is_asked_for_again_goes_the_same_way(tmp_path: Path, path: str, query: bytes, left: bool) -> None:
    app, whole = ways(tmp_path)
    asked = {**scope(REQUESTS[1], path=path), "query_string": query}
    answers = [in_process(whole, asked) for _ in range(3)]
    assert [answer[0]["status"] for answer in answers] == [answers[0][0]["status"]] * 3
    assert len(app.asked) == (3 if left else 0)
    # Only what nothing stands in the way of is passed without a look.
    assert bool(known_of(whole, asked).plain) is (path == "/x" and left)


def test_an_observed_service_is_counted_each_time(tmp_path: Path) -> None:
    app, recording = App(), Recording()
    relay = "custom: {relay: {hosts: [relaso.com], paths: ['/relay'], purpose: statistics, state: ask}}\n"
    config = configured(tmp_path, SITE_YAML + "mode: observe\n", TRACKERS_YAML + relay)
    whole = ConsentMiddleware(app, config, secrets=[SECRET], sender=recording, state=tmp_path, clock=lambda: 1.8e9)
    for _ in range(3):
        in_process(whole, scope(REQUESTS[1], path="/relay"))
    assert [hit.blocked for hit in recording.hits if hit.blocked] == [(("relay", "statistics", "", "relay"),)] * 3
    assert len(app.asked) == 3


def test_a_path_that_somebody_in_front_changed_is_looked_at_for_itself(tmp_path: Path) -> None:
    app, whole = ways(tmp_path)
    asked = scope(REQUESTS[1])
    for _ in range(2):
        in_process(whole, asked)
        assert in_process(whole, {**asked, "path": "/_privacy/nothing"})[0]["status"] == 404
    assert len(app.asked) == 2


def test_addresses_are_remembered_in_bounds(tmp_path: Path) -> None:
    app, whole = ways(tmp_path)
    for number in range(MAX_PLAIN + 5):
        in_process(whole, scope(REQUESTS[1], path=f"/{number}"))
    long = scope(REQUESTS[2], path="/" + "x" * MAX_TARGET)
    in_process(whole, long)
    assert len(known_of(whole, scope(REQUESTS[1])).plain) == MAX_PLAIN
    assert not known_of(whole, long).plain
    assert len(app.asked) == MAX_PLAIN + 6


def test_a_new_configuration_forgets(tmp_path: Path) -> None:
    app, config = App(), configured(tmp_path)
    whole = ConsentMiddleware(app, config, secrets=[SECRET], sender=Recording(), state=tmp_path)
    in_process(whole, scope(REQUESTS[0]))
    before = whole._recall
    whole.reload(config)
    assert whole._recall is not before
    assert len(whole._recall._known) == 0


def test_what_an_app_writes_into_a_request_stays_in_that_request(tmp_path: Path) -> None:
    seen: list[list[bytes]] = []
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json")],
    }

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append([value for name, value in scope["headers"] if name == b"x-user"])
        scope["headers"].append((b"x-user", b"someone"))
        await send(start)
        await send({"type": "http.response.body", "body": b"{}"})

    whole = ConsentMiddleware(app, configured(tmp_path), secrets=[SECRET], sender=Recording(), state=tmp_path)
    answers = [in_process(whole, scope(REQUESTS[0])) for _ in range(3)]
    assert seen == [[], [], []]
    assert {len(messages[0]["headers"]) for messages in answers} == {len(answers[0][0]["headers"])}
    assert len(start["headers"]) == 1
