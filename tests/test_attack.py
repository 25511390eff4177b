"""Attacks on what is released: nobody who has all numbers, and as much time as they like, learns of fewer than k.

The adversary knows how Vestibule counts, all that is released, and which values lie within which others. Beside it, and
unknown to it, stands the truth: who caused which fact.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.optimize import linprog

from bench.traffic import agents
from tests.days import NOON, month, scattered
from tests.released import SITE, Known, Numbers, check_reading, partial_of, release_of, releasing
from vestibule.core import nesting
from vestibule.core.cells import Accumulator
from vestibule.core.hits import Fact
from vestibule.core.keys import SALT_BYTES, day_keys, visitor_key
from vestibule.core.pairing import hold_back
from vestibule.core.release import Part

K = 5
KINDS = ("view", "visit")


SMALL = [("scattered", 700, 1), ("scattered", 500, 2), ("month", 1500, 3), ("month", 800, 4)]


@cache
def known(name: str, views: int, seed: int, kind: str = "view", k: int = K) -> Known:
    day = scattered(views, seed) if name == "scattered" else month(1, views, seed)[0]
    return Known(day, kind, k)


days = pytest.mark.parametrize("day", SMALL, ids=[f"{name}-{views}" for name, views, _ in SMALL])
Day = tuple[str, int, int]


@days
@pytest.mark.parametrize("kind", KINDS)
def test_reading(day: Day, kind: str) -> None:
    """Every released number's true visitors are k or more, and its facts are the true ones."""
    found = known(*day, kind)
    assert len([row for row in found.rows if row.b]) > 20
    check_reading(found)


@days
def test_singles_and_remainders_add_up(day: Day) -> None:
    for kind in KINDS:
        check_that_singles_add_up(known(*day, kind))


def check_that_singles_add_up(found: Known) -> None:
    """Released plus remainders plus (rare) are all facts, in every dimension."""
    for dimension in found.dimensions.values():
        assert sum(row.count for row in dimension.buckets) == len(found.facts)


@days
def test_subtracting_siblings_from_parents(day: Day) -> None:
    for kind in KINDS:
        check_siblings(known(*day, kind))


def check_siblings(found: Known) -> None:
    """At every level of every tree: what is left of a value beside any of its released children."""
    for name, dimension in found.dimensions.items():
        told = [row for row in found.rows if row.a == name and not row.b and row.part is not Part.REST]
        for parent in ("", *(row.a_value for row in dimension.nodes)):
            children = {row.a_value for row in told if (row.path[:1] or ("",)) == (parent,)}
            chains = [fact.values.get(name, ()) for fact in found.facts]
            left = np.array(
                [(not parent or parent in chain) and not any(value in children for value in chain) for chain in chains]
            )
            assert not left.any() or found.visitors_in(left) >= found.k or (not parent and not children)


@days
def test_dimensions_that_determine_each_other(day: Day) -> None:
    for kind in KINDS:
        assert check_nested(known(*day, kind)) > 10


def check_nested(found: Known) -> int:
    """Germany less all networks that are told and known to be German; the same of any two dimensions."""
    seen = 0
    for inner, outer, value, buckets, inside in found.nested():
        seen += 1
        left = np.isin(found.dimensions[outer].of, buckets) & ~np.isin(found.dimensions[inner].of, inside)
        assert not left.any() or found.visitors_in(left) >= found.k, (inner, outer, value)
    return seen


@days
def test_dimensions_that_determine_each_other_beside_a_third(day: Day) -> None:
    for kind in KINDS:
        assert check_nested_beside_a_third(known(*day, kind)) > 10


def check_nested_beside_a_third(found: Known) -> int:
    """Views of this page from Germany, less those of this page from networks that are told."""
    seen = 0
    for inner, outer, _, buckets, inside in found.nested():
        for third in found.dimensions:
            if third in (inner, outer):
                continue
            outer_told, inner_told = found.dense(third, outer)[:, buckets], found.dense(third, inner)[:, inside]
            true_outer = found.true_matrix(third, outer)[:, buckets]
            rows = np.flatnonzero(((outer_told >= 0) | (true_outer == 0)).all(axis=1) & (true_outer.sum(axis=1) > 0))
            for row in rows.tolist():
                used = inside[inner_told[row] >= 0]
                if not len(used):
                    continue
                seen += 1
                left = (
                    (found.dimensions[third].of == row)
                    & np.isin(found.dimensions[outer].of, buckets)
                    & ~np.isin(found.dimensions[inner].of, used)
                )
                assert not left.any() or found.visitors_in(left) >= found.k, (third, inner, outer, row)
    return seen


