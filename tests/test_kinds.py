"""Attacks on kinds of facts that lie within each other: what is left of the views when the beacons of those who agreed
are taken away, and what was held back for those who did not."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from itertools import combinations

import numpy as np
import pytest

from tests.days import NOON, month, scattered
from tests.released import SITE, Known, check_reading, partial_of, release_of
from vestibule.core.hits import Fact
from vestibule.core.release import Part

K = 5
FACT = {"page": ("/a",), "country": ("DE",), "device": ("desktop",)}

When = tuple[str, float]
"""A visitor and a time: what facts of one view have in common."""


def test_kinds_that_determine_each_other() -> None:
    """Views less the beacons of those who agreed, and less what was held back for those who did not."""
    views = [fact for fact in month(1, 1500, 12)[0] if fact.kind == "view"]
    agreed = {fact.visitor: random.Random(fact.visitor).random() < 0.5 for fact in views}
    shared = ("page", "country", "device")
    day = list(views)
    for fact in views:
        values = {name: fact.values[name] for name in shared}
        if agreed[fact.visitor]:
            day.append(Fact(SITE, "client", fact.time, {**values, "screen": ("l",)}, fact.visitor))
        else:
            held = {"page": values["page"], "service": ("google-analytics",), "purpose": ("statistics",)}
            day.append(Fact(SITE, "blocked", fact.time, held, fact.visitor))
    whole, tried = Known(day, "view", K), 0
    for kind in ("client", "blocked"):
        part = Known(day, kind, K)
        check_reading(part)
        agreeing = np.array([agreed[fact.visitor] == (kind == "client") for fact in whole.facts])
        numbers = {
            (row.a, row.a_value, row.b, row.b_value): row for row in whole.rows if row.a and row.part is not Part.REST
        }
        for row in part.rows:
            key = (row.a, row.a_value, row.b, row.b_value)
            if row.b == "service":
                key = (row.a, row.a_value, "", "")
            if not row.a or row.part is Part.REST or key not in numbers or numbers[key].count == row.count:
                continue
            if row.b and any(
                bucket.part is Part.REST and bucket.a_value in key for bucket in part.rows if not bucket.b
            ):
                continue
            tried += 1
            chosen = np.array([within(fact, key) for fact in whole.facts]) & ~agreeing
            assert whole.visitors_in(chosen) >= K, (kind, key)
    assert tried > 30


def consenting(views: Sequence[Fact], share: float) -> list[Fact]:
    """A day of views, and of the beacons of as many visitors as agreed."""
    day = list(views)
    for fact in views:
        if random.Random(fact.visitor).random() < share:
            values = {name: fact.values[name] for name in ("page", "country", "device")}
            day.append(
                Fact(SITE, "client", fact.time, {**values, "timezone": ("tz " + values["country"][0],)}, fact.visitor)
            )
    return day


def visits(*groups: tuple[str, str, int, int]) -> list[Fact]:
    """Visitors of a page from a country, and how many of them agreed."""
    day = []
    for number, (page, country, count, agreed) in enumerate(groups):
        for place in range(count):
            chain = (page, "/blog/*") if page.startswith("/blog/") else (page,)
            values = {"page": chain, "country": (country,)}
            day.append(Fact(SITE, "view", 1795305600.0, values, f"{number}.{place}"))
            if place < agreed:
                more = {"timezone": ("tz " + country,)}
                day.append(Fact(SITE, "client", 1795305600.0, {**values, **more}, f"{number}.{place}"))
    return day


@pytest.mark.parametrize(
    "day",
    [
        pytest.param(lambda: consenting([f for f in month(1, 1000, 12)[0] if f.kind == "view"], 0.5), id="half agreed"),
        pytest.param(lambda: consenting([f for f in month(1, 1000, 12)[0] if f.kind == "view"], 0.9), id="most agreed"),
        pytest.param(
            lambda: consenting([f for f in scattered(700, 1) if f.kind == "view"], 0.9), id="most agreed, scattered"
        ),
        pytest.param(
            lambda: visits(
                ("/a", "DE", 20, 10), ("/b", "DE", 20, 10), *((f"/r{n}", "DE", 1, n < 9) for n in range(10))
            ),
            id="what is left of both, by subtraction",
        ),
        pytest.param(
            lambda: visits(("/", "DE", 20, 18), ("/", "FR", 20, 10), ("/", "IT", 20, 10)),
            id="one value of three: what is withheld is known by name",
        ),
        pytest.param(
            lambda: visits(*((f"/{n}", "DE", 20, 10) for n in "ab"), ("/c", "DE", 12, 10), ("/r", "DE", 1, 0)),
            id="a value that only the kind within tells",
        ),
        pytest.param(
            lambda: visits(
                *((f"/{page}", country, 20, 10) for page in "xy" for country in ("DE", "FR")),
                *(("/x", f"X{n}", 1, n < 19) for n in range(20)),
                *(("/y", f"Y{n}", 1, n < 6) for n in range(20)),
            ),
            id="pairs of what is left",
        ),
        pytest.param(
            lambda: visits(
                ("/blog/a", "DE", 10, 10),
                *((f"/blog/r{n}", "DE", 1, n < 8) for n in range(10)),
                *((f"/{page}", "DE", 20, 10) for page in "xyz"),
            ),
            id="a folder",
        ),
    ],
)
def test_what_a_kind_leaves_of_the_whole(day: Callable[[], list[Fact]]) -> None:
    """At every place that both tell, and in what is left there beside all that both tell below it, alone and in pairs:
    none did not agree, or k."""
    facts = day()
    whole, part = Known(facts, "view", K), Known(facts, "client", K)
    agreed = {(fact.visitor, fact.time) for fact in facts if fact.kind == "client"}
    left = [fact for fact in whole.facts if (fact.visitor, fact.time) not in agreed]

    def check(rest: list[Fact], *what: object) -> None:
        assert not rest or len({fact.visitor for fact in rest}) >= K, what

    shared = [name for name in part.dimensions if name in whole.dimensions]
    told = {
        name: {
            row.a_value: row.path
            for row in part.rows
            if row.a == name and not row.b and row.part is not Part.REST and row.a_value in names_told(whole, name)
        }
        for name in shared
    }
    for name, values in told.items():
        for value in values:
            check([fact for fact in left if value in fact.values[name]], name, value)
        for node in ("", *values) if values else ():
            below = {value for value, path in values.items() if not node or node in path}
            inside = [fact for fact in left if not node or node in fact.values[name]]
            check([fact for fact in inside if not below & set(fact.values[name])] if below else [], name, node, "rest")
    for a, b in combinations(shared, 2):
        both = cells_told(whole, a, b) & cells_told(part, a, b)
        for first, second in both:
            check([fact for fact in left if first in fact.values[a] and second in fact.values[b]], first, second)
        for mine, other, place in ((a, b, 0), (b, a, 1)):
            for value in {cell[place] for cell in both}:
                known = {cell[1 - place] for cell in both if cell[place] == value}
                row = [fact for fact in left if value in fact.values[mine] and not known & set(fact.values[other])]
                check(row, a, b, value, "rest")
    # A time zone gives a country away.
    for zone in names_told(part, "timezone"):
        country = zone.removeprefix("tz ")
        if country in names_told(whole, "country"):
            check([fact for fact in left if fact.values["country"] == (country,)], zone)


def names_told(known_: Known, name: str) -> set[str]:
    return {row.a_value for row in known_.rows if row.a == name and not row.b and row.part is not Part.REST}


def cells_told(known_: Known, a: str, b: str) -> set[tuple[str, str]]:
    """Pairs of values, neither of them a remainder, that are told."""
    leaves = [{row.a_value for row in known_.dimensions[name].buckets if row.part is Part.LEAF} for name in (a, b)]
    return {
        (row.a_value, row.b_value)
        for row in known_.rows
        if (row.a, row.b) == (a, b) and row.a_value in leaves[0] and row.b_value in leaves[1]
    }


@pytest.mark.parametrize("services", [("ga",), ("ga", "yt")], ids=["a service", "two services"])
def test_kinds_that_leave_few_together(services: tuple[str, ...]) -> None:
    """Views less the beacons of those who agreed *and* less what was held back for those who did not: what is left are
    those who agreed, but whose browser sent no beacon. What was held back is told by service, too, and the sum of all
    that is told below a page is that page's."""
    views = [fact for fact in month(1, 1500, 12)[0] if fact.kind == "view"]
    said = {fact.visitor: random.Random(fact.visitor).random() for fact in views}
    day = list(views)
    for fact in views:
        if said[fact.visitor] < 0.47:
            values = {name: fact.values[name] for name in ("page", "country", "device")}
            day.append(Fact(SITE, "client", fact.time, {**values, "screen": ("l",)}, fact.visitor))
        elif said[fact.visitor] < 0.96:
            for service in services:
                held = {"page": fact.values["page"], "service": (service,), "purpose": (f"for {service}",)}
                day.append(Fact(SITE, "blocked", fact.time, held, fact.visitor))
    whole, agreed, refused = (Known(day, kind, K) for kind in ("view", "client", "blocked"))
    tried = 0
    for page, by_service in sums_by(refused, "page", "service").items():
        if page not in names_told(whole, "page") & names_told(agreed, "page"):
            continue
        counts = [
            next(
                row.count
                for row in one.rows
                if (row.a, row.a_value, row.b) == ("page", page, "") and row.part is not Part.REST
            )
            for one in (whole, agreed)
        ]
        left = [fact for fact in views if said[fact.visitor] >= 0.96 and page in fact.values["page"]]
        for count in by_service.values():
            assert len(left) == counts[0] - counts[1] - count, page
            assert not left or len({fact.visitor for fact in left}) >= K, page
            tried += 1
    assert tried > 3


