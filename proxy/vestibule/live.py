"""The configuration as it is now: read whole, watched, and never exchanged for a broken one.

A folder is looked at by the times, sizes and inodes of its files and of the block lists that they name, which costs
microseconds and works on every file system (a bind mount or a Kubernetes volume reports no events). A change is read
once it has rested for one look, so that a file that is still being written is not read by halves.

The last folder that was fine is kept in the state folder. A process that is *re*started while the folder is broken
begins with that copy, so that a crash and a typing error together do not close the site. A first start refuses.

Some settings (:data:`FIXED`) hold for all processes together until a new start. They are kept as they were then, by
those too that are restarted meanwhile: a second copy remembers the folder as it was at the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from vestibule import config
from vestibule.core.errors import ConfigError, Problem
from vestibule.process import BEGUN

LOOK = 0.1
"""Seconds between two looks at the folder; a change is live after two looks and the time to read it."""

KEPT = "config.good"
"""Folder in the state folder that holds the last good files."""

FIXED = (
    "site.name", "listen", "dashboard", "store", "geoip", "analytics.keep_for", "consent.prove_for", "limits.spool",
    "limits.drain_timeout",
)  # fmt: skip
"""Settings that only a new start takes up: they belong to the supervisor, the recorder, or to all processes alike."""

Fingerprint = tuple[tuple[str, int, int, int], ...]
Settings = TypeVar("Settings", bound=BaseModel)

log = logging.getLogger("vestibule.live")


class Live:
    """One process's view of a configuration folder.

    keep: the state folder, where this process is the one that keeps the last good copy; None for the others.
    """

    def __init__(self, directory: Path, environ: Mapping[str, str], state: Path, *, keeps: bool = False) -> None:
        self._directory = directory
        self._environ = environ
        self._kept = state / KEPT
        self._at_start = state / BEGUN
        self._keeps = keeps
        self._seen: Fingerprint = ()
        self._read: Fingerprint = ()
        self._lists: tuple[str, ...] = ()
        self.problems: tuple[Problem, ...] = ()
        """What is wrong with the folder as it lies there now; empty when the running configuration is the folder's."""
        self.waiting: tuple[str, ...] = ()
        """Which of ``FIXED`` the folder has changed since the start."""

    def first(self, *, again: bool = False) -> config.Config:
        """The configuration to begin with. Raises ConfigError.

        again: this process replaces one that died: the last good copy will do where the folder is broken.
        """
        try:
            found = self._load()
        except ConfigError as error:
            if not again or not self._kept.is_dir():
                raise
            found = config.load(self._kept, self._environ)
            self.problems = error.problems
        self._begun = found
        if again:
            with contextlib.suppress(ConfigError):
                self._begun = config.load(self._at_start, self._environ)
        elif self._keeps:
            self._copy(self._at_start)
        return self._hold(found)

    def changed(self) -> bool:
        """Look at the folder: whether it differs from what was read last, and has rested since the last look."""
        now = fingerprint(self._directory, self._lists)
        rested, self._seen = now == self._seen, now
        return rested and now != self._read

    def reload(self) -> config.Config:
        """Read the folder anew, but for ``FIXED``. Raises ConfigError, whose problems stay in ``problems`` until a good
        read."""
        try:
            return self._hold(self._load())
        except ConfigError as error:
            self.problems = error.problems
            raise

    def _load(self) -> config.Config:
        files = fingerprint(self._directory)
        self._lists = config.list_files(self._directory)
        # Should the folder change while it is read, what was seen before differs from what is seen next.
        lists = fingerprint(self._directory, self._lists)[-len(self._lists) :] if self._lists else ()
        self._read = self._seen = (*files, *lists)
        found = config.load(self._directory, self._environ)
        self.problems = ()
        if self._keeps:
            self._copy(self._kept)
        return found

    def _hold(self, found: config.Config) -> config.Config:
        self.waiting = tuple(setting for setting in FIXED if _value(found, setting) != _value(self._begun, setting))
        for setting in self.waiting:
            found = _with(found, setting.split("."), _value(self._begun, setting))
        return found

    def _copy(self, to: Path) -> None:
        """Copy the files that were just read; a copy that may hold something else is thrown away."""
        fresh = to.with_suffix(".new")
        with contextlib.suppress(OSError):
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            for name, *_ in self._read:
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._directory / name, fresh / name)
            if fingerprint(self._directory, self._lists) != self._read:
                return
            shutil.rmtree(to, ignore_errors=True)
            fresh.rename(to)


