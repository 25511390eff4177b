"""Reads the lists of spam referrers that ``site.yaml`` names: files of one host a line.

Blank lines and those that begin with ``#`` are passed over, as is what stands behind a ``#``. So are published lists
written, such as the one that Matomo's community keeps.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from vestibule.config.documents import Document
from vestibule.config.lists import Lines, Named, read_each, well_named
from vestibule.config.values import host_name
from vestibule.config.wording import shown
from vestibule.core.errors import Problem

MAX_SPAM = 1 << 20
"""A list of more bytes is refused unread: each process holds it as a set, some fifty thousand hosts. The largest in
common use have forty thousand bytes."""

WHERE = ("analytics", "spam_lists")
SETTING = ".".join(WHERE)


class Spam(NamedTuple):
    """What a site's lists of spam say. digest: of the lists, by which a change is told; empty where there are none."""

    hosts: frozenset[str]
    digest: str
    problems: tuple[Problem, ...]


def named(document: Document) -> Named:
    """The lists of spam that a ``site.yaml`` names."""
    section = document.data.get(WHERE[0])
    return well_named(section.get(WHERE[1]) if isinstance(section, dict) else None)


def read_spam(folder: Path, document: Document) -> Spam:
    """Read every list of spam of a ``site.yaml``."""
    hosts: set[str] = set()
    problems: list[Problem] = []

    def take(path: Path, _: str, found: bytes) -> None:
        hosts.update(_hosts(path, found, problems))

    digest = read_each(folder, named(document), MAX_SPAM, document, WHERE, problems, take)
    return Spam(frozenset(hosts), digest, tuple(problems))


def _hosts(path: Path, found: bytes, problems: list[Problem]) -> set[str]:
    hosts: set[str] = set()
    lines = Lines(path, SETTING, found)
    for number, line in lines:
        host = line.partition("#")[0].strip()
        if not host:
            continue
        try:
            hosts.add(host_name(host))
        except ValueError as error:
            lines.refuse(number, f"{error}; is {shown(host)}")
    problems.extend(lines.problems)
    return hosts