def sums_by(found: Known, a: str, b: str) -> dict[str, dict[str, int]]:
    """For each value that is told what all told pairs below it sum up to, by the other value, where all are told."""
    matrix, true = found.dense(a, b), found.true_matrix(a, b)
    others = [row.a_value for row in found.dimensions[b].buckets]
    sums: dict[str, dict[str, int]] = {}
    for row, buckets in found.dimensions[a].sets:
        if row.part is Part.REST:
            continue
        for column, other in enumerate(others):
            cells = [(matrix[bucket, column], true[bucket, column]) for bucket in buckets.tolist()]
            if all(told >= 0 or not there for told, there in cells):
                sums.setdefault(row.a_value, {})[other] = int(sum(there for _, there in cells))
    return sums


def within(fact: Fact, key: tuple[str, str, str, str]) -> bool:
    a, a_value, b, b_value = key
    return a_value in fact.values[a] and (not b or b_value in fact.values[b])


def muddled(seed: int) -> list[Fact]:
    """A small day on which visitors come again, agree halfway, send a beacon or none, from browsers that hold back what
    there is on some views and not on others."""
    chosen = random.Random(seed)
    pages = [f"/{name}" for name in "abcdef"[: chosen.randint(1, 6)]]
    pages += [f"/blog/{name}" for name in "uvwxyz"[: chosen.randint(0, 6)]]
    weights = [chosen.random() ** 2 + 0.02 for _ in pages]
    agreeing, refusing = chosen.choice([0.3, 0.5, 0.8]), chosen.choice([0.5, 0.8, 0.95])
    often, halfway = chosen.choice([1, 1.5, 3, 6]), chosen.random() < 0.6
    services = ("ga", "yt", "fb")[: chosen.randint(1, 3)]
    each = chosen.choice([0.3, 0.7, 1])
    day: list[Fact] = []
    for visitor in map(str, range(chosen.choice([40, 80, 160, 300]))):
        agrees, until = chosen.random() < agreeing, chosen.random() if halfway else 0.0
        refuses = not agrees and chosen.random() < refusing
        for number in range(max(1, int(chosen.expovariate(1 / often)))):
            (page,) = chosen.choices(pages, weights)
            time = NOON + len(day)
            values = {"page": (page, "/blog/*") if page.startswith("/blog/") else (page,)}
            day.append(Fact(SITE, "view", time, values, visitor))
            agreed = agrees and (not number or chosen.random() > until)
            if agreed and chosen.random() < 0.97:
                day.append(Fact(SITE, "client", time, {**values, "screen": (chosen.choice("sml"),)}, visitor))
            for service in services if refuses or agrees > agreed else ():
                if chosen.random() < each:
                    held = {**values, "service": (service,), "purpose": (f"for {service}",)}
                    day.append(Fact(SITE, "blocked", time, held, visitor))
    return day