class Follower:
    """Takes up what changes in the folder: wholly, or not at all, and says which.

    config: what the process uses now. use: makes it use another one; whatever it raises means that it does not. tell:
    hears what an operator should, a line each.
    """

    def __init__(
        self,
        live: Live,
        config: config.Config,
        use: Callable[[config.Config], Awaitable[None]],
        tell: Callable[[str], None],
    ) -> None:
        self.config = config
        self._live, self._use, self._tell = live, use, tell
        self._failure = ""
        self._refused = bool(live.problems)
        self._said: tuple[str, ...] = live.waiting
        self._reading = asyncio.Lock()

    @property
    def problems(self) -> list[str]:
        """Why the folder as it lies there now is not what the process uses; empty when it is."""
        return list(map(str, self._live.problems)) or ([self._failure] if self._failure else [])

    async def look(self) -> None:
        """Take up what has changed, if anything has."""
        try:
            changed = self._live.changed()
        except Exception:
            log.exception("config: the folder cannot be watched")
            return
        if changed:
            await self.again()

    async def again(self) -> None:
        """Take up the folder as it is now, or keep the configuration there is."""
        async with self._reading:
            try:
                # In a thread: reading YAML takes a while, and requests go on.
                found = await asyncio.to_thread(self._live.reload)
                changed = found.revision != self.config.revision
                if changed:
                    await self._use(found)
            except ConfigError as error:
                self._refused = True
                self._tell("config: not taken up, the one before stays:")
                for problem in error.problems:
                    self._tell(str(problem))
            except Exception as error:
                self._refused, self._failure = True, f"not taken up: {type(error).__name__}"
                log.exception("config: not taken up, the one before stays")
            else:
                self.config = found
                self._tell_taken(changed)
                self._refused, self._failure = False, ""

    def _tell_taken(self, changed: bool) -> None:
        for setting in self._live.waiting:
            if setting not in self._said:
                self._tell(f"config: {setting} has changed; it takes effect when vestibule is started anew")
        self._said = self._live.waiting
        if changed:
            self._tell("config: taken up")
        elif self._refused:
            self._tell("config: in order again")


def _value(settings: BaseModel, setting: str) -> Any:
    return functools.reduce(getattr, setting.split("."), settings)


def _with(settings: Settings, path: Sequence[str], value: object) -> Settings:
    """The settings with one of them, maybe in a section, exchanged."""
    name, *rest = path
    return settings.model_copy(update={name: _with(getattr(settings, name), rest, value) if rest else value})


def fingerprint(directory: Path, lists: Sequence[str] = ()) -> Fingerprint:
    """What changes whenever a file of the folder does: name, time (ns), size and inode of each ``*.yaml``, sorted; then
    the same of each of ``lists``, zeros where there is no such file."""
    found = []
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith((".yaml", ".yml")):
                with contextlib.suppress(OSError):
                    found.append(_print(entry.name, entry.stat()))
    listed = []
    for name in lists:
        try:
            listed.append(_print(name, (directory / name).stat()))
        except OSError:
            listed.append((name, 0, 0, 0))
    return (*sorted(found), *listed)


def _print(name: str, status: os.stat_result) -> tuple[str, int, int, int]:
    return name, status.st_mtime_ns, status.st_size, status.st_ino
