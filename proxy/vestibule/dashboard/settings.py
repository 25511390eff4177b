"""What the admin app needs to know of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vestibule.dashboard.backend import Role


@dataclass(frozen=True, slots=True)
class Oidc:
    """A provider of OpenID Connect. url: where browsers reach the dashboard. name: what the button calls it. claim:
    what decides the role; roles: its values by role."""

    issuer: str
    client_id: str
    secret: str = field(repr=False)
    url: str
    claim: str
    roles: Mapping[Role, tuple[str, ...]]
    name: str = "OpenID Connect"


@dataclass(frozen=True, slots=True)
class Settings:
    """site: name under which facts are counted. timezone: IANA name; days begin there.
    k: visitors below which a number is not shown. live_every: seconds between snapshots of the open day.
    secrets: newest first; the newest signs, all verify. observe: nothing is held back yet (mode: observe).
    hosts: names that it is reached by, besides addresses and localhost.
    networks: whose addresses are answered, in CIDR; empty: all. embed: origins that may frame shared links.
    keep_for, prove_for: seconds for which numbers and consent records are kept; 0 where that is not told.
    remember: seconds for which an answer of the store with today in it is shown again; 0: every page asks anew.
    metrics_token: lets others than this machine read ``/metrics`` and the details of ``/healthz``.
    oidc: signs people in besides passwords. sites: those of the instance, each by its name and what its app stands
    below; one can go from one to another.
    """

    site: str
    timezone: str
    secrets: tuple[str, ...]
    k: int = 5
    live_every: int = 900
    observe: bool = False
    hosts: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    embed: tuple[str, ...] = ()
    keep_for: int = 0
    prove_for: int = 0
    remember: int = 5
    metrics_token: str | None = None
    oidc: Oidc | None = None
    sites: tuple[tuple[str, str], ...] = ()
