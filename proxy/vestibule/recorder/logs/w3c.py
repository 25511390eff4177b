"""W3C extended log format (WD-logfile-960323), as IIS and CloudFront write it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from vestibule.core.agents import UNRECORDED
from vestibule.core.visit import Hit, is_asset
from vestibule.recorder.logs import fields
from vestibule.recorder.logs.fields import UnreadableError


class W3C:
    """W3C extended log format (WD-logfile-960323), as IIS and CloudFront write it: ``#Fields:`` names the columns."""

    name = "w3c"

    def __init__(self, site: str) -> None:
        self._site = site
        self._fields: tuple[str, ...] = ()
        self._date = ""

    def parse(self, line: str) -> Hit | None:
        if line.startswith("#"):
            self._directive(line)
            return None
        if not self._fields:
            raise UnreadableError("no #Fields directive yet")
        columns = _columns(line.rstrip("\r\n"))
        if len(columns) != len(self._fields):
            raise UnreadableError("not as many columns as #Fields names")
        entry = dict(zip(self._fields, columns, strict=True))
        path = fields.text(entry, "cs-uri-stem", "cs-uri")
        status = fields.number(entry, "sc-status")
        named, path, query = fields.target(path)
        if is_asset(path, status):
            return None

        def header(name: str) -> str:
            return _spaced(entry.get(f"cs({name.lower()})", ""))

        return Hit(
            site=self._site,
            time=self._moment(entry),
            address=fields.address(fields.text(entry, "c-ip")),
            method=fields.text(entry, "cs-method") or "GET",
            host=named or fields.host(fields.text(entry, "x-host-header", "cs-host", "cs(host)")) or self._site,
            path=path,
            query=query or fields.text(entry, "cs-uri-query"),
            status=status,
            content_type=fields.text(entry, "sc-content-type", "sc(content-type)"),
            size=fields.number(entry, "sc-bytes", default=0),
            agent=header("User-Agent") if "cs(user-agent)" in entry else UNRECORDED,
            referrer=header("Referer"),
            language=header("Accept-Language"),
            accept=header("Accept"),
            **fields.signals(header),
        )

    def _directive(self, line: str) -> None:
        name, _, rest = line[1:].partition(":")
        if name.strip().lower() == "fields":
            self._fields = tuple(rest.lower().split())
        elif name.strip().lower() == "date":
            self._date = rest.strip()[:10]

    def _moment(self, entry: Mapping[str, str]) -> float:
        day, time = fields.text(entry, "date") or self._date, fields.text(entry, "time")
        if not day or not time:
            raise UnreadableError("no time")
        return fields.time(f"{day}T{time}")


# A quote is written twice within quotes. What opens with one that nothing closes is a column as any other.
_COLUMN = re.compile(r'"((?:[^"]|"")*+)"(?![^ ])|([^ ]+)')


def _columns(line: str) -> list[str]:
    """The columns of a line, those in quotes without them."""
    if "\t" in line:
        return [_unquoted(column) for column in line.split("\t")]
    if '"' not in line:
        return [column for column in line.split(" ") if column]
    return [found[2] or found[1].replace('""', '"') for found in _COLUMN.finditer(line)]


def _unquoted(column: str) -> str:
    return column[1:-1].replace('""', '"') if len(column) > 1 and column[0] == column[-1] == '"' else column


def _spaced(text: str) -> str:
    """Undo how these servers keep blanks out of a column: ``+``, or percent-encoding."""
    if text == "-":
        return ""
    if "%" in text:
        text = unquote(unquote(text))
    return text.replace("+", " ") if " " not in text else text
