"""The configuration as it is now: read whole, watched, and never exchanged for a broken one.

A folder is looked at by its files' times, sizes and inodes, which costs microseconds and works on every file system (a
bind mount or a Kubernetes volume reports no events). A change is read once it has rested for one look, so that a file
that is still being written is not read by halves.

The last folder that was fine is kept in the state folder. A process that is *re*started while the folder is broken
begins with that copy, so that a crash and a typing error together do not close the site. A first start refuses.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from vestibule import config
from vestibule.core.errors import ConfigError, Problem

LOOK = 0.1
"""Seconds between two looks at the folder; a change is live after two looks and the time to read it."""

KEPT = "config.good"
"""Folder in the state folder that holds the last good files."""

Fingerprint = tuple[tuple[str, int, int, int], ...]


class Live:
    """One process's view of a configuration folder.

    keep: the state folder, where this process is the one that keeps the last good copy; None for the others.
    """

    def __init__(self, directory: Path, environ: Mapping[str, str], state: Path, *, keeps: bool = False) -> None:
        self._directory = directory
        self._environ = environ
        self._kept = state / KEPT
        self._keeps = keeps
        self._seen: Fingerprint = ()
        self._read: Fingerprint = ()
        self.problems: tuple[Problem, ...] = ()
        """What is wrong with the folder as it lies there now; empty when the running configuration is the folder's."""

    def first(self, *, again: bool = False) -> config.Config:
        """The configuration to begin with. Raises ConfigError.

        again: this process replaces one that died: the last good copy will do where the folder is broken.
        """
        try:
            return self._load()
        except ConfigError as error:
            if not again or not self._kept.is_dir():
                raise
            found = config.load(self._kept, self._environ)
            self.problems = error.problems
            return found

    def changed(self) -> bool:
        """Look at the folder: whether it differs from what was read last, and has rested since the last look."""
        now = fingerprint(self._directory)
        rested, self._seen = now == self._seen, now
        return rested and now != self._read

    def reload(self) -> config.Config:
        """Read the folder anew. Raises ConfigError, whose problems stay in ``problems`` until a good read."""
        try:
            return self._load()
        except ConfigError as error:
            self.problems = error.problems
            raise

    def _load(self) -> config.Config:
        self._read = self._seen = fingerprint(self._directory)
        found = config.load(self._directory, self._environ)
        self.problems = ()
        if self._keeps:
            self._keep()
        return found

    def _keep(self) -> None:
        """Copy the files that were just read; a copy that may hold something else is thrown away."""
        fresh = self._kept.with_suffix(".new")
        with contextlib.suppress(OSError):
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            for name, *_ in self._read:
                shutil.copyfile(self._directory / name, fresh / name)
            if fingerprint(self._directory) != self._read:
                return
            shutil.rmtree(self._kept, ignore_errors=True)
            fresh.rename(self._kept)


def fingerprint(directory: Path) -> Fingerprint:
    """What changes whenever a file of the folder does: name, time (ns), size and inode of each ``*.yaml``, sorted."""
    found = []
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith((".yaml", ".yml")):
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    found.append((entry.name, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(sorted(found))