@pytest.mark.parametrize("seeds", [range(start, start + 40) for start in range(0, 200, 40)], ids=str)
def test_kinds_that_overlap(seeds: Sequence[int]) -> None:
    """Of each page that all tell, and of what remains beside the pages below it, views less beacons, less what was held
    back, by each screen and each service: nothing is left, or k visitors."""
    looked = sum(map(check_overlap, map(muddled, seeds)))
    assert looked > 500


@pytest.mark.parametrize("seed", [1195, 1608, 1930, 3344])
def test_how_many_are_left_is_known_at_least_only(seed: int) -> None:
    """Who sent a beacon from one view of a page and not from another is left there, and is not counted as left: what
    is left of the page may not be taken for all that it has of what is left of its folder."""
    assert check_overlap(muddled(seed))


@pytest.mark.parametrize("seed", [1175, 5847])
def test_folders_of_which_only_the_sum_is_known(seed: int) -> None:
    """What is not told of a folder itself may follow from its pages; and is none of what remains beside these."""
    assert check_overlap(muddled(seed))


def test_what_must_hide_is_hidden_with_all_that_it_could_be_summed_up_from() -> None:
    """Of the pages, one visitor's is left of what remains beside the folder's; so the folder, whose only page that is
    told leaves nothing, must not be known."""
    day: list[Fact] = []

    def visit(page: str, held: bool) -> None:
        time = NOON + len(day)
        values = {"page": (page, "/blog/*") if page.startswith("/blog/") else (page,)}
        day.append(Fact(SITE, "view", time, values, str(len(day))))
        for service in ("ga", "yt") if held else ("yt",):
            more = {"service": (service,), "purpose": (f"for {service}",)}
            day.append(Fact(SITE, "blocked", time, {**values, **more}, day[-1].visitor))

    for number in range(20):
        visit("/x", number < 10)
        visit("/y", number < 10)
    for _ in range(10):
        visit("/blog/a", held=True)
    for number in range(6):
        visit(f"/blog/rare-{number}", held=False)
    for number in range(7):
        visit(f"/rare-{number}", number < 6)
    day.append(Fact(SITE, "client", NOON, {"page": ("/x",), "screen": ("s",)}, "0"))
    assert check_overlap(day)


