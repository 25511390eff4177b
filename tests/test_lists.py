"""Block lists from the file to the verdict: read, refused with line, watched, kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.sites import SITE_YAML, front
from tests.test_config import problems, written
from vestibule import config
from vestibule.config import filtering, lists, load
from vestibule.core.consent import State
from vestibule.core.errors import ConfigError
from vestibule.live import KEPT, Live
from vestibule.privacy.policy import build_rules

TRACKERS = "unknown: allow\nservices: {google-analytics: allow}\nlists: [own.txt, more/easy.txt]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "config"
    (made / "more").mkdir(parents=True)
    (tmp_path / "state").mkdir()
    written(made, SITE_YAML, TRACKERS)
    (made / "own.txt").write_bytes("\ufeff! mine\r\n||listed.example^$third-party\r\n".encode())
    (made / "more" / "easy.txt").write_text("/pixel.gif?\n@@||listed.example/fine/\n/t\\d\\.js$/\n", encoding="utf-8")
    return made


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filtering, "re2", None)


def test_what_a_list_names_is_closed_even_where_the_unknown_passes(folder: Path) -> None:
    rules = build_rules(load(folder, {}))
    verdict = rules.decide("x.listed.example", "/a.js")
    assert (verdict.state, verdict.rule) == (State.BLOCK, "own.txt:2: ||listed.example^$third-party")
    assert rules.decide("x.listed.example:8443", "/a.js").state is State.BLOCK
    assert rules.decide("listed.example", "/fine/a.js").state is State.ALLOW, "lists are one: the other's exception"
    assert rules.decide("unheard.example", "/a.js").state is State.ALLOW
    assert rules.decide("unheard.example", "/pixel.gif?1").rule == "more/easy.txt:1: /pixel.gif?"
    assert rules.decide("relaso.com", "/pixel.gif?1").state is State.BLOCK, "the site's own paths, too"
    assert rules.decide("www.google-analytics.com", "/pixel.gif?1").state is State.ALLOW, "services have states"


@pytest.mark.parametrize(
    ("path", "destination", "status"),
    [
        ("/echo?pixel=1", "empty", 204),
        ("/echo?pixel=1", "image", 204),
        ("/echo?pixel=1", "iframe", 204),
        ("/echo?pixel=1", "document", 200),
        ("/echo?pixel=1", "", 200),
        ("/echo?other=1", "image", 200),
    ],
)
def test_the_sites_own_paths_are_closed_to_its_scripts_and_never_to_visitors(
    folder: Path, path: str, destination: str, status: int
) -> None:
    (folder / "own.txt").write_text("/echo?pixel=\n", encoding="utf-8")
    with front("middleware", load(folder, {}), folder / "state") as running:
        assert running.ask(path, ("Sec-Fetch-Dest", destination)).status == status


def test_expressions_are_searched_in_linear_time(folder: Path) -> None:
    pytest.importorskip("re2", reason='needs the extra "lists"')
    (folder / "own.txt").write_text("/(a+)+$/\n/Ad$/$match-case\n", encoding="utf-8")
    rules = build_rules(load(folder, {}))
    assert rules.decide("x.example", "/t1.js").rule == "more/easy.txt:3: /t\\d\\.js$/"
    assert rules.decide("x.example", "/" + "a" * 5000 + "!").state is State.ALLOW
    assert rules.decide("x.example", "/ad").state is State.ALLOW
    assert rules.decide("x.example", "/Ad").state is State.BLOCK


def test_without_the_extra_there_is_one_clear_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch)
    (folder / "own.txt").write_text("||listed.example^\n/a/\n/b/\n", encoding="utf-8")
    needs = 'has regular expressions, for which the extra "lists" is needed: pip install "vestibule[lists]"'
    assert problems(folder) == [f"more/easy.txt:3: lists: {needs}", f"own.txt:2: lists: {needs}"]


def test_a_list_without_expressions_needs_no_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch)
    (folder / "more" / "easy.txt").write_text("/pixel.gif?\n", encoding="utf-8")
    assert build_rules(load(folder, {})).decide("listed.example", "/").state is State.BLOCK


def test_what_cannot_be_read_is_a_problem_with_its_line(folder: Path) -> None:
    pytest.importorskip("re2", reason='needs the extra "lists"')
    (folder / "own.txt").write_bytes(b"||a.example^\n0.0.0.0 b.example\n||gr\xfcn.example^\n/(?=x)y/\n*\n")
    assert problems(folder) == [
        "own.txt:2: lists: has a space or a control character in its address; is this a list of hosts?",
        "own.txt:3: lists: is not UTF-8 text",
        "own.txt:4: lists: has a regular expression that cannot be read: invalid perl operator: (?=",
        "own.txt:5: lists: names every address",
    ]


def test_of_many_bad_lines_only_some_are_told(folder: Path) -> None:
    (folder / "own.txt").write_text("0.0.0.0 b.example\n" * 500, encoding="utf-8")
    found = problems(folder)
    assert len(found) == lists.MOST_SHOWN + 1
    assert found[-1] == "own.txt:500: lists: and 490 more lines that cannot be read"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere.txt", "no such file: nowhere.txt"),
        ("more", "no such file: more"),
        ("/etc/hosts", "must be a file in the configuration folder, such as lists/own.txt; is '/etc/hosts'"),
        ("../own.txt", "must be a file in the configuration folder, such as lists/own.txt; is '../own.txt'"),
        ("list.yaml", "must be a file in the configuration folder, such as lists/own.txt; is 'list.yaml'"),
        ("''", "must be a file in the configuration folder, such as lists/own.txt; is ''"),
    ],
)
def test_a_list_that_is_not_there(folder: Path, name: str, problem: str) -> None:
    (folder / "trackers.yaml").write_text(f"unknown: block\nlists:\n  - own.txt\n  - {name}\n", encoding="utf-8")
    assert problems(folder) == [f"trackers.yaml:4: lists.1: {problem}"]


def test_a_huge_list_is_refused_unread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_LIST", 20)
    assert problems(folder)[0] == "trackers.yaml:3: lists.0: is larger than 20 bytes: own.txt"


def test_a_change_in_a_list_changes_the_revision(folder: Path) -> None:
    before = load(folder, {}).revision
    assert load(folder, {}).revision == before
    (folder / "own.txt").write_text("||other.example^\n", encoding="utf-8")
    assert load(folder, {}).revision != before


def changed(live: Live) -> bool:
    """Two looks, as it takes."""
    return live.changed() or live.changed()


def test_a_changed_list_is_live(folder: Path, tmp_path: Path) -> None:
    live = Live(folder, {}, tmp_path / "state", keeps=True)
    first = live.first()
    assert not changed(live)
    (folder / "own.txt").write_text("||other.example^\n", encoding="utf-8")
    assert changed(live)
    assert live.reload().revision != first.revision
    assert not changed(live)
    (folder / "notes.txt").write_text("no list", encoding="utf-8")
    assert not changed(live)


def test_a_broken_list_changes_nothing_until_it_is_mended(folder: Path, tmp_path: Path) -> None:
    live = Live(folder, {}, tmp_path / "state", keeps=True)
    first = live.first()
    (folder / "own.txt").unlink()
    assert changed(live)
    with pytest.raises(ConfigError):
        live.reload()
    assert [problem.setting for problem in live.problems] == ["lists.0"]
    assert not changed(live)

    again = Live(folder, {}, tmp_path / "state")
    assert again.first(again=True).revision == first.revision, "the kept copy has its lists"
    assert (tmp_path / "state" / KEPT / "more" / "easy.txt").is_file()

    (folder / "own.txt").write_text("||other.example^\n", encoding="utf-8")
    assert changed(live)
    live.reload()
    assert live.problems == ()


def test_a_list_that_is_named_anew_is_watched(folder: Path, tmp_path: Path) -> None:
    live = Live(folder, {}, tmp_path / "state")
    live.first()
    (folder / "third.txt").write_text("||a.example^\n", encoding="utf-8")
    (folder / "trackers.yaml").write_text(TRACKERS.replace("own.txt", "third.txt"), encoding="utf-8")
    assert changed(live)
    live.reload()
    status = (folder / "third.txt").stat()
    os.utime(folder / "third.txt", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert changed(live)
    assert config.list_files(folder) == ("third.txt", "more/easy.txt")


def test_the_engine_for_expressions_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    monkeypatch.delitem(sys.modules, "vestibule.config.filtering")
    monkeypatch.setattr(config, "filtering", filtering)  # put back afterwards
    import importlib

    assert importlib.import_module("vestibule.config.filtering").re2 is None
