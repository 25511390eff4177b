"""Reads the block lists that ``trackers.yaml`` names."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from vestibule.config.documents import Document
from vestibule.config.values import list_file
from vestibule.core.errors import Problem
from vestibule.core.filters import Filter, Matcher, UnreadableError, read

try:
    import re2
except ImportError:  # the extra "lists" is not installed
    re2 = None

MAX_LIST = 16 << 20
"""A list of more bytes is refused unread; the largest in common use have five million."""
MOST_SHOWN = 10
"""Problems of one list that are told one by one."""


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
            content = _content(folder / name)
        except ValueError as error:
            problems.append(Problem(document.file, document.line(("lists", index)), f"lists.{index}", str(error)))
            continue
        digest.update(hashlib.sha256(content).digest())
        seen = True
        filters += _filters(folder / name, within + name, content, site, problems)
    return tuple(filters), digest.hexdigest() if seen else ""


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ValueError(f"no such file: {path}")
        with path.open("rb") as file:
            content = file.read(MAX_LIST + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {path}: {error.strerror}") from None
    if len(content) > MAX_LIST:
        raise ValueError(f"is larger than {MAX_LIST} bytes: {path}")
    return content


def _filters(path: Path, name: str, content: bytes, site: Sequence[str], problems: list[Problem]) -> list[Filter]:
    filters: list[Filter] = []
    wrong: list[Problem] = []
    lines = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    lacking = 0
    for number, line in enumerate(lines, 1):
        try:
            found = read(line.decode("utf-8"), f"{name}:{number}", site, _compile)
        except _LackingError:
            lacking = lacking or number
        except UnicodeDecodeError:
            wrong.append(Problem(str(path), number, "lists", "is not UTF-8 text"))
        except UnreadableError as error:
            wrong.append(Problem(str(path), number, "lists", str(error)))
        else:
            if found is not None:
                filters.append(found)
    if lacking:
        message = 'has regular expressions, for which the extra "lists" is needed: pip install "vestibule[lists]"'
        wrong.insert(0, Problem(str(path), lacking, "lists", message))
    if len(wrong) > MOST_SHOWN:
        more = len(wrong) - MOST_SHOWN
        wrong[MOST_SHOWN:] = [Problem(str(path), len(lines), "lists", f"and {more} more lines that cannot be read")]
    problems.extend(wrong)
    return filters


class _LackingError(Exception):
    """The engine for regular expressions is not installed."""


def _compile(expression: str, match_case: bool) -> Matcher:
    """RE2 takes linear time whatever it searches; Python's own engine can be made to take forever by an address."""
    if re2 is None:
        raise _LackingError
    options = re2.Options()
    options.case_sensitive = match_case
    options.log_errors = False
    try:
        compiled: Matcher = re2.compile(expression, options)
    except re2.error as error:
        words = error.args[0] if error.args else ""
        raise ValueError(words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)) from None
    return compiled
