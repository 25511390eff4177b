"""What stands in a block of the catalogue's files, as a service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vestibule.catalogue import PURPOSES, SENTENCES
from vestibule.core.purposes import Purpose
from vestibule.core.services import Cookie, Service

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "mo": 2_628_000, "y": 31_536_000}
_DURATION = re.compile(r"([0-9]{1,4})(s|min|h|d|mo|y)")


def known(id_: str, block: Mapping[str, Any]) -> Service:
    """A service of ``known.json``: how long its cookies last is not known."""
    category = block["category"]
    purpose = PURPOSES[category]
    return Service(
        id=id_,
        name=block["name"],
        purpose=purpose,
        provider=block.get("provider", block["name"]),
        policy=block.get("policy", ""),
        sentence=SENTENCES[category],
        hosts=tuple(block.get("hosts", ())),
        cookies=tuple(
            Cookie(pattern, purpose, None, id_, third_party=key == "third_party_cookies")
            for key in ("cookies", "third_party_cookies")
            for pattern in block.get(key, ())
        ),
        category=category,
    )


def service(id_: str, category: str, block: Mapping[str, Any]) -> Service:
    """A service that was reviewed by hand."""
    purpose = Purpose(block["purpose"]) if "purpose" in block else PURPOSES[category]
    cookies = [
        Cookie(pattern, purpose, duration(lasts), id_, third_party=key == "third_party_cookies")
        for key in ("cookies", "third_party_cookies")
        for pattern, lasts in block.get(key, {}).items()
    ]
    return Service(
        id=id_,
        name=block["name"],
        purpose=purpose,
        provider=block["provider"],
        country=block["country"],
        policy=block["policy"],
        sentence=block["sentence"],
        hosts=tuple(block.get("hosts", ())),
        paths=tuple(block.get("paths", ())),
        inline=tuple(block.get("inline", ())),
        cookies=tuple(cookies),
        storage=tuple(block.get("storage", ())),
        relays=tuple(block.get("relays", ())),
        category=category,
    )


def duration(text: str | None) -> int | None:
    """Return the seconds of ``2y``, ``13mo``, ``90d``, ``24h``, ``30min``, ``10s`` or ``session`` (0); None stays
    None. A month has 30 days and 10 hours, a year 365 days. Raises ValueError for other text."""
    if text is None:
        return None
    if text == "session":
        return 0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a duration: {text!r}")
    return int(match[1]) * _SECONDS[match[2]]
