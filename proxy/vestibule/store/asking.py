"""Answers questions: breakdowns and time series, from what may be told.

A *where* is a dimension and a value. It narrows to all that is below the value in its tree, or, where the value ends in
`` (others)``, to what remains of the value without its released children.

Questions that belong together are asked together: a query takes the engine some ten milliseconds whatever it reads, and
a page of the dashboard has two dozen questions about the same days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from vestibule.core.errors import StoreError
from vestibule.core.release import RARE
from vestibule.store.archiving import Lying, Month, following
from vestibule.store.files import query
from vestibule.store.questions import Breakdown, Question, TimeSeries, Where

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Answer = dict[str, Any]
Filter = tuple[str, str, bool]
"""A dimension, a value, and whether what is below it is meant too, not only what remains of it."""
Asked = TypeVar("Asked", bound=Question)

OTHERS = " (others)"
_FORMATS = {"minute": "%Y-%m-%dT%H:%i", "hour": "%Y-%m-%dT%H:00", "day": "%Y-%m-%d"}
_HOUR = "hour"
_LEAVES = -1


@dataclass(frozen=True, slots=True)
class Reader:
    """Asks the tables."""

    client: Client
    lying: Lying

    @property
    def live(self) -> Collection[date]:
        """The days that are not archived."""
        return self.lying.live

    def rows(
        self, name: str, asked: Mapping[str, Any], *, daily: bool = True, **instead: str
    ) -> Sequence[Sequence[Any]]:
        """The rows of a query about ``start`` to ``end``, both included. daily: whether it tells days apart."""
        start, end = asked["start"], asked["end"]
        live = [day for day in self.live if start <= day <= end]
        months = () if daily else self.lying.whole(start, end)
        last = end
        while last in live:
            last -= timedelta(days=1)
        # What needs not be asked is left out: planning takes longer than reading.
        told = {
            "live": "live" if live else "nothing",
            "but_live": "but_live" if live and live[0] < last else "nothing",
            "summed": "summed" if months else "nothing",
            "days": "days_around" if months else "days",
        }
        given = {"live": live, "months": months, "last": last, **_around(months)}
        return self.client.query(query(name, **told, **instead), {**asked, **given}).result_rows


def _around(months: Sequence[Month]) -> dict[str, date]:
    """The last day before the months, and the first one after them."""
    return {"before": months[0][0] - timedelta(days=1), "after": following(months[-1][0])} if months else {}


def answers(client: Client, lying: Mapping[str, Lying], questions: Sequence[Question]) -> list[Answer]:
    """Return an answer to each question, see ``Store.breakdown`` and ``Store.timeseries``. lying: by site."""
    found: dict[int, Answer] = {}
    groups: defaultdict[tuple[Any, ...], list[tuple[int, Any]]] = defaultdict(list)
    for place, question in enumerate(questions):
        answer, shared = _way(question)
        groups[answer, question.site, question.start, question.end, *shared].append((place, question))
    for (answer, site, *_), group in groups.items():
        reader = Reader(client, lying[site])
        for (place, _), each in zip(group, answer(reader, [question for _, question in group]), strict=True):
            found[place] = each
    return [found[place] for place in range(len(questions))]


def _way(question: Question) -> tuple[Callable[[Reader, Any], list[Answer]], tuple[Any, ...]]:
    """Return what answers such questions, and what those that it answers together have in common besides their days.

    Raises StoreError where the question makes no sense."""
    if isinstance(question, Breakdown):
        if question.where is None:
            return _breakdowns, ()
        if question.level is not None:
            raise StoreError("a level cannot be asked together with a filter")
        if question.where[0] == question.by:
            raise StoreError(f"a breakdown by {question.by} cannot be filtered by {question.by}")
        return _narrowed, ()
    assert isinstance(question, TimeSeries)
    if question.interval not in _FORMATS:
        raise StoreError("the interval must be minute, hour or day")
    if question.where is None:
        answer = _days if question.interval == "day" else _times
    elif question.interval == "minute":
        raise StoreError("a filter can be asked by hour or day, not by minute: minutes are counted without attributes")
    else:
        answer = _narrowed_days if question.interval == "day" else _narrowed_hours
    return answer, (question.where, question.interval, question.timezone)


def _asked(questions: Sequence[Question]) -> dict[str, Any]:
    """The parameters that all questions share."""
    first = questions[0]
    return {"site": first.site, "start": first.start, "end": first.end, "rare": RARE}


def _kinds(questions: Sequence[Question]) -> list[str]:
    return sorted({question.kind for question in questions})


# -- breakdowns --------------------------------------------------------------------------------------------------------


def _breakdowns(reader: Reader, questions: Sequence[Breakdown]) -> list[Answer]:
    keys = [(each.kind, each.by, _LEAVES if each.level is None else each.level) for each in questions]
    asked = {
        **_asked(questions),
        "dimensions": sorted({key[:2] for key in keys}),
        "asked": sorted(set(keys)),
        "limit": _most(questions),
    }
    levels = {level for _, _, level in keys}
    asked["level"] = min(levels)
    found: defaultdict[tuple[str, str, int], list[Sequence[Any]]] = defaultdict(list)
    for kind, by, level, *row in reader.rows(
        "breakdown", asked, daily=False, levels="level" if len(levels) == 1 else "levels"
    ):
        found[kind, by, level].append(row)
    return [_breakdown(found[key], question.limit) for key, question in zip(keys, questions, strict=True)]


def _narrowed(reader: Reader, questions: Sequence[Breakdown]) -> list[Answer]:
    wholes = _wholes(reader, questions, {(question.kind, question.by) for question in questions})
    found: defaultdict[tuple[Filter, str, str], list[Sequence[Any]]] = defaultdict(list)
    for group in _together(questions, wholes.trees):
        asked = {**wholes.asked, **_filters(group), "limit": _most(group)}
        asked["pairs"] = _pairs(group, {question.by for question in group})
        tree = _filter(group[0]) in wholes.trees
        rows = reader.rows("breakdown_where", {**asked, "tree": tree}, daily=False, **_given(tree))
        for kind, dimension, value, by, name, *row in rows:
            for filter_ in {_filter(question) for question in group}:
                if filter_[:2] == (dimension, value):
                    found[filter_, kind, by].append((name, (kind, by, name) in wholes.others, *row))
    answers = []
    for question in questions:
        rows = found[_filter(question), question.kind, question.by]
        answer = _breakdown(rows, question.limit)
        if len(rows) <= question.limit:
            facts, people, unsettled = wholes.facts.get((_filter(question), question.kind), (0, 0, False))
            named = answer["rows"]
            answer["rare"] = {
                "count": max(facts - sum(row["count"] for row in named), 0),
                "visitors": max(people - sum(row["visitors"] for row in named), answer["rare"]["visitors"], 0),
            }
            answer["provisional"] = answer["provisional"] or unsettled
        answers.append(answer)
    return answers


@dataclass(frozen=True, slots=True)
class _Wholes:
    """What is known of filters before they narrow anything down.

    asked: parameters of the queries that narrow. facts: by filter and kind, its facts, visitors, and whether they are
    provisional. trees: filters with something below their value. others: kind, dimension and value of remainders."""

    asked: Mapping[str, Any]
    facts: Mapping[tuple[Filter, str], tuple[int, int, bool]]
    trees: Collection[Filter]
    others: Collection[tuple[str, str, str]]


def _wholes(reader: Reader, questions: Sequence[Question], wanted: Collection[tuple[str, str]] = ()) -> _Wholes:
    """wanted: kinds and dimensions whose remainders are to be known."""
    filters = {_filter(question) for question in questions}
    asked = {
        **_asked(questions),
        "dimensions": sorted({*((question.kind, _filter(question)[0]) for question in questions), *wanted}),
        "values": sorted({value for _, value, _ in filters}),
    }
    facts: dict[tuple[Filter, str], tuple[int, int, bool]] = {}
    trees, others = set(), set()
    for kind, dimension, name, part, under, count, people, unsettled in reader.rows("where", asked, daily=False):
        if part == "rest":
            others.add((kind, dimension, name))
        for filter_ in filters:
            given, value, below = filter_
            if dimension == given and name == value and part in ("leaf", "node" if below else "rest"):
                before = facts.get((filter_, kind), (0, 0, False))
                facts[filter_, kind] = before[0] + count, before[1] + people, before[2] or bool(unsettled)
            if dimension == given and below and value in under:
                trees.add(filter_)
    return _Wholes(asked, facts, trees, others)


def _together(questions: Sequence[Asked], trees: Collection[Filter]) -> list[list[Asked]]:
    """Groups that one query narrows: all filters by themselves, and each that is a tree."""
    groups: defaultdict[Filter | None, list[Asked]] = defaultdict(list)
    for question in questions:
        filter_ = _filter(question)
        groups[filter_ if filter_ in trees else None].append(question)
    return list(groups.values())


def _filters(questions: Sequence[Question]) -> dict[str, Any]:
    dimension, value, _ = _filter(questions[0])
    return {
        "filters": sorted({_filter(question)[:2] for question in questions}),
        "dimension": dimension,
        "value": value,
    }


def _given(tree: bool) -> dict[str, str]:
    """The includes that narrow: to values, or to all that is below one."""
    return {"given": "given_tree", "near": "near_tree"} if tree else {}


def _pairs(questions: Sequence[Question], dimensions: Collection[str]) -> list[tuple[str, str, str]]:
    """Kinds with the filters' dimensions and others: the two of a pair stand in alphabetical order."""
    found = {
        (question.kind, *sorted((_filter(question)[0], other)))
        for question in questions
        for other in dimensions
        if other != _filter(question)[0]
    }
    return sorted((kind, a, b) for kind, a, b in found)


