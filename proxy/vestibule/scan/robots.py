"""What a site's ``robots.txt`` lets us read (RFC 9309)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vestibule.core.patterns import Glob

AGENT = "vestibule"
"""The product token that groups are looked for under, in lower case."""
MAX_BYTES = 512_000
"""As much as is read of a file; RFC 9309 asks for 500 KiB at least."""
MAX_RULES = 2000
MAX_DELAY = 10.0
"""Seconds between requests that a ``Crawl-delay`` may ask for; one that asks for more gets this."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line. pattern: of a path with its query; ``*`` is anything, ``$`` at its end the end."""

    allow: bool
    pattern: str

    def matches(self, path: str) -> bool:
        pattern = self.pattern
        return Glob(pattern[:-1] if pattern.endswith("$") else f"{pattern}*").matches(path)


@dataclass(frozen=True, slots=True)
class Robots:
    """What holds for us. sitemaps: absolute URLs as they are written. delay: seconds between requests."""

    rules: tuple[Rule, ...] = ()
    sitemaps: tuple[str, ...] = ()
    delay: float = 0.0

    def allows(self, path: str) -> bool:
        """Whether a path (with its query) may be read: the longest rule decides, an allowing one where two are."""
        matching = [rule for rule in self.rules if rule.matches(path)]
        return not matching or max(matching, key=lambda rule: (len(rule.pattern), rule.allow)).allow


EVERYTHING = Robots()
NOTHING = Robots((Rule(False, "/"),))


def parse(text: str) -> Robots:
    """Read a file. Of the groups those that name us count, or where there is none those for ``*``."""
    ours: list[tuple[str, str]] = []
    everyones: list[tuple[str, str]] = []
    sitemaps: list[str] = []
    named: set[str] = set()
    found = naming = False
    for line in text[:MAX_BYTES].splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "sitemap":
            sitemaps.append(value)
        elif key == "user-agent":
            named = (named if naming else set()) | {value.partition("/")[0].strip().lower()}
            found = found or AGENT in named
            naming = True
        elif key in ("allow", "disallow", "crawl-delay"):
            naming = False
            if AGENT in named:
                ours.append((key, value))
            if "*" in named:
                everyones.append((key, value))
    return _robots(ours if found else everyones, sitemaps)


def _robots(lines: Sequence[tuple[str, str]], sitemaps: Sequence[str]) -> Robots:
    rules = [Rule(key == "allow", value) for key, value in lines if key != "crawl-delay" and value[:1] in ("/", "*")]
    delays = [_seconds(value) for key, value in lines if key == "crawl-delay"]
    return Robots(tuple(rules[:MAX_RULES]), tuple(sitemaps[:20]), min(max(delays, default=0.0), MAX_DELAY))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 < value < float("inf") else 0.0