def solve(found: Known, a: str, b: str, most: int) -> int:
    """Linear programming over all margins and all released pairs of two dimensions; returns how many were tried."""
    told, true = found.dense(a, b), found.truth(a, b)
    if not (told >= 0).any():
        return 0
    unknown = [(row, column) for row, column in np.argwhere(told < 0).tolist()]
    small = [key for key in unknown if 0 < true.get(key, (0, 0))[1] < found.k]
    place = {key: number for number, key in enumerate(unknown)}
    equations, sides = [], []
    for axis, name in enumerate((a, b)):
        for number, bucket in enumerate(found.dimensions[name].buckets):
            line = np.zeros(len(unknown))
            line[[place[key] for key in unknown if key[axis] == number]] = 1
            released = told[number] if axis == 0 else told[:, number]
            equations.append(line)
            sides.append(bucket.count - released[released >= 0].sum())
    for key in small[:most]:
        target = np.zeros(len(unknown))
        target[place[key]] = 1
        low, high = (
            sign * linprog(sign * target, A_eq=np.array(equations), b_eq=sides, method="highs").fun for sign in (1, -1)
        )
        assert low < 0.5 or high - low > 2 * found.k - 0.5, (a, b, key, low, high)
    return len(small[:most])


@days
def test_two_way_tables_cannot_be_solved(day: Day) -> None:
    assert solve_tables(known(*day), 60) >= 20


def solve_tables(found: Known, most: int) -> int:
    tried = 0
    names = [each for each in found.names if found.told(*each)]
    for a, b in random.Random(5).sample(names, len(names)):
        if len(found.dimensions[a].buckets) * len(found.dimensions[b].buckets) <= 900:
            tried += solve(found, a, b, 3)
        if tried >= most:
            break
    return tried


@days
def test_two_tables_cannot_be_solved_together(day: Day) -> None:
    assert solve_tables_together(known(*day), 20) >= 10


def solve_tables_together(found: Known, most: int) -> int:
    """Linear programming over two tables at once, with what is known of how their dimensions lie within each other."""
    tried = 0
    inside: dict[tuple[str, str], list[tuple[Numbers, Numbers]]] = {}
    for inner, outer, _, buckets, nested in found.nested():
        inside.setdefault((inner, outer), []).append((buckets, nested))
    names = [(third, *each) for each in sorted(inside) for third in found.dimensions if third not in each]
    for third, inner, outer in random.Random(6).sample(names, len(names)):
        tried += solve_together(found, third, inner, outer, inside[inner, outer], 3)
        if tried >= most:
            break
    return tried


def solve_together(
    found: Known, third: str, inner: str, outer: str, inside: list[tuple[Numbers, Numbers]], most: int
) -> int:
    tables_ = found.dense(third, inner), found.dense(third, outer)
    if any(not (table >= 0).any() or table.size > 400 for table in tables_):
        return 0
    unknown = [
        (number, row, column) for number, table in enumerate(tables_) for row, column in np.argwhere(table < 0).tolist()
    ]
    place = {key: number for number, key in enumerate(unknown)}
    equal: list[list[float]] = []
    less: list[list[float]] = []
    sides: list[int] = []
    bounds: list[int] = []
    for number, (table, name) in enumerate(zip(tables_, (inner, outer), strict=True)):
        for axis, dimension in enumerate((third, name)):
            for place_, bucket in enumerate(found.dimensions[dimension].buckets):
                told = table[place_] if axis == 0 else table[:, place_]
                equal.append([float(key[0] == number and key[1 + axis] == place_) for key in unknown])
                sides.append(int(bucket.count - told[told >= 0].sum()))
    true = found.true_matrix(inner, outer)
    for buckets, nested in inside:
        whole = true[:, buckets].sum() == true[nested][:, buckets].sum()
        for row in range(len(tables_[0])):
            line = np.zeros(len(unknown))
            known_ = 0
            for number, sign, columns in ((0, 1, nested), (1, -1, buckets)):
                for column in columns.tolist():
                    told_ = tables_[number][row, column]
                    known_ += sign * max(int(told_), 0)
                    if told_ < 0:
                        line[place[number, row, column]] = sign
            (equal if whole else less).append(line.tolist())
            (sides if whole else bounds).append(-known_)
    truths = found.truth(third, inner), found.truth(third, outer)
    small = [key for key in unknown if 0 < truths[key[0]].get(key[1:], (0, 0))[1] < found.k]
    for key in small[:most]:
        target = np.zeros(len(unknown))
        target[place[key]] = 1
        low, high = (
            sign
            * linprog(sign * target, A_eq=equal, b_eq=sides, A_ub=less or None, b_ub=bounds or None, method="highs").fun
            for sign in (1, -1)
        )
        assert low < 0.5 or high - low > 2 * found.k - 0.5, (third, inner, outer, key, low, high)
    return len(small[:most])


