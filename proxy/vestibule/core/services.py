"""What is known of a third party, and what can be decided about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vestibule.core.consent import Choice, Purpose, State

UNKNOWN = "unknown:"
"""What the name of a host begins with that nothing names, where pages and choices name services."""


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie that a service sets.

    pattern: its name, ``*`` for any run of characters. duration: seconds, 0 for the session, None where unknown.
    third_party: set for the service's own hosts, so that it says nothing about a cookie of the site with that name.
    """

    pattern: str
    purpose: Purpose
    duration: int | None
    service: str
    third_party: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A third party as visitors should know it.

    hosts: names, the most important first. To tell whom a URL belongs to, ``example.com`` and ``*.example.com`` both
    stand for the name and everything below it. In policies, where room is scarce, the catalogue's ``example.com`` opens
    the name alone and ``*.example.com`` what is below it.
    paths: ``host/path`` names a part of a host that others share; ``/path`` narrows all of ``hosts`` to it (see
    :class:`vestibule.core.patterns.PathPattern`).
    inline: signatures of inline scripts (see :mod:`vestibule.core.signatures`).
    storage: keys of local and session storage, ``*`` allowed.
    relays: paths on the site's own hosts that pass data on to the service.
    country: ISO 3166-1 alpha-2 of the provider. sentence: what it is for, in words for visitors.
    """

    id: str
    name: str
    purpose: Purpose
    provider: str = ""
    country: str = ""
    policy: str = ""
    sentence: str = ""
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    inline: tuple[str, ...] = ()
    cookies: tuple[Cookie, ...] = ()
    storage: tuple[str, ...] = ()
    relays: tuple[str, ...] = ()
    category: str = ""

    def extended(self, custom: Service) -> Service:
        """Return this service of the catalogue as the configuration's description of it adds to it."""
        return replace(
            custom,
            provider=custom.provider or self.provider,
            country=custom.country or self.country,
            policy=custom.policy or self.policy,
            sentence=custom.sentence or self.sentence,
            hosts=self.hosts + custom.hosts,
            paths=self.paths + custom.paths,
            inline=self.inline + custom.inline,
            cookies=self.cookies + custom.cookies,
            storage=self.storage + custom.storage,
            relays=self.relays + custom.relays,
            category=custom.category or self.category,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided and why.

    service: its id; None for the site itself and for what nothing names. rule: the rule in words
    (``services.google-analytics: ask``). source: where that is written (``trackers.yaml:3``, ``first party``).
    """

    service: str | None
    name: str
    purpose: Purpose
    state: State
    rule: str
    source: str
    host: str

    @property
    def key(self) -> str:
        """What pages and choices name it by: the service, or ``unknown:HOST``."""
        return self.service or UNKNOWN + self.host

    def open(self, choice: Choice | None) -> bool:
        """Whether it may run for a visitor with this choice (None: nothing was chosen yet)."""
        if self.state is State.ASK:
            # Most choices are by purpose alone: for them no name is made up.
            return choice is not None and choice.grants(self.purpose, self.key if choice.services else None)
        return self.state is State.ALLOW

    @property
    def strictness(self) -> tuple[int, int]:
        """Orders verdicts: the greater lets less pass."""
        return _STATES.index(self.state), PURPOSES.index(self.purpose)


PURPOSES = (Purpose.NECESSARY, Purpose.PREFERENCES, Purpose.STATISTICS, Purpose.MARKETING)
"""All purposes, the mildest first."""

_STATES = (State.ALLOW, State.ASK, State.BLOCK)
