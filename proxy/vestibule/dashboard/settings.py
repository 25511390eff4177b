"""What the admin app needs to know of the configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """site: name under which facts are counted. timezone: IANA name; days begin there.
    k: visitors below which a number is not shown. live_every: seconds between snapshots of the open day.
    secrets: newest first; the newest signs, all verify. observe: nothing is held back yet (mode: observe).
    hosts: names that it is reached by, besides addresses and localhost.
    metrics_token: lets others than this machine read ``/metrics`` and the details of ``/healthz``.
    """

    site: str
    timezone: str
    secrets: tuple[str, ...]
    k: int = 5
    live_every: int = 900
    observe: bool = False
    hosts: tuple[str, ...] = ()
    metrics_token: str | None = None
