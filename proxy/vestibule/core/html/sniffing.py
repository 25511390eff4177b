"""Answers that do not say what they are, which browsers then find out by their first bytes (WHATWG MIME Sniffing).

Guards promise 1: what a browser may take for a page must be read as one. So more is taken for a page here than a
browser would take: anything that begins like a tag, a comment, a doctype or a processing instruction.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ENOUGH = 1445
"""Bytes that browsers look at (the resource header, MIME Sniffing, section 5.2)."""

_UNKNOWN = frozenset({b"", b"unknown/unknown", b"application/unknown", b"*/*"})
_ESSENCE = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+")
_BEGINNING = re.compile(rb"(?:\xef\xbb\xbf|\xfe\xff|\xff\xfe)?[\t\n\x0c\r \0]*<[!?/a-z]", re.IGNORECASE)
_BLANK = re.compile(rb"(?:\xef\xbb\xbf|\xfe\xff|\xff\xfe)?[\t\n\x0c\r \0]*<?")


def says_nothing(content_types: Sequence[bytes]) -> bool:
    """Whether browsers sniff under these ``Content-Type`` headers: none that can be read, or one of the unknown."""
    essences = [value.partition(b";")[0].strip().lower() for value in content_types]
    return all(essence in _UNKNOWN or not _ESSENCE.fullmatch(essence) for essence in essences)


def is_page(beginning: bytes) -> bool | None:
    """Whether a body that begins so may be taken for a page; None while that cannot be said yet."""
    if _BEGINNING.match(beginning):
        return True
    return None if len(beginning) < ENOUGH and _BLANK.fullmatch(beginning) else False
