"""What a site's recorder needs of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from vestibule.core.visit import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """store: DSN. secret: the newest. keep_for, prove_for (consent records), live_every, signed_in_for (how long a
    sign-in is kept): seconds. spool: bytes. timezone: IANA name; days begin there.
    """

    site: str
    store: str = field(repr=False)
    secret: str = field(repr=False)
    settings: Settings
    timezone: str = "UTC"
    k: int = 5
    live_every: int = 900
    keep_for: int = 65_000_000
    prove_for: int = 157_788_000
    signed_in_for: int = 400 * 86_400
    spool: int = 1 << 30
