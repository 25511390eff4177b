"""Several sites in one instance: ``sites/NAME/``, from the folder to what visitors get and what is counted."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.commands import in_this_process
from tests.servers import ROOT, serve_asgi, wait_until
from tests.services import SECRET, Service, service
from tests.test_recorder import NOON, Clock, Site, views
from vestibule import config, link
from vestibule.access import SITE
from vestibule.cli.checking import explained
from vestibule.config import Config, editing
from vestibule.core.consent import State
from vestibule.core.errors import ConfigError, LinkError, VestibuleError
from vestibule.core.sign_in import Keeper
from vestibule.counting.counting import Counting
from vestibule.link import Delivery
from vestibule.live import Follower, Live
from vestibule.middleware import ConsentMiddleware
from vestibule.privacy.policy import SitePolicy, build_rules
from vestibule.recorder.lookups import Tables
from vestibule.recorder.service import Recorder
from vestibule.recorder.sites import Sites
from vestibule.recorder.spool import Spool, SpoolError
from vestibule.recorder.storing import StoreThread
from vestibule.store import Store

FIRST = """\
site: {name: first.test, hosts: [first.test], first_party: [cdn.test], upstream: "http://[::1]", timezone: Asia/Tokyo}
policy: {revision: one, url: /privacy, contact: first@first.test}
cookies: {declare: {session: {purpose: necessary}}}
banner: {texts: {en: {banner: {title: Ours}}}}
store: chdb:///nowhere
limits: {page_bytes: 5000}
"""
SHARING = FIRST.replace("declare:", "domain: first.test, declare:")
TRACKERS = """\
unknown: block
services: {google-analytics: ask, hotjar: block}
custom: {mine: {hosts: [mine.example], purpose: marketing}}
"""
SHOP = "site: {name: shop.test, hosts: [shop.test, www.shop.test], upstream: 'http://[::1]'}\n"


def written(folder: Path, **sites: Mapping[str, str] | str) -> Path:
    """A configuration with further sites: the text of each one's site.yaml, or of its files by name."""
    folder.mkdir(exist_ok=True)
    (folder / "site.yaml").write_text(FIRST)
    (folder / "trackers.yaml").write_text(TRACKERS)
    for name, files in sites.items():
        place = folder / "sites" / name
        place.mkdir(parents=True, exist_ok=True)
        for file, text in ({"site": files} if isinstance(files, str) else files).items():
            (place / f"{file}.yaml").write_text(text)
    return folder


