"""Breakdowns: the values of dimensions, of all facts or of those that a filter narrows down to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from vestibule.core.release import RARE
from vestibule.store.questions import Breakdown
from vestibule.store.reading import (
    OTHERS,
    Answer,
    Filter,
    Reader,
    Sum,
    Value,
    common,
    filter_of,
    filters,
    given,
    pairs,
    wholes,
)

_LEAVES = -1


def breakdowns(reader: Reader, questions: Sequence[Breakdown]) -> list[Answer]:
    """Answer questions without a filter about the same days of a site."""
    keys = [(each.kind, each.by, _LEAVES if each.level is None else each.level) for each in questions]
    levels = {level for _, _, level in keys}
    asked = {
        **common(questions),
        "dimensions": sorted({key[:2] for key in keys}),
        "asked": sorted(set(keys)),
        "level": min(levels),
    }
    found = reader.largest("breakdown", asked, _most(questions), levels="level" if len(levels) == 1 else "levels")
    return [_answer(found.get(key, []), question.limit) for key, question in zip(keys, questions, strict=True)]


def narrowed(reader: Reader, questions: Sequence[Breakdown]) -> list[Answer]:
    """Answer questions with a filter about the same days of a site."""
    known = wholes(reader, questions, {(question.kind, question.by) for question in questions})
    found: dict[tuple[Filter, str, str], list[Value]] = {}
    for group in _together(questions, known.trees):
        tree = filter_of(group[0]) in known.trees
        asked = {**known.asked, **filters(group), "pairs": pairs(group, {question.by for question in group})}
        largest = reader.largest("breakdown_where", {**asked, "tree": tree}, _most(group), **given(tree))
        for (kind, dimension, value, by), values in largest.items():
            for filter_ in {filter_of(question) for question in group}:
                if filter_[:2] == (dimension, value):
                    found[filter_, kind, by] = values
    answers = []
    for question in questions:
        key = filter_of(question), question.kind, question.by
        values = found.get(key, [])
        answer = _answer(values, question.limit)
        whole = known.facts.get(key[:2], Sum())
        for row in answer["rows"]:
            if (question.kind, question.by, row["value"]) in known.others:
                row["value"] += OTHERS
        if len(values) <= question.limit:
            answer["rare"] = {
                "count": max(whole.facts - sum(row["count"] for row in answer["rows"]), 0),
                "visitors": max(
                    whole.people - sum(row["visitors"] for row in answer["rows"]), answer["rare"]["visitors"], 0
                ),
            }
        # What is held back of a day that is not over yet is in no row that is shown.
        answer["provisional"] = answer["provisional"] or whole.unsettled
        answers.append(answer)
    return answers


def _together(questions: Sequence[Breakdown], trees: Collection[Filter]) -> list[list[Breakdown]]:
    """Groups that one query narrows: all filters by themselves, and each that is a tree."""
    groups: defaultdict[Filter | None, list[Breakdown]] = defaultdict(list)
    for question in questions:
        filter_ = filter_of(question)
        groups[filter_ if filter_ in trees else None].append(question)
    return list(groups.values())


def _most(questions: Sequence[Breakdown]) -> int:
    """One row more than asked for: what is too rare to be named comes first and is no row."""
    return max(question.limit for question in questions) + 1


def _answer(values: Sequence[Value], limit: int) -> Answer:
    rare = [value for value in values if value.name == RARE]
    named = [value for value in values if value.name != RARE][:limit]
    return {
        "rows": [
            {
                "value": f"{value.name}{OTHERS}" if value.others else value.name,
                "count": value.facts,
                "visitors": value.people,
            }
            for value in named
        ],
        "rare": {"count": sum(value.facts for value in rare), "visitors": sum(value.people for value in rare)},
        "provisional": any(value.unsettled for value in values[: limit + 1]),
    }
