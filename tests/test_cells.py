"""Cells: every fact counts where it should, and hashes tell visitors apart in their own cell only."""

from __future__ import annotations

import json
import struct
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.cells import Accumulator, Cell, Partial, empty, merge
from vestibule.core.keys import SALT_BYTES, DayKeys, day_keys, node_key, visitor_key

SITE, DAY = "relaso.com", "2026-11-22"
KEYS = day_keys("a secret", bytes(SALT_BYTES), SITE, DAY)

Values = Mapping[str, tuple[str, ...]]
Fact = tuple[str, Values, str]
Key = tuple[tuple[str, str], ...]

VIEW: Values = {
    "page": ("/blog/2026/x", "/blog/2026/*", "/blog/*"),
    "browser": ("Chrome 131", "Chrome"),
    "device": ("desktop",),
}


def count(facts: Sequence[Fact], keys: DayKeys = KEYS, day: str = DAY) -> Partial:
    cells = Accumulator()
    for kind, values, visitor in facts:
        cells.add(SITE, day, keys, kind, 1_795_305_600.5, values, visitor_key(keys, visitor))
    return cells.take()


def by_key(partial: Partial) -> dict[tuple[str, Key], Cell]:
    found = {}
    for cell in partial.cells():
        nodes = [node for node in (cell.a, cell.b) if node is not None]
        found[cell.a.kind, tuple((node.dimension, node.value) for node in nodes)] = cell
    assert len(found) == len(partial)
    return found


def expected(facts: Sequence[Fact]) -> dict[tuple[str, Key], tuple[int, int]]:
    """The same, by hand: facts and visitors of each cell."""
    counts: dict[tuple[str, Key], int] = defaultdict(int)
    visitors: dict[tuple[str, Key], set[str]] = defaultdict(set)
    for kind, values, visitor in facts:
        nodes = [(dimension, value) for dimension, chain in values.items() for value in dict.fromkeys(chain)]
        keys: list[Key] = [(("", ""),), *(((node),) for node in nodes)]
        keys += [tuple(sorted(pair)) for pair in combinations(nodes, 2) if pair[0][0] != pair[1][0]]
        for key in keys:
            counts[kind, key] += 1
            visitors[kind, key].add(visitor)
    return {key: (number, len(visitors[key])) for key, number in counts.items()}


def test_a_fact_counts_in_its_kind_its_values_their_ancestors_and_all_pairs() -> None:
    found = by_key(count([("view", VIEW, "v")]))
    singles = {key for _, key in found if len(key) == 1}
    assert singles == {
        (("", ""),),
        (("page", "/blog/2026/x"),),
        (("page", "/blog/2026/*"),),
        (("page", "/blog/*"),),
        (("browser", "Chrome 131"),),
        (("browser", "Chrome"),),
        (("device", "desktop"),),
    }
    assert len(found) - len(singles) == 3 * 2 + 3 * 1 + 2 * 1
    assert found["view", (("browser", "Chrome"), ("page", "/blog/*"))].count == 1
    assert found["view", (("page", "/blog/2026/x"),)].a.path == ("/blog/2026/*", "/blog/*")
    assert found["view", (("page", "/blog/2026/*"),)].a.path == ("/blog/*",)


def test_totals_are_by_minute() -> None:
    assert {tuple(total): number for total, number in count([("view", VIEW, "v")] * 3).totals.items()} == {
        (SITE, 1_795_305_600, "view"): 3
    }


values = st.dictionaries(
    st.sampled_from(["page", "browser", "os", "country"]),
    st.sampled_from([("a",), ("b",), ("a", "x"), ("b", "x"), ("c", "y", "z"), ("x",)]),
    max_size=4,
)
facts_ = st.lists(st.tuples(st.sampled_from(["view", "error"]), values, st.sampled_from("uvw")), max_size=25)


@given(facts_)
def test_counts_and_visitors_are_those_counted_by_hand(facts: list[Fact]) -> None:
    found = {key: (cell.count, len(cell.hashes)) for key, cell in by_key(count(facts)).items()}
    assert found == expected(facts)


@given(facts_, st.integers(0, 25), st.integers(0, 25))
def test_parts_merge_to_the_whole(facts: list[Fact], first: int, second: int) -> None:
    low, high = sorted((first, second))
    parts = [count(part) for part in (facts[:low], facts[low:high], facts[high:])]
    assert by_key(merge(parts)) == by_key(count(facts))
    assert merge(parts).totals == count(facts).totals


@given(facts_)
def test_encoding_round_trips(facts: list[Fact]) -> None:
    partial = count(facts)
    again = Partial.from_bytes(partial.to_bytes())
    assert list(again.cells()) == list(partial.cells())
    assert again.totals == partial.totals


def test_what_an_earlier_version_left_in_a_spool_is_read() -> None:
    """Its hashes took eight bytes each, and ends stood where lengths stand now."""
    partial = count([("view", VIEW, f"visitor {number % 5}") for number in range(9)])
    totals = [[*total, number] for total, number in partial.totals.items()]
    header = {"nodes": partial.nodes, "totals": totals, "cells": len(partial), "hashes": len(partial.hashes)}
    packed = zlib.compress(json.dumps(header).encode())
    columns = [each.astype("<u4").tobytes() for each in (partial.a, partial.b, partial.counts)]
    columns += [each.astype("<u8").tobytes() for each in (partial.ends, partial.hashes)]
    again = Partial.from_bytes(struct.pack("<I", len(packed)) + packed + b"".join(columns))
    assert list(again.cells()) == list(partial.cells())
    assert again.totals == partial.totals


