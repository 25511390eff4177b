"""The command line: what it prints, how it refuses, and how little it loads."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tests.commands import in_this_process
from tests.servers import wait_until
from vestibule import __version__, cli
from vestibule.cli import plain_check
from vestibule.cli.app import app as commands
from vestibule.cli.app import with_command
from vestibule.cli.toggling import edited
from vestibule.core.html.scanner import SCANNER

SITE = """\
site: {name: example.test, hosts: [example.test, www.example.test], upstream: "http://127.0.0.1:3000"}
cookies:
  declare:
    session: {purpose: necessary}
"""
TRACKERS = """\
# toggled by engineers
unknown: block            # what nothing names
services:
  google-analytics: ask   # since March

  hotjar: "block"
custom:
  partner-widget: {hosts: [widget.partner.example], purpose: marketing, state: ask}
"""


@dataclass
class Ended:
    code: int
    out: str
    err: str


class Shell:
    """Runs commands in this process, as the console script does."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._run = in_this_process(monkeypatch, capsys)

    def __call__(self, *arguments: str) -> Ended:
        return Ended(*self._run(*arguments, "--config", str(self.folder)))


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "site.yaml").write_text(SITE)
    (folder / "trackers.yaml").write_text(TRACKERS)
    return Shell(folder, monkeypatch, capsys)


