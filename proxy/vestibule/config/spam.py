"""Reads the lists of spam referrers that ``site.yaml`` names: files of one host a line.

Blank lines and those that begin with ``#`` are passed over, as is what stands behind a ``#``. So are published lists
written, such as the one that Matomo's community keeps.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from vestibule.config.documents import Document
from vestibule.config.lists import content
from vestibule.config.values import host_name, list_file
from vestibule.core.errors import Problem

MAX_SPAM = 1 << 20
"""A list of more bytes is refused unread: each process holds it as a set, some fifty thousand hosts. The largest in
common use have forty thousand bytes."""

MOST_SHOWN = 10
"""Problems of one list that are told one by one."""

SETTING = "analytics.spam_lists"


def named(document: Document) -> Iterator[tuple[int, str]]:
    """The files under ``analytics.spam_lists``, each with its index: those that are well named, whatever else may be
    wrong."""
    section = document.data.get("analytics")
    found = section.get("spam_lists") if isinstance(section, dict) else None
    for index, name in enumerate(found if isinstance(found, list) else ()):
        if isinstance(name, str):
            with contextlib.suppress(ValueError):
                yield index, list_file(name)


def read_spam(folder: Path, document: Document, problems: list[Problem]) -> tuple[frozenset[str], str]:
    """Read every list of a ``site.yaml``: its hosts, and a digest of the lists, by which a change is told.

    A line that is no host is a problem of its own file; what keeps a list from being read at all is one of
    ``site.yaml``.
    """
    hosts: set[str] = set()
    digest, seen = hashlib.sha256(), False
    for index, name in named(document):
        try:
            found = content(folder / name, MAX_SPAM)
        except ValueError as error:
            where = ("analytics", "spam_lists", index)
            problems.append(Problem(document.file, document.line(where), f"{SETTING}.{index}", str(error)))
            continue
        digest.update(hashlib.sha256(found).digest())
        seen = True
        hosts |= _hosts(folder / name, found, problems)
    return frozenset(hosts), digest.hexdigest() if seen else ""


def _hosts(path: Path, found: bytes, problems: list[Problem]) -> set[str]:
    hosts: set[str] = set()
    wrong: list[Problem] = []
    lines = found.removeprefix(b"\xef\xbb\xbf").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            host = line.decode("utf-8").partition("#")[0].strip()
            if host:
                hosts.add(host_name(host))
        except UnicodeDecodeError:
            wrong.append(Problem(str(path), number, SETTING, "is not UTF-8 text"))
        except ValueError as error:
            wrong.append(Problem(str(path), number, SETTING, str(error)))
    if len(wrong) > MOST_SHOWN:
        more = len(wrong) - MOST_SHOWN
        wrong[MOST_SHOWN:] = [Problem(str(path), len(lines), SETTING, f"and {more} more lines that cannot be read")]
    problems.extend(wrong)
    return hosts