@days
def test_rows_and_columns_less_what_is_told(day: Day) -> None:
    assert check_lines(known(*day)) > 100


def check_lines(found: Known) -> int:
    """A margin less its released pairs is nothing, or stands for k visitors: really so many, not as a sum."""
    seen = 0
    for names in found.names:
        told = found.dense(*names)
        if not (told >= 0).any():
            continue
        for axis in (0, 1):
            of, other = (found.dimensions[name].of for name in (names if axis == 0 else names[::-1]))
            for line in range(told.shape[axis]):
                left = (of == line) & ((told[line] if axis == 0 else told[:, line])[other] < 0)
                seen += 1
                assert not left.any() or found.visitors_in(left) >= found.k, (names, axis, line)
    return seen


@days
def test_what_lies_within_several_values_together(day: Day) -> None:
    for kind in KINDS:
        assert check_several_together(known(*day, kind)) > 100


def check_several_together(found: Known) -> int:
    """Safari within macOS and iOS, but in neither alone; of tables that are looked at for that."""
    seen = 0
    for inner, outer in permutations(found.dimensions, 2):
        matrix = found.true_matrix(inner, outer)
        some = matrix > 0
        for several in np.unique(some, axis=0) if matrix.size <= nesting.SMALL else ():
            inside = ~(some & ~several).any(axis=1)
            left = several[found.dimensions[outer].of] & ~inside[found.dimensions[inner].of]
            seen += 1
            assert several.all() or not left.any() or found.visitors_in(left) >= found.k, (inner, outer)
    return seen


@days
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_hold_back(day: Day, kind: str) -> None:
    """What was looked at in part, because the rest was as before, is as a look at all of it would leave it."""
    name, views, seed = day
    facts_of = scattered(views, seed) if name == "scattered" else month(1, views, seed)[0]
    released = releasing(partial_of(facts_of), kind, K)
    assert list(released.rows())
    settled, inside = released.kind, released.inside()
    for table in settled.tables.values():
        held = table.held.copy()
        hold_back(table, K)
        assert (table.held == held).all()
    looked = 0
    for names in nesting.ordered(settled.values):
        for third in settled.values.keys() - set(names):
            pairs = [(min(third, each), max(third, each)) for each in names]
            inner, outer = (settled.between(third, each) for each in names)
            if inner is None or outer is None or not all(map(settled.tells, pairs)):
                continue
            for nest in inside.get(names, ()):
                assert not any(map(len, nesting.expose(inner, outer, nest, K)))
                assert not len(nesting.limiting(inner, outer, nest, K))
                looked += 1
    assert looked > 10


@days
def test_joining_pairs_to_triples(day: Day) -> None:
    assert check_triples(known(*day))


def check_triples(found: Known) -> int:
    """Bounds of every triple by its three pairs (Fréchet): where they meet, the triple stands for k visitors."""
    exact = 0
    for a, b, c in combinations(found.dimensions, 3):
        ab, ac, bc = found.told(a, b), found.told(a, c), found.told(b, c)
        sizes = [[bucket.count for bucket in found.dimensions[name].buckets] for name in (a, b, c)]
        true = found.truth(a, b, c)
        for (x, y), first in ab.items():
            for z in range(len(sizes[2])):
                second, third = ac.get((x, z)), bc.get((y, z))
                if second is None or third is None:
                    continue
                low = max(0, first + second - sizes[0][x], first + third - sizes[1][y], second + third - sizes[2][z])
                if low == min(first, second, third):
                    exact += 1
                    assert true[x, y, z][1] >= found.k
    return exact


WRONG = ("", SITE, bytes(SALT_BYTES).hex(), "another secret")
"""What somebody who has the database, the day's salt too, might take for the secret."""