def problems(folder: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.load(folder, environ or {})
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


# What a folder says


class TestFolder:
    def test_what_a_site_leaves_out_is_as_above(self, tmp_path: Path) -> None:
        found = config.load(written(tmp_path, shop=SHOP), {})
        (shop,) = found.sites
        assert (found.profile, shop.profile, shop.site.hosts) == ("", "shop", ("shop.test", "www.shop.test"))
        assert shop.site.timezone == "Asia/Tokyo"
        assert shop.policy == found.policy
        assert shop.banner.texts == found.banner.texts
        assert shop.limits == found.limits
        assert shop.trackers == found.trackers
        assert found.everyone == (found, shop)

    def test_what_makes_a_site_that_site_is_its_own(self, tmp_path: Path) -> None:
        folder = written(tmp_path, shop=SHOP)
        (folder / "site.yaml").write_text(SHARING)
        (shop,) = config.load(folder, {}).sites
        assert shop.site.first_party == ()
        assert shop.cookies.domain is None
        assert "session" in shop.cookies.declare_

    def test_single_settings_and_services_are_laid_over(self, tmp_path: Path) -> None:
        site = SHOP + "policy: {revision: two}\nbanner: {texts: {en: {banner: {text: Theirs}}}}\n"
        trackers = "services: {hotjar: ask}\ncustom: {mine: {state: block}}\n"
        found = config.load(written(tmp_path, shop={"site": site, "trackers": trackers}), {})
        (shop,) = found.sites
        assert (shop.policy.revision, shop.policy.url, shop.policy.contact) == ("two", "/privacy", "first@first.test")
        assert shop.banner.texts == {"en": {"banner": {"title": "Ours", "text": "Theirs"}}}
        assert shop.trackers.services == {"google-analytics": State.ASK, "hotjar": State.ASK}
        assert (shop.trackers.custom["mine"].state, shop.trackers.custom["mine"].hosts) == (
            State.BLOCK,
            ("mine.example",),
        )
        assert found.trackers.services["hotjar"] is State.BLOCK

    def test_a_rule_says_which_file_it_is_written_in(self, tmp_path: Path) -> None:
        folder = written(tmp_path, shop={"site": SHOP, "trackers": "services:\n  hotjar: ask\n"})
        (shop,) = config.load(folder, {}).sites
        rules = build_rules(shop)
        assert rules.decide("static.hotjar.com", "/x.js", "script").source == "sites/shop/trackers.yaml:2"
        assert rules.decide("www.google-analytics.com", "/x.js", "script").source == "trackers.yaml:2"

    def test_block_lists_are_read_from_where_they_are_named(self, tmp_path: Path) -> None:
        folder = written(
            tmp_path, shop={"site": SHOP, "trackers": "lists: [own.txt]\n"}, blog=SHOP.replace("shop", "blog")
        )
        (folder / "trackers.yaml").write_text(TRACKERS + "lists: [all.txt]\n")
        (folder / "all.txt").write_text("||all.example^\n")
        (folder / "sites" / "shop" / "own.txt").write_text("||own.example^\n")
        found = config.load(folder, {})
        blog, shop = found.sites
        hosts = [[rule.where for rule in each.filters] for each in (found, blog, shop)]
        assert hosts == [["all.txt:1"], ["all.txt:1"], ["sites/shop/own.txt:1"]]
        assert set(config.list_files(folder)) == {"all.txt", "sites/shop/own.txt"}

    def test_an_inherited_list_is_held_once_but_for_what_names_sites(self, tmp_path: Path) -> None:
        folder = written(tmp_path, shop=SHOP, blog=SHOP.replace("shop", "blog"))
        (folder / "trackers.yaml").write_text("unknown: allow\nlists: [all.txt]\n")
        lines = [
            "||all.example^",
            "/ad.$domain=first.test",
            "/ad.$domain=shop.test",
            "",
            "/every/$script",
            "a b$domain=~x",
        ]
        (folder / "all.txt").write_text("\n".join(lines[:5]))
        found = config.load(folder, {})
        told = [[each.text for each in site.filters] for site in found.everyone]
        every = {lines[0], lines[4]}
        assert [set(texts) for texts in told] == [{*every, lines[1]}, every, {*every, lines[2]}]
        assert [sorted(texts, key=lines.index) for texts in told] == told, "in the order of the list"
        shared = [{id(each) for each in site.filters if each.text in every} for site in found.everyone]
        assert shared[0] == shared[1] == shared[2]
        (folder / "all.txt").write_text("\n".join(lines))
        assert problems(folder) == [
            "all.txt:6: lists: has a space or a control character in its address; is this a list of hosts?"
        ]

    def test_each_site_has_a_revision(self, tmp_path: Path) -> None:
        before = config.load(written(tmp_path, shop=SHOP), {})
        after = config.load(written(tmp_path, shop=SHOP + "mode: observe\n"), {})
        assert before.revision == after.revision
        assert before.sites[0].revision != after.sites[0].revision
        assert before.revisions != after.revisions

    @pytest.mark.parametrize(
        ("sites", "where", "message"),
        [
            (
                {"shop": SHOP + "listen: 127.0.0.1:9\n"},
                "site.yaml:2: listen",
                "holds for all sites; set it in site.yaml",
            ),
            ({"shop": SHOP + "consent:\n  prove_for: 1y\n"}, "site.yaml:3: consent.prove_for", "holds for all sites"),
            ({"shop": SHOP + "mode: never\n"}, "site.yaml:2: mode", "must be one of enforce, observe; is 'never'"),
            ({"shop": SHOP + "mood: good\n"}, "site.yaml:2: mood", "unknown setting; did you mean mode?"),
            ({"shop": "mode: observe\n"}, "site.yaml:1: site.name", "is missing"),
            ({"shop": {"trackers": "unknown: ask\n"}}, "site.yaml:0: site", "no such file"),
            ({"shop": {"site": SHOP, "tracker": ""}}, "tracker.yaml:0: tracker.yaml", "unknown file; did you mean"),
            (
                {"shop": {"site": SHOP, "trackers": "services:\n  hotja: ask\n"}},
                "trackers.yaml:2: services.hotja",
                "no service of this name in the catalogue; did you mean hotjar?",
            ),
            (
                {"shop": SHOP + "cookies: {domain: first.test}\n"},
                "site.yaml:2: cookies.domain",
                "none of site.hosts is first.test or below it",
            ),
            (
                {"shop": SHOP.replace("shop.test,", "first.test,", 1)},
                "site.yaml:1: site.name",
                "is the name of the folder above already, and all is kept by it",
            ),
            (
                {"blog": SHOP.replace("name: shop", "name: blog"), "shop": SHOP},
                "site.yaml:1: site.hosts.1",
                "www.shop.test is a host of sites/blog already",
            ),
        ],
    )
    def test_problems_are_told_where_they_are(
        self, sites: dict[str, Mapping[str, str] | str], where: str, message: str, tmp_path: Path
    ) -> None:
        found = problems(written(tmp_path, **sites))
        assert any(each.startswith(f"sites/shop/{where}: {message}") for each in found), found

    def test_a_folder_of_another_name_is_a_problem(self, tmp_path: Path) -> None:
        message = "a site's folder is named by up to 32 lower-case letters, digits and hyphens"
        assert f"sites/Shop:0: sites.Shop: {message}" in problems(written(tmp_path, Shop=SHOP))

    def test_two_may_not_share_the_choice_over_one_domain(self, tmp_path: Path) -> None:
        shop = SHOP.replace("shop.test,", "shop.first.test,", 1).replace("shop.test, www.shop.test", "shop.first.test")
        folder = written(tmp_path, shop=shop + "cookies:\n  domain: first.test\n")
        (folder / "site.yaml").write_text(SHARING)
        found = problems(folder)
        assert found == [
            "sites/shop/site.yaml:3: cookies.domain: first.test is shared over by the folder above already:"
            " each would overwrite the other's choice"
        ]

    def test_a_file_in_place_of_a_folder_is_a_problem(self, tmp_path: Path) -> None:
        written(tmp_path, shop=SHOP)
        (tmp_path / "sites" / "blog.yaml").write_text(SHOP)
        assert problems(tmp_path) == [
            "sites/blog.yaml:0: blog.yaml: unknown file; a site is a folder: sites/blog/site.yaml"
        ]

    def test_what_is_wrong_above_is_told_once(self, tmp_path: Path) -> None:
        folder = written(tmp_path, shop=SHOP, blog=SHOP.replace("shop", "blog"))
        (folder / "site.yaml").write_text(FIRST.replace("revision: one", "revision: one, uri: /x"))
        assert problems(folder) == ["site.yaml:2: policy.uri: unknown setting; did you mean url?"]

    def test_the_environment_reaches_each_site(self, tmp_path: Path) -> None:
        folder = written(tmp_path, **{"my-shop": SHOP})
        environ = {"VESTIBULE_SITES__MY_SHOP__SITE__UPSTREAM": "http://127.0.0.1:4000", "VESTIBULE_MODE": "observe"}
        found = config.load(folder, environ)
        assert found.sites[0].site.upstream == "http://127.0.0.1:4000"
        assert (found.mode, found.sites[0].mode) == ("observe", "observe")
        assert found.site.upstream == "http://[::1]"
        environ = {"VESTIBULE_SITES__MY_SHOPS__MODE": "observe", "VESTIBULE_SITES__MY_SHOP__MODE": "never"}
        assert problems(folder, environ) == [
            "environment:0: VESTIBULE_SITES__MY_SHOPS__MODE: no site of this name; did you mean my-shop?",
            "environment:0: VESTIBULE_SITES__MY_SHOP__MODE: must be one of enforce, observe; is 'never'",
        ]

    @pytest.mark.parametrize("name", ["shop", "shop.test", "www.shop.test"])
    def test_a_site_is_picked_by_folder_name_or_host(self, name: str, tmp_path: Path) -> None:
        found = config.load(written(tmp_path, shop=SHOP), {})
        assert config.pick(found, name).profile == "shop"
        assert config.pick(found, "") is found

    def test_a_name_of_none_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(VestibuleError, match=r"^--site: there is no site named else; there are first.test, shop$"):
            config.pick(config.load(written(tmp_path, shop=SHOP), {}), "else")

    def test_setting_a_tracker_changes_the_sites_own_file(self, tmp_path: Path) -> None:
        folder = written(tmp_path, shop=SHOP)
        editing.change(folder, "hotjar", "ask", {}, site="shop")
        editing.change(folder, "mine", "block", {}, site="shop")
        own = folder / "sites" / "shop" / "trackers.yaml"
        assert own.read_text() == "services:\n  hotjar: ask\ncustom:\n  mine:\n    state: block\n"
        assert (folder / "trackers.yaml").read_text() == TRACKERS
        found = config.load(folder, {})
        assert found.trackers.services["hotjar"] is State.BLOCK
        assert found.sites[0].trackers.services["hotjar"] is State.ASK
        assert found.sites[0].trackers.custom["mine"].state is State.BLOCK

    def test_every_setting_tells_where_it_is_written(self, tmp_path: Path) -> None:
        folder = written(tmp_path, shop={"site": SHOP + "mode: observe\n", "trackers": "unknown: ask\n"})
        environ = {"VESTIBULE_CSP": "report"}
        lines = list(explained(config.load(folder, environ), folder, environ))
        own = lines[lines.index(f"# {folder}/sites/shop/site.yaml") :]
        origins = {line.partition(":")[0]: below.strip() for line, below in pairwise(own)}
        assert origins["mode"].startswith("line 2")
        assert origins["policy.contact"].startswith(f"{folder}/site.yaml, line 2")
        assert origins["csp"].startswith("environment: VESTIBULE_CSP")
        assert origins["consent.minimum_age"].startswith("default")
        assert origins["site.first_party"].startswith("default")
        assert origins["services.hotjar"].startswith(f"{folder}/trackers.yaml, line 2")
        assert "listen" not in origins


# What a running process makes of a folder that changes


class Process:
    """A process that follows a folder."""

    def __init__(self, folder: Path, *, again: bool = False) -> None:
        self.said: list[str] = []
        self.live = Live(folder / "config", {}, folder / "state", keeps=True)
        self.follower = Follower(self.live, self.live.first(again=again), self._use, self.said.append)

    async def _use(self, found: Config) -> None:
        self.used = found

    def sites(self) -> dict[str, str]:
        return {site.profile: site.mode for site in self.follower.config.everyone}

    def look(self) -> dict[str, str]:
        asyncio.run(self.follower.again())
        return self.sites()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return written(tmp_path / "config", shop=SHOP, blog=SHOP.replace("shop", "blog"))


class TestFollowing:
    def test_a_broken_site_stays_as_it_was_and_the_others_change(self, folder: Path) -> None:
        process = Process(folder.parent)
        written(folder, shop=SHOP + "mode: never\n", blog=SHOP.replace("shop", "blog") + "mode: observe\n")
        assert process.look() == {"": "enforce", "shop": "enforce", "blog": "observe"}
        assert process.said[:2] == ["config: taken up", "config: a site that is broken stays as it was:"]
        assert len(process.said) == 3
        assert "sites/shop/site.yaml:2: mode" in process.said[2]
        assert process.follower.problems == process.said[2:]
        assert [process.follower.is_behind(name) for name in ("shop", "blog")] == [True, False]
        written(folder, shop=SHOP + "mode: observe\n")
        assert process.look()["shop"] == "observe"
        assert process.follower.problems == []

    def test_a_new_site_that_is_broken_is_left_out(self, folder: Path) -> None:
        process = Process(folder.parent)
        written(folder, news="site: {}\n")
        assert set(process.look()) == {"", "shop", "blog"}
        written(folder, news=SHOP.replace("shop", "news"))
        assert set(process.look()) == {"", "shop", "blog", "news"}

    def test_nothing_is_taken_up_while_the_first_is_broken(self, folder: Path) -> None:
        process = Process(folder.parent)
        written(folder, blog=SHOP.replace("shop", "blog") + "mode: observe\n")
        (folder / "site.yaml").write_text(FIRST + "mode: never\n")
        assert process.look() == {"": "enforce", "shop": "enforce", "blog": "enforce"}
        assert process.said[0] == "config: not taken up, the one before stays:"
        assert process.follower.is_behind("blog")

    def test_a_broken_site_keeps_its_hosts(self, folder: Path) -> None:
        process = Process(folder.parent)
        written(folder, shop="site: {}\n", blog=SHOP.replace("name: shop", "name: blog"))
        process.look()
        assert [site.site.hosts[0] for site in process.follower.config.everyone] == [
            "first.test",
            "blog.test",
            "shop.test",
        ]
        assert any("shop.test is a host of sites/blog already" in line for line in process.said)

    def test_a_first_start_refuses_what_a_restart_bears(self, folder: Path) -> None:
        Process(folder.parent)
        written(folder, shop=SHOP + "mode: never\n", blog=SHOP.replace("shop", "blog") + "mode: observe\n")
        with pytest.raises(ConfigError, match=r"sites/shop/site\.yaml:2: mode"):
            Process(folder.parent)
        assert Process(folder.parent, again=True).sites() == {"": "enforce", "shop": "enforce", "blog": "observe"}

    def test_names_stay_until_a_new_start(self, folder: Path) -> None:
        process = Process(folder.parent)
        written(folder, news=SHOP.replace("shop", "news"))
        process.look()
        for name in ("shop", "news"):
            written(folder, **{name: SHOP.replace("shop", name).replace(f"name: {name}.test", f"name: other.{name}")})
        process.look()
        for one in (process, Process(folder.parent, again=True)):
            names = {site.profile: site.site.name for site in one.follower.config.sites}
            assert names == {"blog": "blog.test", "shop": "shop.test", "news": "news.test"}
        assert (
            "config: sites.shop.site.name has changed; it takes effect when vestibule is started anew" in process.said
        )
        assert {site.profile: site.site.name for site in Process(folder.parent).follower.config.sites}[
            "shop"
        ] == "other.shop"

    def test_a_name_that_another_holds_is_refused(self, folder: Path) -> None:
        process = Process(folder.parent)
        written(
            folder,
            shop=SHOP.replace("name: shop", "name: other"),
            news=SHOP.replace("name: shop", "name: shop").replace("[shop.test, www.shop.test]", "[news.test]"),
        )
        assert set(process.look()) == {"", "shop", "blog"}
        assert any("site.name: is the name of sites/news already" in line for line in process.said)

    def test_a_changed_file_of_a_site_is_seen(self, folder: Path) -> None:
        live = Process(folder.parent).live
        assert not live.changed()
        (folder / "sites" / "shop" / "trackers.yaml").write_text("unknown: ask\n")
        live.changed()
        assert live.changed()

    def test_what_has_not_changed_is_not_made_again(self, folder: Path) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None: ...

        class Nobody:
            def send(self, hit: object) -> None: ...
            async def record(self, record: Mapping[str, object]) -> None: ...

        before = config.load(folder, {})
        whole = ConsentMiddleware(app, before, secrets=[SECRET], sender=Nobody(), state=folder.parent / "state")

        def of(host: bytes) -> Any:
            scheme = "ws" if host.endswith(b":8080") else "http"
            scope = {"type": "http", "headers": [(b"host", host)], "client": ("127.0.0.1", 1), "scheme": scheme}
            return whole._further.of(scope) or whole._recall

        shop, blog, first = of(b"shop.test"), of(b"blog.test:8080"), of(b"first.test")
        assert len({id(shop), id(blog), id(first)}) == 3
        written(folder, shop=SHOP + "mode: observe\n")
        whole.reload(config.load(folder, {}))
        assert of(b"shop.test") is not shop
        assert (of(b"blog.test"), of(b"first.test")) == (blog, first)
        assert of(b"www.shop.test") is of(b"shop.test")


Command = Callable[..., str]
"""Runs a command in this process; returns all that it says."""


@pytest.fixture
def shell(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    command = in_this_process(monkeypatch, capsys)

    def run(*arguments: str) -> str:
        _, out, err = command(*arguments, "--config", str(folder))
        return out + err

    return run


def test_an_app_that_carries_the_middleware_is_told_the_site(folder: Path) -> None:
    told: list[str] = []
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        told.append(scope.get(SITE, "the first"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    class Nobody:
        def send(self, hit: object) -> None: ...
        async def record(self, record: Mapping[str, object]) -> None: ...

    async def receive() -> Any: ...

    async def send(message: Any) -> None:
        sent.append(message.get("status", 0))

    async def run() -> None:
        whole = ConsentMiddleware(app, folder, secrets=[SECRET], sender=Nobody(), state=folder.parent / "state")
        for host in (b"first.test", b"shop.test", b"nobody.test", b"BLOG.test:80"):
            scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host)], "client": None}
            await whole({**scope, "scheme": "http", "query_string": b"", "http_version": "1.1"}, receive, send)

    asyncio.run(run())
    assert told == ["the first", "shop", "blog"]
    assert [status for status in sent if status] == [200, 200, 421, 200]


def test_with_dev_each_site_has_a_name_on_this_machine(folder: Path) -> None:
    found = config.load(folder, {})
    first, shop = (SitePolicy(site, [SECRET], dev=True) for site in (found, found.sites[1]))
    assert first.answers_for("localhost")
    assert not first.answers_for("shop.localhost")
    assert shop.answers_for("shop.localhost")
    assert not shop.answers_for("localhost")


# Commands


class TestCommands:
    def test_a_page_is_rewritten_as_its_site_has_it(self, folder: Path, shell: Command) -> None:
        (folder / "sites" / "shop" / "trackers.yaml").write_text("services: {hotjar: allow}\n")
        page = folder.parent / "page.html"
        page.write_text("<script src='https://static.hotjar.com/c/hotjar-1.js'></script>")
        for host, held in (("first.test", True), ("shop.test", False)):
            out = shell("rewrite", str(page), "--page", f"https://{host}/")
            assert ('data-vestibule="hotjar"' in out) is held
        assert "elsewhere.test is not among site.hosts" in shell(
            "rewrite", str(page), "--page", "https://elsewhere.test/"
        )

    def test_trackers_are_listed_as_a_site_has_them(self, folder: Path, shell: Command) -> None:
        shell("trackers", "set", "hotjar", "ask", "--site", "shop")
        assert re.search(r"hotjar +ask", shell("trackers", "--site", "shop.test"))
        assert re.search(r"hotjar +block", shell("trackers"))
        assert "--site: there is no site named else" in shell("trackers", "--site", "else")
        assert (folder / "sites" / "shop" / "trackers.yaml").read_text() == "services:\n  hotjar: ask\n"

    def test_a_page_is_explained_by_the_site_it_is_of(self, folder: Path, shell: Command) -> None:
        (folder / "sites" / "shop" / "trackers.yaml").write_text("services:\n  hotjar: allow\n")
        url = "https://static.hotjar.com/c/hotjar-1.js"
        for arguments in (("--page", "https://shop.test/"), ("--site", "shop")):
            told = shell("explain", url, *arguments)
            assert "allow: always loads" in told
            assert f"{folder}/sites/shop/trackers.yaml:2" in told
        assert "never loads" in shell("explain", url)
        assert f"{folder}/site.yaml:3" in shell("explain", "--cookie", "session", "--site", "shop")
        assert "https://shop.test/_privacy/pixel/x.gif" in shell("pixel", "x", "--site", "shop")

    def test_check_is_about_all_sites(self, folder: Path, shell: Command) -> None:
        assert shell("check") == f"{folder}/: fine\n"
        written(folder, shop=SHOP + "mode: never\n")
        assert f"{folder}/sites/shop/site.yaml:2: mode: must be one of" in shell("check")

    def test_a_further_site_is_drafted_beside_the_first(self, folder: Path, shell: Command) -> None:
        with serve_asgi(Upstream("news")) as url:
            assert "sites/news/site.yaml" in shell("init", url, "--site", "news", "--delay", "0")
            assert "is there already" in shell("init", url, "--site", "news", "--delay", "0")
        news = config.pick(config.load(folder, {}), "news")
        assert (news.site.hosts, news.site.upstream) == (("news.localhost",), url)
        text = (folder / "sites" / "news" / "site.yaml").read_text()
        assert not re.search("^(listen|store|dashboard)", text, re.MULTILINE)
        schema = text.partition("$schema=")[2].partition("\n")[0]
        assert (folder / "sites" / "news" / schema).resolve() == folder / "schema" / "sites" / "site.json"
        assert not list(folder.glob(".init*"))


# The whole of it


class TestLeaving:
    """A site whose folder is removed is counted to its end, and then no more."""

    def test_a_recorder_ends_with_its_sites_last_day(self, tmp_path: Path) -> None:
        clock, tables = Clock(), Tables()
        homes = {name: tmp_path / name for name in ("", "shop")}

        def made(profile: str, store: StoreThread | None = None) -> Recorder:
            folder = homes[profile]
            folder.mkdir(exist_ok=True)
            plan = Site(folder, tables, f"chdb://{tmp_path / 'store'}").plan
            plan = replace(plan, site=f"{profile}.example") if profile else plan
            return Recorder(plan, folder, tables, clock=clock, passed=clock, store=store)

        async def run() -> None:
            first = made("")
            sites = Sites(first)
            await first.start()
            await sites.add("shop", made("shop", first.store))
            hits = [hit._replace(site="shop.example", host="shop.example") for hit in views({"/": 9})]
            shop = sites["shop"]
            try:
                await sites.hits(hits)
                sites.leave({""})
                for hours, left in ((1, []), (12, []), (13.5, ["shop"])):
                    clock.now = NOON + hours * 3600
                    for _ in range(2):  # a clock must have said so for a while
                        for recorder in sites:
                            await recorder._tend()
                        clock.now += 601
                    assert sites.left == left, hours
                sites.leave({"", "shop"})
                assert sites.left == [], "it has come back"
                sites.leave({""})
                assert sites.left == [], "and is gone again, with the day that began meanwhile"
                await shop._tend()
                assert sites.left == ["shop"]
                await sites.remove("shop")
                assert ("shop" in sites, len(list(sites))) == (False, 1)
                closed = {(site, day.isoformat()) for site, day in await first.store.do(Store.closed)}
                assert ("shop.example", "2026-11-22") in closed
                days = await first.store.do(Store.open_days)
                assert [site for site, _ in days if site == "shop.example"] == []
                assert days, "the first site goes on"
            finally:
                await sites.stop()

        asyncio.run(run())
        tables.close()

    def test_a_site_whose_folder_has_another_name_now_is_counted_on(self, tmp_path: Path) -> None:
        async def run(sites: Sites, made: Callable[[str, str], Recorder]) -> None:
            await sites.add("old", made("old", "shop.example"))
            await sites.add("new", made("new", "shop.example"))
            sites.leave({"", "new"})
            await sites.remove("old")
            hit = views({"/": 1})[0]._replace(site="shop.example", host="shop.example")
            await sites.hits([hit])
            assert (await sites["new"].figures())["facts"].get("view") == 1
            assert not (await sites.first.figures())["drops"]
            await sites.add("old", made("old", "shop.example"))
            sites.leave({"", "old"})
            await sites.hits([hit])
            assert (await sites["old"].figures())["facts"].get("view") == 1, "and back again, the other not ended yet"
            for name in ("old", "new"):
                await sites.remove(name)
            assert len(list(sites)) == 1

        with_sites_of(tmp_path, run)

    def test_a_message_about_two_sites_counts_once_for_each(self, tmp_path: Path) -> None:
        async def run(sites: Sites, made: Callable[[str, str], Recorder]) -> None:
            await sites.add("shop", made("shop", "shop.example"))
            hits = [views({"/": 1})[0]._replace(site=site, host=site) for site in ("first.example", "shop.example")]
            one, two = Delivery("0123456789abcdef", 1), Delivery("0123456789abcdef", 2, last=True)
            kept = [await sites.hits(hits, 1, one), await sites.hits(hits, 1, one), await sites.hits([], 0, two)]
            for recorder in sites:
                assert not any(each.done() for each in kept if each is not None)
                await recorder.flush()
            await asyncio.wait_for(asyncio.gather(*(each for each in kept if each is not None)), 5)
            assert [recorder._pipeline.facts["view"] for recorder in sites] == [1, 1]
            assert sites.first.dropped == 1

        with_sites_of(tmp_path, run)

    def test_a_message_is_kept_with_all_before_it_whatever_site_they_are_of(self, tmp_path: Path) -> None:
        async def run(sites: Sites, made: Callable[[str, str], Recorder]) -> None:
            await sites.add("shop", made("shop", "shop.example"))
            one, two = (views({"/": 1})[0]._replace(site=site, host=site) for site in ("first.example", "shop.example"))
            await sites.hits([one], 0, Delivery("0123456789abcdef", 1))
            kept = await sites.hits([two], 0, Delivery("0123456789abcdef", 2))
            assert kept is not None
            await sites["shop"].flush()
            await asyncio.sleep(0)
            assert not kept.done()
            await sites.first.flush()
            await asyncio.wait_for(kept, 5)

        with_sites_of(tmp_path, run)

    def test_of_a_site_that_goes_nothing_more_is_taken(self, tmp_path: Path) -> None:
        async def run(sites: Sites, made: Callable[[str, str], Recorder]) -> None:
            shop = made("shop", "shop.example")
            await sites.add("shop", shop)
            hit = views({"/": 1})[0]._replace(site="shop.example", host="shop.example")
            await sites.remove("shop")
            with pytest.raises(SpoolError):
                await shop.hits([hit], 0, Delivery("0123456789abcdef", 1))
            assert not shop._pipeline.facts
            await sites.hits([hit], 0, Delivery("0123456789abcdef", 1))
            assert (await sites.first.figures())["drops"] == {"site": 1}

        with_sites_of(tmp_path, run)

    def test_a_site_may_come_while_the_others_are_gone_through(self, tmp_path: Path) -> None:
        async def run(sites: Sites, made: Callable[[str, str], Recorder]) -> None:
            await sites.add("shop", made("shop", "shop.example"))
            through = iter(sites)
            assert next(through) is sites.first
            await sites.add("news", made("news", "news.example"))
            assert [each.plan.site for each in through] == ["shop.example"]

        with_sites_of(tmp_path, run)

    def test_no_record_is_lost_of_a_site_that_goes_meanwhile(self, tmp_path: Path) -> None:
        async def run(sites: Sites, made: Callable[[str, str], Recorder]) -> None:
            await sites.add("shop", made("shop", "shop.example"))
            records = [{"id": name, "site": f"{name}.example"} for name in ("first", "shop")]
            kept, _ = await asyncio.gather(sites.records(records), sites.remove("shop"), return_exceptions=True)
            spool = Spool(tmp_path / "shop" / "spool.sqlite")
            waiting = spool.freeze_consents()
            spool.close()
            # Either it is on disk, or whoever gave it is told that it is not, and gives it again.
            assert isinstance(kept, SpoolError) or (waiting is not None and waiting[1] == records[1:])

        with_sites_of(tmp_path, run)


def with_sites_of(folder: Path, body: Callable[[Sites, Callable[[str, str], Recorder]], Awaitable[None]]) -> None:
    """Run with the first site's recorder, and what makes another one's of a folder's and a site's name."""
    clock, tables = Clock(), Tables()

    def made(profile: str, site: str, store: StoreThread | None = None) -> Recorder:
        home = folder / (profile or "first")
        home.mkdir(exist_ok=True)
        plan = replace(Site(home, tables, f"chdb://{folder / 'store'}").plan, site=site)
        return Recorder(plan, home, tables, clock=clock, passed=clock, store=store)

    async def run() -> None:
        sites = Sites(made("", "first.example"))
        await sites.first.start()
        try:
            await body(sites, lambda profile, site: made(profile, site, sites.first.store))
        finally:
            await sites.stop()

    asyncio.run(run())
    tables.close()


class TestTakingUp:
    """The recorder process, as its folder changes."""

    def run(self, folder: Path, body: Callable[[Counting], Awaitable[None]]) -> None:
        state = folder.parent / "state"
        state.mkdir()
        live = Live(folder, {}, state)
        counting = Counting(live, live.first(), state, secrets=[SECRET], supervised=False)

        async def run() -> None:
            await counting._recorders.first.start()
            try:
                await counting._take_in(counting._follower.config)
                counting._admin.show(counting._admin.dashboards(counting._follower.config))
                await body(counting)
            finally:
                await counting._recorders.stop()

        asyncio.run(run())

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        made = written(tmp_path / "config", shop=SHOP)
        (made / "site.yaml").write_text(FIRST.replace("chdb:///nowhere", f"chdb://{tmp_path / 'store'}"))
        return made

    def test_a_site_stays_where_its_end_could_not_be_taken_up(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(_: Config) -> None:
            raise RuntimeError("no dashboard")

        first = (folder / "site.yaml").read_text()

        async def body(counting: Counting) -> None:
            shutil.rmtree(folder / "sites" / "shop")
            written(folder, blog=SHOP.replace("shop", "blog"))
            (folder / "site.yaml").write_text(first)
            with monkeypatch.context() as patched:
                patched.setattr(counting._admin, "dashboards", failing)
                await counting._follower.again()
            assert [site.profile for site in counting._follower.config.sites] == ["shop"]
            assert not counting._recorders["shop"].leaving
            assert counting._recorders["blog"].leaving, "it came with what was not taken up"
            shutil.rmtree(folder / "sites" / "blog")
            await counting._follower.again()
            assert counting._follower.config.sites == ()
            assert counting._recorders["shop"].leaving

        self.run(folder, body)

    def test_the_folder_is_watched_on_where_a_site_could_not_be_let_go(
        self, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def body(counting: Counting) -> None:
            shop = counting._recorders["shop"]
            shop.leaving = shop.left = True
            stop = shop.stop

            async def fails() -> None:
                await stop()
                raise OSError

            monkeypatch.setattr(shop, "stop", fails)
            watching = asyncio.create_task(counting._watch())
            words = "a site that is gone could not be let go"
            await asyncio.to_thread(wait_until, lambda: words in caplog.text or watching.done(), "the complaint")
            (folder / "trackers.yaml").write_text("unknown: allow\n")
            await asyncio.to_thread(
                wait_until,
                lambda: counting._follower.config.trackers.unknown is State.ALLOW or watching.done(),
                "the change",
            )
            assert not watching.done()
            assert caplog.text.count(words) == 1
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

        self.run(folder, body)


class Upstream:
    """A site that says who it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.headers: dict[bytes, bytes] = {}

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        self.headers = dict(scope["headers"])
        if scope["type"] == "websocket":
            await self._talk(receive, send)
            return
        body = (
            f"<!doctype html><title>{self.name}</title><script src='https://static.hotjar.com/c/hotjar-1.js'></script>"
        ).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": body})

    async def _talk(self, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{self.name}: {message['text']}"})


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, tuple[Upstream, str]]]:
    with contextlib.ExitStack() as stack:
        yield {name: (app := Upstream(name), stack.enter_context(serve_asgi(app))) for name in ("first", "shop")}


@pytest.fixture(scope="module")
def running(upstreams: dict[str, tuple[Upstream, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    place = tmp_path_factory.mktemp("sites")
    shop = place / "config" / "sites" / "shop"
    shop.mkdir(parents=True)
    (shop / "site.yaml").write_text(
        f"site: {{name: shop.test, hosts: [shop.test], upstream: '{upstreams['shop'][1]}'}}\n"
        "analytics: {pages: {'/deals/*': '/deals/:deal'}}\npolicy: {url: /shop-privacy}\n"
        "banner: {texts: {en: {banner: {title: Shop words}}}}\n"
    )
    (shop / "trackers.yaml").write_text("services:\n  hotjar: allow\n")
    store = f"chdb://{place / 'store'}"
    extra = {
        "store": store,
        "dashboard": "{listen: '127.0.0.1:0', edit: true}",
        "access_log": str(place / "access.log"),
    }
    with service(place, upstreams["first"][1], **extra) as started:
        wait_until((started.state / "recorder.sock").exists, "the recorder")
        yield started


VISIT = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Accept": "text/html",
    "Accept-Language": "en",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
}
FIRST_HOST, SHOP_HOST = "example.test", "shop.test"


def visit(running: Service, host: str, path: str = "/", **headers: str) -> bytes:
    request = urllib.request.Request(running.url + path, headers={**VISIT, "Host": host, **headers})
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: bytes = answer.read()
        return body


def accept(running: Service, host: str) -> str:
    """Agree to everything on a site; returns the cookie."""
    at = urllib.parse.urlsplit(running.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=10)
    with contextlib.closing(connection):
        headers = {"Host": host, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/_privacy/consent", "choice=accept&next=/", headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 303
        return str(answer.headers["set-cookie"]).partition(";")[0]


def choice(running: Service, host: str, cookie: str) -> Any:
    return json.loads(visit(running, host, "/_privacy/consent", Cookie=cookie))


def command(running: Service, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "vestibule", *arguments, "--config", str(running.folder), "--state", str(running.state)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "proxy"), "VESTIBULE_SECRET": SECRET},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


class TestServing:
    def test_each_host_is_its_site(self, running: Service) -> None:
        assert b"<title>first</title>" in visit(running, FIRST_HOST)
        assert b"<title>shop</title>" in visit(running, SHOP_HOST)
        assert running.status(host="nobody.test") == 421
        assert running.status(host="www.shop.test") == 421

    def test_a_websocket_is_its_sites_by_host(
        self, running: Service, upstreams: dict[str, tuple[Upstream, str]]
    ) -> None:
        at = urllib.parse.urlsplit(running.url)
        cookie = accept(running, FIRST_HOST)

        async def talk(host: str) -> tuple[str | bytes, str | bytes]:
            with socket.create_connection((at.hostname or "", at.port or 0)) as sock:
                headers = {"Cookie": cookie}
                async with connect(f"ws://{host}/live", sock=sock, proxy=None, additional_headers=headers) as talking:
                    await talking.send("one")
                    first = await talking.recv()
                    await talking.send("two")
                    return first, await talking.recv()

        for host, name in ((FIRST_HOST, "first"), (SHOP_HOST, "shop")):
            assert asyncio.run(talk(host)) == (f"{name}: one", f"{name}: two")
            headers = upstreams[name][0].headers
            assert headers[b"host"] == host.encode()
            agreed = b"1" if name == "first" else b"0"
            assert headers[b"vestibule-consent"] == b"preferences=%b,statistics=%b,marketing=%b" % ((agreed,) * 3)
            assert b"cookie" not in headers
        with pytest.raises(InvalidStatus) as refused:
            asyncio.run(talk("nobody.test"))
        assert refused.value.response.status_code == 421

    def test_a_trusted_proxys_word_picks_the_site(self, running: Service) -> None:
        assert b"<title>shop</title>" in visit(running, "first.example", **{"X-Forwarded-Host": SHOP_HOST})

    def test_trackers_words_and_policy_are_the_sites_own(self, running: Service) -> None:
        first, shop = visit(running, FIRST_HOST), visit(running, SHOP_HOST)
        assert b'data-vestibule="hotjar"' in first
        assert b"<script src='https://static.hotjar.com/c/hotjar-1.js'>" in shop
        assert (b"Shop words" in first, b"Shop words" in shop) == (False, True)
        assert (b"/shop-privacy" in first, b"/shop-privacy" in shop) == (False, True)
        assert b"shop.test" in visit(running, SHOP_HOST, "/_privacy/data")

    def test_a_choice_of_one_site_is_none_on_the_other(
        self, running: Service, upstreams: dict[str, tuple[Upstream, str]]
    ) -> None:
        cookies = {host: accept(running, host) for host in (FIRST_HOST, SHOP_HOST)}
        for host, other, site in ((FIRST_HOST, SHOP_HOST, "first"), (SHOP_HOST, FIRST_HOST, "shop")):
            assert choice(running, host, cookies[host])["purposes"]["statistics"] is True
            assert not any((choice(running, host, cookies[other]).get("purposes") or {}).values())
            visit(running, host, Cookie=cookies[other])
            headers = upstreams[site][0].headers
            assert headers[b"vestibule-consent"] == b"preferences=0,statistics=0,marketing=0"
            assert b"cookie" not in headers

    def test_keys_of_receipts_differ(self, running: Service) -> None:
        first, shop = (
            json.loads(visit(running, host, "/.well-known/vestibule.json")) for host in (FIRST_HOST, SHOP_HOST)
        )
        assert first != shop

    def test_what_is_counted_stays_apart(self, running: Service) -> None:
        for number in range(7):
            for host, path in ((FIRST_HOST, "/only-first"), (SHOP_HOST, "/only-shop")):
                for page in (path, "/"):  # what too few have seen would take the smallest of the others with it
                    visit(running, host, page, **{"X-Forwarded-For": f"198.51.{number}.9"})

        def pages(site: str) -> set[str]:
            with contextlib.suppress(LinkError):
                socket = str(running.state / "recorder.sock")
                link.call(socket, "flush", site=site)
                rows = link.call(socket, "breakdown", by="page", site=site)["rows"]
                return {row["value"] for row in rows if row["value"].startswith("/only")}
            return set()

        wait_until(lambda: pages("") == {"/only-first"}, "the first site's numbers", 60)
        wait_until(lambda: pages("shop") == {"/only-shop"}, "the other site's numbers", 60)
        told = json.loads(command(running, "stats", "breakdown", "--by", "page", "--site", "shop.test"))
        assert "/only-shop" in {row["value"] for row in told["rows"]}
        assert "/only-first" not in {row["value"] for row in told["rows"]}
        with pytest.raises(LinkError, match="there is no site else here"):
            link.call(str(running.state / "recorder.sock"), "breakdown", by="page", site="else")

    def test_a_record_is_kept_under_the_site_it_was_made_on(self, running: Service) -> None:
        cookie = accept(running, SHOP_HOST)
        record = json.loads(visit(running, SHOP_HOST, "/_privacy/receipt", Cookie=cookie))["receipt"]["record_id"]
        socket = str(running.state / "recorder.sock")
        link.call(socket, "flush", site="shop")
        assert link.call(socket, "consent_record", id=record, site="shop")["site"] == "shop.test"
        assert link.call(socket, "consent_record", id=record) is None

    def test_workers_learn_from_one_list_what_is_revoked_on_any_site(self, running: Service) -> None:
        socket, mark = str(running.state / "recorder.sock"), "0123456789abcdef" * 2

        async def revoke() -> None:
            sender = link.Sender(socket)
            await sender.record({"revoke": [mark], "time": 1, "site": "shop.test"})
            await sender.close()

        asyncio.run(revoke())
        assert [mark, 1] in link.call(socket, "revocations", epoch="", after=0)["rows"]
        one, other = (
            Keeper([SECRET], name).marks(series="a" * 32, account="anna") for name in ("example.test", "shop.test")
        )
        assert not set(one) & set(other)

    def test_each_site_has_its_spool(self, running: Service) -> None:
        assert (running.state / "spool.sqlite").is_file()
        assert (running.state / "sites" / "shop" / "spool.sqlite").is_file()
        assert (running.state / "sites" / "shop").stat().st_mode & 0o777 == 0o700

    def test_metrics_say_of_which_site_they_are(self, running: Service) -> None:
        def metrics() -> str:
            with urllib.request.urlopen(running.dashboard + "/metrics", timeout=10) as answer:
                return str(answer.read(), "utf-8")

        wait_until(lambda: 'vestibule_facts{name="view",site="shop.test"}' in metrics(), "the other site's facts")
        assert 'vestibule_facts{name="view",site="example.test"}' in metrics()
        assert metrics().count("vestibule_config_info{") == 2
        assert "vestibule_store_up 1.0" in metrics()

    def test_the_dashboard_shows_each_site_to_who_is_signed_in_once(self, running: Service) -> None:
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

        def got(path: str) -> tuple[str, str]:
            with opener.open(running.dashboard + path, timeout=20) as answer:
                return answer.url.removeprefix(running.dashboard), str(answer.read(), "utf-8")

        def post(path: str, **form: str) -> tuple[str, str]:
            request = urllib.request.Request(
                running.dashboard + path, urllib.parse.urlencode(form).encode(), {"Sec-Fetch-Site": "same-origin"}
            )
            with opener.open(request, timeout=30) as answer:
                return answer.url.removeprefix(running.dashboard), str(answer.read(), "utf-8")

        assert got("/sites/shop/?period=today")[0] == "/login?next=%2Fsites%2Fshop%2F%3Fperiod%3Dtoday"
        wait_until(lambda: bool(running.login), "the link of the first login")
        post("/setup", token=running.login.partition("token=")[2], name="anna", password="correct horse battery")
        first, (where, shop) = got("/")[1], got("/sites/shop")
        assert where == "/sites/shop/"
        assert '<span class="brand-site"><bdi>example.test</bdi>' in first
        assert '<span class="brand-site"><bdi>shop.test</bdi>' in shop
        for page in (first, shop):
            assert 'href="/sites/shop/"' in page
            assert 'href="/"' in page
        assert 'action="/sites/shop/notes"' in shop
        for link_ in ("/sites/shop/consent", "/sites/shop/trackers", "/sites/shop/access"):
            assert f'href="{link_}"' in shop
            assert f"<bdi>{'shop.test'}</bdi>" in got("/sites/shop/trackers")[1]
        assert "example.test" not in got("/sites/shop/privacy")[1].replace(">example.test<", "")
        where, page = post("/sites/shop/access/shares", name="theirs", days="7")
        shared = page.partition('id="link" href="')[2].partition('"')[0]
        assert shared.startswith("/sites/shop/shared/")
        guest = urllib.request.urlopen(running.dashboard + shared, timeout=20)
        with guest:
            page = str(guest.read(), "utf-8")
        assert "<bdi>shop.test</bdi>" in page
        assert "example.test" not in page
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(running.dashboard + shared.removeprefix("/sites/shop"), timeout=20)
        with refused.value:
            assert refused.value.code == 404
        token = command(running, "users", "token", "anna", "--site", "shop").strip()
        path, bearer = "/api/v1/openapi.json", {"Authorization": f"Bearer {token}"}
        own, other = (
            urllib.request.Request(f"{running.dashboard}{base}{path}", headers=bearer) for base in ("/sites/shop", "")
        )
        with urllib.request.urlopen(own, timeout=20) as answer:
            told = json.load(answer)
        assert (told["servers"], told["info"]["title"]) == ([{"url": "/sites/shop"}], "Statistics of shop.test")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(other, timeout=20)
        with refused.value:
            assert refused.value.code == 401
        # The switch changes that site's file alone.
        where, _ = post("/sites/shop/trackers/set", service="hotjar", state="block", next="/sites/shop/trackers")
        assert where == "/sites/shop/trackers"
        assert (running.folder / "sites" / "shop" / "trackers.yaml").read_text() == "services:\n  hotjar: block\n"
        wait_until(lambda: b'data-vestibule="hotjar"' in visit(running, SHOP_HOST), "the switch")
        editing.change(running.folder, "hotjar", "allow", {}, site="shop")
        wait_until(lambda: b'data-vestibule="hotjar"' not in visit(running, SHOP_HOST), "the switch back")

    def test_a_broken_site_goes_on_and_is_told_of(self, running: Service) -> None:
        own, above = running.folder / "sites" / "shop" / "site.yaml", running.folder / "trackers.yaml"
        fine, said = own.read_text(), running.said("a site that is broken stays as it was")
        own.write_text(fine + "mode: never\n")
        above.write_text("unknown: block\nservices: {hotjar: allow}\n")
        wait_until(lambda: b'data-vestibule="hotjar"' not in visit(running, FIRST_HOST), "the change above")
        wait_until(lambda: running.said("a site that is broken stays as it was") > said, "the complaint")
        assert running.said(f"{own}:5: mode: must be one of enforce, observe; is 'never'") == 1
        assert b"Shop words" in visit(running, SHOP_HOST)
        # One that dies meanwhile goes on with what there was.
        (worker,) = running.children("vestibule.worker")
        os.kill(worker, signal.SIGKILL)
        assert b"Shop words" in visit(running, SHOP_HOST)

        def told() -> str:
            with urllib.request.urlopen(running.dashboard + "/healthz", timeout=10) as answer:
                health = json.load(answer)
                return str(health["sites"]["shop.test"]["config"].get("error", ""))

        wait_until(lambda: "mode: must be one of" in told(), "the recorder")
        own.write_text(fine)
        above.write_text("unknown: block\n")
        wait_until(lambda: not told(), "the mended site")
        wait_until(lambda: b'data-vestibule="hotjar"' in visit(running, FIRST_HOST), "the change back")

    def test_a_site_comes_and_goes(self, running: Service, upstreams: dict[str, tuple[Upstream, str]]) -> None:
        place = running.folder / "sites" / "news"
        assert running.status(host="news.test") == 421
        place.mkdir()
        (place / "site.yaml").write_text(
            f"site: {{name: news.test, hosts: [news.test], upstream: '{upstreams['shop'][1]}'}}\n"
        )
        wait_until(lambda: running.status(host="news.test") == 200, "the new site")
        wait_until(lambda: (running.state / "sites" / "news" / "spool.sqlite").is_file(), "its recorder")
        shutil.rmtree(place)
        wait_until(lambda: running.status(host="news.test") == 421, "its end")
        assert b"<title>shop</title>" in visit(running, SHOP_HOST)

    def test_the_access_log_says_of_which_site_a_line_is(self, running: Service) -> None:
        for host in (FIRST_HOST, SHOP_HOST):
            visit(running, host, "/deals/anna")

        def lines() -> list[tuple[str, str]]:
            with (running.folder.parent / "access.log").open() as log:
                found = [json.loads(line) for line in log]
            return [(line["site"], line["path"]) for line in found if "deals" in str(line["path"])]

        wait_until(lambda: len(lines()) == 2, "the lines")
        assert lines() == [("example.test", "/deals/anna"), ("shop.test", "/deals/:deal")]
