"""The configuration as it is now: read whole, watched, and never exchanged for a broken one.

A folder is looked at by the times, sizes and inodes of its files and of the block lists that they name, which costs
microseconds and works on every file system (a bind mount or a Kubernetes volume reports no events). A change is read
once it has rested for one look, so that a file that is still being written is not read by halves.

The last folder that was fine is kept in the state folder. A process that is *re*started while the folder is broken
begins with that copy, so that a crash and a typing error together do not close the site. A first start refuses.

Each further site (``sites/NAME/``) is taken up for itself: one that is broken stays as it was, and the others go on.

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
from vestibule.config.documents import Document
from vestibule.config.sites import SITES, check_apart
from vestibule.core.errors import ConfigError, Problem
from vestibule.process import BEGUN

LOOK = 0.1
"""Seconds between two looks at the folder; a change is live after two looks and the time to read it."""

KEPT = "config.good"
"""Folder in the state folder that holds the last good files."""

FIXED = (
    "site.name", "listen", "dashboard", "store", "geoip", "analytics.keep_for", "consent.prove_for", "limits.spool",
    "limits.drain_timeout", "traces",
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
        self._sites: Mapping[str, config.Config] = {}
        self.problems: tuple[Problem, ...] = ()
        """What is wrong with the folder as it lies there now; empty when the running configuration is the folder's."""
        self.broken: frozenset[str] | None = frozenset()
        """Further sites that stayed as they were at the last read, being broken; None where nothing was taken up."""
        self.waiting: tuple[str, ...] = ()
        """Which of ``FIXED`` the folder has changed since the start."""

    def first(self, *, again: bool = False) -> config.Config:
        """The configuration to begin with. Raises ConfigError.

        again: this process replaces one that died: the last good copy will do where the folder is broken.
        """
        try:
            found = self._load(self._kept_sites() if again else None)
        except ConfigError as error:
            if not again or not self._kept.is_dir():
                raise
            found = config.load(self._kept, self._environ)
            self.problems, self.broken = error.problems, None
        if self.problems and not again:
            raise ConfigError(self.problems)
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
        """Read the folder anew, but for ``FIXED``. A further site that is broken is as it was before, or left out where
        it was not; what is wrong with it stays in ``problems``. Raises ConfigError where the first site is broken, or a
        further one is that others get in the way of; the problems stay in ``problems`` until a good read."""
        try:
            return self._hold(self._load(self._sites))
        except ConfigError as error:
            self.problems, self.broken = error.problems, None
            raise

    def _load(self, before: Mapping[str, config.Config] | None) -> config.Config:
        """before: further sites as they were, in place of those that are broken now."""
        files = fingerprint(self._directory)
        self._lists = config.list_files(self._directory)
        # Should the folder change while it is read, what was seen before differs from what is seen next.
        lists = fingerprint(self._directory, self._lists)[-len(self._lists) :] if self._lists else ()
        self._read = self._seen = (*files, *lists)
        reading = config.read_folder(self._directory, self._environ)
        if reading.config is None:
            raise ConfigError(reading.problems)
        self.problems, self.broken = reading.problems, reading.broken
        if self._keeps and not reading.problems:
            self._copy(self._kept)
        stay = [before[name] for name in reading.broken if name in before] if before else []
        if not stay:
            return reading.config
        sites = tuple(sorted((*reading.config.sites, *stay), key=lambda site: site.profile))
        return reading.config.model_copy(update={"sites": sites})

    def _kept_sites(self) -> Mapping[str, config.Config]:
        """Further sites as the last good copy has them."""
        reading = config.read_folder(self._kept, self._environ)
        return {site.profile: site for site in reading.config.sites} if reading.config is not None else {}

    def _hold(self, found: config.Config) -> config.Config:
        self.waiting = tuple(setting for setting in FIXED if _value(found, setting) != _value(self._begun, setting))
        fixed = {setting: _value(self._begun, setting) for setting in FIXED}
        held = _all_with(found, fixed)
        del fixed["site.name"]
        names = {site.profile: site.site.name for site in self._begun.sites}
        sites = []
        for site in found.sites:
            name = names.get(site.profile, site.site.name)
            if name != site.site.name:
                self.waiting += (f"{SITES}.{site.profile}.site.name",)
            sites.append(_all_with(site, {**fixed, "site.name": name}))
        # What stays as it was may be in the way of what has changed.
        clashes = check_apart([(site, Document(str(self._directory), {}, {})) for site in (held, *sites)])
        if problems := tuple(problem for _, problem in clashes):
            raise ConfigError((*self.problems, *problems))
        self._remember(sites, names)
        self._sites = {site.profile: site for site in sites}
        return held.model_copy(update={"sites": tuple(sites)})

    def _remember(self, sites: Sequence[config.Config], names: Mapping[str, str]) -> None:
        """A further site that has come since the start keeps its name from now on, here and in a process that is
        restarted."""
        fresh = [site for site in sites if site.profile not in names]
        if not fresh:
            return
        self._begun = self._begun.model_copy(update={"sites": (*self._begun.sites, *fresh)})
        if self._keeps and self._at_start.is_dir():
            for site in fresh:
                with contextlib.suppress(OSError):
                    to = self._at_start / SITES / site.profile
                    shutil.copytree(self._directory / SITES / site.profile, to, dirs_exist_ok=True)

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

    def is_behind(self, profile: str) -> bool:
        """Whether a further site, by its folder, is not as the folder has it."""
        return bool(self._failure) or self._live.broken is None or profile in self._live.broken

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
                changed = found.revisions != self.config.revisions
                if changed:
                    await self._use(found)
            except ConfigError as error:
                self._refuse("config: not taken up, the one before stays:", error.problems)
            except Exception as error:
                self._refused, self._failure = True, f"not taken up: {type(error).__name__}"
                log.exception("config: not taken up, the one before stays")
            else:
                self.config = found
                self._tell_taken(changed)
                self._refused, self._failure = False, ""
                if self._live.problems:
                    self._refuse("config: a site that is broken stays as it was:", self._live.problems)

    def _refuse(self, words: str, problems: Sequence[Problem]) -> None:
        self._refused = True
        for line in (words, *map(str, problems)):
            self._tell(line)

    def _tell_taken(self, changed: bool) -> None:
        for setting in self._live.waiting:
            if setting not in self._said:
                self._tell(f"config: {setting} has changed; it takes effect when vestibule is started anew")
        self._said = self._live.waiting
        if changed:
            self._tell("config: taken up")
        elif self._refused and not self._live.problems:
            self._tell("config: in order again")