def check_overlap(day: Sequence[Fact]) -> int:
    """Return how many numbers were looked at."""
    kinds = {name: [fact for fact in day if fact.kind == name] for name in ("view", "client", "blocked")}
    if not all(kinds.values()):
        return 0
    whole, agreed, refused = (Known(day, kind, K) for kind in kinds)
    paths = {
        value: chain[place:] for fact in day for chain in [fact.values["page"]] for place, value in enumerate(chain)
    }
    beacons = [
        (names_told(agreed, "page"), {(fact.visitor, fact.time) for fact in kinds["client"]}),
        *by_value(agreed, "screen"),
    ]
    held = [*by_value(refused, "service"), *by_value(refused, "purpose")]
    both = [(told & more, of | too) for told, of in beacons for more, too in held]
    looked = 0
    for told, of in (*beacons, *held, *both):
        left = [fact for fact in kinds["view"] if (fact.visitor, fact.time) not in of]
        looked += check_left(told & names_told(whole, "page"), left, paths)
    return looked


def by_purposes(seed: int) -> list[Fact]:
    """A day on which who agreed to beacons has other things held back, on pages in folders of folders."""
    chosen = random.Random(seed)
    pages = ("/x", "/y", "/blog/a", "/blog/b", "/blog/c", "/blog/s/w", "/blog/s/x")
    weights = [chosen.random() ** 2 + 0.03 for _ in pages]
    there = {page: ["ga", *(each for each in ("yt", "fb") if chosen.random() < 0.6)] for page in pages}
    agreeing, often = chosen.choice([0.3, 0.5, 0.7]), chosen.choice([1, 1, 3])
    shares = {page: min(0.98, max(0.02, agreeing + chosen.uniform(-0.4, 0.4))) for page in pages}
    day: list[Fact] = []
    for visitor in map(str, range(chosen.choice([60, 120, 250, 500]))):
        says, more = chosen.random(), chosen.random() < 0.3
        for _ in range(max(1, int(chosen.expovariate(1 / often)))):
            (page,) = chosen.choices(pages, weights)
            parts = page.strip("/").split("/")
            folders = tuple("/" + "/".join(parts[:depth]) + "/*" for depth in range(len(parts) - 1, 0, -1))
            values, time, agreed = {"page": (page, *folders)}, NOON + len(day), says < shares[page]
            day.append(Fact(SITE, "view", time, values, visitor))
            if agreed:
                day.append(Fact(SITE, "client", time, {**values, "screen": (chosen.choice("sl"),)}, visitor))
            for service in there[page]:
                if not agreed or (service != "ga" and not more):
                    held = {**values, "service": (service,), "purpose": (f"for {service}",)}
                    day.append(Fact(SITE, "blocked", time, held, visitor))
    return day


