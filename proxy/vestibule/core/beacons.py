"""What pages tell by themselves, of visitors who agreed to statistics: time zone and screen, views that no request
shows, what is used, and links that lead elsewhere.

A beacon is JSON (RFC 8259): one of these objects, or an array of at most `MOST` of them.

- ``{"kind": "client", "timezone": "Europe/Berlin", "screen": "1440x900", "page": "/pricing"}``
- ``{"kind": "view", "page": "/app/deals", "previous": "/app"}``: a page that a script has put in place of another
- ``{"kind": "event", "name": "export", "value": "csv", "page": "/app/deals"}``: a feature was used
- ``{"kind": "outbound", "host": "partner.example", "page": "/blog"}``: a link elsewhere was followed

``page`` is a path; where it is missing, the page that sent the beacon counts. What they hold is scrubbed like all that
is counted (`visit`): paths are folded, names and values cleaned, of a screen only its class is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

Beacon = tuple[str, tuple[tuple[str, str], ...]]
"""A kind of `hits.DIMENSIONS`, and names with values."""

MOST = 16
"""Facts of one beacon."""
LONGEST = 500
"""Characters of a value."""

FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "client": ("timezone", "screen", "page"),
        "view": ("page", "previous"),
        "event": ("name", "value", "page"),
        "outbound": ("host", "page"),
    }
)
"""What of each kind is taken; the rest of an object is left."""
_NEEDED = MappingProxyType({"client": "", "view": "page", "event": "name", "outbound": "host"})


def read(body: bytes) -> list[Beacon] | None:
    """Return what a beacon tells; None where it is none, or not all of it can be understood."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    entries = told if isinstance(told, list) else [told]
    if not 0 < len(entries) <= MOST:
        return None
    beacons = [_read(entry) for entry in entries]
    return None if None in beacons else [beacon for beacon in beacons if beacon is not None]


def _read(entry: object) -> Beacon | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str) or entry["kind"] not in FIELDS:
        return None
    kind: str = entry["kind"]
    values = [(name, entry.get(name)) for name in FIELDS[kind]]
    told = tuple((name, _text(value)) for name, value in values if value is not None)
    if any(value is None for _, value in told):
        return None
    found = {name: value for name, value in told if value}
    needed = _NEEDED[kind]
    if (needed and needed not in found) or (kind == "view" and not found["page"].startswith("/")):
        return None
    return kind, tuple((name, value) for name, value in found.items() if value is not None)


def _text(value: object) -> str | None:
    """A value as text; None for what is none. Half characters, which JSON can hold, count as unknown ones."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    return str(value)[:LONGEST].encode("utf-8", "replace").decode("utf-8")
