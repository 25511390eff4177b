"""How a stored value is shown: harmless, in readable length, by its usual name."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping

from vestibule import catalogue
from vestibule.dashboard.words import Words

ENGLISH = Words()

LONGEST = 160
RARE = "(rare)"
OTHERS = " (others)"

LABELS: Mapping[str, Mapping[str, str]] = {
    "choice": {
        "accept": "Accepted all",
        "reject": "Rejected all",
        "save": "Chose in detail",
        "objection": "Objected by signal",
    },
    "purpose": {
        "necessary": "Necessary",
        "preferences": "Preferences",
        "statistics": "Statistics",
        "marketing": "Marketing",
        "none": "None",
    },
    "reason": {
        "url": "Address",
        "inline": "Inline script",
        "csp": "Stopped by the policy",
        "cookie": "Cookie",
        "relay": "Relayed by the site",
    },
    "crawler": {
        "search": "Search engines",
        "ai": "AI",
        "preview": "Previews of links",
        "seo": "Search optimisation",
        "other": "Other programs",
    },
    "device": {"desktop": "Desktop", "mobile": "Phone", "tablet": "Tablet", "tv": "Television"},
    "referrer": {
        "direct": "Direct",
        "internal": "Within the site",
        "mail": "Mail",
        "link": "Hidden by the sender",
        "search": "Search engines",
        "social": "Social networks",
        "ai": "AI",
        "ads": "Advertisements",
        "campaign": "Campaigns",
    },
    "country": {
        continent: continent
        for continent in ("Africa", "Antarctica", "Asia", "Europe", "North America", "Oceania", "South America")
    },
    "screen": {
        "xs": "Under 480 px",
        "s": "480 to 767 px",
        "m": "768 to 1,199 px",
        "l": "1,200 to 1,919 px",
        "xl": "1,920 px and more",
    },
    "surface": {"banner": "Banner", "centre": "Privacy centre", "signal": "Browser signal", "api": "Script"},
}


TAGS: Mapping[str, str] = {group: group for group in ("search", "social", "ai", "mail", "ads", "link", "campaign")}
"""Groups of sources, as they stand beside a source's name."""


def visible(text: str, longest: int = LONGEST) -> str:
    """Return text whose control characters and bidi controls are U+FFFD, without its middle where it is longer than
    ``longest`` characters."""
    if len(text) > longest:
        tail = longest // 4
        text = f"{text[: longest - tail - 1]}…{text[-tail:]}"
    return "".join(_REPLACEMENT if _hidden(char) else char for char in text)


def label(dimension: str, value: str, words: Words = ENGLISH) -> str:
    """Return what people call a value."""
    return labelled(dimension, value, words)[0]


def labelled(dimension: str, value: str, words: Words = ENGLISH) -> tuple[str, str]:
    """Return what people call a value, and its group or ``others`` where it has one: ``Google``, ``search``."""
    value, tag = (value.removesuffix(OTHERS), words("others")) if value.endswith(OTHERS) else (value, "")
    if value in ("", "(none)"):
        return words("(none)"), tag
    named = {"country": words.country, "language": words.tongue}.get(dimension)
    name = named(value) if named is not None else None
    if name is not None:
        return name, tag
    known = LABELS.get(dimension, {}).get(value)
    if known is not None:
        return words(known), tag
    if dimension == "service":
        return _service(value, tag, words)
    if dimension == "purpose" and "+" in value:
        purposes = [words(LABELS["purpose"].get(each, visible(each))) for each in value.split("+")]
        return ", ".join((purposes[0], *map(str.lower, purposes[1:])) if words.language == "en" else purposes), tag
    if dimension == "referrer" and ": " in value:
        group, _, source = value.partition(": ")
        shown = words(TAGS[group]) if group in TAGS else visible(group, 24)
        return visible(source), shown if not tag else f"{shown}, {tag}"
    return visible(value), tag


def _service(value: str, tag: str, words: Words) -> tuple[str, str]:
    prefix, _, rest = value.partition(":")
    if prefix == "unknown" and value != prefix:
        return visible(rest) or words("(unknown)"), words("unknown")
    if prefix == "cookie" and rest:
        return visible(rest), words("cookie")
    return _service_names().get(value) or visible(value), tag


@functools.cache
def _service_names() -> Mapping[str, str]:
    """What the services of the catalogue that matter most are called, by their ids."""
    return {service.id: service.name for service in catalogue.reviewed().services}


def can_filter(value: str) -> bool:
    """Whether a value can be asked for; what is folded into the root can't."""
    return value not in ("", RARE) and len(value) <= 1000


_REPLACEMENT = "�"
_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Unicode's Bidi_Control characters (UAX #9) and the byte order mark. Joiners stay: words of some scripts need them.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def _hidden(char: str) -> bool:
    return char in _BIDI or unicodedata.category(char) in _CATEGORIES
