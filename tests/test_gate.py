"""What the rewriter is told of the site's own addresses: open, but for paths behind which a service may stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sites import SITE_YAML, TRACKERS_YAML, configured
from vestibule import catalogue
from vestibule.core.consent import State
from vestibule.core.html.gate import BY_URL
from vestibule.core.html.unless import Unless
from vestibule.middleware.gate import MAX_ORIGINS, Gate, Origins
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.visitor import read

HEADERS = [(b"host", b"relaso.com")]
RELAYS = sorted({relay for service in catalogue.load().services for relay in service.relays})


def gate(folder: Path, trackers: str = TRACKERS_YAML, host: str = "relaso.com") -> tuple[Gate, SitePolicy]:
    policy = SitePolicy(configured(folder, SITE_YAML, trackers), ["a secret for tests"])
    return Gate(policy, read(policy, "https", host, HEADERS, 1), Origins(policy)), policy


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Unless, SitePolicy]:
    made, policy = gate(tmp_path_factory.mktemp("gate"))
    unless = made.origin("https://relaso.com", "script")
    assert isinstance(unless, Unless)
    return unless, policy


def test_the_catalogue_names_relays() -> None:
    assert len(RELAYS) > 10


@pytest.mark.parametrize("relay", RELAYS)
@pytest.mark.parametrize("filled", ["", "x", "/a/b", ".min"])
def test_no_relay_passes_for_an_ordinary_path(relay: str, filled: str, own: tuple[Unless, SitePolicy]) -> None:
    unless, policy = own
    path = relay.replace("*", filled)
    assert policy.rules.decide("relaso.com", path, "script").service is not None
    for written in (path, path.lstrip("/"), f"/deep{path}", f"/..{path}", f"{path}?x=1#y", f"{path}/below"):
        assert not unless.passes(written.encode())


@given(path=st.from_regex(r"/[a-z%./;\\A-Z0-9_~-]{0,30}", fullmatch=True), relay=st.sampled_from(RELAYS))
def test_what_passes_is_open_whatever_it_is(path: str, relay: str, own: tuple[Unless, SitePolicy]) -> None:
    unless, policy = own
    for written in (path, path + relay.replace("*", "x")):
        if unless.passes(written.encode()):
            assert policy.rules.decide("relaso.com", written, "script").state is State.ALLOW


@pytest.mark.parametrize(
    ("path", "passes"),
    [
        ("/", True),
        ("/static/app.js", True),
        ("images/1.webp?v=2", True),
        ("../a", True),
        ("/gtm.js", False),
        ("/a/gtag/js", False),
        ("/%67tm.js", False),
        ("/a;b", False),
        ("\\a", False),
    ],
)
def test_ordinary_paths_pass(path: str, passes: bool, own: tuple[Unless, SitePolicy]) -> None:
    assert own[0].passes(path.encode()) is passes


def custom(path: str) -> str:
    return TRACKERS_YAML + f"custom: {{relay: {{hosts: [relaso.com], paths: ['{path}'], purpose: statistics}}}}\n"


@pytest.mark.parametrize(
    ("path", "closed"), [("/stats/*", "/stats/x"), ("/*-in/a", "/log-in/a"), ("/x/t*.gif", "/x/tt.gif")]
)
def test_own_relays_count(path: str, closed: str, tmp_path: Path) -> None:
    made, policy = gate(tmp_path, custom(path))
    unless = made.origin("https://relaso.com", "image")
    assert policy.rules.decide("relaso.com", closed, "image").state is State.ASK
    assert not (isinstance(unless, Unless) and unless.passes(closed.encode()))


def test_a_pattern_that_begins_no_segment_is_decided_by_address(tmp_path: Path) -> None:
    made, _ = gate(tmp_path, custom("/*stats*"))
    assert made.origin("https://relaso.com", "image") is BY_URL


def test_block_lists_are_asked_for_every_address(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("||relaso.com/promo^\n")
    made, _ = gate(tmp_path, TRACKERS_YAML + "lists: [own.txt]\n")
    assert made.origin("https://relaso.com", "image") is BY_URL


def test_a_disguised_name_is_closed_whole(tmp_path: Path) -> None:
    made, _ = gate(tmp_path, TRACKERS_YAML + "cname: {metrics.relaso.com: google-analytics}\n")
    assert made.origin("https://metrics.relaso.com", "image") is not None
    assert not isinstance(made.origin("https://metrics.relaso.com", "image"), Unless)
    assert not isinstance(made.origin("https://www.youtube.com", "frame"), Unless)


def test_what_is_remembered_of_origins_is_bounded(own: tuple[Unless, SitePolicy]) -> None:
    policy = own[1]
    origins, visitor = Origins(policy), read(policy, "https", "relaso.com", HEADERS, 1)
    for number in range(MAX_ORIGINS + 10):
        origins.of(visitor, f"https://x{number}.example", "image")
        assert len(origins._said) <= MAX_ORIGINS
    first, again = (origins.of(visitor, "https://www.youtube.com", "frame") for _ in range(2))
    assert first is again
