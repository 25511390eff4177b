from __future__ import annotations

import pytest

from vestibule.core.csp import MAX_POLICY, Parts, lock, open_meta, open_own

ORIGIN = "https://relaso.com"
PARTS = Parts(
    script=f"{ORIGIN}/_privacy/banner.js?v=1",
    script_hash="sha256-AAA=",
    answer=f"{ORIGIN}/_privacy/answer.js",
    count=f"{ORIGIN}/_privacy/count.js",
    style=f"{ORIGIN}/_privacy/banner.css?v=2",
    style_hash="sha256-BBB=",
    origin=ORIGIN,
)
JS = f"{ORIGIN}/_privacy/banner.js {ORIGIN}/_privacy/answer.js {ORIGIN}/_privacy/count.js"
CSS, BASE = f"{ORIGIN}/_privacy/banner.css", f"{ORIGIN}/_privacy/"


def test_the_lock_names_who_is_open() -> None:
    policy = lock(["relaso.com"], ["js.stripe.com"], "/_privacy/csp")
    assert policy == (
        "default-src 'self' https://relaso.com https://js.stripe.com wss://relaso.com wss://js.stripe.com "
        "data: blob: mediastream: filesystem: 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval'; "
        "report-uri /_privacy/csp"
    )


def test_a_page_over_plain_http_may_load_over_it_too() -> None:
    policy = lock(["localhost:8080"], ["js.stripe.com"], "/_privacy/csp", secure=False)
    assert " http://js.stripe.com ws://localhost:8080 ws://js.stripe.com" in policy
    assert "https:" not in policy


def test_a_source_with_a_path_is_no_websocket() -> None:
    assert "wss://www.google.com" not in lock([], ["www.google.com/recaptcha/"], "/_privacy/csp")


def test_a_long_list_is_cut_which_closes_the_rest() -> None:
    policy = lock(["relaso.com"], [f"host{number}.example" for number in range(500)], "/_privacy/csp")
    assert len(policy) <= MAX_POLICY
    assert "https://relaso.com" in policy
    assert "https://host80.example" in policy, "WebSockets come last"
    assert policy.endswith("; report-uri /_privacy/csp")


@pytest.mark.parametrize(
    ("site", "opened"),
    [
        # Nothing is added where it is open already.
        ("default-src 'self'", "default-src 'self'"),
        ("img-src 'none'", "img-src 'none'"),
        ("script-src *; style-src https:; form-action 'self'", "script-src *; style-src https:; form-action 'self'"),
        # Addresses, so that 'unsafe-inline' keeps working for the site.
        ("script-src 'unsafe-inline' https://cdn.example", f"script-src 'unsafe-inline' https://cdn.example {JS}"),
        ("form-action 'none'", f"form-action {BASE}"),
        ("style-src 'nonce-abc'", f"style-src 'nonce-abc' {CSS}"),
        ("script-src-elem 'none'; script-src 'self'", f"script-src-elem {JS}; script-src 'self'"),
        # Under 'strict-dynamic' only a hash opens.
        ("script-src 'nonce-abc' 'strict-dynamic'", "script-src 'nonce-abc' 'strict-dynamic' 'sha256-AAA='"),
        # default-src itself is never widened.
        (
            "default-src 'none'",
            f"default-src 'none'; script-src {JS}; style-src {CSS}; connect-src {BASE}",
        ),
        # The first of two directives counts, as in browsers.
        ("form-action 'self'; form-action 'none'", "form-action 'self'"),
    ],
)
def test_the_sites_own_policy_is_opened_only_where_it_is_closed_to_us(site: str, opened: str) -> None:
    assert open_own(site, PARTS, lambda _: True) == opened


def test_several_policies_in_one_header_are_all_opened() -> None:
    assert open_own("form-action 'none', form-action 'self'", PARTS, lambda _: True) == (
        f"form-action {BASE}, form-action 'self'"
    )


def test_reports_to_others_are_left_out() -> None:
    policy = "default-src 'self'; report-uri https://evil.example/r /own; report-to group"
    assert open_own(policy, PARTS, lambda url: url == "/own") == "default-src 'self'; report-uri /own"
    assert open_own("img-src *; report-uri https://evil.example/r", PARTS, lambda _: False) == "img-src *"


@pytest.mark.parametrize(
    ("written", "opened"),
    [
        ("form-action 'none'", f"form-action {BASE}"),
        ("Style-Src  'none';", f"style-src {CSS}"),
        # What is open already keeps its bytes; reports of such policies are never sent.
        (
            "  img-src 'none' ;; report-uri https://evil.example/",
            "  img-src 'none' ;; report-uri https://evil.example/",
        ),
        ("", ""),
        ("img-src *, form-action 'none'", f"img-src *,form-action {BASE}"),
    ],
)
def test_a_policy_in_the_page_is_opened_and_else_left_as_it_is_written(written: str, opened: str) -> None:
    assert open_meta(written, PARTS) == opened
