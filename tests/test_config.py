from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from vestibule.config import Config, load
from vestibule.core.consent import Purpose, State
from vestibule.core.errors import ConfigError, Problem

ROOT = Path(__file__).resolve().parents[1]
SITE = """\
site:
  name: relaso.com
  hosts: [relaso.com]
  upstream: http://127.0.0.1:3000
"""


def written(folder: Path, site: str = SITE, trackers: str | None = None) -> Path:
    (folder / "site.yaml").write_text(site, encoding="utf-8")
    if trackers is not None:
        (folder / "trackers.yaml").write_text(trackers, encoding="utf-8")
    return folder


def problems(folder: Path, environ: dict[str, str] | None = None, today: date | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, environ or {}, today=today)
    return [str(problem).replace(f"{folder}/", "").replace(str(folder), "DIR") for problem in caught.value.problems]


def test_the_deployed_configuration_is_fine() -> None:
    config = load(ROOT / "config", {})
    assert config.site.hosts == ("relaso.com", "www.relaso.com")
    assert config.consent.keep_for == 180 * 86400
    assert config.analytics.live_every == 900
    assert 760 < config.analytics.keep_for / 86400 < 762
    assert config.cookies.declare_["relaso_session"].purpose is Purpose.NECESSARY
    assert config.trackers.services["hotjar"] is State.BLOCK
    assert config.where["services.hotjar"].startswith("trackers.yaml:")


def test_the_demos_configuration_is_fine() -> None:
    assert load(ROOT / "demo" / "config", {}).analytics.live_every == 2


def test_what_is_left_out_has_safe_defaults(tmp_path: Path) -> None:
    config = load(written(tmp_path), {})
    assert (config.mode, config.csp, config.cookies.unknown) == ("enforce", "enforce", "block")
    assert config.trackers.unknown is State.BLOCK
    assert config.dashboard.listen == "127.0.0.1:8081"
    assert config.consent.honour == ("gpc", "dnt")


def test_a_missing_folder_is_one_problem(tmp_path: Path) -> None:
    assert problems(tmp_path / "nowhere") == ["DIR:0: config: no such folder; --config DIR names another"]


