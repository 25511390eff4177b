"""Made-up traffic for the demo: an access log in combined format, the same for the same seed.

    python -m demo.traffic --days 28 | vestibule import -

Nobody in it exists: addresses are drawn at random, visitors wander through the demo's pages by weights.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

T = TypeVar("T")

PAGES: Sequence[tuple[str, int]] = (
    ("/", 40),
    ("/pricing", 22),
    ("/blog", 9),
    ("/blog/2026/handing-over-a-customer", 14),
    ("/blog/2026/forecasts-that-hold", 11),
    ("/blog/2026/small-crm-on-purpose", 6),
    ("/contact", 8),
    ("/login", 9),
    ("/app/", 7),
    ("/app/deals/17", 3),
    ("/app/deals/21", 2),
    ("/old-pricing", 2),
    ("/relaso-handbook.pdf", 3),
)
REFERRERS: Sequence[tuple[str, int]] = (
    ("-", 40),
    ("https://www.google.com/", 25),
    ("https://duckduckgo.com/", 6),
    ("https://www.bing.com/", 5),
    ("https://www.linkedin.com/", 8),
    ("https://news.ycombinator.com/item?id=1", 5),
    ("https://chatgpt.com/", 4),
    ("https://www.reddit.com/r/sales/", 3),
    ("https://blog.partner.example/crm-compared", 3),
)
AGENTS: Sequence[tuple[str, int]] = (
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.0.0 "
     "Safari/537.36", 38),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
     "Version/26.0 Mobile/15E148 Safari/604.1", 19),
    ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.0.0 "
     "Mobile Safari/537.36", 15),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
     "Safari/605.1.15", 12),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{f}.0) Gecko/20100101 Firefox/{f}.0", 8),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:{f}.0) Gecko/20100101 Firefox/{f}.0", 3),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.0.0 Safari/537.36 "
     "Edg/{c}.0.0.0", 7),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", 2),
)  # fmt: skip
BLOCKS: Sequence[tuple[int, int]] = (
    (91, 20), (84, 12), (79, 10), (62, 8), (93, 8), (5, 6), (24, 8), (73, 7), (98, 5), (81, 6), (151, 4), (203, 3),
)  # fmt: skip
"""First octets of addresses and their weights; countries follow from the registries."""
MISSING = ("/old-pricing",)
MEDIAN_HOUR = 14


@dataclass(frozen=True, slots=True)
class Visitor:
    address: str
    agent: str


def lines(days: int, visitors: int, seed: int, until: datetime) -> Iterator[str]:
    """The lines of a log, oldest first. visitors: a day, about; weekends have fewer. until: the last day, UTC."""
    source = random.Random(seed)
    for back in range(days, 0, -1):
        day = (until - timedelta(days=back)).replace(hour=0, minute=0, second=0, microsecond=0)
        share = 0.55 if day.weekday() >= 5 else 1.0
        growth = 1 + 0.5 * (days - back) / max(days, 1)
        count = round(visitors * share * growth * source.uniform(0.85, 1.15))
        visits = sorted((_moment(source, day), number) for number in range(count))
        stamped = [line for moment, _ in visits for line in _visit(source, moment, _visitor(source))]
        yield from (line for _, line in sorted(stamped))


def _moment(source: random.Random, day: datetime) -> datetime:
    hour = min(max(source.gauss(MEDIAN_HOUR, 4.2), 0), 23.9)
    return day + timedelta(hours=hour)


def _visitor(source: random.Random) -> Visitor:
    first = _drawn(source, BLOCKS)
    address = f"{first}.{source.randrange(256)}.{source.randrange(256)}.{source.randrange(1, 255)}"
    agent = _drawn(source, AGENTS).format(c=source.choice((140, 141, 142)), f=source.choice((143, 144, 145)))
    return Visitor(address, agent)


def _visit(source: random.Random, moment: datetime, visitor: Visitor) -> Iterator[tuple[datetime, str]]:
    referrer = _drawn(source, REFERRERS)
    for _ in range(1 + min(int(source.expovariate(0.55)), 9)):
        page = _drawn(source, PAGES)
        status = 404 if page in MISSING else 200
        stamp = moment.strftime("%d/%b/%Y:%H:%M:%S +0000")
        size = source.randrange(4000, 40000)
        request = f'"GET {page} HTTP/1.1" {status} {size} "{referrer}" "{visitor.agent}"'
        yield moment, f"{visitor.address} - - [{stamp}] {request}"
        referrer = f"https://relaso.com{page}"
        moment += timedelta(seconds=source.expovariate(1 / 50))


def _drawn(source: random.Random, weighted: Sequence[tuple[T, int]]) -> T:
    values = [value for value, _ in weighted]
    return source.choices(values, [weight for _, weight in weighted])[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="demo.traffic", description=__doc__)
    parser.add_argument("--days", type=int, default=28, help="days before today")
    parser.add_argument("--visitors", type=int, default=400, help="visitors a day, about")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for line in lines(options.days, options.visitors, options.seed, datetime.now(UTC)):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
