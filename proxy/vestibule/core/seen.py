"""A hit while it is looked at."""

from __future__ import annotations

from vestibule.core import agents, campaigns, networks, referrers
from vestibule.core.agents import Agent
from vestibule.core.hits import UNKNOWN, Hit, Lookups, Settings


class Seen:
    """A hit with all that was worked out of it so far."""

    __slots__ = (
        "_agent",
        "_campaign",
        "_country",
        "_from",
        "_host",
        "_network",
        "hit",
        "kind",
        "lookups",
        "settings",
        "trees",
    )

    def __init__(self, hit: Hit, settings: Settings, lookups: Lookups) -> None:
        self.hit = hit
        self.settings = settings
        self.lookups = lookups
        self.trees = lookups.trees
        self.kind = hit.kind
        self._agent: Agent | None = None
        self._campaign: dict[str, str] | None = None
        self._country: str | None = None
        self._network: str | None = None
        self._host: str | None = None
        self._from: tuple[str, str] | None = None

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            self._agent = self.lookups.agent(self.hit.agent[: agents.MAX_AGENT])
        return self._agent

    @property
    def campaign(self) -> dict[str, str]:
        if self._campaign is None:
            query = self.hit.query
            self._campaign = campaigns.campaign(query, self.trees.referrers.clicks) if query else {}
        return self._campaign

    @property
    def referrer(self) -> tuple[str, str]:
        """Host and path of the referring page; both empty where there is none."""
        if self._from is None:
            self._from = referrers.split(self.hit.referrer) if self.hit.referrer else ("", "")
        return self._from

    @property
    def network(self) -> str:
        if self._network is None:
            self._network = networks.truncate(self.hit.address)
        return self._network

    @property
    def country(self) -> str:
        if self._country is None:
            network = self.network
            self._country = (self.lookups.country(network.partition("/")[0]) if network else "") or UNKNOWN
        return self._country

    @property
    def visitor(self) -> str:
        """What keyed hashes are made of; it never leaves memory."""
        return f"{self.hit.address}\n{self.hit.agent}\n{self.hit.site}"

    def is_ours(self, host: str) -> bool:
        """Whether a referring host belongs to the site."""
        if self.is_site(host):
            return True
        ours = self.settings.first_party
        return bool(ours) and any(host == name or host.endswith("." + name) for name in ours)

    def is_site(self, host: str) -> bool:
        if host in self.settings.hosts:
            return True
        if self._host is None:
            self._host = self.hit.host.partition(":")[0].lower().removeprefix("www.")
        return host != "" and host == self._host

    def line(self, dimension: str, value: str) -> tuple[str, ...]:
        return self.trees.line(dimension, value)

    def told(self, name: str) -> str:
        """Return a dimension that the hit tells explicitly; several of a name are joined by ``+``."""
        return "+".join(value for key, value in self.hit.event or () if key == name)
