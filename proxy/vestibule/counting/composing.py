"""What a site's recorder is composed of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from vestibule import catalogue
from vestibule.config import Config
from vestibule.core.visit import Lookups, Settings
from vestibule.privacy.policy import registrable
from vestibule.recorder.lookups import Tables
from vestibule.recorder.service import Plan, Recorder
from vestibule.recorder.sites import folder
from vestibule.recorder.storing import StoreThread


def plan_of(config: Config, key: str) -> Plan:
    """What the recorder needs of the configuration."""
    return Plan(
        site=config.site.name,
        store=config.store,
        secret=key,
        settings=Settings(
            hosts=frozenset(config.site.hosts),
            first_party=frozenset((*config.site.first_party, *_domains(config))),
            timezone=ZoneInfo(config.site.timezone),
            pages=dict(config.analytics.pages),
            own=tuple(map(str, config.analytics.own)),
            spam=frozenset(host.removeprefix("www.") for host in (*config.analytics.spam, *config.spam)),
        ),
        timezone=config.site.timezone,
        k=config.analytics.k,
        live_every=config.analytics.live_every,
        keep_for=config.analytics.keep_for,
        prove_for=config.consent.prove_for,
        signed_in_for=max(site.sign_in.keep_for for site in config.everyone),
        spool=config.limits.spool,
    )


def _domains(config: Config) -> Iterator[str]:
    """The domains under which the site's hosts are registered. Not those of further hosts that are ours: what stands
    beside ``shop.platform.example`` is mostly somebody else's. An address has none, nor has a host under no suffix."""
    for host in config.site.hosts:
        if host[-1:].isalpha() and (found := registrable(host)):
            yield found


def compose(
    config: Config, state: Path, key: str, lookups: Lookups | None = None, store: StoreThread | None = None
) -> Recorder:
    """Compose a site's recorder; not started yet. state: the instance's. lookups, store: what it shares with others."""
    place = folder(state, config.profile)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Recorder(plan_of(config, key), place, lookups or Tables(geoip_path(config)), store=store)


def geoip_path(config: Config) -> Path | None:
    """The country database: the configured one, else the shipped one, else none."""
    if config.geoip is not None:
        return config.geoip
    return catalogue.country_database()
