"""The release: nothing below k visitors, not by reading, nor by subtracting, nor by solving."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from vestibule.core import pairing
from vestibule.core.folding import fold
from vestibule.core.release import (
    EXACT,
    RARE,
    KindSingles,
    Pairs,
    Part,
    Release,
    Row,
    Single,
    at_least,
    at_most,
)
from vestibule.core.values import Values

K = 5

Chain = tuple[str, ...]
Fact = tuple[Mapping[str, Chain], str]


class Day:
    """A day's facts, counted by hand, with the true visitors beside."""

    def __init__(self, facts: Sequence[Fact], k: int = K, rounded: bool = False) -> None:
        self.facts = facts
        self.k = k
        self._truths: dict[tuple[str, ...], dict[tuple[str, ...], tuple[int, int]]] = {}
        self.dimensions = sorted({dimension for values, _ in facts for dimension in values})
        count: dict[tuple[tuple[str, str], ...], int] = defaultdict(int)
        visitors: dict[tuple[tuple[str, str], ...], set[str]] = defaultdict(set)
        paths: dict[tuple[str, str], Chain] = {}
        for values, visitor in facts:
            nodes = []
            for dimension in sorted(values):
                for place, value in enumerate(values[dimension]):
                    nodes.append((dimension, value))
                    paths[dimension, value] = values[dimension][place + 1 :]
            keys: list[tuple[tuple[str, str], ...]] = [(), *((node,) for node in nodes)]
            keys += [pair for pair in combinations(nodes, 2) if pair[0][0] != pair[1][0]]
            for key in keys:
                count[key] += 1
                visitors[key].add(visitor)
        self.singles = {
            dimension: tuple(
                Single(key[0][1], paths[key[0]], count[key], len(visitors[key]))
                for key in count
                if len(key) == 1 and key[0][0] == dimension
            )
            for dimension in self.dimensions
        }
        root = Single("", (), count[()], len(visitors[()]))
        release = Release(KindSingles("view", root, self.singles), k, rounded)
        places = {
            name: {single.value: place for place, single in enumerate(found)} for name, found in self.singles.items()
        }
        for a, b in combinations(self.dimensions, 2):
            pairs = [key for key in count if len(key) == 2 and (key[0][0], key[1][0]) == (a, b)]
            counted = Pairs(
                np.array([places[a][key[0][1]] for key in pairs], dtype=np.int64),
                np.array([places[b][key[1][1]] for key in pairs], dtype=np.int64),
                np.array([count[key] for key in pairs], dtype=np.int64),
                np.array([len(visitors[key]) for key in pairs], dtype=np.int64),
            )
            release.add(a, b, counted)
        self.rows = list(release.rows())

    def of(self, dimension: str, *parts: Part) -> list[Row]:
        return [row for row in self.rows if row.a == dimension and not row.b and (not parts or row.part in parts)]

    def pairs(self, a: str, b: str) -> list[Row]:
        return [row for row in self.rows if (row.a, row.b) == (a, b)]

    def buckets(self, dimension: str) -> dict[str, str]:
        """Which bucket each of the dimension's leaf values is counted in: its nearest released ancestor's."""
        told = {row.a_value for row in self.of(dimension, Part.LEAF, Part.NODE)}
        found = {}
        for values, _ in self.facts:
            chain = values.get(dimension, ())
            found[chain[0] if chain else ""] = next((value for value in chain if value in told), RARE)
        return found

    def truth(self, *wanted: tuple[str, str]) -> tuple[int, int]:
        """Facts and true visitors that are in all the given buckets."""
        dimensions = tuple(dimension for dimension, _ in wanted)
        if dimensions not in self._truths:
            maps = [(dimension, self.buckets(dimension)) for dimension in dimensions]
            found: dict[tuple[str, ...], list[str]] = defaultdict(list)
            for values, visitor in self.facts:
                found[tuple(folds[(values.get(dimension) or ("",))[0]] for dimension, folds in maps)].append(visitor)
            self._truths[dimensions] = {key: (len(each), len(set(each))) for key, each in found.items()}
        return self._truths[dimensions].get(tuple(value for _, value in wanted), (0, 0))


def pages(numbers: Mapping[str, int], start: int = 0) -> list[Fact]:
    """So many visitors on each page, one view each; a page's ancestors are its folders."""
    facts: list[Fact] = []
    for page, number in numbers.items():
        parts = page.strip("/").split("/")
        folders = [f"/{'/'.join(parts[:depth])}/*" for depth in range(len(parts) - 1, 0, -1)]
        facts += [({"page": (page, *folders)}, f"{start + len(facts) + each}") for each in range(number)]
    return facts