@pytest.mark.parametrize("seeds", [range(start, start + 40) for start in range(0, 160, 40)], ids=str)
def test_sums_of_what_is_told_below_a_folder(seeds: Sequence[int]) -> None:
    """Views of a folder, less its beacons, less what is told to have been held back on some of its pages: a number of
    visitors who did not agree and were on the other pages. None, or k."""
    looked = 0
    for day in map(by_purposes, seeds):
        whole, agreed, refused = (Known(day, kind, K) for kind in ("view", "client", "blocked"))
        beacons = {(fact.visitor, fact.time) for fact in agreed.facts}
        leaves = {row.a_value for row in refused.dimensions["page"].buckets if row.part is Part.LEAF}
        for service in ("ga", "yt", "fb"):
            told = {row.a_value for row in refused.rows if row.a == "page" and row.b_value == service} & leaves
            held = {(f.visitor, f.time) for f in refused.facts if f.values["service"] == (service,)}
            if held & beacons:
                continue  # what is left then is a difference of numbers, and nobody's
            for folder in names_told(whole, "page") & names_told(agreed, "page"):
                inside = [fact for fact in whole.facts if folder in fact.values["page"]]
                left = {
                    fact.visitor
                    for fact in inside
                    if (fact.visitor, fact.time) not in beacons
                    and not ((fact.visitor, fact.time) in held and told & set(fact.values["page"]))
                }
                if any(told & set(fact.values["page"]) for fact in inside):
                    assert not left or len(left) >= K, (folder, service)
                    looked += 1
    assert looked > 5


ZONES = {"DE": ("DE one", "DE two"), "FR": ("FR one",), "US": ("US one", "US two", "US three"), "IT": ("IT one",)}


