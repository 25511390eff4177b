"""The configuration as it is now: what a reload takes up, what waits for a new start, and what is said of both."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from vestibule.config import Config
from vestibule.core.errors import ConfigError
from vestibule.live import FIXED, Follower, Live
from vestibule.process import BEGUN

BEFORE = """\
site: {name: example.test, hosts: [example.test], upstream: "http://127.0.0.1:3000"}
"""
AFTER = """\
site: {name: other.test, hosts: [new.test], upstream: "http://127.0.0.1:3001"}
listen: 127.0.0.1:1
dashboard: {listen: "127.0.0.1:2"}
store: chdb:///elsewhere
traces: otlp
analytics: {keep_for: 1d, k: 9}
consent: {prove_for: 1y}
limits: {spool: 1GB, drain_timeout: 1s, url_bytes: 100}
"""
ANEW = "it takes effect when vestibule is started anew"


def write(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "site.yaml").write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    write(tmp_path / "config", BEFORE)
    return tmp_path / "config"


def a_live(folder: Path, *, keeps: bool = False) -> Live:
    return Live(folder, {}, folder.parent / "state", keeps=keeps)


def held(config: Config) -> tuple[object, ...]:
    return (
        *(config.site.name, config.listen, config.dashboard.listen, config.store, config.geoip, config.traces),
        *(config.analytics.keep_for, config.consent.prove_for, config.limits.spool, config.limits.drain_timeout),
    )


def test_what_needs_a_new_start_stays_and_all_else_is_taken_up(folder: Path) -> None:
    live = a_live(folder)
    first = live.first()
    assert live.waiting == ()
    write(folder, AFTER)
    found = live.reload()
    assert held(found) == held(first)
    assert (found.site.hosts, found.site.upstream) == (("new.test",), "http://127.0.0.1:3001")
    assert (found.analytics.k, found.limits.url_bytes) == (9, 100)
    assert set(live.waiting) == set(FIXED) - {"geoip"}
    write(folder, BEFORE)
    assert held(live.reload()) == held(first)
    assert live.waiting == ()


def test_a_process_that_is_restarted_begins_as_the_others_did(folder: Path) -> None:
    first = a_live(folder, keeps=True).first()
    write(folder, AFTER)
    assert held(a_live(folder).first(again=True)) == held(first)
    # Even where the folder is broken by then.
    live = a_live(folder, keeps=True)
    live.first(again=True)
    write(folder, "mode: sometimes")
    with pytest.raises(ConfigError):
        live.reload()
    again = a_live(folder).first(again=True)
    assert held(again) == held(first)
    assert again.analytics.k == 9


def test_a_new_start_takes_everything_up(folder: Path) -> None:
    a_live(folder, keeps=True).first()
    write(folder, AFTER)
    assert a_live(folder, keeps=True).first().site.name == "other.test"
    assert a_live(folder).first(again=True).site.name == "other.test"
    shutil.rmtree(folder.parent / "state" / BEGUN)
    write(folder, BEFORE)
    assert a_live(folder).first(again=True).site.name == "example.test"


class Process:
    """What a process makes of the changes of a folder."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.used: list[Config] = []
        self.fails = False
        live = a_live(folder)
        self.follower = Follower(live, live.first(), self._use, self.said.append)

    async def _use(self, config: Config) -> None:
        if self.fails:
            raise RuntimeError("of its own")
        self.used.append(config)

    async def after(self, change: Callable[[], object]) -> list[str]:
        """What it says once it has seen a change."""
        change()
        self.said.clear()
        for _ in range(2):
            await self.follower.look()
        return list(self.said)


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await body()

    asyncio.run(main())


class TestFollower:
    def test_the_last_word_is_how_things_stand(self, folder: Path) -> None:
        async def body() -> None:
            process = Process(folder)
            broken = await process.after(lambda: write(folder, BEFORE + "mode: sometimes\n"))
            assert broken[0] == "config: not taken up, the one before stays:"
            assert broken[1:] == process.follower.problems
            assert broken[1].startswith(f"{folder}/site.yaml:2: mode: ")
            assert await process.after(lambda: write(folder, BEFORE)) == ["config: in order again"]
            assert (process.used, process.follower.problems) == ([], [])
            # Written anew with the same words: nothing to say.
            assert await process.after(lambda: write(folder, BEFORE)) == []

        run(body)

    def test_what_waits_for_a_new_start_is_said_once(self, folder: Path) -> None:
        async def body() -> None:
            process = Process(folder)
            said = await process.after(lambda: write(folder, AFTER))
            named = [setting for setting in FIXED if setting != "geoip"]
            assert said == [*(f"config: {name} has changed; {ANEW}" for name in named), "config: taken up"]
            assert await process.after(lambda: write(folder, AFTER + "csp: off\n")) == ["config: taken up"]
            assert [config.site.name for config in process.used] == ["example.test"] * 2

        run(body)

    def test_what_cannot_be_used_is_not_and_the_watch_goes_on(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def body() -> None:
            process = Process(folder)
            before = process.follower.config
            process.fails = True
            assert await process.after(lambda: write(folder, AFTER)) == []
            assert caplog.messages == ["config: not taken up, the one before stays"]
            assert process.follower.config is before
            assert process.follower.problems == ["not taken up: RuntimeError"]
            process.fails = False
            assert await process.after(lambda: write(folder, AFTER + "csp: off\n")) != []
            assert process.follower.problems == []
            assert len(process.used) == 1

        run(body)