def test_an_empty_folder_is_one_problem(tmp_path: Path) -> None:
    assert problems(tmp_path) == ["site.yaml:0: site: no such file; docs/configuration.md shows one"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ["site.yaml:1: site: is empty; docs/configuration.md shows one"]),
        ("# nothing\n", ["site.yaml:1: site: is empty; docs/configuration.md shows one"]),
        ("- a\n- b\n", ["site.yaml:1: site: must hold settings (key: value), not a list"]),
        ("just text\n", ["site.yaml:1: site: must hold settings (key: value), not 'just text'"]),
    ],
)
def test_a_file_without_settings(tmp_path: Path, content: str, expected: list[str]) -> None:
    assert problems(written(tmp_path, content)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("listen: 0.0.0.0:80", ""),
        ("listen: '[::1]:8080'", ""),
        ("listen: unix:/run/site.sock", ""),
        ("listen: unix:site.sock", "must be an absolute path after unix:"),
        ("listen: unix:/run/", "must be an absolute path after unix:"),
        (f"listen: unix:/{'x' * 100}", "must be an absolute path after unix:"),
        ("listen: /run/site.sock", "must be an address and port"),
        ("dashboard: {listen: unix:/run/x.sock}", "must be an address and port"),
        ("access_log: off", ""),
        ("access_log: stdout", ""),
        ("access_log: /var/log/access.jsonl", ""),
        ("access_log: access.jsonl", "must be off, stdout, or an absolute path"),
        ("access_log: /var/log/", "must be off, stdout, or an absolute path"),
        ("access_log: on", "must be off, stdout, or an absolute path"),
        ("trusted_proxies: ['unix:', 10.0.0.0/8]", ""),
        ("trusted_proxies: ['unix:/run/x']", "must be an address or network"),
        ("analytics: {own: ['unix:']}", "must be an address or network"),
        ("limits: {min_rate: 0, queue_length: 1, total_timeout: 1d}", ""),
        ("limits: {min_rate: -1}", "should be greater than or equal to 0"),
        ("limits: {queue_length: 0}", "should be greater than 0"),
        ("limits: {total_timeout: 5}", "needs a unit"),
    ],
)
def test_places_and_limits(tmp_path: Path, line: str, expected: str) -> None:
    folder = written(tmp_path, f"site: {{name: a, hosts: [a.example], upstream: 'http://127.0.0.1:3000'}}\n{line}\n")
    if not expected:
        load(folder, {})
        return
    (found,) = problems(folder)
    assert expected in found


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("site: [a\n", 2),
        ("site:\n\tname: x\n", 2),
        ("a: 1\na: 2\n", 2),
        ("site: {a: 1\nb: 2\n", 2),
        ("a: b: c\n", 1),
        ("a: *nowhere\n", 1),
        ("a: 'x\n", 2),
        ("a: 1\nb: 2020-13-01\n", 2),
        ("a: 1\nb: 2020-13-01\nc: &c [*c]\n", 2),
        ("a: 1\nb: 2020-13-01\nc: 2020-01-99\n", 2),
        ("a: &a [[x]]\nb:\n  *a : 1\n", 3),
        ("a: &a {x: [y]}\n? *a\n", 2),
        ("a: 1\nb: &b [c]\nd:\n- {e: [*b, {f: &g [*b]}]}\n- {h: &i x, *i : {*g : 1}}\n", 5),
        ("a: 1\n? [[x]]\n: 1\n", 2),
        ("a: 1\nb: !!omap\n- [x]: 1\n", 3),
        ("a: 1\nb: !!int ''\n", 2),
        ("a: 1\nb: {c: !!bool x}\n", 2),
        ("%YAML 1.9\n---\na: 1\n", 1),
    ],
)
def test_what_is_not_yaml_is_named_by_its_line(tmp_path: Path, content: str, line: int) -> None:
    found = problems(written(tmp_path, content))
    assert len(found) == 1
    assert found[0].startswith(f"site.yaml:{line}: site: is not YAML: ")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("site: {name: a}\na: " + "[" * 2000 + "]" * 2000 + "\n", 2),
        ("site:\n  name: a\nb:\n" + "".join(f"{'  ' * depth}a:\n" for depth in range(1, 600)), 53),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 60)), 50),
    ],
    ids=["flow", "block", "aliases"],
)
def test_what_is_nested_too_deeply_is_named_by_its_line(tmp_path: Path, content: str, line: int) -> None:
    assert problems(written(tmp_path, content)) == [f"site.yaml:{line}: site: is nested more than 50 deep"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a: 1\nlists: !!set {a.txt}\n", 2),
        ("a: 1\nlists:\n- !!binary YS50eHQ=\n", 3),
        ("a: 1\nb: 0x" + "f" * 6000 + "\n", 2),
        ("a: 1\n? 0x" + "f" * 6000 + "\n: 1\n", 1),
        ("a: 1\nb: !mine c\n", 2),
    ],
    ids=["set", "bytes", "number", "key", "tag"],
)
def test_a_value_of_a_kind_that_no_setting_has_is_refused(tmp_path: Path, content: str, line: int) -> None:
    (found,) = problems(written(tmp_path, content))
    assert found.startswith(f"site.yaml:{line}: site: holds a value of a kind that no setting has")


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_bytes(b"site:\n  name: \xff\n")
    assert problems(tmp_path) == ["site.yaml:2: site: is not UTF-8 text"]


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    assert problems(written(tmp_path, "#" * (1 << 21))) == ["site.yaml:0: site: is larger than 1048576 bytes"]


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    written(
        tmp_path,
        """\
site:
  name: x
  hosts: ["http://a.b", ok.com]
  upstrem: http://127.0.0.1
mode: enforced
consent: {keep_for: 180, honour: [gcp]}
analytics: [1]
cookies:
  declare:
    a b: {purpose: foo}
store: chdb:/x
""",
        "unknown: maybe\nservices:\n  google-analytic: ask\n  Hot: ask\ncname: {a.b: nobody}\nlists: [easy.txt]\n",
    )
    found = problems(tmp_path)
    assert [line.partition("; ")[0] if "did you mean" not in line else line for line in found] == [
        "site.yaml:1: site.upstream: is missing",
        "site.yaml:3: site.hosts.0: must be a host name such as www.example.com, without scheme, port or path",
        "site.yaml:4: site.upstrem: unknown setting; did you mean upstream?",
        "site.yaml:5: mode: must be one of enforce, observe",
        "site.yaml:6: consent.honour.0: must be one of gpc, dnt",
        "site.yaml:6: consent.keep_for: needs a unit: 180s, 180m, 180h or 180d",
        "site.yaml:7: analytics: must hold settings (key: value)",
        "site.yaml:10: cookies.declare.a b: must be a cookie name",
        "site.yaml:10: cookies.declare.a b.purpose: must be one of necessary, preferences, statistics, marketing",
        "site.yaml:11: store: must be chdb:///PATH or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE",
        "trackers.yaml:1: unknown: must be one of allow, ask, block",
        "trackers.yaml:3: services.google-analytic: no service of this name in the catalogue; "
        "did you mean google-analytics?",
        "trackers.yaml:4: services.Hot: must be in kebab-case, such as google-tag-manager",
        "trackers.yaml:4: services.Hot: no service of this name in the catalogue",
        "trackers.yaml:5: cname.a.b: no service named nobody",
        "trackers.yaml:6: lists.0: no such file: easy.txt",
    ]


