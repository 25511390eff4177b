"""The sites behind us."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from vestibule.access import SITE, timed
from vestibule.config import Config
from vestibule.upstream import Upstream
from vestibule.worker.limits import upstream_limits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Sites:
    """The sites behind us as one ASGI app: the middleware says in the scope which of them a request is for."""

    def __init__(self, config: Config) -> None:
        self._sites = {site.profile: Site(site) for site in config.everyone}
        self._gone: set[Site] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._sites[scope.get(SITE, "")](scope, receive, send)

    async def exchange(self, config: Config) -> None:
        """Send requests from now on where ``config`` says. What runs goes on as it began."""
        before, self._sites = self._sites, dict(self._sites)
        gone = [self._sites.pop(name) for name in before.keys() - {site.profile for site in config.everyone}]
        over = []
        for site in config.everyone:
            if site.profile in before:
                over.append(before[site.profile].exchange(site))
            else:
                self._sites[site.profile] = Site(site)
        # All have changed before anything is waited for, so that no request meets one half.
        for upstream in [*over, *(site.leave() for site in gone)]:
            if upstream is not None:
                await upstream.close()
        self._gone = {site for site in (*self._gone, *gone) if site.running}

    async def close(self) -> None:
        for site in (*self._sites.values(), *self._gone):
            await site.close()


class Site:
    """One site behind us as an ASGI app: an :class:`Upstream` that a new configuration can exchange.

    Requests that run stay with the upstream they began with; it is closed when the last of them has ended.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._current = _Counted(_upstream(config))
        self._old: set[_Counted] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        current = self._current
        current.running += 1
        try:
            await current.upstream(scope, receive, timed(scope, send))
        finally:
            current.running -= 1
            if current.running == 0 and current in self._old:
                self._old.discard(current)
                await current.upstream.close()

    @property
    def running(self) -> bool:
        """Whether requests run that began with an upstream which is no longer in use."""
        return bool(self._old)

    def exchange(self, config: Config) -> Upstream | None:
        """Send requests from now on where ``config`` says, if that is another place or another way. Returns the
        upstream that is to be closed now, if there is one."""
        before, self._config = self._config, config
        if _upstream_settings(config) == _upstream_settings(before):
            return None
        old, self._current = self._current, _Counted(_upstream(config))
        return self._retired(old)

    def leave(self) -> Upstream | None:
        """No more requests will come; as ``exchange``."""
        return self._retired(self._current)

    def _retired(self, old: _Counted) -> Upstream | None:
        if not old.running:
            return old.upstream
        self._old.add(old)
        return None

    async def close(self) -> None:
        for counted in {self._current, *self._old}:
            await counted.upstream.close()


class _Counted:
    """An upstream and how many requests run on it."""

    __slots__ = ("running", "upstream")

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.running = 0


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