class TestCheck:
    def test_says_that_all_is_fine(self, shell: Shell) -> None:
        assert shell("check") == Ended(0, f"{shell.folder}/: fine\n", "")

    def test_prints_every_problem_with_its_place(self, shell: Shell) -> None:
        (shell.folder / "site.yaml").write_text(SITE + "mode: sometimes\nlisten: here\nmood: good\n")
        (shell.folder / "trackers.yaml").write_text("services: {hotjar: perhaps}\n")
        ended = shell("check")
        assert (ended.code, ended.out) == (1, "")
        places = [line.split(": ")[:2] for line in ended.err.splitlines()]
        assert places == [
            [f"{shell.folder}/site.yaml:5", "mode"],
            [f"{shell.folder}/site.yaml:6", "listen"],
            [f"{shell.folder}/site.yaml:7", "mood"],
            [f"{shell.folder}/trackers.yaml:1", "services.hotjar"],
        ]

    @pytest.mark.parametrize("text", ["", "- a\n- b\n", "site: [", "\0", "just words\n"])
    def test_what_is_no_configuration_is_one_line(self, text: str, shell: Shell) -> None:
        (shell.folder / "site.yaml").write_text(text)
        ended = shell("check")
        assert ended.code == 1
        assert ended.err.startswith(f"{shell.folder}/site.yaml:")
        assert len(ended.err.splitlines()) == 1

    def test_a_missing_folder_is_one_line(self, shell: Shell) -> None:
        shell.folder = shell.folder / "none"
        ended = shell("check")
        assert (ended.code, len(ended.err.splitlines())) == (1, 1)
        assert str(shell.folder) in ended.err

    def test_an_interrupt_is_no_traceback(self, shell: Shell) -> None:
        (shell.folder / "site.yaml").unlink()
        os.mkfifo(shell.folder / "site.yaml")
        # Whoever runs the tests in the background of a script has them ignore the signal, and all that they start.
        heeding = ["env", "--default-signal=INT"]
        command = [*heeding, sys.executable, "-m", "vestibule", "check", "--config", str(shell.folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            writing: list[int] = []

            def reads() -> bool:
                with contextlib.suppress(OSError):  # nobody reads yet
                    writing.append(os.open(shell.folder / "site.yaml", os.O_WRONLY | os.O_NONBLOCK))
                return bool(writing)

            try:
                wait_until(reads, "the check to read")
                process.send_signal(signal.SIGINT)
                os.close(writing.pop())  # a signal in the moment before a read does not interrupt it
                assert process.communicate(timeout=30) == (b"", b"")
            finally:
                process.kill()
                for descriptor in writing:
                    os.close(descriptor)
        assert process.returncode == 130

    def test_explains_every_setting(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VESTIBULE_STORE", "clickhouse://user:hunter2@host:8123/db")
        ended = shell("check", "--explain")
        assert (ended.code, ended.err) == (0, "")
        lines = ended.out.splitlines()
        for setting, origin in (
            ("site.name: example.test", "line 1"),
            ("site.hosts: [example.test, www.example.test]", "line 1"),
            ("cookies.declare.session.purpose: necessary", "line 4"),
            ("store: clickhouse://…host:8123/db", "environment: VESTIBULE_STORE"),
            ("consent.keep_for: 180d", "default"),
            ("limits.body_bytes: 10GiB", "default"),
            ("unknown: block", "line 2"),
            ("services.hotjar: block", "line 6"),
            ("custom.partner-widget.hosts: [widget.partner.example]", "line 8"),
        ):
            assert lines[lines.index(setting) + 1].startswith(f"    {origin}"), setting
        assert "hunter2" not in ended.out
        assert lines[-1] == f"{shell.folder}/: fine"
        meanings = [line for line in lines if line.startswith("    ")]
        assert all(" - " in line for line in meanings)


class TestExplain:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (
                ["https://www.google-analytics.com/g/collect?v=2"],
                ["google-analytics", "statistics", "ask: loads after consent to statistics", "trackers.yaml:4"],
            ),
            (["static.hotjar.com/c/hotjar-1.js"], ["hotjar", "block: never loads", "trackers.yaml:6"]),
            (["https:\\\\STATIC.hotjar.com:443/c/hotjar-1.js"], ["hotjar"]),
            (["https://example.test:8443/app.js"], ["nothing names it"]),
            (["https://example.test:8443/app.js", "--page", "https://example.test:8443/"], ["the site itself"]),
            (["//widget.partner.example/w.js"], ["partner-widget", "marketing", "ask: "]),
            (["https://nobody.example/x.js"], ["nothing names it", "unknown: block", "trackers.yaml:2"]),
            (["/app.js"], ["the site itself", "allow: always loads", "first party"]),
            (["https://cdn.example.test/app.js"], ["the site itself"]),
            (["--cookie", "_ga"], ["google-analytics", "ask: is let through after consent to statistics"]),
            (["--cookie", "session"], ["necessary", "allow: always is let through", "site.yaml:4\n"]),
            (["--cookie", "whatever"], ["block: never is let through", "site.yaml\n"]),
        ],
    )
    def test_names_the_rule_and_its_place(self, arguments: list[str], expected: list[str], shell: Shell) -> None:
        ended = shell("explain", *arguments)
        assert (ended.code, ended.err) == (0, "")
        for words in expected:
            assert words in ended.out

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["https://a.example/", "--cookie", "a"],
            ["mailto:a@b.example"],
            ["https://[::1/"],
            ["http://"],
            ["https://a.example/", "--type", "bananas"],
        ],
    )
    def test_refuses_in_one_line(self, arguments: list[str], shell: Shell) -> None:
        ended = shell("explain", *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith("explain: ")
        assert len(ended.err.splitlines()) == 1

    def test_an_unknown_type_names_those_there_are(self, shell: Shell) -> None:
        ended = shell("explain", "https://a.example/", "--type", "bananas")
        assert ended.err.startswith("explain: --type: must be one of script, style, image, ")
        assert ended.err.endswith("; is 'bananas'\n")


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["vestibule", "--version"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    without = "" if SCANNER else " (without the compiled scanner)"
    assert (ended.value.code or 0, capsys.readouterr().out) == (0, f"vestibule {__version__}{without}\n")


class TestTrackers:
    def test_lists_what_the_file_says(self, shell: Shell) -> None:
        ended = shell("trackers")
        assert ended.code == 0
        assert [line.split()[:2] for line in ended.out.splitlines()] == [
            ["unknown", "block"],
            ["google-analytics", "ask"],
            ["hotjar", "block"],
            ["partner-widget", "ask"],
        ]

    @pytest.mark.parametrize(
        ("name", "state", "old", "new"),
        [
            ("google-analytics", "block", "google-analytics: ask ", "google-analytics: block "),
            ("hotjar", "allow", '"block"', "allow"),
            ("unknown", "ask", "unknown: block ", "unknown: ask "),
            ("partner-widget", "block", "state: ask", "state: block"),
            ("stripe", "allow", '  hotjar: "block"\n', '  hotjar: "block"\n  stripe: allow\n'),
            ("hotjar", "block", "", ""),
        ],
    )
    def test_changes_one_place_and_nothing_else(self, name: str, state: str, old: str, new: str, shell: Shell) -> None:
        path = shell.folder / "trackers.yaml"
        path.chmod(0o640)
        assert shell("trackers", "set", name, state) == Ended(0, f"{name}: {state}\n", "")
        assert path.read_text() == TRACKERS.replace(old, new)
        assert path.stat().st_mode & 0o777 == 0o640
        assert sorted(each.name for each in shell.folder.iterdir()) == ["site.yaml", "trackers.yaml"]

    def test_a_name_that_nothing_has_is_one_line_and_changes_nothing(self, shell: Shell) -> None:
        ended = shell("trackers", "set", "hotjr", "block")
        assert (ended.code, ended.err) == (1, "trackers: no service named hotjr; did you mean hotjar?\n")
        assert (shell.folder / "trackers.yaml").read_text() == TRACKERS

    @pytest.mark.parametrize(
        ("text", "where", "expected"),
        [
            ("", ("unknown",), "unknown: ask\n"),
            ("# only a remark\n", ("unknown",), "# only a remark\nunknown: ask\n"),
            ("unknown: block\n", ("services", "a"), "unknown: block\nservices:\n  a: ask\n"),
            ("services:\n  b: allow", ("services", "a"), "services:\n  b: allow\n  a: ask\n"),
            ("services:\n    b: allow # x\nlists: []\n", ("services", "a"), None),
            ("services: {b: allow}  # x\n", ("services", "b"), "services: {b: ask}  # x\n"),
            ("services: {b: allow}  # x\n", ("services", "a"), "services: {b: allow, a: ask} # x\n"),
            ("custom:\n  b: {purpose: marketing}\n", ("custom", "b", "state"), None),
            ("services:\n  'b': 'allow'\n", ("services", "b"), "services:\n  'b': ask\n"),
            ("services: # none yet\nlists: []\n", ("services", "a"), None),
        ],
    )
    def test_edits_files_of_any_shape(self, text: str, where: tuple[str, ...], expected: str | None) -> None:
        after = edited(text, where, "ask")
        value = YAML(typ="safe").load(after)
        for key in where:
            value = value[key]
        assert value == "ask"
        if expected is not None:
            assert after == expected
        for remark in ("# x", "# none yet", "# only a remark"):
            assert (remark in text) == (remark in after)

    names = st.sampled_from(["a", "b", "c-d", "e2"])
    states = st.sampled_from(["ask", "allow", "block", '"ask"', "'block'"])

    @settings(deadline=None)  # the machine may be busy
    @given(
        entries=st.dictionaries(names, states),
        indent=st.integers(1, 6),
        remark=st.sampled_from(["", "   # why"]),
        name=names,
    )
    def test_changes_exactly_the_wanted_setting(
        self, entries: dict[str, str], indent: int, remark: str, name: str
    ) -> None:
        body = "".join(f"{' ' * indent}{key}: {value}{remark}\n" for key, value in entries.items())
        text = f"unknown: block\nservices:\n{body}lists: []\n"
        before, after = (YAML(typ="safe").load(each) for each in (text, edited(text, ("services", name), "ask")))
        assert after == before | {"services": {**(before["services"] or {}), name: "ask"}}


AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"


def combined(address: str, day: date, path: str, status: int = 200) -> str:
    return f'{address} - - [{day:%d/%b/%Y}:12:00:00 +0000] "GET {path} HTTP/1.1" {status} 5120 "-" "{AGENT}"\n'


def access_log(day: date) -> str:
    """Eight visitors of one page, six of another, two of a third, parts of pages, and a line of something else."""
    lines = [combined(f"203.0.{number}.77", day, "/pricing") for number in range(8)]
    lines += [combined(f"203.0.{number}.77", day, "/docs") for number in range(6)]
    lines += [combined(f"203.0.{number}.77", day, "/for-two") for number in range(2)]
    lines += [combined("203.0.0.77", day, "/style.css"), combined("203.0.0.77", day, "/app.js")]
    return "".join((*lines, "what is this\n"))


class TestStore:
    """Commands that count and ask, with no recorder running: they open the store themselves."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> Callable[..., Ended]:
        folder = tmp_path / "config"
        folder.mkdir()
        (folder / "site.yaml").write_text(f"{SITE}store: chdb://{tmp_path}/store\n")

        def run(*arguments: str, stdin: str = "") -> Ended:
            ended = subprocess.run(
                [sys.executable, "-m", "vestibule", *arguments, "--config", folder, "--state", tmp_path / "state"],
                env={**os.environ, "VESTIBULE_SECRET": "a secret that is long enough"},
                input=stdin,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            return Ended(ended.returncode, ended.stdout, ended.stderr)

        return run

    def test_a_log_is_counted_released_and_leaves_no_person_behind(
        self, run: Callable[..., Ended], tmp_path: Path
    ) -> None:
        day = datetime.now(UTC).date() - timedelta(days=4)
        (tmp_path / "old.log.gz").write_bytes(gzip.compress(access_log(day).encode()))
        imported = run("import", str(tmp_path / "old.log.gz"))
        assert (imported.code, imported.err) == (0, "")
        assert "19 lines (combined): 16 looked at, 2 parts of pages, 1 unreadable" in imported.out
        assert "view 16" in imported.out
        assert f"closed: {day}" in imported.out

        period = ("--from", str(day), "--to", str(day))
        pages = json.loads(run("stats", "breakdown", "--kind", "view", "--by", "page", *period).out)
        assert [(row["value"], row["count"], row["visitors"]) for row in pages["rows"]] == [("/pricing", 8, 8)]
        # Two visitors are too few to be shown, and six more keep them company, or a subtraction would show them.
        assert (pages["rare"]["count"], pages["rare"]["visitors"] >= 5) == (8, True)
        assert pages["provisional"] is False
        agents = ("stats", "breakdown", "--by", "browser", *period)
        assert [row["value"] for row in json.loads(run(*agents, "--level", "name").out)["rows"]] == ["Chrome"]
        assert run(*agents, "--level", "0").out == run(*agents, "--level", "name").out
        days = json.loads(run("stats", "timeseries", "--kind", "view", "--interval", "day", *period).out)
        assert [(point["time"], point["count"]) for point in days["points"]] == [(str(day), 16)]

        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".gz")
        for personal in (b"203.0.7.77", AGENT.encode(), AGENT.encode()[:40]):
            assert personal not in kept
        assert run("close-day", str(day)) == Ended(0, "no day is to be closed\n", "")

    def test_users_come_and_go(self, run: Callable[..., Ended]) -> None:
        assert run("users", "add", "anna", "--role", "officer", stdin="correct horse battery\n").code == 0
        assert run("users", "list") == Ended(0, "anna  officer\n", "")
        assert run("users", "remove", "anna") == Ended(0, "anna is removed\n", "")
        assert run("users", "remove", "anna") == Ended(1, "", "users: there is no user named anna\n")

    def test_a_store_that_is_away_is_one_line(self, run: Callable[..., Ended], tmp_path: Path) -> None:
        away = "clickhouse://somebody@127.0.0.1:9/counts"
        (tmp_path / "config" / "site.yaml").write_text(f"{SITE}store: {away}\n")
        ended = run("users", "list")
        assert ended == Ended(1, "", "store: 127.0.0.1:9 does not answer: connection refused\n")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["stats", "breakdown", "--by", "shoe-size"], "--by: must be one of page, "),
            (["stats", "breakdown", "--by", "page", "--kind", "vue"], "--kind: must be one of view, "),
            (["stats", "breakdown", "--by", "page", "--from", "May"], "--from: must be a day such as "),
            (["stats", "breakdown", "--by", "page", "--kind", "asked"], "--kind: asked has no dimensions; "),
            (["stats", "timeseries", "--kind", "asked", "--where", "country:DE"], "--kind: asked has no dimensions; "),
            (
                ["stats", "breakdown", "--by", "referrer", "--level", "x"],
                "--level: must be a number from 0 to 3, or one",
            ),
            (["stats", "breakdown", "--by", "page", "--level", "source"], "--level: must be a number from 0 to 3; is "),
            (
                ["stats", "breakdown", "--by", "page", "--level", "0", "--where", "country:DE"],
                "--level: can't be asked together with --where",
            ),
            (["stats", "timeseries", "--kind", "nope"], "--kind: must be one of view, "),
            (["stats", "timeseries", "--where", "DE"], "--where: is DIMENSION:VALUE"),
            (["stats", "timeseries", "--from", "2026-02-02", "--to", "2026-02-01"], "--from: 2026-02-02 is after"),
            (["import", "no-such.log"], "import: no-such.log is no file"),
            (["import", __file__, "--format", "odd"], "import: --format: must be one of combined, "),
            (["users", "add", "a b"], "users: a name has 1 to 64"),
        ],
    )
    def test_what_makes_no_sense_is_one_line(
        self, arguments: list[str], message: str, shell: Shell, tmp_path: Path
    ) -> None:
        ended = shell(*arguments, "--state", str(tmp_path / "state"))
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith(message)
        assert len(ended.err.splitlines()) == 1


class TestRewrite:
    PAGE = (
        b"<!doctype html><html><head><title>A</title></head><body><p>\xc3\xa4</p>"
        b'<script src="https://www.google-analytics.com/analytics.js"></script>'
        b'<img src="https://nobody.example/p.gif"></body></html>'
    )

    def rewrite(self, shell: Shell, consent: str) -> tuple[str, dict[str, Any]]:
        file = shell.folder.parent / "page.html"
        file.write_bytes(self.PAGE)
        ended = shell("rewrite", str(file), "--page", "https://example.test/a?b=c", "--consent", consent)
        assert ended.code == 0, ended.err
        return ended.out, json.loads(ended.err)

    def test_shows_what_each_visitor_receives(self, shell: Shell) -> None:
        before, summary = self.rewrite(shell, "none")
        assert 'src="https://www.google-analytics.com' not in before.replace("data-vestibule-src", "")
        assert {held["service"] for held in summary["held"]} == {"google-analytics", "unknown:nobody.example"}
        assert "google-analytics" not in summary["content-security-policy"]
        assert 'id="vestibule"' in before

        after, summary = self.rewrite(shell, "statistics")
        assert '<script src="https://www.google-analytics.com/analytics.js"></script>' in after
        assert {held["service"] for held in summary["held"]} == {"unknown:nobody.example"}
        assert "google-analytics" in summary["content-security-policy"]
        assert 'id="vestibule"' not in after

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--page", "https://elsewhere.test/"], "--page: elsewhere.test is not among site.hosts"),
            (["--page", "/a"], "--page: must be an address such as https://example.test/"),
            (["--page", "https://example.test/", "--consent", "some"], "--consent: must be none, all, or some of"),
        ],
    )
    def test_refuses_in_one_line(self, arguments: list[str], message: str, shell: Shell) -> None:
        ended = shell("rewrite", __file__, *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith(message)
        assert len(ended.err.splitlines()) == 1

    def test_a_missing_file_is_one_line(self, shell: Shell) -> None:
        ended = shell("rewrite", "no-such.html", "--page", "https://example.test/")
        assert (ended.code, ended.err) == (1, "rewrite: no-such.html cannot be read: No such file or directory\n")


class TestLightness:
    """Commands that only read the configuration never load the store, an engine or a server."""

    ENGINES = frozenset(
        {"chdb", "clickhouse_connect", "numpy", "pandas", "starlette", "uvicorn", "rich", "vestibule.store", "ssl"}
    )
    MODELS = frozenset({"pydantic", "pydantic_core", "ruamel.yaml", "vestibule.config", "vestibule.catalogue"})
    # What a plain check has no use for, in the order of what each takes to load.
    NEEDLESS = frozenset(
        {
            "typer", "asyncio", "vestibule.core.trackers", "vestibule.core.filters", "vestibule.core.urls", "idna",
            "re2", "vestibule.core.consent", "itsdangerous", "vestibule.assets", "publicsuffixlist", "difflib",
            "jinja2", "httpx", "logging", "sqlite3", "httptools", "vestibule.scan", "vestibule.cli.app",
            "vestibule.cli.explaining", "vestibule.catalogue.blocks", "vestibule.config.filtering", "json",
        }
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("arguments", "unwanted"),
        [
            ([], ENGINES | MODELS),
            (["--help"], ENGINES | MODELS),
            (["--version"], ENGINES | MODELS),
            (["check"], ENGINES | NEEDLESS),
            (["check", "--explain"], ENGINES | {"asyncio", "sqlite3", "httptools", "vestibule.scan"}),
            (["explain", "https://a.example/"], ENGINES),
            (["trackers"], ENGINES),
        ],
    )
    def test_loads_no_engine(self, arguments: list[str], unwanted: frozenset[str], shell: Shell) -> None:
        code = (
            "import atexit, sys; atexit.register(lambda: print('LOADED', *sys.modules));"
            "from vestibule.cli import main; main()"
        )
        plain = unwanted >= self.MODELS
        command = [sys.executable, "-c", code, *arguments, *([] if plain else ["--config", str(shell.folder)])]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == (0 if arguments else 2), ended.stderr
        loaded = set(ended.stdout.rpartition("LOADED ")[2].split())
        assert "vestibule.cli" in loaded
        assert sorted(unwanted & loaded) == []

    @pytest.mark.parametrize(
        ("arguments", "folder"),
        [
            ("check", "config"),
            ("check --config a", "a"),
            ("check --config=a --state b", "a"),
            ("check --state=b --config a --config c", "c"),
            ("check --explain", None),
            ("check --config", None),
            ("check --config=", None),
            ("check --config -x", None),
            ("check --conf a", None),
            ("check a", None),
            ("check --help", None),
            ("chec --config a", None),
            ("", None),
        ],
    )
    def test_a_plain_check_is_read_without_typer(self, arguments: str, folder: str | None) -> None:
        assert plain_check(arguments.split()) == (None if folder is None else Path(folder))

    @pytest.mark.parametrize("broken", [False, True])
    def test_a_plain_check_answers_as_typer_has_it(
        self, broken: bool, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if broken:
            (shell.folder / "site.yaml").write_text("site: [\n", encoding="utf-8")
        plain = shell("check")
        monkeypatch.setattr("vestibule.cli.plain_check", lambda _arguments: None)
        assert shell("check") == plain
        assert plain.code == int(broken)

    def test_builds_the_command_that_is_called_and_no_other(self, shell: Shell) -> None:
        known = {
            command.name or command.callback.__name__ for command in commands.registered_commands if command.callback
        }
        assert {"check", "import", "close-day", "verify-receipt", "serve"} <= known
        for name in known:
            assert len(with_command(name).registered_commands) == 1
        for name in ("", "trackers", "stats", "chekc", "--help", "import_"):
            assert with_command(name) is commands
        assert "Did you mean" in shell("chekc").err or "No such command" in shell("chekc").err