def test_an_unknown_file_is_a_problem(tmp_path: Path) -> None:
    (written(tmp_path) / "tracker.yaml").write_text("unknown: allow\n", encoding="utf-8")
    assert problems(tmp_path) == [
        "tracker.yaml:0: tracker.yaml: unknown file; did you mean trackers.yaml?; allowed: site.yaml, trackers.yaml"
    ]


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("VESTIBULE_ANALYTICS__K", "7", lambda config: config.analytics.k == 7),
        ("VESTIBULE_LISTEN", "0.0.0.0:80", lambda config: config.listen == "0.0.0.0:80"),
        ("VESTIBULE_SITE__UPSTREAM", "unix:/run/x", lambda config: config.site.upstream == "unix:/run/x"),
        ("VESTIBULE_CONSENT__KEEP_FOR", "90d", lambda config: config.consent.keep_for == 90 * 86400),
        ("VESTIBULE_SIGN_IN__LOGIN__PATH", "/in", lambda config: config.sign_in.login.path == "/in"),
        ("VESTIBULE_TRACKERS__UNKNOWN", "ask", lambda config: config.trackers.unknown is State.ASK),
        (
            "VESTIBULE_TRACKERS__SERVICES__GOOGLE_ANALYTICS",
            "block",
            lambda config: config.trackers.services["google-analytics"] is State.BLOCK,
        ),
    ],
)
def test_the_environment_overrides_any_single_value(tmp_path: Path, name: str, value: str, read: object) -> None:
    config = load(written(tmp_path), {name: value, "VESTIBULE_SECRET": "x", "HOME": "/"})
    assert callable(read)
    assert read(config)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("VESTIBULE_ANALYTICS__K", "1", "should be greater than or equal to 2; is '1'"),
        ("VESTIBULE_SITE__HOSTS", "a", "is not a single value; set it in the file"),
        ("VESTIBULE_SITE__UPSTREM", "a", "unknown setting; did you mean upstream?"),
        ("VESTIBULE_SITE", "a", "is a section; add __ and the name of a setting in it"),
        ("VESTIBULE_CPS", "off", "unknown setting; did you mean csp?"),
        ("VESTIBULE_ANALYTCS__K", "5", "unknown setting; did you mean analytics?"),
        ("VESTIBULE_NOPE__X", "1", "unknown setting"),
        ("VESTIBULE_LOG", "xml", "must be one of text, json; is 'xml'"),
    ],
)
def test_problems_of_the_environment_name_the_variable(tmp_path: Path, name: str, value: str, problem: str) -> None:
    assert problems(written(tmp_path), {name: value}) == [f"environment:0: {name}: {problem}"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "store: clickhouse://user:s3cret@host:8123/db",
            "store: holds a password, and secrets are not kept in files: set VESTIBULE_STORE in the environment",
        ),
        (
            "store: clickhouse://host:8123/db?password=s3cret",
            "store: holds a password, and secrets are not kept in files: set VESTIBULE_STORE in the environment",
        ),
        (
            "policy: {contact: '-----BEGIN PRIVATE KEY-----'}",
            "policy.contact: holds a private key, and secrets are not kept in files",
        ),
        (
            "secret: abc",
            "secret: unknown setting; secrets are not kept in files: VESTIBULE_SECRET is set in the environment",
        ),
        (
            "sign_in: {password: abc}",
            "sign_in.password: unknown setting; secrets are not kept in files: VESTIBULE_SECRET is set in the"
            " environment",
        ),
    ],
)
def test_secrets_are_refused_in_files(tmp_path: Path, line: str, problem: str) -> None:
    found = problems(written(tmp_path, f"{SITE}{line}\n"))
    assert found == [f"site.yaml:5: {problem}"]
    assert "s3cret" not in found[0]


