"""The texts that visitors read, by language: ``static/banner/locales/*.json``.

A text with the key ``other`` has one form for each plural category that its language needs (CLDR); Babel knows which
number takes which, and writes dates, durations and numbers as the language does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Literal

from babel import Locale
from babel.dates import format_date, format_timedelta
from babel.lists import format_list
from babel.numbers import format_decimal

from vestibule.assets import static

DEFAULT = "en"
DAY = 86400
Unit = Literal["year", "month", "day", "hour", "minute", "second"]
_SIZES: Mapping[Unit, int] = {
    "year": 365 * DAY,
    "month": 30 * DAY,
    "day": DAY,
    "hour": 3600,
    "minute": 60,
    "second": 1,
}
"""Seconds, as Babel counts them."""
_GREAT: tuple[Unit, ...] = ("year", "month", "day", "hour")
_ROUNDED: tuple[Unit, ...] = ("day", "minute")
_NEVER = 10**9
_SLACK = 0.05
"""How far a duration may be from a whole number of a unit to be told in it: a year has 365 or 365.25 days."""


@dataclass(frozen=True, slots=True)
class Texts:
    """One language. ``tag`` is its BCP 47 tag; texts are looked up as ``texts["banner"]["title"]``."""

    tag: str
    data: dict[str, Any]

    def __getitem__(self, section: str) -> Any:
        return self.data[section]

    @property
    def direction(self) -> str:
        """``ltr`` or ``rtl``, as HTML's ``dir`` has it."""
        return str(self.data["direction"])

    @property
    def locale(self) -> Locale:
        return _locale(self.tag)

    def plural(self, section: str, key: str, count: int, **values: str) -> str:
        """The form that a number takes, with the number filled in."""
        forms: Mapping[str, str] = self.data[section][key]
        form = forms.get(str(self.locale.plural_form(count)), forms["other"])
        return fill(form, count=self.number(count), **values)

    def number(self, value: int) -> str:
        """A number as it is written in the language."""
        return format_decimal(value, locale=self.locale)

    def date(self, day: date) -> str:
        """A day, such as 22 November 2026."""
        return format_date(day, "long", locale=self.locale)

    def listed(self, names: list[str]) -> str:
        """Names in a row: a, b and c."""
        return format_list(names, locale=self.locale) if names else ""

    def duration(self, seconds: int) -> str:
        """A time in its greatest whole unit: 13 months, 2 years, 90 days, 30 minutes."""
        for unit in _GREAT:
            size = _SIZES[unit]
            count = round(seconds / size)
            if count >= 1 and abs(seconds / size - count) <= _SLACK * count and (unit != "month" or count < 24):
                return self._amount(count, unit)
        for unit in _ROUNDED:
            if seconds >= _SIZES[unit]:
                return self._amount(round(seconds / _SIZES[unit]), unit)
        return self._amount(seconds, "second")

    def days(self, count: int) -> str:
        """A number of days, told in days."""
        return self._amount(count, "day")

    def _amount(self, count: int, unit: Unit) -> str:
        # Not `format_unit`: where the long form has no pattern of its own, that gives the unit's name in English.
        whole = timedelta(seconds=count * _SIZES[unit])
        return format_timedelta(whole, granularity=unit, threshold=_NEVER, locale=self.locale)

    def country(self, code: str) -> str:
        """The name of a country (ISO 3166-1 alpha-2); the code where the language has none for it."""
        return str(self.locale.territories.get(code, code))


def fill(text: str, **values: str) -> str:
    """A text with its placeholders filled in. Nothing in the values is read as a placeholder again."""
    parts = text.split("{")
    filled = [parts[0]]
    for part in parts[1:]:
        name, brace, rest = part.partition("}")
        filled.append(values[name] + rest if brace and name in values else "{" + part)
    return "".join(filled)


@lru_cache(maxsize=1)
def languages() -> frozenset[str]:
    """The tags of all languages that there are."""
    return frozenset(path.stem for path in (static() / "banner" / "locales").glob("*.json"))


@lru_cache(maxsize=128)
def texts(tag: str) -> Texts:
    """The texts of one of ``languages()``."""
    return Texts(tag, json.loads((static() / "banner" / "locales" / f"{tag}.json").read_text(encoding="utf-8")))


def overridden(base: Texts, own: Mapping[str, Any]) -> Texts:
    """The same language with a site's own words in place of some."""
    return Texts(base.tag, _merged(base.data, own)) if own else base


def _merged(ours: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(ours)
    for key, value in own.items():
        known = merged.get(key)
        if isinstance(known, dict):
            merged[key] = _merged(known, value) if isinstance(value, dict) else dict.fromkeys(known, value)
        else:
            merged[key] = value
    return merged


@lru_cache(maxsize=128)
def _locale(tag: str) -> Locale:
    return Locale.parse(tag, sep="-")


_ALIASES = {"iw": "he", "in": "id", "no": "nb", "tl": "fil", "mo": "ro", "sh": "sr-latn"}
"""What browsers still call some languages (IANA language subtag registry, ``Preferred-Value``)."""
_SCRIPTS = {
    "zh": "zh-hans", "zh-cn": "zh-hans", "zh-sg": "zh-hans", "zh-my": "zh-hans",
    "zh-tw": "zh-hant", "zh-hk": "zh-hant", "zh-mo": "zh-hant",
}  # fmt: skip
"""Regions that tell the script (CLDR, likely subtags)."""


@lru_cache(maxsize=512)
def choose(accept_language: str, page: str = "") -> str:
    """The language to speak: the page's own, else the one that an ``Accept-Language`` header likes best (RFC 4647,
    lookup); English if there is neither. page: a language tag, or a ``Content-Language`` header with one."""
    return _known(page[:35].strip()) or _best(accept_language)


def _best(accept_language: str) -> str:
    ranked: list[tuple[float, int, str]] = []
    for index, item in enumerate(accept_language[:200].split(",")):
        tag, _, parameters = item.strip().partition(";")
        quality = 1.0
        if parameters.strip().startswith("q="):
            try:
                quality = float(parameters.strip()[2:])
            except ValueError:
                continue
        if tag and quality > 0:
            ranked.append((-quality, index, tag))
    return next((found for _, _, tag in sorted(ranked) if (found := _known(tag))), DEFAULT)


def _known(tag: str) -> str:
    """The language that there is for a tag, by its longest part; empty where there is none."""
    known = {name.lower(): name for name in languages()}
    for candidate in _candidates(tag.lower().replace("_", "-")):
        if candidate in known:
            return known[candidate]
    # A language that is there with a region or script only (pt-BR for pt).
    near = sorted(name for name in known if name.partition("-")[0] == tag.lower().replace("_", "-").partition("-")[0])
    return known[near[0]] if near and tag else ""


def _candidates(tag: str) -> Iterator[str]:
    while tag:
        yield tag
        if tag in _SCRIPTS:
            yield _SCRIPTS[tag]
        if tag in _ALIASES:
            yield _ALIASES[tag]
        tag = tag.rpartition("-")[0]
