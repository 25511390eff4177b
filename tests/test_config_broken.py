"""Broken configurations, generated: each is refused at the line that is wrong, and none is more than a problem."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from vestibule.config import Config, load
from vestibule.core.errors import ConfigError, Problem
from vestibule.privacy.policy import SitePolicy

SITE = """\
site:
  name: relaso.com
  hosts: [relaso.com, www.relaso.com]
  first_party: [relaso.net]
  upstream: http://127.0.0.1:3000
  timezone: Europe/Berlin
mode: enforce
listen: 127.0.0.1:8080
access_log: stdout
trusted_proxies: [127.0.0.1/32]
policy:
  revision: "2024-10-29"
  url: /privacy
  contact: legal@relaso.com
consent:
  keep_for: 180d
  minimum_age: 16
  honour: [gpc, dnt]
banner:
  theme:
    position: bottom
    radius: 14
    light:
      accent: "#1f4b99"
cookies:
  unknown: block
  declare:
    relaso_session:
      purpose: necessary
sign_in:
  cookies: [relaso_session]
  login:
    path: /login
    field: keep_me_signed_in
  keep_for: 30d
analytics:
  k: 5
  live_every: 15m
  keep_for: 25 months
  pages: {"/app/deals/*": "/app/deals/:id"}
  own: [192.0.2.0/24]
csp: enforce
limits:
  header_bytes: 64KiB
  idle_timeout: 60s
  pipeline: 64
store: chdb:///var/lib/vestibule
dashboard:
  listen: 127.0.0.1:8081
"""
TRACKERS = """\
unknown: block
services:
  google-analytics: ask
  hotjar: block
custom:
  partner-widget:
    hosts: [widget.partner.example]
    purpose: marketing
    state: ask
cname:
  metrics.relaso.com: adobe-analytics