def test_secrets_come_from_the_environment(tmp_path: Path) -> None:
    store = "clickhouse://user:s3cret@host:8123/db"
    assert load(written(tmp_path, f"{SITE}store: chdb:///x\n"), {"VESTIBULE_STORE": store}).store == store
    load(written(tmp_path, f"{SITE}store: clickhouse://user@host:8123/db\n"), {})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('policy: {contact: "a\\uD83D"}', "policy.contact: holds half a character (a lone surrogate)"),
        ('analytics: {pages: {"/\\uD83D": /x}}', "analytics.pages./\\ud83d: holds half a character (a lone surrogate)"),
    ],
)
def test_half_a_character_is_a_problem(tmp_path: Path, line: str, problem: str) -> None:
    assert problems(written(tmp_path, f"{SITE}{line}\n")) == [f"site.yaml:5: {problem}"]


def test_a_password_is_not_repeated_in_a_message(tmp_path: Path) -> None:
    found = problems(written(tmp_path, SITE + "store: clickhous://user:s3cret@host/db\n"))
    assert len(found) == 1
    assert "s3cret" not in found[0]


@pytest.mark.parametrize(
    ("notice", "today", "fine"),
    [
        ("{effective: 2026-12-31, text: {en: New.}}", date(2026, 11, 22), True),
        ("{effective: 2026-12-21, text: {en: New.}}", date(2026, 11, 22), False),
        ("{announced: 2026-11-01, effective: 2026-12-01, text: {en: New.}}", date(2026, 11, 30), True),
        ("{announced: 2026-11-02, effective: 2026-12-01, text: {en: New.}}", date(2026, 10, 1), False),
        ("{announced: 2026-11-02, effective: 2026-12-01, text: {en: New.}}", None, False),
        ("{effective: 2026-12-01, text: {en: New.}}", None, True),
    ],
)
def test_a_material_change_is_announced_thirty_days_ahead(
    tmp_path: Path, notice: str, today: date | None, fine: bool
) -> None:
    written(tmp_path, SITE + f"policy:\n  notice: {notice}\n")
    if fine:
        assert load(tmp_path, {}, today=today).policy.notice is not None
    else:
        assert problems(tmp_path, today=today)[0].startswith("site.yaml:6: policy.notice.effective: must be 30 days")


