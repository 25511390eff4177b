"""Answers that can be seen to be no page, and to hold nothing that is filtered: most are such."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from vestibule.core.memo import Alike
from vestibule.middleware.request import Header

ACTIVE = re.compile(rb"html|svg|xml|script", re.IGNORECASE)
"""Content types of what may run or load something by itself."""

HARMLESS = frozenset(
    {
        b"accept-ranges",
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"access-control-max-age",
        b"age",
        b"allow",
        b"cache-control",
        b"connection",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-length",
        b"content-range",
        b"cross-origin-embedder-policy",
        b"cross-origin-opener-policy",
        b"cross-origin-resource-policy",
        b"date",
        b"etag",
        b"expires",
        b"keep-alive",
        b"last-modified",
        b"location",
        b"pragma",
        b"referrer-policy",
        b"retry-after",
        b"server",
        b"server-timing",
        b"strict-transport-security",
        b"timing-allow-origin",
        b"transfer-encoding",
        b"via",
        b"www-authenticate",
        b"x-content-type-options",
        b"x-frame-options",
        b"x-powered-by",
        b"x-request-id",
        b"x-runtime",
        b"x-xss-protection",
    }
)
"""Headers (in lower case) that are the same for all visitors' sake, and that sites send with most answers."""

_CLEAR_TYPE = re.compile(rb"[a-z]+/[a-z0-9.+-]+(?:; ?charset=[A-Za-z0-9-]+)?")
"""A Content-Type that nobody can read in two ways."""


@lru_cache(maxsize=256)
def _passive(value: bytes) -> str:
    """A Content-Type that nobody can read in two ways and that runs nothing; empty for any other."""
    clear = _CLEAR_TYPE.fullmatch(value) is not None and not ACTIVE.search(value) and b"unknown" not in value
    return value.decode("latin-1") if clear else ""


class Passing(NamedTuple):
    """types: what is in the answer, for counting. headers: as the visitor gets them."""

    types: str
    headers: tuple[Header, ...]


def _looked(headers: Iterable[Header]) -> str:
    """The Content-Type that the fields tell, where none of them needs a closer look; empty for all others."""
    types = ""
    for name, value in headers:
        if name in HARMLESS:
            continue
        if name == b"content-type" and not types:
            types = _passive(value)
            if types:
                continue
        if name != b"vary" or b"estibule" in value.lower():
            return ""
    return types


def _passed(headers: Iterable[Header], lock: Header | None) -> Passing | None:
    types = _looked(headers)
    if not types:
        return None
    return Passing(types, tuple(headers) if lock is None else (*headers, lock))


passed = Alike(_passed, 256)
"""Headers with the policy, where none of them needs a closer look; None for all others. Our own proxy hands over what
many answers share, for which our own server then remembers how it is written."""
