"""How a stored value is shown: harmless, in readable length, by its usual name."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

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
    "referrer": {"direct": "Direct", "internal": "Within the site", "mail": "Mail", "link": "Hidden by the sender"},
    "screen": {
        "xs": "Under 480 px",
        "s": "480 to 767 px",
        "m": "768 to 1,199 px",
        "l": "1,200 to 1,919 px",
        "xl": "1,920 px and more",
    },
    "surface": {"banner": "Banner", "centre": "Privacy centre", "signal": "Browser signal", "api": "Script"},
}


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
    country = words.country(value) if dimension == "country" else None
    if country is not None:
        return country, tag
    known = LABELS.get(dimension, {}).get(value)
    if known is not None:
        return words(known), tag
    if dimension == "service" and value.startswith("unknown:"):
        return visible(value.removeprefix("unknown:")) or words("(unknown)"), words("unknown")
    if dimension == "referrer" and ": " in value:
        group, _, name = value.partition(": ")
        return visible(name), visible(group, 24) if not tag else f"{visible(group, 24)}, {tag}"
    return visible(value), tag


def can_filter(value: str) -> bool:
    """Whether a value can be asked for; what is folded into the root can't."""
    return value not in ("", RARE) and len(value) <= 1000


_REPLACEMENT = "�"
_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Unicode's Bidi_Control characters (UAX #9) and the byte order mark. Joiners stay: words of some scripts need them.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def _hidden(char: str) -> bool:
    return char in _BIDI or unicodedata.category(char) in _CATEGORIES