"""

VALUES = (
    "[[1]]", "{a: {b: c}}", "-1", "!!binary x", "0x1G", "\"\\uD83D\"", "'\x07'", "*nothing", "@x", "%", "1e999", ".nan",
    "{", "]", "\"", "'", "? x", "&a [*a]", "!!python/object:os.system x", "\t- x", "x: y: z", "<<: x", "2026-13-45",
)  # fmt: skip
"""What nobody should write, and somebody will."""
_SETTING = re.compile(r"^(\s*)([\w.-]+)(:)(.*)$")


def mutants() -> Iterator[tuple[str, int, str]]:
    """Texts of ``site.yaml`` or ``trackers.yaml`` (told by their first line) with one line that is wrong."""
    for text in (SITE, TRACKERS):
        lines = text.splitlines()
        for index, line in enumerate(lines):
            match = _SETTING.match(line)
            assert match is not None
            indent, key, colon, value = match.groups()
            changed = [
                f"{indent}{key}zz{colon}{value}",
                f"{indent}{key}{value}",
                f"{indent} {indent} {key}{colon}{value}",
            ]
            changed += [f"{indent}{key}{colon} {wrong}" for wrong in VALUES] if value else []
            for wrong in changed:
                yield "\n".join([*lines[:index], wrong, *lines[index + 1 :]]) + "\n", index + 1, wrong


def read(folder: Path, text: str) -> Config:
    trackers = text.startswith("unknown")
    (folder / "site.yaml").write_text(SITE if trackers else text, encoding="utf-8")
    (folder / "trackers.yaml").write_text(text if trackers else TRACKERS, encoding="utf-8")
    return load(folder, {})


def test_the_whole_is_fine(tmp_path: Path) -> None:
    read(tmp_path, SITE)


def refusal(folder: Path, text: str) -> tuple[Problem, ...]:
    """The problems of a text; none where it is accepted. Anything else that is raised fails the test."""
    try:
        read(folder, text)
    except ConfigError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_broken_ones_are_refused_at_their_line(count: int, tmp_path: Path) -> None:
    refused = 0
    for text, line, wrong in random.Random(7).sample(list(mutants()), count):
        problems = refusal(tmp_path, text)
        refused += bool(problems)
        # A parser sees only later that a bracket was opened, and a line that is no setting spoils its section.
        elsewhere = any(
            word in each.message for each in problems for word in ("is not YAML", "is missing", "must hold")
        )
        assert not problems or elsewhere or line in {each.line for each in problems}, (wrong, problems)
        assert all("\n" not in str(each) for each in problems)
    assert refused > 0.9 * count


SCALARS = {
    "mode": st.sampled_from(["enforce", "observe"]),
    "csp": st.sampled_from(["enforce", "report", "off"]),
    "listen": st.integers(1, 65535).map(lambda port: f"127.0.0.1:{port}"),
    "access_log": st.sampled_from(["off", "stdout", "/var/log/x.jsonl"]),
    "consent": st.tuples(st.integers(1, 400), st.integers(0, 21)).map(
        lambda pair: f"{{keep_for: {pair[0]}d, minimum_age: {pair[1]}}}"
    ),
    "analytics": st.tuples(st.integers(2, 1000), st.sampled_from(["30s", "15m", "1 hour", "2 days"])).map(
        lambda pair: f"{{k: {pair[0]}, live_every: {pair[1]}}}"
    ),
    "cookies": st.tuples(
        st.sampled_from(["block", "ask", "allow"]),
        st.dictionaries(
            st.from_regex(r"[A-Za-z_][A-Za-z0-9_*-]{0,12}", fullmatch=True),
            st.sampled_from(["necessary", "preferences", "statistics", "marketing"]),
            max_size=3,
        ),
    ).map(
        lambda pair: (
            f"{{unknown: {pair[0]}, declare: "
            + "{"
            + ", ".join(f'"{name}": {{purpose: {purpose}}}' for name, purpose in pair[1].items())
            + "}}"
        )
    ),
    "limits": st.tuples(st.integers(1, 10**6), st.integers(1, 500)).map(
        lambda pair: f"{{header_bytes: {pair[0]}, idle_timeout: {pair[1]}s}}"
    ),
}
STATES = st.sampled_from(["allow", "ask", "block"])
TRACKER_FILES = st.builds(
    lambda unknown, services, custom: {"unknown": unknown, "services": services, "custom": custom},
    STATES,
    st.dictionaries(st.sampled_from(["google-analytics", "stripe", "youtube", "hotjar", "1xrun"]), STATES, max_size=4),
    st.dictionaries(st.from_regex(r"own(-[a-z0-9]{1,6}){0,2}", fullmatch=True), STATES, max_size=2),
)


@settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    chosen=st.fixed_dictionaries({}, optional=SCALARS),
    trackers=TRACKER_FILES,
    spoil=st.sampled_from(["", "", "moode: x", "mode: perhaps", "consent: {keep_for: 5}"]),
)
def test_any_valid_one_starts_and_an_invalid_one_never_half(
    chosen: dict[str, str], trackers: dict[str, object], spoil: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("config")
    site = "site: {name: x, hosts: [x.example], upstream: 'http://127.0.0.1:1'}\n"
    if spoil:
        chosen.pop(spoil.partition(":")[0], None)
    site += "".join(f"{name}: {value}\n" for name, value in chosen.items()) + spoil + "\n"
    (folder / "site.yaml").write_text(site, encoding="utf-8")
    custom = trackers["custom"]
    assert isinstance(custom, dict)
    own = {
        name: {"hosts": [f"{name}.example"], "purpose": "marketing", "state": state} for name, state in custom.items()
    }
    (folder / "trackers.yaml").write_text(_flow(trackers | {"custom": own}), encoding="utf-8")
    if spoil:
        with pytest.raises(ConfigError) as caught:
            load(folder, {})
        assert [problem.line for problem in caught.value.problems] == [site.splitlines().index(spoil) + 1]
        return
    policy = SitePolicy(load(folder, {}), ["a secret for tests"])
    assert policy.rules.decide("x.example", "/").source == "first party"
    assert {service.id for service, _ in policy.rules.services_in_use()} <= {*own, *_names(trackers["services"])}


def _names(value: object) -> set[str]:
    return set(value) if isinstance(value, dict) else set()


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}": {_flow(each)}' for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)
