"""Tells findings: as a table to read, as JSON, and in the forms that build servers show (SARIF, JUnit)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from vestibule import __version__
from vestibule.core.consent import State
from vestibule.scan.findings import Findings, FoundCookie, FoundKey, Party

_WIDEST = 44


class Form(StrEnum):
    """How findings are written."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"


def told(findings: Findings, form: str) -> str:
    """The findings in one of the forms of ``Form``, ending with a line break."""
    writers: Mapping[str, Callable[[Findings], str]] = {
        Form.TABLE: table,
        Form.JSON: as_json,
        Form.SARIF: sarif,
        Form.JUNIT: junit,
    }
    return writers[form](findings)


# A table


def table(findings: Findings) -> str:
    """For people: what nobody decided on stands first, marked with ``?``."""
    certain = [party for party in findings.parties if party.certain]
    mentioned = [party for party in findings.parties if not party.certain]
    lines = [f"{findings.url}: {_count(len(findings.pages), 'page')}{' in a browser, too' if findings.browser else ''}"]
    lines += _section(
        "Third parties",
        [
            (
                "?" if party.unknown else " ",
                party.host or "(inline script)",
                party.service or "nothing names it",
                _state(party.state, str(party.purpose)) + (", inside a foreign frame" if party.inside else ""),
                _where(party.pages),
            )
            for party in certain
        ],
    )
    lines += _section(
        "Mentioned in scripts (contacted or not: a browser tells)",
        [(" ", party.host, party.service or "nothing names it", "", _where(party.pages)) for party in mentioned],
    )
    lines += _section(
        "Cookies",
        [
            (
                "?" if cookie.unknown else " ",
                cookie.name,
                cookie.host if cookie.third_party else cookie.service or "the site",
                _state(cookie.state, str(cookie.purpose)),
                f"{lasting(cookie.lasts)}, {_where(cookie.pages)}",
            )
            for cookie in findings.cookies
        ],
    )
    lines += _section(
        "Storage",
        [(" ", f"{key.area}: {key.key}", key.service or "the site, or nobody known", "", _where(key.pages))
         for key in findings.storage],
    )  # fmt: skip
    lines += [f"note: {note}" for note in findings.notes]
    lines.append("")
    lines.append(
        f"{findings.unknown} unknown: name them in trackers.yaml or under cookies.declare, whatever their state"
        if findings.unknown
        else "Nothing unknown."
    )
    return "\n".join(map(printable, lines)) + "\n"


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return ["", f"{title}: none"]
    shown = [tuple(cell if len(cell) <= _WIDEST else cell[: _WIDEST - 1] + "…" for cell in row[:-1]) for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    cells = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in shown]
    return ["", f"{title}:", *(f"{cell}  {row[-1]}".rstrip() for cell, row in zip(cells, rows, strict=True))]


def _state(state: State, purpose: str) -> str:
    return f"ask ({purpose})" if state is State.ASK else str(state)


def _where(pages: Sequence[str]) -> str:
    first = pages[0] if pages else ""
    path = "/" + first.partition("://")[2].partition("/")[2]
    return path + (f" and {len(pages) - 1} more" if len(pages) > 1 else "")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def lasting(seconds: int) -> str:
    """How long a cookie lives, in words."""
    if seconds == 0:
        return "session"
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return _count(round(seconds / size), word)
    return _count(seconds, "second")


# JSON


def as_json(findings: Findings) -> str:
    """For programs: everything, with the pages it was seen on."""
    document = {
        "url": findings.url,
        "pages": findings.pages,
        "browser": findings.browser,
        "unknown": findings.unknown,
        "third_parties": [_party(party) for party in findings.parties],
        "cookies": [_cookie(cookie) for cookie in findings.cookies],
        "storage": [_key(key) for key in findings.storage],
        "notes": findings.notes,
    }
    return json.dumps(document, indent=1) + "\n"