@pytest.mark.parametrize("form", [-1, 2, "1", None])
def test_what_a_later_version_left_there_is_refused(form: object) -> None:
    packed = zlib.compress(json.dumps({"form": form, "nodes": [], "totals": [], "cells": 0, "hashes": 0}).encode())
    with pytest.raises(ValueError, match="not an encoded partial"):
        Partial.from_bytes(struct.pack("<I", len(packed)) + packed)


@pytest.mark.parametrize("data", [b"", b"\x04\0\0\0abcd", count([("view", VIEW, "v")]).to_bytes()[:-1]])
def test_what_is_no_partial_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an encoded partial"):
        Partial.from_bytes(data)


def test_hashes_of_one_visitor_are_unlike_in_all_cells_days_and_kinds() -> None:
    other_day = day_keys("a secret", bytes(SALT_BYTES), SITE, "2026-11-23")
    hashes = [
        value
        for partial in (
            count([("view", VIEW, "v"), ("error", VIEW, "v")]),
            count([("view", VIEW, "v")], other_day, "2026-11-23"),
        )
        for cell in partial.cells()
        for value in cell.hashes
    ]
    assert len(set(hashes)) == len(hashes) == 3 * 18


def test_hashes_are_the_same_for_the_same_visitor_in_any_process() -> None:
    again = day_keys("a secret", bytes(SALT_BYTES), SITE, DAY)
    others: list[Fact] = [("view", {"page": ("/z",)}, "w"), ("view", VIEW, "v")]
    mine, theirs = by_key(count([("view", VIEW, "v")])), by_key(count(others, again))
    key = ("view", (("browser", "Chrome"), ("page", "/blog/*")))
    assert mine[key].hashes == theirs[key].hashes


@pytest.mark.parametrize("change", ["secret", "salt", "site", "day"])
def test_keys_depend_on_everything(change: str) -> None:
    given_ = {"secret": "a secret", "salt": bytes(SALT_BYTES), "site": SITE, "day": DAY}
    altered = {"secret": "another", "salt": bytes(SALT_BYTES - 1) + b"\1", "site": "b", "day": "2026-11-23"}
    other = day_keys(**{**given_, change: altered[change]})  # type: ignore[arg-type]
    assert not {other.visitors, other.nodes, other.cells} & {KEYS.visitors, KEYS.nodes, KEYS.cells}
    assert visitor_key(other, "v") != visitor_key(KEYS, "v")
    assert node_key(other, "view", "page", "/") != node_key(KEYS, "view", "page", "/")


def test_keys_don_t_show_themselves() -> None:
    assert KEYS.cells.hex() not in repr(KEYS)
    assert "bytes" not in repr(KEYS)


@pytest.mark.parametrize(("secret", "salt"), [("", bytes(32)), ("s", bytes(31))])
def test_weak_keys_are_refused(secret: str, salt: bytes) -> None:
    with pytest.raises(ValueError, match=r"needed|long"):
        day_keys(secret, salt, SITE, DAY)


def test_nothing_about_the_visitor_is_in_what_is_written() -> None:
    data = count([("view", VIEW, "192.0.2.77\nMozilla/5.0 (X11)\nrelaso.com")]).to_bytes()
    raw = visitor_key(KEYS, "192.0.2.77\nMozilla/5.0 (X11)\nrelaso.com")
    assert raw not in data
    assert b"192.0.2" not in data
    assert raw[:8] not in data


def test_only_chosen_days_and_only_singles() -> None:
    other = day_keys("a secret", bytes(SALT_BYTES), SITE, "2026-11-23")
    today, tomorrow = count([("view", VIEW, "v")] * 2), count([("view", VIEW, "w")], other, "2026-11-23")
    both = merge([today, tomorrow])
    assert both.days == {(SITE, DAY), (SITE, "2026-11-23")}
    assert list(both.only([(SITE, DAY)]).cells()) == list(today.cells())
    assert not len(both.only([]))
    assert both.pairs == 22
    singles = both.singles()
    assert [cell for cell in both.cells() if cell.b is None] == list(singles.cells())
    assert singles.pairs == 0


def test_nothing_is_nothing() -> None:
    assert not len(empty())
    assert not len(merge([empty(), empty()]))
    assert not len(merge([]))
    assert list(merge([empty(), count([("view", VIEW, "v")])]).cells()) == list(count([("view", VIEW, "v")]).cells())


def test_many_nodes_are_ranked_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    facts: list[Fact] = [
        ("view", {"page": (f"/{each % 7}", "/*"), "os": (f"{each % 5}",)}, f"{each % 3}") for each in range(60)
    ]
    few = count(facts)
    monkeypatch.setattr("vestibule.core.partials._MAX_RANK", 100)
    many = count(facts)
    assert list(many.cells()) == list(few.cells())
    assert list(merge([many, many]).cells()) == list(merge([few, few]).cells())
    monkeypatch.setattr("vestibule.core.partials._MAX_RANK", 10)
    with pytest.raises(ValueError, match="too many cells"):
        count(facts)