def _most(questions: Sequence[Breakdown]) -> int:
    """One row more than asked for: what is too rare to be named comes first and is no row."""
    return max(question.limit for question in questions) + 1


def _breakdown(rows: Sequence[Sequence[Any]], limit: int) -> Answer:
    rare = [row for row in rows if row[0] == RARE]
    named = [row for row in rows if row[0] != RARE][:limit]
    return {
        "rows": [
            {"value": f"{value}{OTHERS}" if others else value, "count": facts, "visitors": people}
            for value, others, facts, people, _ in named
        ],
        "rare": {"count": sum(row[2] for row in rare), "visitors": sum(row[3] for row in rare)},
        "provisional": any(row[4] for row in rows[: limit + 1]),
    }


# -- time series -------------------------------------------------------------------------------------------------------


def _times(reader: Reader, questions: Sequence[TimeSeries]) -> list[Answer]:
    """Hours and minutes, from the totals, which are live and exact."""
    found = _totals(reader, questions)
    return [{"points": found[question.kind], "provisional": False} for question in questions]


def _days(reader: Reader, questions: Sequence[TimeSeries]) -> list[Answer]:
    """A day's facts and its visitors, as released; of days that are not archived the facts from the totals, which are
    live and exact. (An archived day's are the same in both, but it is one row there and a thousand here.)"""
    told = _told(reader, questions, ("", "", True))
    settled = {
        kind: {row[0]: row for row in rows if date.fromisoformat(row[0]) not in reader.live}
        for kind, rows in told.items()
    }
    first = min(_first_open(question, settled.get(question.kind, {})) for question in questions)
    totals = _totals(reader, questions, first) if first <= questions[0].end else {}
    answers = []
    for question in questions:
        facts = {when: row[1] for when, row in settled.get(question.kind, {}).items()}
        facts |= {
            point["time"]: point["count"] for point in totals.get(question.kind, ()) if point["time"] not in facts
        }
        visitors = {when: people for when, _, people, _ in told[question.kind]}
        points = [
            {"time": when, "count": count, "visitors": visitors.get(when, 0)} for when, count in sorted(facts.items())
        ]
        answers.append({"points": points, "provisional": any(row[3] for row in told[question.kind])})
    return answers


