"""Answers questions: breakdowns and time series, from what may be told.

A *where* is a dimension and a value. It narrows to all that is below the value in its tree, or, where the value ends in
`` (others)``, to what remains of the value without its released children.

Questions that belong together are asked together: a query takes the engine some ten milliseconds whatever it reads, and
a page of the dashboard has two dozen questions about the same days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vestibule.core.errors import QuestionError
from vestibule.store import breakdowns, series
from vestibule.store.archiving import Lying
from vestibule.store.questions import Breakdown, Question, TimeSeries
from vestibule.store.reading import Answer, Reader
from vestibule.store.settled import Settled

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

FIRST_YEAR, LAST_YEAR = 1900, 2299
"""What ClickHouse's times reach to: further away it cannot tell when a day begins."""


def answers(
    client: Client, lying: Mapping[str, Lying], questions: Sequence[Question], settled: Settled
) -> list[Answer]:
    """Return an answer to each question, see ``Store.breakdown`` and ``Store.timeseries``. lying: by site."""
    found: dict[int, Answer] = {}
    groups: defaultdict[tuple[Any, ...], list[tuple[int, Any]]] = defaultdict(list)
    for place, question in enumerate(questions):
        answer, shared = _way(question)
        groups[answer, question.site, question.start, question.end, *shared].append((place, question))
    for (answer, site, *_), group in groups.items():
        reader = Reader(client, lying[site], settled)
        for (place, _), each in zip(group, answer(reader, [question for _, question in group]), strict=True):
            found[place] = each
    return [found[place] for place in range(len(questions))]


def _way(question: Question) -> tuple[Callable[[Reader, Any], list[Answer]], tuple[Any, ...]]:
    """Return what answers such questions, and what those that it answers together have in common besides their days.

    Raises QuestionError where the question makes no sense."""
    if question.start.year < FIRST_YEAR or question.end.year > LAST_YEAR:
        raise QuestionError(f"days can be asked for from {FIRST_YEAR} to {LAST_YEAR}")
    if isinstance(question, Breakdown):
        if question.where is None:
            return breakdowns.breakdowns, ()
        if question.level is not None:
            raise QuestionError("a level cannot be asked together with a filter")
        if question.where[0] == question.by:
            raise QuestionError(f"a breakdown by {question.by} cannot be filtered by {question.by}")
        return breakdowns.narrowed, ()
    assert isinstance(question, TimeSeries)
    if question.interval not in series.FORMATS:
        raise QuestionError("the interval must be minute, hour or day")
    if question.where is None:
        answer = series.days if question.interval == "day" else series.times
        return answer, (question.interval, question.timezone)
    if question.interval == "minute":
        raise QuestionError(
            "a filter can be asked by hour or day, not by minute: minutes are counted without attributes"
        )
    if question.interval == "day":
        return series.narrowed_days, (question.where[0],)
    return series.narrowed_hours, (question.where, question.timezone)
