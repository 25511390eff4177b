"""Reads a block list: its lines as filters, and what is wrong in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vestibule.config.lists import Lines
from vestibule.core.errors import Problem
from vestibule.core.filters import Filter, Matcher, UnreadableError, read

try:
    import re2
except ImportError:  # the extra "lists" is not installed
    re2 = None

Known = dict[tuple[str, bytes], dict[int, Filter | None]]
"""What is read of lists, by name and digest: the filter of each line, or None, if that is the same for any site. Sites
that inherit a list hold its filters together, and read only the lines that name sites."""


def filters(
    path: Path, name: str, content: bytes, site: Sequence[str], problems: list[Problem], known: Known | None = None
) -> list[Filter]:
    """The filters of one list. path: for problems; name: for the filters; site: the hosts of the site's pages."""
    before = {} if known is None else known.setdefault((name, hashlib.sha256(content).digest()), {})
    found: list[Filter] = []
    lines = Lines(path, "lists", content)
    lacking = 0
    hosts = _Hosts(site)
    for number, text in lines:
        if number in before:
            one = before[number]
        else:
            hosts.asked = False
            try:
                one = read(text, f"{name}:{number}", hosts, _compile)
            except _LackingError:
                lacking = lacking or number
                continue
            except UnreadableError as error:
                lines.refuse(number, str(error))
                continue
            if not hosts.asked:
                before[number] = one
        if one is not None:
            found.append(one)
    if lacking:
        message = 'has regular expressions, for which the extra "lists" is needed: pip install "vestibule[lists]"'
        problems.append(Problem(str(path), lacking, "lists", message))
    problems.extend(lines.problems)
    return found


class _Hosts(Sequence[str]):
    """The hosts of a site's pages, and whether anybody has ``asked`` for them."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts, self.asked = hosts, False

    def __getitem__(self, index: Any) -> Any:
        self.asked = True
        return self._hosts[index]

    def __len__(self) -> int:
        self.asked = True
        return len(self._hosts)


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