def _first_open(question: TimeSeries, settled: Collection[str]) -> date:
    """The first day that the totals are to be asked for: none before it lacks released numbers for good."""
    day = question.start
    while day <= question.end and day.isoformat() in settled:
        day += timedelta(days=1)
    return day


def _narrowed_days(reader: Reader, questions: Sequence[TimeSeries]) -> list[Answer]:
    told = _told(reader, questions, _filter(questions[0]))
    return [
        {
            "points": [
                {"time": when, "count": facts, "visitors": people} for when, facts, people, _ in told[question.kind]
            ],
            "provisional": any(row[3] for row in told[question.kind]),
        }
        for question in questions
    ]


def _narrowed_hours(reader: Reader, questions: Sequence[TimeSeries]) -> list[Answer]:
    wholes = _wholes(reader, questions)
    asked = {**wholes.asked, **_filters(questions), "pairs": _pairs(questions, {_HOUR})}
    given = _given(bool(wholes.trees))
    found: defaultdict[str, list[Sequence[Any]]] = defaultdict(list)
    for kind, *row in reader.rows("timeseries_hours", asked, daily=True, **given) if asked["pairs"] else ():
        found[kind].append(row)
    return [
        {
            "points": [
                {"time": f"{day.isoformat()}T{int(hour[:2]):02}:00", "count": facts, "visitors": people}
                for day, hour, facts, people, _ in found[question.kind]
                if hour[:2].isdigit()
            ],
            "provisional": any(row[4] for row in found[question.kind]),
        }
        for question in questions
    ]


def _told(reader: Reader, questions: Sequence[TimeSeries], where: Filter) -> Mapping[str, Sequence[Sequence[Any]]]:
    """By kind its days: time, facts, visitors, whether they are provisional."""
    dimension, value, below = where
    asked = {
        **_asked(questions),
        "singles": [(kind, dimension, "") for kind in _kinds(questions)],
        "value": value,
        "below": below,
    }
    found: defaultdict[str, list[Sequence[Any]]] = defaultdict(list)
    for kind, *row in reader.rows("timeseries_days", asked):
        found[kind].append(row)
    return found


def _totals(
    reader: Reader, questions: Sequence[TimeSeries], since: date | None = None
) -> Mapping[str, list[dict[str, Any]]]:
    """By kind its points. since: of the days from this one on, where it is not all of them."""
    first = questions[0]
    zone = ZoneInfo(first.timezone)
    asked = {
        **_asked(questions),
        "kinds": _kinds(questions),
        "begin": datetime.combine(since or first.start, time(), zone).astimezone(UTC),
        "until": datetime.combine(first.end + timedelta(days=1), time(), zone).astimezone(UTC),
        "format": _FORMATS[first.interval],
        "timezone": first.timezone,
    }
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for kind, when, facts in reader.rows("timeseries", asked, slot=f"slot_{first.interval}"):
        found[kind].append({"time": when, "count": facts})
    return found


def _filter(question: Question) -> Filter:
    dimension, value = question.where or ("", "")
    if value.endswith(OTHERS):
        return dimension, value.removesuffix(OTHERS), False
    return dimension, value, True


__all__ = ["OTHERS", "Answer", "Reader", "Where", "answers"]
