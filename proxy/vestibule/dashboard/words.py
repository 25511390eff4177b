"""The dashboard's languages. English is written in the code and the templates; others are tables from English."""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from babel import Locale
from babel.dates import format_date

from vestibule.dashboard.periods import Period

LANGUAGES = ("en", "de")
DEFAULT = "en"


@dataclass(frozen=True, slots=True)
class Words:
    """One language. ``words("Sources")`` is the text; ``{name}`` in it is filled from what is given besides."""

    language: str = DEFAULT

    def __call__(self, text: str, /, **values: object) -> str:
        found = table(self.language).get(text, text)
        return found.format(**values) if values else found

    def number(self, value: float) -> str:
        """Return a whole number with its thousands apart: ``12,345``, ``12.345``."""
        text = f"{value:,.0f}"
        return text.replace(",", ".") if self.language == "de" else text

    def decimal(self, value: float) -> str:
        """Return a number with one decimal."""
        text = f"{value:,.1f}"
        return text.translate(_SWAPPED) if self.language == "de" else text

    def percent(self, share: float) -> str:
        """Return a share of one as a percentage; small ones are not rounded to nothing."""
        hundredths = share * 100
        return "< 1 %" if 0 < hundredths < 1 else f"{hundredths:.0f} %"

    def country(self, code: str) -> str | None:
        """Return the name of an ISO 3166-1 alpha-2 code, in this language."""
        return countries(self.language).get(code)

    def tongue(self, tag: str) -> str | None:
        """Return the name of a language, or of a language and a country (RFC 5646), in this language."""
        language, _, country = tag.partition("-")
        name, place = languages(self.language).get(language), self.country(country)
        if name is None or (country and place is None):
            return None
        return f"{name} ({place})" if country else name

    def day(self, day: date) -> str:
        """Return a day in short: ``3 Nov``, ``3. Nov.``."""
        return f"{day.day} {day:%b}" if self.language == "en" else str(format_date(day, "d. MMM", locale=self.language))

    def describe(self, period: Period) -> str:
        """Return a span in words: ``Sat 22 Nov 2026``, ``3 – 9 Nov 2026``."""
        one, other = period.start, period.end
        point = "" if self.language == "en" else "."
        if one == other:
            return self._format(one, f"EEE d{point} MMM y")
        if one.year != other.year:
            return f"{self._format(one, f'd{point} MMM y')} – {self._format(other, f'd{point} MMM y')}"
        if one.month != other.month:
            return f"{self._format(one, f'd{point} MMM')} – {self._format(other, f'd{point} MMM y')}"
        return f"{one.day}{point} – {self._format(other, f'd{point} MMM y')}"

    def _format(self, day: date, form: str) -> str:
        if self.language == "en":
            return str(format_date(day, form, locale="en_GB")).replace("Sept", "Sep")
        return str(format_date(day, form, locale=self.language))


def preferred(header: str, chosen: str = "") -> str:
    """Return the language for an ``Accept-Language`` header (RFC 9110, section 12.5.4), or the chosen one."""
    if chosen in LANGUAGES:
        return chosen
    best, weight = DEFAULT, 0.0
    for item in header.split(",")[:20]:
        name, _, quality = item.strip().lower().partition(";q=")
        try:
            value = float(quality or 1)
        except ValueError:
            continue
        if name.partition("-")[0] in LANGUAGES and value > weight:
            best, weight = name.partition("-")[0], value
    return best


@functools.cache
def table(language: str) -> Mapping[str, str]:
    """Return the texts of a language by their English."""
    if language == DEFAULT:
        return {}
    text = importlib.resources.files(__package__).joinpath("locales", f"{language}.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@functools.cache
def countries(language: str) -> Mapping[str, str]:
    """Return countries' names by their ISO 3166-1 alpha-2 code, as CLDR has them."""
    return {code: name for code, name in Locale(language).territories.items() if len(code) == 2}


@functools.cache
def languages(language: str) -> Mapping[str, str]:
    """Return languages' names by their ISO 639 code, as CLDR has them."""
    return {code: name for code, name in Locale(language).languages.items() if code.isalpha()}


_SWAPPED = str.maketrans(",.", ".,")
