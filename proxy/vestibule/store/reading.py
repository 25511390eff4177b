"""Reads what may be told of some days: those that are archived, which are remembered, and those that are not.

Both are asked for by the same query with another table in it, and what they say is added up here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from vestibule.core.release import RARE
from vestibule.store.archiving import Lying, Month, following
from vestibule.store.files import query
from vestibule.store.questions import Question
from vestibule.store.settled import Settled

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Answer = dict[str, Any]
Filter = tuple[str, str, bool]
"""A dimension, a value, and whether what is below it is meant too, not only what remains of it."""
Row = Sequence[Any]
Rows = Sequence[Row]
_Told = dict[tuple[Any, ...], "Sum"]

OTHERS = " (others)"
FEWEST = 200
"""Rows of a group that are read at least, so that a few of another day can be added to the largest."""


@dataclass(slots=True)
class Sum:
    """Facts and visitors of something. unsettled: whether some of them are provisional."""

    facts: int = 0
    people: int = 0
    unsettled: bool = False

    def add(self, facts: int, people: int, unsettled: object) -> None:
        self.facts += facts
        self.people += people
        self.unsettled = self.unsettled or bool(unsettled)


@dataclass(frozen=True, slots=True)
class Value:
    """A row of a breakdown. others: it is what remains of the value without its released children."""

    name: str
    others: bool
    facts: int
    people: int
    unsettled: bool

    @property
    def place(self) -> tuple[bool, int, str]:
        """By which rows are ordered: what is too rare to be named, then the largest."""
        return self.name != RARE, -self.facts, self.name


@dataclass(frozen=True, slots=True)
class Reader:
    """Asks the tables about a site."""

    client: Client
    lying: Lying
    settled: Settled

    @property
    def live(self) -> Collection[date]:
        """The days that are not archived."""
        return self.lying.live

    def rows(self, name: str, asked: Mapping[str, Any], **instead: str) -> Rows:
        """The rows of a query that asks no day's released numbers."""
        return self.client.query(query(name, **instead), dict(asked)).result_rows

    def sums(self, name: str, asked: Mapping[str, Any], *, daily: bool = True, **instead: str) -> _Told:
        """By all columns but the last three what these sum up to: facts, visitors, whether they are provisional.

        ``asked`` has the days ``start`` to ``end``, both included. daily: whether the query tells days apart."""
        found: _Told = {}
        for rows in self._parts(name, asked, daily, instead):
            for *key, facts, people, unsettled in rows:
                whole = tuple(tuple(each) if isinstance(each, list) else each for each in key)
                found.setdefault(whole, Sum()).add(facts, people, unsettled)
        return found

    def largest(
        self, name: str, asked: Mapping[str, Any], limit: int, **instead: str
    ) -> Mapping[tuple[Any, ...], list[Value]]:
        """The ``limit`` largest rows of each group, in their order. A group is all columns but the last five: the
        value, whether it is a remainder, facts, visitors, whether they are provisional."""
        most = max(2 * limit, FEWEST)
        settled, live = map(_grouped, self._parts(name, {**asked, "limit": most}, False, instead))
        found: dict[tuple[Any, ...], list[Value]] = {}
        for group in {*settled, *live}:
            added = _largest(settled.get(group, []), live.get(group, []), limit, most)
            if added is None:
                whole = self._read(name, {**asked, "limit": limit}, False, {**instead})
                return {group: values[:limit] for group, values in _grouped(whole).items()}
            found[group] = added
        return found

    def _parts(self, name: str, asked: Mapping[str, Any], daily: bool, instead: Mapping[str, str]) -> tuple[Rows, Rows]:
        """What archived days say, and what the others do; or what all of them do, and nothing."""
        start, end = asked["start"], asked["end"]
        live = [day for day in self.live if start <= day <= end]
        if len(live) > (end - start).days:
            return self._read(name, asked, daily, {**instead, "told": "told_live"}), ()
        key = (name, daily, tuple(sorted(instead.items())), repr(sorted(asked.items())), self.lying)
        past = self.settled.get(key, lambda: self._read(name, asked, daily, {**instead, "live": "nothing"}))
        if past is None:
            return self._read(name, asked, daily, instead), ()
        return past, self._read(name, asked, daily, {**instead, "told": "told_live"}) if live else ()

    def _read(self, name: str, asked: Mapping[str, Any], daily: bool, instead: Mapping[str, str]) -> Rows:
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
        return self.client.query(query(name, **{**told, **instead}), {**asked, **given}).result_rows