CASES: list[tuple[str, dict[str, int], dict[str, int]]] = [
    ("all large enough", {"/a": 5, "/b": 7}, {"/a": 5, "/b": 7}),
    ("one too small takes the smallest with it", {"/a": 9, "/b": 7, "/c": 4}, {"/a": 9, RARE: 11}),
    ("two that make k together", {"/a": 9, "/c": 3, "/d": 3}, {"/a": 9, RARE: 6}),
    ("a folder is the nearest ancestor", {"/b/x": 3, "/b/y": 3, "/c": 8}, {"/b/*": 6, "/c": 8}),
    ("a folder's remainder", {"/b/x": 8, "/b/y": 3, "/b/z": 3, "/c": 8}, {"/b/x": 8, "/b/*": 6, "/c": 8}),
    ("a remainder too small takes a child", {"/b/x": 8, "/b/w": 6, "/b/y": 3}, {"/b/x": 8, "/b/*": 9}),
    ("a remainder too small takes the only child", {"/b/x": 8, "/b/y": 3, "/c": 5}, {"/b/*": 11, "/c": 5}),
    ("a folder too small folds with all below", {"/b/x": 2, "/b/y": 2, "/c": 9, "/d": 6}, {"/c": 9, RARE: 10}),
    ("nothing but rare", {"/a": 4, "/b": 4}, {RARE: 8}),
    ("fewer than k in all", {"/a": 2, "/b": 1}, {RARE: 3}),
    ("a folder that is taken goes with its children", {"/b/x": 6, "/b/y": 6, "/c": 20, "/d": 1}, {"/c": 20, RARE: 13}),
]


@pytest.mark.parametrize(("numbers", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_singles(numbers: dict[str, int], wanted: dict[str, int]) -> None:
    day = Day(pages(numbers))
    assert {row.a_value: row.count for row in day.of("page", Part.LEAF, Part.REST)} == wanted


def test_nodes_have_their_whole_subtree() -> None:
    day = Day(pages({"/b/x": 8, "/b/y": 3, "/b/z": 3, "/c": 8}))
    (node,) = day.of("page", Part.NODE)
    assert (node.a_value, node.count, node.visitors, node.path) == ("/b/*", 14, 14, ())
    (leaf,) = [row for row in day.of("page", Part.LEAF) if row.a_value == "/b/x"]
    assert leaf.path == ("/b/*",)
    (rest,) = day.of("page", Part.REST)
    assert (rest.a_value, rest.count, rest.visitors) == ("/b/*", 6, 6)


def test_a_value_that_is_an_ancestor_too_counts_in_the_remainder() -> None:
    facts: list[Fact] = [({"browser": ("Chrome",)}, f"a{each}") for each in range(6)]
    facts += [({"browser": ("Chrome 131", "Chrome")}, f"b{each}") for each in range(7)]
    day = Day(facts)
    assert {(row.a_value, row.part): row.count for row in day.of("browser")} == {
        ("Chrome", Part.NODE): 13,
        ("Chrome", Part.REST): 6,
        ("Chrome 131", Part.LEAF): 7,
    }


def test_how_few_visitors_a_kind_has_is_not_told() -> None:
    day = Day(pages({"/a": 2, "/b": 1}))
    assert [(row.a, row.a_value, row.count, row.visitors) for row in day.rows] == [
        ("", "", 3, 0),
        ("page", RARE, 3, 0),
    ]


def test_facts_without_the_dimension_are_in_the_remainder() -> None:
    facts = [*pages({"/a": 9}), *[({}, f"x{each}") for each in range(6)]]
    day = Day(facts)
    assert {row.a_value: row.count for row in day.of("page")} == {"/a": 9, RARE: 6}


def test_estimates_are_not_trusted_to_a_visitor() -> None:
    number = 10 * EXACT
    assert at_least(EXACT) == at_most(EXACT) == EXACT
    # The store's estimate of 4,118 visitors may be 4,094 (ClickHouse's uniqCombined64 of 36-bit hashes).
    assert at_most(4094) >= 4118
    assert at_least(number) < number < at_most(number)
    root = Single("", (), number + 2, number + 9)
    values = Values(root, [Single("/a", (), number, number), Single("/b", (), 2, 2)])
    shown = fold("page", values, values.amounts, K)
    # Nine visitors more than /a has may be an error of the estimate: /b must not be told as the remainder.
    assert [bucket.value for bucket in shown.buckets] == [RARE]


def two_way(table: Sequence[Sequence[int]], k: int = K) -> Day:
    """A day of two dimensions without ancestors; each fact is of another visitor."""
    facts: list[Fact] = []
    for row, numbers in enumerate(table):
        for column, number in enumerate(numbers):
            facts += [({"a": (f"r{row}",), "b": (f"c{column}",)}, f"{row}/{column}/{each}") for each in range(number)]
    return Day(facts, k)


PAIRS: list[tuple[str, list[list[int]], set[tuple[int, int]]]] = [
    ("all large enough", [[5, 6], [7, 8]], {(0, 0), (0, 1), (1, 0), (1, 1)}),
    ("none can be told", [[3, 9], [9, 3]], set()),
    ("a zero needs no company", [[0, 9], [9, 0]], {(0, 1), (1, 0)}),
]


@pytest.mark.parametrize(("table", "shown"), [case[1:] for case in PAIRS], ids=[case[0] for case in PAIRS])
def test_pairs(table: list[list[int]], shown: set[tuple[int, int]]) -> None:
    rows = two_way(table).pairs("a", "b")
    assert {(int(row.a_value[1:]), int(row.b_value[1:])) for row in rows} == shown
    for row in rows:
        assert row.count == table[int(row.a_value[1:])][int(row.b_value[1:])]


def test_one_pair_too_small_is_kept_company_in_row_and_column() -> None:
    table = [[9, 8, 7, 6, 9]] * 5
    table[0] = [2, *table[0][1:]]
    day = two_way(table)
    held = 25 - len(day.pairs("a", "b"))
    assert 4 <= held < 25
    assert ("r0", "c0") not in {(row.a_value, row.b_value) for row in day.pairs("a", "b")}
    check(day)


def test_pairs_of_remainders() -> None:
    facts: list[Fact] = []
    table = {"/b/x": (30, 25), "/b/y": (6, 5), "/b/z": (6, 5), "/b/w": (6, 5)}
    for page, numbers in table.items():
        for browser, number in zip(("Chrome", "Firefox"), numbers, strict=True):
            values = {"page": (page, "/b/*"), "browser": (browser,)}
            facts += [(values, f"{page}{browser}{each}") for each in range(number)]
    day = Day(facts, 12)
    assert {row.a_value: row.count for row in day.of("page", Part.LEAF, Part.REST)} == {"/b/x": 55, "/b/*": 33}
    assert {(row.a_value, row.b_value): (row.count, row.visitors) for row in day.pairs("browser", "page")} == {
        ("Chrome", "/b/x"): (30, 30),
        ("Chrome", "/b/*"): (18, 18),
        ("Firefox", "/b/x"): (25, 25),
        ("Firefox", "/b/*"): (15, 15),
    }
    check(day)


chains = st.sampled_from(
    [("p", "P"), ("q", "P"), ("r", "P"), ("s", "Q", "R"), ("t", "Q", "R"), ("u", "S", "R"), ("v",), ("P",), ("w",)]
)
short = st.sampled_from([("1",), ("2",), ("3",), ("4", "E"), ("5", "E")])
days = st.lists(
    st.tuples(st.fixed_dictionaries({"a": chains, "b": short}), st.integers(0, 60).map(str)), min_size=1, max_size=160
)


@settings(deadline=None)
@given(days, st.sampled_from([2, 3, 5]))
def test_no_released_number_stands_for_fewer_than_k(facts: list[Fact], k: int) -> None:
    check(Day(facts, k))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 5]))