@pytest.mark.parametrize(
    ("trackers", "expected"),
    [
        ("cname:\n  metrics.relaso.com: adobe-analytics\n", []),
        (
            "cname:\n  metrics.relaso.com: adobe-analytics\n  relaso.com: adobe-analytics\n",
            [
                "trackers.yaml:3: cname.relaso.com: the site itself is served there, and would be closed;"
                " name another host"
            ],
        ),
        ("custom:\n  own: {hosts: [relaso.com], paths: [/collect/*], purpose: marketing}\n", []),
        ("custom:\n  own: {hosts: [relaso.com], purpose: marketing, state: allow}\n", []),
        ("custom:\n  own: {hosts: [w.relaso.com], purpose: marketing, state: block}\n", []),
        (
            "custom:\n  own:\n    purpose: marketing\n    hosts:\n      - x.example\n      - relaso.com\n",
            [
                "trackers.yaml:6: custom.own.hosts: the site itself is served there, and would be closed;"
                " name another host, or the paths that are not the site's"
            ],
        ),
    ],
)
def test_the_site_cannot_be_a_tracker_in_whole(tmp_path: Path, trackers: str, expected: list[str]) -> None:
    folder = written(tmp_path, trackers=trackers)
    if expected:
        assert problems(folder) == expected
    else:
        load(folder, {})


@pytest.mark.parametrize("signature", ["", "ab", "(", "window.*x", "abc(d)+"])
def test_a_signature_that_cannot_be_searched_for_is_refused(tmp_path: Path, signature: str) -> None:
    custom = "custom:\n  x:\n    hosts: [x.example]\n    purpose: marketing\n"
    found = problems(written(tmp_path, SITE, custom + f'    inline: ["{signature}"]\n'))
    assert len(found) == 1
    assert found[0].startswith("trackers.yaml:5: custom.x.inline.0: ")


def test_the_revision_changes_with_any_setting(tmp_path: Path) -> None:
    before = load(written(tmp_path), {}).revision
    assert load(written(tmp_path, SITE + "# a comment\n"), {}).revision == before
    assert load(written(tmp_path, SITE + "csp: report\n"), {}).revision != before
    assert load(written(tmp_path, SITE, "unknown: ask\n"), {}).revision != before


def test_a_relative_store_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(written(tmp_path, SITE + "store: chdb://data/store\n"), {}).store == f"chdb://{tmp_path}/data/store"


@pytest.mark.parametrize("text", ["30s", "15m", "12h", "180d", "2 weeks", "25 months", "1.5 h"])
def test_durations(tmp_path: Path, text: str) -> None:
    assert load(written(tmp_path, SITE + f"analytics: {{live_every: {text}}}\n"), {}).analytics.live_every > 0


@pytest.mark.parametrize("text", ["30", "-5m", "5 parsecs", "''", "true", "[1]", "0s"])
def test_what_is_no_duration(tmp_path: Path, text: str) -> None:
    found = problems(written(tmp_path, SITE + f"analytics: {{live_every: {text}}}\n"))
    assert len(found) == 1
    assert found[0].startswith("site.yaml:5: analytics.live_every: ")


def test_problems_sort_by_file_and_line() -> None:
    assert sorted([Problem("b", 1, "x", "y"), Problem("a", 10, "x", "y"), Problem("a", 9, "x", "y")])[0].line == 9


def test_a_configuration_cannot_be_changed(tmp_path: Path) -> None:
    config = load(written(tmp_path), {})
    assert isinstance(config, Config)
    with pytest.raises(ValueError, match="frozen"):
        config.mode = "observe"  # type: ignore[misc]


def test_a_folder_that_vanishes_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    shutil.rmtree(written(folder))
    assert len(problems(folder)) == 1


@pytest.mark.parametrize(
    ("upstream", "content", "expected"),
    [
        ("http://127.0.0.1:3000", "", "is for an upstream at https:// only; site.upstream is another"),
        ("https://127.0.0.1:3000", None, "ca.pem cannot be read: No such file or directory"),
        ("https://127.0.0.1:3000", "nothing", "ca.pem cannot be read: it is no PEM file"),
    ],
)
def test_authorities_of_the_upstream(upstream: str, content: str | None, expected: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    site = SITE.replace("http://127.0.0.1:3000", upstream) + f"  upstream_ca: {tmp_path}/ca.pem\n"
    assert problems(written(tmp_path, site)) == [f"site.yaml:5: site.upstream_ca: {expected}"]
