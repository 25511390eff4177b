"""The stats API: breakdowns and time series as JSON or CSV, all of it as an archive, and its own description."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vestibule.core.errors import VestibuleError
from vestibule.core.trees import level_of, levels_told
from vestibule.dashboard import periods
from vestibule.dashboard.address import LONGEST_VALUE
from vestibule.dashboard.asking import TIMEOUT, Asking
from vestibule.dashboard.backend import Backend
from vestibule.dashboard.dimensions import INTERVALS, KINDS
from vestibule.dashboard.export import files, pack
from vestibule.dashboard.keys import Guest
from vestibule.dashboard.office import Note, Office, Table
from vestibule.dashboard.openapi import describe
from vestibule.dashboard.panels import SHARED
from vestibule.dashboard.periods import Period
from vestibule.dashboard.problems import Fault, problem
from vestibule.dashboard.settings import Settings
from vestibule.dashboard.sheets import RowsOf, breakdown_rows, day_rows, timeseries_rows, to_csv

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 1000
LONGEST_BY_MINUTE = 7
"""Days that a series by minute may span (10,080 points)."""
LONGEST_BY_HOUR = 93


@dataclass(frozen=True, slots=True)
class Question:
    """What both endpoints are asked. ``where``: dimension and value."""

    kind: str
    start: date
    end: date
    where: tuple[str, str] | None

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1


class StatsApi:
    """``today``: the site's local time now."""

    def __init__(
        self, backend: Backend, settings: Settings, today: Callable[[], datetime], office: Office | None = None
    ) -> None:
        self._backend = backend
        self._office = office
        self._settings = settings
        self._now = today

    async def breakdown(self, request: Request) -> Response:
        faults: list[Fault] = []
        question = read_question(request.query_params, self._now().date(), faults, {*_COMMON, "by", "limit", "level"})
        by = _one_of(request.query_params, "by", KINDS.get(question.kind, ()), faults)
        limit = _number(request.query_params, "limit", DEFAULT_LIMIT, 1, LARGEST_LIMIT, faults)
        level = None
        if "level" in request.query_params:
            level = level_of(by, request.query_params["level"])
            if level is None:
                faults.append(Fault("level", f"is {levels_told(by)}"))
            if question.where is not None:
                faults.append(Fault("level", "can't be asked together with where"))
        if question.kind in KINDS and not KINDS[question.kind]:
            faults = [Fault("kind", f"{question.kind} has no dimensions: ask for its time series")]
        if question.where is not None and question.where[0] == by:
            faults.append(Fault("where", f"a breakdown by {by} can't be narrowed by {by}"))
        if faults:
            return _refused(faults)
        if isinstance(request.state.account, Guest) and (question.kind, by) not in SHARED:
            return problem(403, "shared", "A shared link tells what its pages show")
        answer = self._backend.breakdown(
            site=self._settings.site,
            kind=question.kind,
            by=by,
            start=question.start,
            end=question.end,
            where=question.where,
            limit=limit,
            level=level,
        )
        return await _answered(request, answer, breakdown_rows, f"{question.kind}-by-{by}")

    async def timeseries(self, request: Request) -> Response:
        faults: list[Fault] = []
        question = read_question(request.query_params, self._now().date(), faults, {*_COMMON, "interval"})
        interval = _one_of(request.query_params, "interval", INTERVALS, faults)
        longest = {"minute": LONGEST_BY_MINUTE, "hour": LONGEST_BY_HOUR}.get(interval, periods.LONGEST)
        if question.where is not None and interval == "minute":
            faults.append(Fault("where", "minutes are counted without attributes"))
        if question.days > longest:
            faults.append(Fault("from", f"by {interval} at most {longest} days can be asked for at once"))
        if faults:
            return _refused(faults)
        answer = self._backend.timeseries(
            site=self._settings.site,
            kind=question.kind,
            interval=interval,
            start=question.start,
            end=question.end,
            where=question.where,
        )
        rows = day_rows if interval == "day" else timeseries_rows
        return await _answered(request, answer, rows, f"{question.kind}-by-{interval}")

    async def openapi(self, request: Request) -> Response:
        """The API's description."""
        described = describe(self._settings.site, request.state.root)
        return conditional(request, json.dumps(described).encode(), "application/json")

    async def annotations(self, request: Request) -> Response:
        """Notes on the days of a period."""
        faults: list[Fault] = []
        _known(request.query_params, {"from", "to"}, faults)
        start, end = _days(request.query_params, self._now().date(), faults)
        if faults:
            return _refused(faults)
        try:
            async with asyncio.timeout(TIMEOUT):
                rows = await self._office.entries(Table.NOTES) if self._office else ()
        except (VestibuleError, TimeoutError):
            return _unavailable()
        notes = sorted((Note.of(row) for row in rows), key=lambda note: note.day)
        found = [
            {"id": note.id, "day": note.day, "text": note.text, "by": note.by}
            for note in notes
            if start.isoformat() <= note.day <= end.isoformat()
        ]
        return conditional(request, json.dumps({"annotations": found}).encode(), "application/json")

    async def export(self, request: Request) -> Response:
        """Every panel and every kind by day in one archive, as CSV files or as JSON."""
        faults: list[Fault] = []
        _known(request.query_params, {"from", "to", "format"}, faults)
        start, end = _days(request.query_params, self._now().date(), faults)
        _format(request.query_params, faults)
        if faults:
            return _refused(faults)
        form = request.query_params.get("format", "csv")
        asking = Asking(self._backend, self._settings.site)
        found = await files(asking, Period("custom", start, end), LARGEST_LIMIT)
        if found is None:
            return _unavailable()
        body = await asyncio.to_thread(pack, found, form)
        name = f"{self._settings.site}-{start}-{end}.zip"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return conditional(request, body, "application/zip", headers)

    async def consent_record(self, request: Request) -> Response:
        """A consent record by its id, which only the visitor knows who shows it: the proof of what was agreed to."""
        record = request.path_params["record"]
        if _RECORD.fullmatch(record) is None:
            return problem(404, "not-found", "There is no consent record of this number")
        try:
            async with asyncio.timeout(TIMEOUT):
                found = await self._backend.consent_record(record)
        except (VestibuleError, TimeoutError):
            return _unavailable()
        if found is None:
            return problem(404, "not-found", "There is no consent record of this number")
        return JSONResponse(dict(found))


_RECORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Ids of consent records; a refusal has none, so that an empty one finds nothing."""
_COMMON = frozenset({"kind", "from", "to", "where", "format"})


def read_question(query: QueryParams, today: date, faults: list[Fault], known: set[str]) -> Question:
    """Read what both endpoints share, adding to ``faults`` all that is wrong; days default to today."""
    _known(query, known, faults)
    kind = _one_of(query, "kind", tuple(KINDS), faults)
    start, end = _days(query, today, faults)
    _format(query, faults)
    return Question(kind, start, end, _where(query, kind, faults))


def _known(query: QueryParams, known: set[str], faults: list[Fault]) -> None:
    for name in dict.fromkeys(query.keys()):
        if name not in known:
            faults.append(Fault(name[:50], "is not a parameter; known are " + ", ".join(sorted(known))))
        elif len(query.getlist(name)) > 1:
            faults.append(Fault(name, "is given more than once"))


def _format(query: QueryParams, faults: list[Fault]) -> None:
    if query.get("format", "csv") not in ("csv", "json"):
        faults.append(Fault("format", "is one of csv, json"))


def _days(query: QueryParams, today: date, faults: list[Fault]) -> tuple[date, date]:
    end = _day(query, "to", today, faults)
    start = _day(query, "from", end, faults)
    if start > end:
        faults.append(Fault("from", "is after to"))
    elif (end - start).days >= periods.LONGEST:
        faults.append(Fault("from", f"at most {periods.LONGEST} days can be asked for at once"))
    return start, end


def _where(query: QueryParams, kind: str, faults: list[Fault]) -> tuple[str, str] | None:
    if "where" not in query:
        return None
    dimension, colon, value = query["where"].partition(":")
    allowed = KINDS.get(kind, ())
    if not colon or not value or len(value) > LONGEST_VALUE:
        faults.append(Fault("where", "is DIMENSION:VALUE, such as country:DE"))
    elif kind in KINDS and dimension not in allowed:
        faults.append(Fault("where", f"{kind} is kept by {', '.join(allowed)}"))
    return dimension, value


def _one_of(query: QueryParams, name: str, allowed: Sequence[str], faults: list[Fault]) -> str:
    value = query.get(name, "")
    if not value:
        faults.append(Fault(name, "is missing"))
    elif value not in allowed and allowed:
        faults.append(Fault(name, "is one of " + ", ".join(allowed)))
    return value


def _day(query: QueryParams, name: str, default: date, faults: list[Fault]) -> date:
    text = query.get(name)
    if text is None:
        return default
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        faults.append(Fault(name, "is a day such as 2026-11-22"))
        return default
    if not 2000 <= day.year <= 2199:
        faults.append(Fault(name, "is out of range"))
        return default
    return day


def _number(query: QueryParams, name: str, default: int, low: int, high: int, faults: list[Fault]) -> int:
    text = query.get(name, str(default))
    if text.isascii() and text.isdigit() and len(text) <= 6 and low <= int(text) <= high:
        return int(text)
    faults.append(Fault(name, f"is a number from {low} to {high}"))
    return default


def _refused(faults: list[Fault]) -> Response:
    return problem(400, "invalid-parameter", "The question can't be understood", faults=faults)


async def _answered(
    request: Request,
    question: Awaitable[Mapping[str, Any]],
    rows: RowsOf,
    name: str,
) -> Response:
    try:
        async with asyncio.timeout(TIMEOUT):
            answer = await question
    except TimeoutError:
        return problem(503, "store-slow", "The store takes too long", headers={"Retry-After": "10"})
    except VestibuleError:
        return problem(503, "store-unavailable", "The store does not answer", headers={"Retry-After": "10"})
    if wants_csv(request):
        headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
        return conditional(request, to_csv(rows(answer)).encode(), "text/csv", headers)
    return conditional(request, JSONResponse(dict(answer)).body, "application/json")


def conditional(
    request: Request, body: bytes | memoryview, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer with an ETag, or 304 where the client has it (RFC 9110, section 13.1.2). The tag is weak, since
    the body is compressed further out."""
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    added = {
        **(headers or {}),
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Vary": "Accept, Authorization, Cookie",
    }
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")[:50]}
    if tag.removeprefix("W/") in known or "*" in known:
        return Response(status_code=304, headers=added)
    return Response(bytes(body), media_type=media_type, headers=added)


def _unavailable() -> Response:
    return problem(503, "store-unavailable", "The store does not answer", headers={"Retry-After": "10"})


def wants_csv(request: Request) -> bool:
    """Whether CSV is wanted: ``format=csv``, or ``text/csv`` preferred in ``Accept`` (RFC 9110, section 12.5.1)."""
    if "format" in request.query_params:
        return request.query_params["format"] == "csv"
    weights = {"text/csv": 0.0, "application/json": 0.0}
    for item in request.headers.get("accept", "*/*").split(",")[:50]:
        media_type, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = next((_weight(text[2:]) for text in parameters if text.startswith("q=")), 1.0)
        if media_type in weights:
            weights[media_type] = weight
    return weights["text/csv"] > weights["application/json"]


def _weight(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
