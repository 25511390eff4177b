"""Reads the block lists that ``trackers.yaml`` names."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vestibule.config.documents import Document
from vestibule.config.values import list_file
from vestibule.core.errors import Problem

if TYPE_CHECKING:
    from vestibule.core.filters import Filter

MAX_LIST = 16 << 20
"""A list of more bytes is refused unread; the largest in common use have five million."""


def named(document: Document) -> Iterator[tuple[int, str]]:
    """The files under ``lists``, each with its index: those that are well named, whatever else may be wrong."""
    found = document.data.get("lists")
    for index, name in enumerate(found if isinstance(found, list) else ()):
        if isinstance(name, str):
            with contextlib.suppress(ValueError):
                yield index, list_file(name)


def read_lists(
    folder: Path, document: Document, site: Sequence[str], problems: list[Problem], within: str = ""
) -> tuple[tuple[Filter, ...], str]:
    """Read every list of a ``trackers.yaml``: its filters, and a digest of the lists, by which a change is told.

    site: the hosts of the site's pages. within: what the folder is called in the configuration's, with a slash at the
    end. A line that cannot be read is a problem of its own file; what keeps a list from being read at all is one of
    ``trackers.yaml``.
    """
    filters: list[Filter] = []
    digest, seen = hashlib.sha256(), False
    for index, name in named(document):
        try:
            found = content(folder / name, MAX_LIST)
        except ValueError as error:
            problems.append(Problem(document.file, document.line(("lists", index)), f"lists.{index}", str(error)))
            continue
        from vestibule.config import filtering  # not for all who have no lists

        digest.update(hashlib.sha256(found).digest())
        seen = True
        filters += filtering.filters(folder / name, within + name, found, site, problems)
    return tuple(filters), digest.hexdigest() if seen else ""


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
