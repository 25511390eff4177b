"""The sites behind us."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from vestibule.access import ENTRY, SITE, timed
from vestibule.config import Config
from vestibule.upstream import Upstream
from vestibule.worker.limits import upstream_limits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Sites:
    """The sites behind us as one ASGI app: the middleware says in the scope which of them a request is for. A new
    configuration can exchange them; requests that run stay with the upstream they began with."""

    def __init__(self, config: Config) -> None:
        self._sites = {site.profile: Site(site, _upstream(site)) for site in config.everyone}
        self._old: set[Upstream] = set()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if ENTRY in scope:
            send = timed(scope, send)
        return self._sites[scope.get(SITE, "")].upstream(scope, receive, send)

    async def exchange(self, config: Config) -> None:
        """Send requests from now on where ``config`` says, if that is another place or another way."""
        before = self._sites
        # All change before anything is waited for, so that no request meets one half.
        self._sites = {site.profile: _exchanged(before.get(site.profile), site) for site in config.everyone}
        used = {site.upstream for site in self._sites.values()}
        over = {site.upstream for site in before.values()} - used
        self._old = {upstream for upstream in (*self._old, *over) if upstream.running}
        for upstream in over:
            await upstream.retire()

    async def close(self) -> None:
        for upstream in {site.upstream for site in self._sites.values()} | self._old:
            await upstream.close()


class Site(NamedTuple):
    """One site behind us."""

    config: Config
    upstream: Upstream


def _exchanged(before: Site | None, config: Config) -> Site:
    same = before is not None and _upstream_settings(config) == _upstream_settings(before.config)
    return Site(config, before.upstream if before is not None and same else _upstream(config))


def _upstream_settings(config: Config) -> tuple[object, ...]:
    return config.site.upstream, config.site.upstream_ca, config.trusted_proxies, upstream_limits(config)


def _upstream(config: Config) -> Upstream:
    ca_file = None if config.site.upstream_ca is None else str(config.site.upstream_ca)
    return Upstream(
        config.site.upstream,
        limits=upstream_limits(config),
        trusted_proxies=config.trusted_proxies,
        ca_file=ca_file,
        views=True,
    )
