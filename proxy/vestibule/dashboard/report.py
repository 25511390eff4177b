"""A week or a month in one message: as text, as HTML, as a mail with both, and as what a Slack webhook takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from html import escape
from typing import Any

from vestibule.dashboard.dimensions import PLURALS
from vestibule.dashboard.hall import counted
from vestibule.dashboard.periods import Period
from vestibule.dashboard.values import labelled, visible
from vestibule.dashboard.words import Words

KINDS = ("view", "visit", "error", "blocked")
TOP = (("view", "referrer", "Sources"), ("view", "page", "Pages"), ("view", "country", "Countries"))
ROWS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """A number and the one of the period before."""

    name: str
    value: str
    change: str


@dataclass(frozen=True, slots=True)
class Part:
    """The largest values of a dimension with their counts."""

    name: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Report:
    site: str
    days: str
    lines: tuple[Line, ...]
    parts: tuple[Part, ...]
    footnote: str
    language: str


def last(span: str, today: date) -> Period:
    """Return the last whole week (from Monday) or month before today. span: week or month."""
    if span == "week":
        monday = today - timedelta(days=today.weekday() + 7)
        return Period("custom", monday, monday + timedelta(days=6))
    end = today.replace(day=1) - timedelta(days=1)
    return Period("custom", end.replace(day=1), end)


def before(period: Period) -> Period:
    """Return the week or month before one: of a month, the whole month before."""
    if period.start.day == 1 and (period.end + timedelta(days=1)).day == 1:
        return last("month", period.start)
    return period.before()


def totals(
    now: Mapping[str, Mapping[str, int]], before: Mapping[str, Mapping[str, int]], earlier: Period
) -> dict[str, tuple[int, int]]:
    """Return of each of ``KINDS`` its facts in the period and in the one before, ``earlier``; 0 for that where one had
    not begun to count when it began. now, before: of each kind its days by ISO date."""
    known = counted(before["view"], earlier)
    return {kind: (sum(now[kind].values()), sum(before[kind].values()) if known else 0) for kind in KINDS}


def compose(
    site: str,
    k: int,
    period: Period,
    numbers: Mapping[str, tuple[int, int]],
    tops: Sequence[Mapping[str, Any]],
    words: Words,
) -> Report:
    """numbers: of each of ``KINDS`` in the period and in the one before (``totals``). tops: breakdowns of ``TOP``."""
    lines = []
    for kind in KINDS:
        now, earlier = numbers[kind]
        change = f"{(now - earlier) / earlier * 100:+.0f} %" if earlier else ""
        lines.append(Line(words(PLURALS[kind]), words.number(now), change))
    parts = []
    for (_, by, name), answer in zip(TOP, tops, strict=True):
        named = [row for row in answer["rows"] if (by, row["value"]) != ("referrer", "internal")][:ROWS]
        rows = tuple((labelled(by, str(row["value"]), words)[0], words.number(int(row["count"]))) for row in named)
        parts.append(Part(words(name), rows))
    footnote = words("What fewer than {k} visitors have in common is not shown by name.", k=k)
    return Report(visible(site), words.describe(period), tuple(lines), tuple(parts), footnote, words.language)


def to_text(report: Report) -> str:
    """Return the report for a terminal or a plain mail; ends with a newline."""
    out = [f"{report.site}, {report.days}", ""]
    width = max(len(line.name) for line in report.lines)
    out += [f"{line.name.ljust(width)}  {line.value.rjust(10)}  {line.change}".rstrip() for line in report.lines]
    for part in report.parts:
        out += ["", part.name]
        out += [f"{count.rjust(10)}  {name}" for name, count in part.rows] or ["         –"]
    return "\n".join([*out, "", report.footnote, ""])


def to_html(report: Report) -> str:
    """Return the report as a page without style sheets of others, scripts or pictures, as mail programs show it."""
    cell = 'style="padding:2px 12px 2px 0;text-align:{}"'
    left, right = cell.format("left"), cell.format("right")
    lines = "".join(
        f"<tr><td {left}>{escape(line.name)}</td><td {right}><b>{escape(line.value)}</b></td>"
        f"<td {right}>{escape(line.change)}</td></tr>"
        for line in report.lines
    )
    parts = "".join(
        f"<h2 style='font-size:16px'>{escape(part.name)}</h2><table>"
        + "".join(
            f"<tr><td {right}>{escape(count)}</td><td {left}>{escape(name)}</td></tr>" for name, count in part.rows
        )
        + "</table>"
        for part in report.parts
    )
    title = f"{escape(report.site)}, {escape(report.days)}"
    return (
        f'<!doctype html><html lang="{report.language}"><head><meta charset="utf-8"><title>{title}</title></head>'
        f'<body style="font-family:sans-serif"><h1 style="font-size:20px">{title}</h1><table>{lines}</table>{parts}'
        f"<p><small>{escape(report.footnote)}</small></p></body></html>\n"
    )


def to_mail(report: Report, recipient: str) -> bytes:
    """Return a message for ``sendmail -t``: text and HTML. Raises ValueError where the address is none."""
    name, at, domain = recipient.rpartition("@")
    if not name or not at or not domain or any(char in recipient for char in "\r\n<>,; "):
        raise ValueError("is no mail address")
    message = EmailMessage()
    message["To"] = Address(username=name, domain=domain)
    message["Subject"] = f"{report.site}, {report.days}"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(to_text(report))
    message.add_alternative(to_html(report), subtype="html")
    return message.as_bytes()


def to_slack(report: Report) -> str:
    """Return the JSON that an incoming webhook takes; what marks up there is escaped."""
    text = to_text(report).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("```", "'''")
    return json.dumps({"text": f"```\n{text}```"}, ensure_ascii=False) + "\n"