def test_neither_in_skewed_days(seed: int, k: int) -> None:
    """Like real ones: few values are common, many are rare, and visitors come back."""
    random = np.random.default_rng(seed)
    facts: list[Fact] = []
    for _ in range(500):
        page, browser = int(random.zipf(1.4)) % 40, int(random.zipf(1.6)) % 12
        facts.append(
            (
                {"page": (f"/{page % 4}/{page}", f"/{page % 4}/*"), "browser": (f"B {browser}", f"B{browser % 3}")},
                str(int(random.integers(0, 250))),
            )
        )
    check(Day(facts, k))


def check(day: Day) -> None:
    """What must hold of any release, by the true visitors."""
    for dimension in day.dimensions:
        shown = day.of(dimension, Part.LEAF, Part.REST)
        assert sum(row.count for row in shown) == len(day.facts)
        whole = len(shown) == 1 and shown[0].a_value == RARE
        for row in shown:
            facts, visitors = day.truth((dimension, row.a_value))
            assert row.count == facts
            assert row.visitors <= visitors
            assert visitors >= day.k or whole
        check_subtraction(day, dimension)
    for a, b in combinations(day.dimensions, 2):
        rows = day.pairs(a, b)
        for row in rows:
            facts, visitors = day.truth((a, row.a_value), (b, row.b_value))
            assert (row.count, row.visitors <= visitors, visitors >= day.k) == (facts, True, True)
        check_lines(day, a, b, rows)


def check_subtraction(day: Day, dimension: str) -> None:
    """A parent less any of its released children is 0, or stands for k visitors."""
    rows = day.of(dimension)
    for row in rows:
        if row.part is Part.NODE:
            children = [
                child for child in rows if child.part in (Part.LEAF, Part.NODE) and child.path[:1] == (row.a_value,)
            ]
            left = row.count - sum(child.count for child in children)
            rest = [other.count for other in rows if other.part is Part.REST and other.a_value == row.a_value]
            assert rest == ([left] if left else [])