def _value(settings: BaseModel, setting: str) -> Any:
    return functools.reduce(getattr, setting.split("."), settings)


def _all_with(settings: Settings, values: Mapping[str, object]) -> Settings:
    for setting, value in values.items():
        if _value(settings, setting) != value:
            settings = _with(settings, setting.split("."), value)
    return settings


def _with(settings: Settings, path: Sequence[str], value: object) -> Settings:
    """The settings with one of them, maybe in a section, exchanged."""
    name, *rest = path
    return settings.model_copy(update={name: _with(getattr(settings, name), rest, value) if rest else value})


def fingerprint(directory: Path, lists: Sequence[str] = ()) -> Fingerprint:
    """What changes whenever a file of the folder does: name, time (ns), size and inode of each ``*.yaml``, those of
    further sites too, sorted; then the same of each of ``lists``, zeros where there is no such file."""
    found = []
    for folder in (directory, *config.folders(directory)):
        prefix = "" if folder == directory else f"{SITES}/{folder.name}/"
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith((".yaml", ".yml")):
                    with contextlib.suppress(OSError):
                        found.append(_print(prefix + entry.name, entry.stat()))
    listed = []
    for name in lists:
        try:
            listed.append(_print(name, (directory / name).stat()))
        except OSError:
            listed.append((name, 0, 0, 0))
    return (*sorted(found), *listed)


def _print(name: str, status: os.stat_result) -> tuple[str, int, int, int]:
    return name, status.st_mtime_ns, status.st_size, status.st_ino
