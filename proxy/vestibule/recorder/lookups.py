"""The tables and databases that facts are read from: user agents, crawlers, countries, referrers.

User agent strings go through the `user-agents` package, whose parser is fed by ua-parser's native engine; the crawlers
of `crawler-user-agents` go through the same engine. Answers are kept in bounded caches in memory only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import geoip2.database
import geoip2.errors
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from ua_parser import BestAvailableResolver, Domain, PartialResult, Resolver, load_lazy_builtins
from ua_parser.loaders import load_data
from user_agents.parsers import UserAgent, parse_browser, parse_device, parse_operating_system

from vestibule.core import agents
from vestibule.core.agents import Agent
from vestibule.core.memo import Memo
from vestibule.core.referrers import Referrers
from vestibule.core.trees import Trees

MAX_AGENTS = 20_000
"""User agent strings remembered."""
MAX_COUNTRIES = 100_000
"""Truncated addresses whose country is remembered."""

MISTAKEN = frozenset(
    {
        *("okhttp", "Code\\/1\\.", "Fluid", "Sonic", "WhatsApp", "Daum\\/", "^Silk\\/", "Instapaper\\/", "Sogou"),
        *(
            "MetaIAB Facebook",
            "PayPal\\/",
            "Notion\\/",
            "Tumblr\\/",
            "Bluesky\\/",
            "Goodreads",
            "Blackboard",
            "mail\\.ru",
        ),
        *("Hatena", "Overcast\\/", "PocketCasts\\/", "Grammarly\\/", "Asana\\/", "Salesforce\\.com", "Operator\\/"),
        *("Nitro-", "RED\\/", "Make\\/", "Charlotte", "Magellan", "Butterfly", "Trove", "Yeti", "speedy", "fluffy"),
        *("Fever", "Mastodon", "Readable\\/", "Devin", "Disqus", "Genieo", "Crazy Egg", "Jetty", "BTWebClient"),
        *("Chrome Privacy Preserving Prefetch Proxy", "AP3A\\.240617\\.008"),
    }
)
"""Patterns of crawler-user-agents that catch people's browsers and apps too."""


def load_referrers() -> Referrers:
    """Read the shipped table of referrers."""
    text = (files("vestibule") / "catalogue" / "referrers.json").read_text(encoding="utf-8")
    return Referrers(json.loads(text))


class FastUserAgent(UserAgent):  # type: ignore[misc]
    """The package's reading of a string that somebody else has parsed."""

    def __init__(self, text: str, parsed: PartialResult) -> None:
        browser, system, device = parsed.user_agent, parsed.os, parsed.device
        self.ua_string = text
        self.os = (
            parse_operating_system(system.family, system.major, system.minor)
            if system
            else parse_operating_system("Other")
        )
        self.browser = parse_browser(browser.family, browser.major) if browser else parse_browser("Other")
        self.device = (
            parse_device(device.family, device.brand, device.model) if device else parse_device("Other", None, None)
        )


class Agents:
    """Reads user agent strings.

    crawlers: patterns known to be bots, with the names they get; None takes those of crawler-user-agents.
    """

    def __init__(self, crawlers: Iterable[str] | None = None) -> None:
        self._parser: Resolver = BestAvailableResolver(load_lazy_builtins())
        patterns = list(crawler_patterns() if crawlers is None else crawlers)
        self._crawlers: Resolver | None = None
        if patterns:
            rules: Any = [{"regex": pattern, "family_replacement": pattern} for pattern in patterns]
            self._crawlers = BestAvailableResolver(load_data((rules, [], [])))

    def __call__(self, text: str) -> Agent:
        if not text.isascii():
            # The native engine takes no halves of characters (lone surrogates).
            text = text.encode("utf-8", "replace").decode()
        parsed = self._parser(text, Domain.ALL)
        read = FastUserAgent(text, parsed)
        family, version = agents.browser(
            read.browser.family, parsed.user_agent.major or "" if parsed.user_agent else ""
        )
        major, minor = (parsed.os.major or "", parsed.os.minor or "") if parsed.os else ("", "")
        system, system_version = agents.system(read.os.family, major, minor)
        chromium, newest, impossible = agents.versions(text)
        return Agent(
            browser=family,
            browser_version=version,
            os=system,
            os_version=system_version,
            device=agents.device(text, read.is_mobile, read.is_tablet, read.is_pc),
            bot=self._bot(text, read),
            chromium=chromium,
            newest=newest,
            impossible=impossible,
        )

    def _bot(self, text: str, read: FastUserAgent) -> str:
        if self._crawlers is not None:
            found = self._crawlers(text, Domain.USER_AGENT).user_agent
            if found is not None:
                return _name(found.family, text)
        name = agents.bot_by_words(text)
        if name:
            return name
        return agents.bot_name(read.browser.family) if read.is_bot else ""


def crawler_patterns() -> list[str]:
    """Return the patterns of crawler-user-agents but for those that catch people."""
    return [entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA if entry["pattern"] not in MISTAKEN]


def _name(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return agents.bot_name(match[0] if match else pattern)


class Countries:
    """Looks countries up in a database of MaxMind's Country layout; without one every country is unknown."""

    def __init__(self, path: Path | None) -> None:
        self._reader = geoip2.database.Reader(str(path)) if path is not None else None

    def __call__(self, address: str) -> str:
        if self._reader is None:
            return ""
        try:
            return self._reader.country(address).country.iso_code or ""
        except (geoip2.errors.AddressNotFoundError, ValueError):
            return ""

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


class Tables:
    """All lookups of one recorder (:class:`vestibule.core.visit.Lookups`). Not for several threads at once."""

    def __init__(self, geoip: Path | None = None, referrers: Referrers | None = None) -> None:
        self.trees = Trees(load_referrers() if referrers is None else referrers)
        self._countries = Countries(geoip)
        self.agent = Memo(Agents(), MAX_AGENTS)
        self.country = Memo(self._countries, MAX_COUNTRIES)

    def close(self) -> None:
        self._countries.close()
