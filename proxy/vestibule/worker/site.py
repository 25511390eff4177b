"""The site behind us."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from vestibule.access import timed
from vestibule.config import Config
from vestibule.upstream import Upstream
from vestibule.worker.limits import upstream_limits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Site:
    """The site behind us as an ASGI app: an :class:`Upstream` that a new configuration can exchange.

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

    async def exchange(self, config: Config) -> None:
        """Send requests from now on where ``config`` says, if that is another place or another way."""
        if _upstream_settings(config) == _upstream_settings(self._config):
            self._config = config
            return
        old, self._current, self._config = self._current, _Counted(_upstream(config)), config
        if old.running:
            self._old.add(old)
        else:
            await old.upstream.close()

    async def close(self) -> None:
        for counted in (self._current, *self._old):
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