def by_zones(seed: int) -> list[Fact]:
    """A day with countries of several time zones, which only beacons tell."""
    chosen = random.Random(seed)
    pages = ["/a", "/b", "/blog/u", "/blog/v"][: chosen.randint(2, 4)]
    countries = list(ZONES)[: chosen.randint(2, 4)]
    weights = [chosen.random() ** 2 + 0.03 for _ in (*pages, *countries)]
    by_zone = {country: [chosen.random() ** 3 + 0.02 for _ in ZONES[country]] for country in countries}
    share = chosen.choice([0.5, 0.8, 0.95])
    shares = {page: min(1, max(0.1, share + chosen.uniform(-0.4, 0.2))) for page in pages}
    often = chosen.choice([1, 1, 3])
    day: list[Fact] = []
    for visitor in map(str, range(chosen.choice([60, 120, 250, 500]))):
        (country,) = chosen.choices(countries, weights[len(pages) :])
        (zone,) = chosen.choices(ZONES[country], by_zone[country])
        says = chosen.random()
        for _ in range(max(1, int(chosen.expovariate(1 / often)))):
            (page,) = chosen.choices(pages, weights[: len(pages)])
            chain = (page, "/blog/*") if page.startswith("/blog/") else (page,)
            values, time = {"page": chain, "country": (country,)}, NOON + len(day)
            day.append(Fact(SITE, "view", time, values, visitor))
            if says < shares[page]:
                day.append(Fact(SITE, "client", time, {**values, "timezone": (zone,)}, visitor))
    return day


@pytest.mark.parametrize("seeds", [range(start, start + 150) for start in range(0, 600, 150)], ids=str)
def test_zones_give_no_country_away(seeds: Sequence[int]) -> None:
    """Views from a country, less the beacons from its time zones that are told, of all pages and of each: none, or k,
    also where of the country itself no beacons are told."""
    looked = 0
    for day in map(by_zones, seeds):
        whole, agreed = Known(day, "view", K), Known(day, "client", K)
        zones = {(fact.visitor, fact.time): fact.values["timezone"][0] for fact in agreed.facts}
        leaves = [
            {row.a_value for row in known.dimensions["page"].buckets if row.part is Part.LEAF}
            for known in (whole, agreed)
        ]
        pairs = {(row.a, row.a_value, row.b, row.b_value) for known in (whole, agreed) for row in known.rows if row.b}
        for country, of_country in ZONES.items():
            for page in (None, *sorted(leaves[0] & leaves[1])):
                if page is None:
                    there = country in names_told(whole, "country")
                    told = names_told(agreed, "timezone") & set(of_country)
                else:
                    there = ("country", country, "page", page) in pairs
                    told = {zone for zone in of_country if ("page", page, "timezone", zone) in pairs}
                if there and told:
                    left = {
                        fact.visitor
                        for fact in whole.facts
                        if fact.values["country"] == (country,)
                        and (page is None or page in fact.values["page"])
                        and zones.get((fact.visitor, fact.time)) not in told
                    }
                    assert not left or len(left) >= K, (country, page, told)
                    looked += bool(left)
    assert looked > 100


def test_kinds_whose_pairs_were_given_up() -> None:
    """As a spool does that is full."""
    day = consenting([Fact(SITE, "view", NOON + n, FACT, str(n)) for n in range(40)], 0.5)
    alone = partial_of(day).singles()
    assert [row for row in release_of(alone, "client", K) if row.b] == []
    assert sum(row.count for row in release_of(alone, "view", K) if row.a == "page" and row.part is Part.LEAF) == 40


def by_value(found: Known, other: str) -> list[tuple[Set[str], Set[When]]]:
    """For each value of a dimension the pages of which is told how many facts have it, and the facts that have it."""
    sums = sums_by(found, "page", other)
    return [
        (
            {page for page, by_other in sums.items() if value in by_other},
            {(fact.visitor, fact.time) for fact in found.facts if fact.values[other] == (value,)},
        )
        for value in sorted({value for by_other in sums.values() for value in by_other})
        if any(fact.values[other] == (value,) for fact in found.facts)
    ]


def check_left(told: Set[str], left: Sequence[Fact], paths: Mapping[str, Collection[str]]) -> int:
    looked = 0
    for page in ("", *told) if told else ():
        inside = [fact for fact in left if not page or page in fact.values["page"]]
        below = {each for each in told if not page or page in paths[each]}
        beside = [fact for fact in inside if not below & set(fact.values["page"])]
        for rest in (inside if page else [], beside if below else []):
            assert not rest or len({fact.visitor for fact in rest}) >= K, (page, below)
            looked += bool(rest)
    return looked