def _party(party: Party) -> dict[str, Any]:
    return {
        "host": party.host or None,
        "service": party.service or None,
        "name": party.name,
        "purpose": str(party.purpose),
        "state": str(party.state),
        "unknown": party.unknown,
        "rule": party.rule,
        "certain": party.certain,
        "inside_frame": party.inside,
        "kinds": sorted(party.kinds),
        "found_in": sorted(party.how),
        "example": party.example or None,
        "pages": party.pages,
    }


def _cookie(cookie: FoundCookie) -> dict[str, Any]:
    return {
        "name": cookie.name,
        "host": cookie.host,
        "third_party": cookie.third_party,
        "service": cookie.service or None,
        "purpose": str(cookie.purpose),
        "state": str(cookie.state),
        "unknown": cookie.unknown,
        "rule": cookie.rule,
        "seconds": cookie.lasts,
        "scripts": cookie.scripts,
        "pages": cookie.pages,
    }


def _key(key: FoundKey) -> dict[str, Any]:
    return {"area": key.area, "key": key.key, "host": key.host, "service": key.service or None, "pages": key.pages}


# What build servers read


@dataclass(frozen=True, slots=True)
class _Case:
    """One thing that was looked at. problem: what is wrong with it, '' where nothing is."""

    rule: str
    name: str
    problem: str
    note: str
    pages: Sequence[str]


def _cases(findings: Findings) -> Iterator[_Case]:
    for party in findings.parties:
        if not party.certain:
            continue
        who = party.host or f"inline script of {party.service}"
        named = f" ({party.name})" if party.service else ""
        problem = f"{who}{named} is loaded, and no line of trackers.yaml names it" if party.unknown else ""
        note = f"{who}{named}: {_state(party.state, str(party.purpose))} by {party.rule}"
        yield _Case("unknown-third-party", who, problem, note, party.pages)
    for cookie in findings.cookies:
        if cookie.third_party:
            continue
        problem = f"the cookie {cookie.name} is set, and nothing declares it" if cookie.unknown else ""
        note = f"{cookie.name}: {_state(cookie.state, str(cookie.purpose))} by {cookie.rule}"
        yield _Case("unknown-cookie", cookie.name, problem, note, cookie.pages)


_RULES = (
    ("unknown-third-party", "A third party that the configuration does not name"),
    ("unknown-cookie", "A cookie that the configuration does not declare"),
)


def sarif(findings: Findings) -> str:
    """SARIF 2.1.0 (OASIS): what is unknown as errors, at the pages it was seen on."""
    results = [
        {
            "ruleId": case.rule,
            "level": "error",
            "message": {"text": case.problem},
            "partialFingerprints": {"vestibule/v1": f"{case.rule}:{case.name}"},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": page}}} for page in case.pages[:1]],
        }
        for case in _cases(findings)
        if case.problem
    ]
    rules = [{"id": id_, "shortDescription": {"text": text}} for id_, text in _RULES]
    driver = {"name": "vestibule scan", "version": __version__, "rules": rules}
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(document, indent=1) + "\n"


def junit(findings: Findings) -> str:
    """JUnit's XML: a case for everything that was looked at, a failure for what is unknown."""
    cases = list(_cases(findings))
    failures = sum(bool(case.problem) for case in cases)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites><testsuite name={_attribute(f"vestibule scan {findings.url}")} tests="{len(cases)}" '
        f'failures="{failures}" errors="0">',
    ]
    for case in cases:
        head = f"<testcase classname={_attribute(case.rule)} name={_attribute(case.name)}"
        if case.problem:
            pages = _text("\n".join(case.pages))
            lines.append(f"{head}><failure message={_attribute(case.problem)}>{pages}</failure></testcase>")
        else:
            lines.append(f"{head}><system-out>{_text(case.note)}</system-out></testcase>")
    lines.append("</testsuite></testsuites>")
    return "\n".join(lines) + "\n"


def _attribute(text: str) -> str:
    return quoteattr(printable(text))


def _text(text: str) -> str:
    return escape(printable(text))


def printable(text: str) -> str:
    """Text without the characters that steer terminals; XML has none but these either."""
    return "".join(character if character in "\t\n" or character.isprintable() else "\N{REPLACEMENT CHARACTER}"
                   for character in text)  # fmt: skip