def _around(months: Sequence[Month]) -> dict[str, date]:
    """The last day before the months, and the first one after them."""
    return {"before": months[0][0] - timedelta(days=1), "after": following(months[-1][0])} if months else {}


def _grouped(rows: Rows) -> dict[tuple[Any, ...], list[Value]]:
    found: defaultdict[tuple[Any, ...], list[Value]] = defaultdict(list)
    for *group, name, others, facts, people, unsettled in rows:
        found[tuple(group)].append(Value(name, bool(others), facts, people, bool(unsettled)))
    return found


def _largest(settled: list[Value], live: list[Value], limit: int, most: int) -> list[Value] | None:
    """The largest of both together; None where that can't be told from the ``most`` that are known of either."""
    if not live:
        return settled[:limit]
    fresh = {value.name: value for value in live}
    # Only those that the other days add something to can have another place than they had.
    known = {value.name: value for value in settled if value.name in fresh}
    both = [*(_added(known[name], value) if name in known else value for name, value in fresh.items())]
    both += [value for value in settled if value.name not in fresh][:limit]
    found = sorted(both, key=lambda value: value.place)[:limit]
    if len(live) >= most:
        return None
    if len(settled) < most:
        return found
    # Of the others' settled facts it is only known that they are no more than the least of these.
    unknown = max((value.facts for value in live if value.name not in known and value.name != RARE), default=0)
    return found if found[-1].facts > settled[-1].facts + unknown else None


def _added(one: Value, other: Value) -> Value:
    return Value(
        one.name,
        one.others or other.others,
        one.facts + other.facts,
        one.people + other.people,
        one.unsettled or other.unsettled,
    )


def common(questions: Sequence[Question]) -> dict[str, Any]:
    """The parameters that all questions share."""
    first = questions[0]
    return {"site": first.site, "start": first.start, "end": first.end, "rare": RARE}


def filter_of(question: Question) -> Filter:
    dimension, value = question.where or ("", "")
    if value.endswith(OTHERS):
        return dimension, value.removesuffix(OTHERS), False
    return dimension, value, value != RARE


@dataclass(frozen=True, slots=True)
class Wholes:
    """What is known of filters before they narrow anything down.

    asked: parameters of the queries that narrow. facts: what a filter stands for by itself, by filter and kind. trees:
    filters with something below their value. others: kind, dimension and value of remainders."""

    asked: Mapping[str, Any]
    facts: Mapping[tuple[Filter, str], Sum]
    trees: Collection[Filter]
    others: Collection[tuple[str, str, str]]


def wholes(reader: Reader, questions: Sequence[Question], wanted: Iterable[tuple[str, str]] = ()) -> Wholes:
    """wanted: kinds and dimensions whose remainders are to be known."""
    filters = {filter_of(question) for question in questions}
    asked = {
        **common(questions),
        "dimensions": sorted({*((question.kind, filter_of(question)[0]) for question in questions), *wanted}),
        "values": sorted({value for _, value, _ in filters}),
    }
    facts: dict[tuple[Filter, str], Sum] = {}
    trees, others = set(), set()
    for (kind, dimension, name, part, under), found in reader.sums("where", asked, daily=False).items():
        if part == "rest":
            others.add((kind, dimension, name))
        for filter_ in filters:
            given, value, below = filter_
            if dimension == given and name == value and part in ("leaf", "node" if below else "rest"):
                facts.setdefault((filter_, kind), Sum()).add(found.facts, found.people, found.unsettled)
            if dimension == given and below and value in under:
                trees.add(filter_)
    return Wholes(asked, facts, trees, others)


def filters(questions: Sequence[Question]) -> dict[str, Any]:
    """Parameters of a query that narrows to the questions' filters."""
    dimension, value, _ = filter_of(questions[0])
    return {
        "filters": sorted({filter_of(question)[:2] for question in questions}),
        "dimension": dimension,
        "value": value,
    }


def given(tree: bool) -> dict[str, str]:
    """The includes that narrow: to values, or to all that is below one."""
    return {"given": "given_tree", "near": "near_tree"} if tree else {}


def pairs(questions: Sequence[Question], dimensions: Collection[str]) -> list[tuple[str, str, str]]:
    """Kinds with the filters' dimensions and others: the two of a pair stand in alphabetical order."""
    found = {
        (question.kind, *sorted((filter_of(question)[0], other)))
        for question in questions
        for other in dimensions
        if other != filter_of(question)[0]
    }
    return sorted((kind, a, b) for kind, a, b in found)
