"""Caching of pages that differ from visitor to visitor (RFC 9110, section 8.8; RFC 9111).

The site's entity tag is wrapped in one that also names the visitor's variant, so that a browser's ``If-None-Match``
maps back to the site's own, and a page of one choice is never revalidated under another.
"""

from __future__ import annotations

import re
from functools import lru_cache

from vestibule.core.headers import Header

_MARK = "vestibule."
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
MAX_TAGS = 32

SHARED = frozenset(
    {
        b"cdn-cache-control",
        b"cloudflare-cdn-cache-control",
        b"edge-control",
        b"expires",
        b"netlify-cdn-cache-control",
        b"surrogate-control",
        b"surrogate-key",
        b"vercel-cdn-cache-control",
        b"x-accel-expires",
        b"x-litespeed-cache-control",
    }
)
"""Headers that let a shared cache keep an answer whatever ``Cache-Control`` says; none that is one visitor's own has
them."""

NEVER = SHARED | {
    b"last-modified",  # a date says nothing of the visitor's choice
    b"accept-ranges",
    b"content-md5",
    b"digest",
    b"content-digest",
    b"repr-digest",
    b"signature",
    b"signature-input",
}
"""Headers that a rewritten page does not carry: these, and those that describe other bytes."""


def wrap(tag: str, variant: str) -> str | None:
    """The entity tag of a rewritten page: weak, since its bytes are not the site's. None for what is no entity tag."""
    match = _TAG.fullmatch(tag.strip())
    if match is None:
        return None
    return f'W/"{_MARK}{variant}.{"w" if match[1] else "s"}.{match[2]}"'


def unwrap(tags: str, variant: str) -> tuple[str, bool]:
    """``If-None-Match`` as the site knows it: our tags of this variant mapped back, those of others left out.

    Returns the header's value ('' if nothing is left) and whether one of our tags was among them.
    """
    kept: list[str] = []
    ours = False
    for match in list(_TAG.finditer(tags))[:MAX_TAGS]:
        opaque = match[2]
        if not opaque.startswith(_MARK):
            kept.append(match[0])
            continue
        ours = True
        found, _, rest = opaque.removeprefix(_MARK).partition(".")
        weak, dot, original = rest.partition(".")
        if found == variant and dot:
            kept.append(f'{"W/" if weak == "w" else ""}"{original}"')
    if tags.strip() == "*":
        return "*", False
    return ", ".join(kept), ours


@lru_cache(maxsize=256)
def private(cache_control: str) -> str:
    """``Cache-Control`` of a rewritten page: no shared cache keeps it, and browsers ask before they use it again,
    because a choice may have been made in between. ``no-transform`` is handed on to whoever comes after us: to
    Vestibule, which stands in for the site, it is not said (RFC 9110, section 7.7)."""
    directives = {part.strip().lower().partition("=")[0] for part in cache_control.split(",")}
    kept = ["private", "no-store" if "no-store" in directives else "no-cache"]
    return ", ".join([*kept, "no-transform"] if "no-transform" in directives else kept)


@lru_cache(maxsize=256)
def is_for_one(cache_control: str) -> bool:
    """Whether an answer with this ``Cache-Control`` is one visitor's own, or not to be kept at all (RFC 9111, 5.2.2.5
    and 5.2.2.7)."""
    directives = {part.strip().lower().partition("=")[0] for part in cache_control.split(",")}
    return "private" in directives or "no-store" in directives


def only_for_one(headers: list[Header]) -> list[Header]:
    """The headers (names in lower case) of an answer that no shared cache may keep, for it is one visitor's own."""
    said = b",".join(value for name, value in headers if name == b"cache-control").decode("latin-1")
    kept = [item for item in headers if item[0] != b"cache-control" and item[0] not in SHARED]
    kept.append((b"cache-control", private(said).encode("latin-1")))
    return kept


@lru_cache(maxsize=256)
def vary(value: str, *names: str) -> str:
    """``Vary`` with ``names`` added."""
    present = [part.strip() for part in value.split(",") if part.strip()]
    if "*" in present:
        return "*"
    known = {part.lower() for part in present}
    return ", ".join((*present, *(name for name in names if name.lower() not in known)))