def guessed(secret: str, addresses: Iterable[str], agents_: Sequence[str]) -> set[int]:
    """The hashes that visitors of all these addresses and agents would have in the cell of all views."""
    keys = day_keys(secret or "-", bytes(SALT_BYTES), SITE, "2026-11-22")
    cells = Accumulator()
    for address in addresses:
        for agent in agents_:
            cells.add(SITE, "2026-11-22", keys, "view", NOON, {}, visitor_key(keys, f"{address}\n{agent}\n{SITE}"))
    return set(cells.take().hashes.tolist())


def open_day() -> tuple[list[Fact], set[int]]:
    """A day of few visitors, and all hashes that are on disk of it."""
    day = [fact for fact in scattered(400, 7) if fact.kind == "view"]
    return day, set(partial_of(day).hashes.tolist())


def test_the_dictionary_would_work_with_the_key() -> None:
    """Else the attacks below would prove nothing."""
    day, hashes = open_day()
    visitors = {tuple(fact.visitor.split("\n")) for fact in day}
    assert {len(visitor) for visitor in visitors} == {3}
    found = {each for address, agent, _ in visitors for each in guessed("a secret", [address], [agent])}
    assert len(found) == len(visitors)
    assert found <= hashes


@pytest.mark.parametrize("secret", WRONG)
def test_a_dictionary_of_addresses_and_agents(secret: str) -> None:
    """The networks of the log itself, each with the thousand commonest agents: no more is found than by chance."""
    day, hashes = open_day()
    addresses = sorted({fact.visitor.split("\n")[0] for fact in day})[::10]
    found = guessed(secret, addresses, common_agents(1000)) & hashes
    assert len(found) <= 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_dictionary_of_all_networks() -> None:
    """Each IPv4 /24 with one common agent; each agent with an address that occurs stands above."""
    _, hashes = open_day()
    hits, tried = 0, 0
    for first in range(256):
        addresses = (f"{first}.{number >> 8}.{number & 255}.1" for number in range(1 << 16))
        found = guessed("another secret", addresses, common_agents(1))
        hits, tried = hits + len(found & hashes), tried + len(found)
    expected = tried * len(hashes) / 2**36
    assert hits < 3 * expected + 10


def common_agents(number: int) -> list[str]:
    known = agents()
    more = [f"{agent} Build/{build}" for build in range(3) for agent in known]
    return [*known, *more][:number]


def test_hashes_of_one_day_and_of_two_cannot_be_linked() -> None:
    """The same visitors on two days, and in all cells of one: no hash comes twice, beyond chance."""
    day = [fact for fact in scattered(300, 8) if fact.kind == "view"]
    one, other = partial_of(day), partial_of(day, "2026-11-23")
    assert len(one.hashes) == len(other.hashes)
    assert len(set(one.hashes.tolist()) & set(other.hashes.tolist())) <= 2
    assert len(one.hashes) - len(set(one.hashes.tolist())) <= 5


def test_comparing_live_snapshots() -> None:
    """From one snapshot to the next a number stays, or moves by k and more: who came meanwhile may be anyone.

    A jump by k says that between 1 and 2 k - 1 facts came, no more; a value that appears has k visitors then.
    """
    day = [fact for fact in month(1, 1200, 9)[0] if fact.kind == "view"]
    before: dict[tuple[str, str, str, str, Part], tuple[int, int]] = {}
    jumps = 0
    for until in range(300, len(day), 180):
        found = Known(day[:until], "view", K, release_of(partial_of(day[:until]), "view", K, rounded=True))
        now = {(row.a, row.a_value, row.b, row.b_value, row.part): (row.count, row.visitors) for row in found.rows}
        for key, (count, visitors) in now.items():
            assert count % K == visitors % K == 0
            if key in before and count != before[key][0]:
                jumps += 1
                assert abs(count - before[key][0]) >= K
        before = now
    assert jumps > 30


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_month_and_all_its_tables() -> None:
    """Everything above for each day of a month, and for logs in which hundreds come once, at three sizes of k."""
    logs = [scattered(900, seed) for seed in range(40, 46)]
    for number, day in enumerate([*month(30, 2500, 20), *logs]):
        for kind in KINDS:
            found = Known(day, kind, (3, 5, 10)[number % 3])
            check_reading(found)
            check_that_singles_add_up(found)
            check_siblings(found)
            check_nested(found)
            check_nested_beside_a_third(found)
            check_lines(found)
            check_several_together(found)
            check_triples(found)
            solve_tables(found, 200)
            solve_tables_together(found, 40)
