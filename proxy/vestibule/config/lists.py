"""Reads the lists that the configuration names, and of those the block lists, which ``trackers.yaml`` does.

A list is a file of lines in the configuration folder. A line that cannot be read is a problem of that file; what keeps
a list from being read at all is one of the file that names it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vestibule.config.documents import Document, SettingPath
from vestibule.config.values import list_file
from vestibule.core.errors import Problem

if TYPE_CHECKING:
    from vestibule.config.filtering import Known
    from vestibule.core.filters import Filter

MAX_LIST = 16 << 20
"""A block list of more bytes is refused unread; the largest in common use have five million."""

MOST_SHOWN = 10
"""Problems of one list that are told one by one."""

Named = Iterable[tuple[int, str]]
"""The files that a setting names, each with its index in it."""


def named(document: Document) -> Named:
    """The block lists that a ``trackers.yaml`` names."""
    return well_named(document.data.get("lists"))


def read_lists(
    folder: Path,
    document: Document,
    site: Sequence[str],
    problems: list[Problem],
    within: str = "",
    known: Known | None = None,
) -> tuple[tuple[Filter, ...], str]:
    """Read every block list of a ``trackers.yaml``: its filters, and a digest of the lists, by which a change is told.

    site: the hosts of the site's pages. within: what the folder is called in the configuration's, with a slash at the
    end. known: what other sites have read of the same lists, and takes down what this one does.
    """
    filters: list[Filter] = []

    def take(path: Path, name: str, found: bytes) -> None:
        from vestibule.config import filtering  # not for all who have no lists

        filters.extend(filtering.filters(path, within + name, found, site, problems, known))

    digest = read_each(folder, named(document), MAX_LIST, document, ("lists",), problems, take)
    return tuple(filters), digest


def well_named(found: object) -> Iterator[tuple[int, str]]:
    """Those of the names in a setting that name a list well, whatever else may be wrong."""
    for index, name in enumerate(found if isinstance(found, list) else ()):
        if isinstance(name, str):
            with contextlib.suppress(ValueError):
                yield index, list_file(name)


def read_each(
    folder: Path,
    names: Named,
    most: int,
    document: Document,
    where: SettingPath,
    problems: list[Problem],
    take: Callable[[Path, str, bytes], None],
) -> str:
    """Give every list to ``take``, by path, name and content. Returns a digest of all, empty where there is none.

    most: bytes of a list. document, where: what names them, for problems.
    """
    digest, seen = hashlib.sha256(), False
    for index, name in names:
        at = (*where, index)
        try:
            found = content(folder / name, most)
        except ValueError as error:
            problems.append(Problem(document.file, document.line(at), ".".join(map(str, at)), str(error)))
            continue
        digest.update(hashlib.sha256(found).digest())
        seen = True
        take(folder / name, name, found)
    return digest.hexdigest() if seen else ""


def content(path: Path, most: int) -> bytes:
    """What is in a file of at most so many bytes. Raises ValueError, in words for the one who named it."""
    try:
        if not path.is_file():
            raise ValueError(f"no such file: {path}")
        with path.open("rb") as file:
            found = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {path}: {error.strerror}") from None
    if len(found) > most:
        raise ValueError(f"is larger than {most} bytes: {path}")
    return found


class Lines:
    """The lines of a list, and what is wrong in them. setting: what named the list."""

    def __init__(self, path: Path, setting: str, found: bytes) -> None:
        self._path, self._setting = str(path), setting
        self._lines = found.removeprefix(b"\xef\xbb\xbf").splitlines()
        self._wrong: list[Problem] = []

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Each line with its number, from 1. One that is no UTF-8 is wrong, and left out."""
        for number, line in enumerate(self._lines, 1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError:
                self.refuse(number, "is not UTF-8 text")
                continue
            yield number, text

    def refuse(self, number: int, message: str) -> None:
        """Take down what is wrong in a line."""
        self._wrong.append(Problem(self._path, number, self._setting, message))

    @property
    def problems(self) -> list[Problem]:
        """The first of what is wrong, and how much more there is."""
        more = len(self._wrong) - MOST_SHOWN
        if more <= 0:
            return self._wrong
        rest = Problem(self._path, len(self._lines), self._setting, f"and {more} more lines that cannot be read")
        return [*self._wrong[:MOST_SHOWN], rest]
