"""Which cookies pass under which choice, and by which rule."""

from __future__ import annotations

import pytest

from vestibule.core.consent import Choice, Purpose, State
from vestibule.core.cookie_policy import CookiePolicy, Declared

STATISTICS = Choice(frozenset({Purpose.STATISTICS}), "1", 0)


def known(name: str) -> tuple[str, Purpose, State] | None:
    return {
        "_ga": ("google-analytics", Purpose.STATISTICS, State.ASK),
        "_fbp": ("meta-pixel", Purpose.MARKETING, State.BLOCK),
        "__stripe_mid": ("stripe", Purpose.NECESSARY, State.ASK),
    }.get(name)


POLICY = CookiePolicy(
    {
        "session": Declared(Purpose.NECESSARY),
        "ui_*": Declared(Purpose.PREFERENCES),
        "[x]?": Declared(Purpose.NECESSARY, scripts=True),
        "soft": Declared(Purpose.NECESSARY, harden=False),
    },
    known,
    State.BLOCK,
    ["session", "sess-*"],
)


@pytest.mark.parametrize(
    ("name", "choice", "passes", "rule"),
    [
        ("session", None, True, "cookies.declare.session: necessary"),
        ("ui_theme", None, False, "cookies.declare.ui_*: preferences"),
        ("_ga", None, False, "catalogue: a cookie of google-analytics"),
        ("_ga", STATISTICS, True, "catalogue: a cookie of google-analytics"),
        ("_fbp", STATISTICS, False, "catalogue: a cookie of meta-pixel"),
        ("__stripe_mid", None, True, "catalogue: a cookie of stripe"),
        ("unheard", STATISTICS, False, "cookies.unknown: block"),
        ("[x]?", None, True, "cookies.declare.[x]?: necessary"),
        ("SESSION", None, False, "cookies.unknown: block"),
        ("sess-1", None, True, "sign_in.cookies: sess-*"),
        ("", STATISTICS, False, "a cookie without a name"),
    ],
)
def test_which_cookies_pass(name: str, choice: Choice | None, passes: bool, rule: str) -> None:
    verdict = POLICY.decide(name)
    assert (verdict.passes(choice), verdict.rule) == (passes, rule)


def test_unknown_cookies_may_be_asked_for_or_allowed() -> None:
    everything = Choice(frozenset({Purpose.MARKETING}), "1", 0)
    ask = CookiePolicy({}, known, State.ASK).decide("unheard")
    assert (ask.passes(None), ask.passes(STATISTICS), ask.passes(everything)) == (False, False, True)
    assert CookiePolicy({}, known, State.ALLOW).decide("unheard").passes(None)


@pytest.mark.parametrize(
    ("name", "session", "hardened", "http_only"),
    [
        ("session", True, True, True),
        ("sess-1", True, True, True),
        ("[x]?", False, True, False),
        ("soft", False, False, False),
        ("ui_theme", False, False, False),
        ("__stripe_mid", False, True, False),
        ("unheard", False, False, False),
    ],
)
def test_which_cookies_are_made_stricter(name: str, session: bool, hardened: bool, http_only: bool) -> None:
    verdict = POLICY.decide(name)
    assert (verdict.session, verdict.harden, verdict.http_only) == (session, hardened, http_only)
