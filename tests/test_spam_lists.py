"""Lists of spam referrers from the file to the visit that is dropped: read, refused with line, watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sites import SITE_YAML
from tests.test_config import problems, written
from tests.test_lists import changed
from tests.test_referrers import CORPUS, needs_corpus
from tests.test_sites import SHOP
from tests.test_sites import written as with_sites
from vestibule import config
from vestibule.config import lists, load, spam
from vestibule.core.errors import ConfigError
from vestibule.core.visit import Drop, Hit, facts
from vestibule.counting.composing import plan_of
from vestibule.live import Live
from vestibule.recorder.lookups import Tables

ANALYTICS = "analytics: {spam: [www.single.example], spam_lists: [spam.txt, more/list.txt]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "config"
    (made / "more").mkdir(parents=True)
    (tmp_path / "state").mkdir()
    written(made, SITE_YAML + ANALYTICS)
    (made / "spam.txt").write_bytes("\ufeff# ours\r\nWWW.Shouting.Example\r\n\r\nbücher.example # books\r\n".encode())
    (made / "more" / "list.txt").write_text("listed.example\n", encoding="utf-8")
    return made


@pytest.mark.parametrize(
    ("referrer", "dropped"),
    [
        ("https://single.example/", True),
        ("https://shouting.example/", True),
        ("https://xn--bcher-kva.example/", True),
        ("https://deep.below.listed.example/a?b=c", True),
        ("https://unlisted.example/", False),
        ("https://example/", False),
        ("", False),
    ],
)
def test_what_lists_name_is_dropped(folder: Path, referrer: str, dropped: bool) -> None:
    settings, lookups = plan_of(load(folder, {}), "key").settings, Tables()
    _, drop = facts(Hit("relaso.com", 0.0, path="/", agent="", referrer=referrer), settings, lookups)
    assert (drop is Drop.SPAM) is dropped
    lookups.close()


@needs_corpus
def test_all_of_a_published_list_is_dropped(folder: Path) -> None:
    published = (CORPUS / "referrers/spammers.txt").read_text(encoding="utf-8")
    (folder / "more" / "list.txt").write_text(published, encoding="utf-8")
    settings, lookups = plan_of(load(folder, {}), "key").settings, Tables()
    for host in published.split():
        _, drop = facts(Hit("relaso.com", 0.0, path="/", referrer=f"http://sub.{host}/x"), settings, lookups)
        assert drop is Drop.SPAM, host
    lookups.close()


def test_what_cannot_be_read_is_a_problem_with_its_line(folder: Path) -> None:
    (folder / "spam.txt").write_bytes(b"fine.example\nhttps://a.example/\n127.0.0.1 b.example\ngr\xfcn.example\n")
    host = "analytics.spam_lists: must be a host name such as www.example.com, without scheme, port or path"
    assert problems(folder) == [
        f"spam.txt:2: {host}; is 'https://a.example/'",
        f"spam.txt:3: {host}; is '127.0.0.1 b.example'",
        "spam.txt:4: analytics.spam_lists: is not UTF-8 text",
    ]


def test_of_many_bad_lines_only_some_are_told(folder: Path) -> None:
    (folder / "spam.txt").write_text("no host\n" * 500, encoding="utf-8")
    found = problems(folder)
    assert len(found) == lists.MOST_SHOWN + 1
    assert found[-1] == "spam.txt:500: analytics.spam_lists: and 490 more lines that cannot be read"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere.txt", "no such file: nowhere.txt"),
        ("../spam.txt", "must be a file in the configuration folder, such as lists/own.txt; is '../spam.txt'"),
        ("list.yaml", "must be a file in the configuration folder, such as lists/own.txt; is 'list.yaml'"),
    ],
)
def test_a_list_that_is_not_there(folder: Path, name: str, problem: str) -> None:
    (folder / "site.yaml").write_text(f"{SITE_YAML}analytics:\n  spam_lists:\n    - {name}\n", encoding="utf-8")
    line = SITE_YAML.count("\n") + 3
    assert problems(folder) == [f"site.yaml:{line}: analytics.spam_lists.0: {problem}"]


def test_a_huge_list_is_refused_unread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spam, "MAX_SPAM", 20)
    assert [found.partition(": ")[2] for found in problems(folder)] == [
        "analytics.spam_lists.0: is larger than 20 bytes: spam.txt"
    ]


def test_a_changed_list_is_live_and_a_broken_one_changes_nothing(folder: Path, tmp_path: Path) -> None:
    live = Live(folder, {}, tmp_path / "state", keeps=True)
    first = live.first()
    assert "listed.example" in first.spam
    assert not changed(live)
    (folder / "more" / "list.txt").write_text("other.example\n", encoding="utf-8")
    assert changed(live)
    second = live.reload()
    assert second.revision != first.revision
    assert "other.example" in second.spam
    assert "listed.example" not in second.spam
    (folder / "more" / "list.txt").write_text("no host\n", encoding="utf-8")
    assert changed(live)
    with pytest.raises(ConfigError):
        live.reload()
    assert [problem.setting for problem in live.problems] == ["analytics.spam_lists"]


def test_lists_are_read_from_where_they_are_named(tmp_path: Path) -> None:
    own = SHOP + "analytics: {spam_lists: [own.txt]}\n"
    folder = with_sites(tmp_path, shop=own, blog=SHOP.replace("shop", "blog"))
    above = folder / "site.yaml"
    above.write_text(above.read_text(encoding="utf-8") + "analytics: {spam_lists: [all.txt]}\n", encoding="utf-8")
    (folder / "all.txt").write_text("all.example\n", encoding="utf-8")
    (folder / "sites" / "shop" / "own.txt").write_text("own.example\n", encoding="utf-8")
    found = config.load(folder, {})
    assert [set(each.spam) for each in (found, *found.sites)] == [{"all.example"}, {"all.example"}, {"own.example"}]
    assert set(config.list_files(folder)) == {"all.txt", "sites/shop/own.txt"}
    assert found.sites[0].spam is found.spam, "an inherited list is read and held once"


def test_a_site_may_name_no_list_where_the_one_above_does(tmp_path: Path) -> None:
    folder = with_sites(tmp_path, shop=SHOP + "analytics: {spam_lists: []}\n")
    above = folder / "site.yaml"
    above.write_text(above.read_text(encoding="utf-8") + "analytics: {spam_lists: [all.txt]}\n", encoding="utf-8")
    (folder / "all.txt").write_text("all.example\n", encoding="utf-8")
    found = config.load(folder, {})
    assert [set(each.spam) for each in (found, *found.sites)] == [{"all.example"}, set()]


@pytest.mark.parametrize("name", ["spam_lists", '"spam_lists"', '"spam\\x5flists"'])
def test_a_list_is_watched_however_its_setting_is_written(folder: Path, name: str) -> None:
    (folder / "site.yaml").write_text(f"{SITE_YAML}analytics:\n  {name}: [spam.txt]\n", encoding="utf-8")
    assert "xn--bcher-kva.example" in load(folder, {}).spam
    assert config.list_files(folder) == ("spam.txt",)


def test_what_names_no_list_is_not_parsed_for_any(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "site.yaml").write_text(SITE_YAML, encoding="utf-8")
    monkeypatch.delattr(config, "read")
    assert config.list_files(folder) == ()
