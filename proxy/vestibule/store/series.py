"""Time series: facts by minute, hour or day, and visitors by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from vestibule.store.questions import TimeSeries
from vestibule.store.reading import (
    Answer,
    Filter,
    Reader,
    Sum,
    common,
    filter_of,
    filters,
    given,
    pairs,
    wholes,
)

FORMATS = {"minute": "%Y-%m-%dT%H:%i", "hour": "%Y-%m-%dT%H:00", "day": "%Y-%m-%d"}
_HOUR = "hour"
_ALL: Filter = ("", "", True)
_Days = Mapping[str, Sum]


def times(reader: Reader, questions: Sequence[TimeSeries]) -> list[Answer]:
    """Hours and minutes, from the totals, which are live and exact."""
    found = _totals(reader, questions)
    return [{"points": found[question.kind], "provisional": False} for question in questions]


def days(reader: Reader, questions: Sequence[TimeSeries]) -> list[Answer]:
    """A day's facts and its visitors, as released; of days that are not archived the facts from the totals, which are
    live and exact. (An archived day's are the same in both, but it is one row there and a thousand here.)"""
    told = _told(reader, questions)
    live = {day.isoformat() for day in reader.live}
    settled = {
        kind: {when: found for when, found in by_day.items() if when not in live} for (_, kind), by_day in told.items()
    }
    first = min(_first_open(question, settled.get(question.kind, {})) for question in questions)
    totals = _totals(reader, questions, first) if first <= questions[0].end else {}
    answers = []
    for question in questions:
        by_day = told.get((_ALL, question.kind), {})
        facts = {when: found.facts for when, found in settled.get(question.kind, {}).items()}
        facts |= {
            point["time"]: point["count"] for point in totals.get(question.kind, ()) if point["time"] not in facts
        }
        points = [
            {"time": when, "count": count, "visitors": by_day[when].people if when in by_day else 0}
            for when, count in sorted(facts.items())
        ]
        answers.append({"points": points, "provisional": any(found.unsettled for found in by_day.values())})
    return answers


def _first_open(question: TimeSeries, settled: Collection[str]) -> date:
    """The first day that the totals are to be asked for: none before it lacks released numbers for good."""
    day = question.start
    while day <= question.end and day.isoformat() in settled:
        day += timedelta(days=1)
    return day


def narrowed_days(reader: Reader, questions: Sequence[TimeSeries]) -> list[Answer]:
    """Days of what filters by one dimension stand for."""
    told = _told(reader, questions)
    answers = []
    for question in questions:
        by_day = told.get((filter_of(question), question.kind), {})
        points = [{"time": when, "count": found.facts, "visitors": found.people} for when, found in by_day.items()]
        answers.append({"points": points, "provisional": any(found.unsettled for found in by_day.values())})
    return answers


def narrowed_hours(reader: Reader, questions: Sequence[TimeSeries]) -> list[Answer]:
    """Hours of what a filter stands for: its pairs with the hours of the day."""
    known = wholes(reader, questions)
    asked = {**known.asked, **filters(questions), "pairs": pairs(questions, {_HOUR})}
    found: defaultdict[str, dict[tuple[date, str], Sum]] = defaultdict(dict)
    if asked["pairs"]:
        told = reader.sums("timeseries_hours", asked, daily=True, **given(bool(known.trees)))
        for (kind, day, hour), each in told.items():
            found[kind][day, hour] = each
    return [
        {
            "points": [
                {"time": f"{day.isoformat()}T{int(hour[:2]):02}:00", "count": each.facts, "visitors": each.people}
                for (day, hour), each in sorted(found[question.kind].items())
                if hour[:2].isdigit()
            ],
            "provisional": any(each.unsettled for each in found[question.kind].values()),
        }
        for question in questions
    ]


def _told(reader: Reader, questions: Sequence[TimeSeries]) -> Mapping[tuple[Filter, str], _Days]:
    """By filter and kind its days, ascending. All filters are by the same dimension."""
    wanted = {filter_of(question) for question in questions}
    dimension = filter_of(questions[0])[0]
    asked = {
        **common(questions),
        "singles": [(kind, dimension, "") for kind in _kinds(questions)],
        "values": sorted({value for _, value, _ in wanted}),
    }
    found: defaultdict[tuple[Filter, str], dict[str, Sum]] = defaultdict(dict)
    for (kind, value, part, when), day in sorted(reader.sums("timeseries_days", asked).items()):
        for below in (True, False):
            filter_ = (dimension, value, below)
            if filter_ in wanted and part in ("leaf", "node" if below else "rest"):
                found[filter_, kind].setdefault(when, Sum()).add(day.facts, day.people, day.unsettled)
    return {key: dict(sorted(by_day.items())) for key, by_day in found.items()}


def _totals(
    reader: Reader, questions: Sequence[TimeSeries], since: date | None = None
) -> Mapping[str, list[dict[str, Any]]]:
    """By kind its points. since: of the days from this one on, where it is not all of them."""
    first = questions[0]
    zone = ZoneInfo(first.timezone)
    asked = {
        "site": first.site,
        "kinds": _kinds(questions),
        "begin": datetime.combine(since or first.start, time(), zone).astimezone(UTC),
        "until": datetime.combine(first.end + timedelta(days=1), time(), zone).astimezone(UTC),
        "format": FORMATS[first.interval],
        "timezone": first.timezone,
    }
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for kind, when, facts in reader.rows("timeseries", asked, slot=f"slot_{first.interval}"):
        found[kind].append({"time": when, "count": facts})
    return found


def _kinds(questions: Sequence[TimeSeries]) -> list[str]:
    return sorted({question.kind for question in questions})
