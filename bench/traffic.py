"""Page views as a middling site has them: few pages and sources are common, most are rare, and visitors come back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from vestibule.core.visit import Hit

SITE = "relaso.com"
_CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 {}Safari/537.36{}"
_SYSTEMS = ("Windows NT 10.0; Win64; x64", "X11; Linux x86_64", "Macintosh; Intel Mac OS X 10_15_7")
_SOURCES = (
    "https://www.google.com/",
    "https://www.bing.com/",
    "https://duckduckgo.com/",
    "https://t.co/x1",
    "https://news.ycombinator.com/item",
)
_LANGUAGES = ("de-DE,de;q=0.9", "de-AT", "en-US,en;q=0.9", "en-GB", "fr-FR", "pt-BR", "es", "pl-PL", "nl")
_ZONES = ("Europe/Berlin", "Europe/Paris", "Europe/Vienna", "Europe/Madrid", "America/New_York", "Asia/Tokyo")
_SCREENS = ("1920x1080", "1440x900", "390x844", "1280x720", "2560x1440", "360x800")
_SERVICES = (
    ("google-analytics", "statistics"), ("youtube", "media"), ("meta-pixel", "marketing"), ("hotjar", "statistics")
)  # fmt: skip
_SECTIONS = ("blog", "docs", "pricing", "features", "customers", "integrations", "help", "jobs")


def agents() -> list[str]:
    """A few hundred user agent strings, the commonest first."""
    found = []
    for version in range(131, 91, -1):
        for system in _SYSTEMS:
            found.append(_CHROME.format(system, version, "", ""))
            found.append(f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0")
        found.append(_CHROME.format(_SYSTEMS[0], version, "", f" Edg/{version}.0.0.0"))
        found.append(_CHROME.format("Linux; Android 10; K", version, "Mobile ", ""))
        system = f"iPhone; CPU iPhone OS {version % 8 + 11}_1 like Mac OS X"
        found.append(
            f"Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{version % 8 + 11}.1 "
            "Mobile/15E148 Safari/604.1"
        )
    return found


class Traffic:
    """An endless stream of views. visitors: how many different ones there are; the first come most often."""

    def __init__(
        self, random: Random, visitors: int = 20_000, pages: int = 2_000, once: float = 0.1, tail: float = 0.7
    ) -> None:
        """once: the share of views by visitors who come once and never again. tail: the less, the more rare pages."""
        self._random, self._visitors, self._pages, self._once, self._tail = random, visitors, pages, once, tail
        self._agents = agents()
        self._fresh = 0

    def views(self, number: int, now: float) -> Iterator[Hit]:
        for _ in range(number):
            yield self._view(now)

    def page(self) -> str:
        number = self._rank(self._pages)
        if number < 8:
            return "/" if not number else f"/{_SECTIONS[number]}"
        section = _SECTIONS[number % 8]
        return f"/{section}/{('guide', 'story', 'notes')[number % 3]}/topic-{_letters(number)}"

    def _rank(self, most: int) -> int:
        return min(int(self._random.paretovariate(self._tail)) - 1, most - 1)

    def _view(self, now: float) -> Hit:
        random = self._random
        if random.random() < self._once:
            self._fresh += 1
            visitor = Random(10_000_000 + self._fresh)
        else:
            visitor = Random(int(random.random() ** 2 * self._visitors))
        network = min(int(visitor.paretovariate(0.35)), 60_000)
        first = (5, 31, 46, 62, 77, 84, 85, 91, 93, 109)[network % 10]
        address = f"{first}.{network // 10 % 200}.{network // 2000}.{visitor.randrange(1, 255)}"
        agent = self._agents[min(int(visitor.paretovariate(0.7)) - 1, len(self._agents) - 1)]
        inside = random.random() < 0.55
        source = "" if random.random() < 0.5 else random.choice(_SOURCES)
        if not inside and random.random() < 0.1:
            source = f"https://site-{_letters(self._rank(3000))}.example/links/{_letters(random.randrange(9))}"
        return Hit(
            SITE, now, address=address, host=SITE, path=self.page(), content_type="text/html; charset=utf-8", size=9000,
            query=f"utm_campaign=c{_letters(self._rank(30))}&utm_medium=email" if random.random() < 0.03 else "",
            agent=agent, language=_LANGUAGES[min(int(visitor.paretovariate(1)) - 1, len(_LANGUAGES) - 1)],
            referrer=f"https://{SITE}{self.page()}" if inside else source,
            accept="text/html,application/xhtml+xml,*/*;q=0.8", fetch_dest="document", fetch_mode="navigate",
            fetch_site="same-origin" if inside else "none", fetch_user="?1",
        )  # fmt: skip


def answered(views: Iterable[Hit], agree: float = 0.45, beacons: float = 0.96) -> Iterator[Hit]:
    """Views as they are where visitors are asked: some agreed, and nearly all of their browsers send a beacon; from the
    others' pages four services are held back."""
    for hit in views:
        visitor = Random(hit.address + hit.agent)
        if visitor.random() >= agree:
            yield hit._replace(blocked=tuple((service, purpose, "", "list") for service, purpose in _SERVICES))
            continue
        yield hit
        if Random(f"{hit.address}{hit.time}{hit.path}").random() < beacons:
            zone, screen = (each[min(int(visitor.paretovariate(1)) - 1, 5)] for each in (_ZONES, _SCREENS))
            event = (("timezone", zone), ("screen", screen), ("page", hit.path))
            yield hit._replace(kind="client", event=event, fetch_dest="empty", fetch_mode="cors")


def _letters(number: int) -> str:
    text = ""
    while True:
        text += "bcdfghjklmnpqrstvwz"[number % 19] + "aeiou"[number % 5]
        number //= 19
        if not number:
            return text