def check_lines(day: Day, a: str, b: str, rows: Iterable[Row]) -> None:
    """In each row and column what is held back is nothing, or at least two pairs that sum to k visitors, or all."""
    told = {(row.a_value, row.b_value): row for row in rows}
    if not told:
        return
    values_a, values_b = ([row.a_value for row in day.of(each, Part.LEAF, Part.REST)] for each in (a, b))
    for lines, others, swap in ((values_a, values_b, False), (values_b, values_a, True)):
        for line in lines:
            keys = [(other, line) if swap else (line, other) for other in others]
            if not any(key in told for key in keys):
                continue
            held = [day.truth((a, key[0]), (b, key[1])) for key in keys if key not in told]
            hidden = [visitors for facts, visitors in held if facts]
            assert not hidden or (len(hidden) >= 2 and sum(hidden) >= day.k)


@pytest.mark.parametrize("seed", range(12))
def test_two_way_tables_cannot_be_solved(seed: int) -> None:
    """For every pair that is held back, what the margins and the released pairs allow contains 0 or is 2 k wide.

    Linear programming over all margins, as an adversary would do it; each fact here is of another visitor.
    """
    random = np.random.default_rng(seed)
    rows, columns = ((7, 6), (3, 9), (2, 5), (4, 4))[seed % 4]
    weights = np.outer(random.zipf(1.3, rows) % 50 + 1, random.zipf(1.3, columns) % 20 + 1)
    table = random.poisson(weights * 900 / weights.sum()).tolist()
    day = two_way(table)
    told = {(row.a_value, row.b_value): row.count for row in day.pairs("a", "b")}
    margin_a = {row.a_value: row.count for row in day.of("a", Part.LEAF, Part.REST)}
    margin_b = {row.a_value: row.count for row in day.of("b", Part.LEAF, Part.REST)}
    unknown = [(x, y) for x in margin_a for y in margin_b if (x, y) not in told]
    if not unknown:
        return
    equations, sides = [], []
    for margin, place in ((margin_a, 0), (margin_b, 1)):
        for value, number in margin.items():
            equations.append([float(key[place] == value) for key in unknown])
            sides.append(number - sum(count for key, count in told.items() if key[place] == value))
    for place, key in enumerate(unknown):
        _, visitors = day.truth(("a", key[0]), ("b", key[1]))
        if not 0 < visitors < day.k:
            continue
        target = np.zeros(len(unknown))
        target[place] = 1
        low = linprog(target, A_eq=equations, b_eq=sides, method="highs").fun
        high = -linprog(-target, A_eq=equations, b_eq=sides, method="highs").fun
        assert low < 0.5 or high - low > 2 * day.k - 0.5


def test_live_numbers_are_multiples_of_k() -> None:
    numbers = {"/a": 9, "/b": 13, "/c": 4}
    exact, live = Day(pages(numbers)), Day(pages(numbers), rounded=True)
    assert {row.a_value: row.count for row in exact.rows} == {"": 26, "/b": 13, RARE: 13}
    assert {row.a_value: (row.count, row.visitors) for row in live.rows} == {
        "": (25, 25),
        "/b": (10, 10),
        RARE: (10, 10),
    }


@pytest.mark.parametrize("order", range(5))
def test_the_order_of_facts_does_not_matter(order: int) -> None:
    facts = pages({"/a": 5, "/b": 5, "/c": 5, "/d/x": 3, "/d/y": 3, "/e": 2})
    shuffled = [facts[place] for place in np.random.default_rng(order).permutation(len(facts))]
    rows = sorted(map(str, Day(facts).rows))
    assert sorted(map(str, Day(shuffled).rows)) == rows


@given(st.integers(0, 2**32 - 1))
def test_large_tables_are_added_up_as_small_ones_are(seed: int) -> None:
    """Where too many pairs would need a place, those that there are get sorted."""
    chosen = np.random.default_rng(seed)
    keys, wanted = chosen.integers(0, 40, 60), np.arange(40)
    with pytest.MonkeyPatch.context() as patched:
        for most in (0, 8):
            patched.setattr(pairing, "_DENSE", most)
            key, place, found = pairing.ranked(keys, wanted, 40)
            assert key.tolist() == sorted(set(keys.tolist()))
            assert key[place].tolist() == keys.tolist()
            assert found.tolist() == [key.tolist().index(each) if each in key else -1 for each in range(40)]


def test_k_must_be_a_number_of_visitors() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Release(KindSingles("view", Single("", (), 0, 0), {}), 0)
