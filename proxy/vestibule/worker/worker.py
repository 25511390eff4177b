"""What a worker is composed of."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from vestibule.access import AccessLog
from vestibule.config import Config
from vestibule.config.checks import TRACES_EXPORTER
from vestibule.core.hints import STREAM, WHOLE
from vestibule.link import SOCKET, Sender
from vestibule.live import LOOK, Follower, Live
from vestibule.middleware import ConsentMiddleware
from vestibule.process import give_back, ready
from vestibule.protocol import HardenedWebSocket, hardened
from vestibule.worker.limits import open_files, server_limits
from vestibule.worker.server import Server
from vestibule.worker.site import Sites

if TYPE_CHECKING:
    from vestibule.worker.tracing import Tracing

LAST_FACTS = 3.0
"""Seconds that the last facts have to reach the recorder when this process ends."""

CROWD = 100
"""Connections at once after whose end memory is given back."""

YOUNG = 10_000
"""Objects made since the collector last looked, when it looks again. A request makes hundreds and leaves no cycle: by
Python's own 700 it would look every few requests, for nothing."""

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

log = logging.getLogger("vestibule.worker")


class Worker:
    """One worker process, composed."""

    def __init__(
        self,
        live: Live,
        config: Config,
        sockets: Sequence[socket.socket],
        *,
        secrets: Sequence[str],
        state: Path,
        dev: bool,
        first: bool,
        drain: float,
    ) -> None:
        self._first = first
        self._follower = Follower(live, config, self._use, self._tell)
        self._parent = os.getppid()
        self._sites = Sites(config)
        self._sender = Sender(str(state / SOCKET))
        self._tracing = traces_of(config, os.environ)
        sites: App = self._sites if self._tracing is None else self._tracing.fetches(self._sites)
        self._middleware = ConsentMiddleware(sites, config, secrets=secrets, sender=self._sender, state=state, dev=dev)
        app: App = self._middleware if self._tracing is None else self._tracing.requests(self._middleware)
        self._access = AccessLog(app)
        self._sockets = list(sockets)
        self._protocol = hardened(server_limits(config), self._refused, offers=(WHOLE, STREAM))
        self._server = Server(
            uvicorn.Config(
                self._access,
                http=self._protocol,
                ws=HardenedWebSocket,
                ws_max_size=config.limits.message_bytes,
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=max(round(drain), 1),
            )
        )
        self._server.on_started = ready
        self._connections = 0
        self._crowd = 0
        self._limit(config)

    async def run(self) -> None:
        """Serve until a signal ends it; running requests are finished, then the last facts are sent."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        sending = asyncio.create_task(self._sender.run())
        watching = asyncio.create_task(self._watch())
        again: set[asyncio.Task[None]] = set()

        def hang_up() -> None:
            task = asyncio.create_task(self._follower.again())
            again.add(task)
            task.add_done_callback(again.discard)

        loop.add_signal_handler(signal.SIGHUP, hang_up)
        # What is loaded now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, 20, 20)
        try:
            await self._server.serve(self._sockets)
        finally:
            await self._sender.close()
            await asyncio.wait([sending], timeout=LAST_FACTS)
            for task in (sending, watching, *again):
                task.cancel()
            await asyncio.gather(sending, watching, *again, return_exceptions=True)
            await self._sites.close()
            if self._tracing is not None:
                await self._tracing.close()
            self._access.close()

    def _stop(self) -> None:
        self._server.should_exit = True

    async def _watch(self) -> None:
        """Follow the configuration, and the supervisor: without it nobody would start or end this process."""
        while True:
            await asyncio.sleep(LOOK)
            if os.getppid() != self._parent:
                self._stop()
            self._tidy()
            await self._follower.look()

    def _tidy(self) -> None:
        """Give memory back when a crowd has gone."""
        count = len(self._server.server_state.connections)
        self._crowd = max(self._crowd, count)
        if self._crowd >= CROWD and count <= self._crowd // 2:
            self._crowd = count
            give_back()

    async def _use(self, config: Config) -> None:
        """Serve by another configuration from the next request on."""
        # In a thread: it takes a tenth of a second a site, and requests go on.
        prepared = await asyncio.to_thread(self._middleware.prepare, config)
        self._middleware.use(prepared)
        await self._sites.exchange(config)
        self._limit(config)

    def _limit(self, config: Config) -> None:
        """Hold all connections to these limits, and log and trace as it says."""
        if self._tracing is not None:
            self._tracing.use(config)
        self._protocol.limits = server_limits(config)
        self._server.config.ws_max_size = config.limits.message_bytes
        named = {site.profile: (site.site.name, site.analytics.pages) for site in config.everyone}
        self._access.use(
            config.access_log,
            pages=config.analytics.pages,
            trusted=config.trusted_proxies,
            sites=named if config.sites else {},
        )
        held, self._connections = self._connections, self._protocol.limits.connections
        if self._connections < config.limits.connections and self._connections != held:
            self._tell(
                f"limits.connections: {self._connections} are taken and no more, for {open_files()} files may be open"
                " at once (ulimit -n, LimitNOFILE=)"
            )

    def _refused(self, status: int, address: str | None, scope: Scope | None) -> None:
        """A message was refused: what is counted of it is that it was."""
        self._sender.refused(status)
        self._access.refused(status, address, scope)

    def _tell(self, line: str) -> None:
        """Say it once, not once a worker: all read the same folder."""
        if self._first:
            log.warning("%s", line)


def traces_of(config: Config, environ: Mapping[str, str]) -> Tracing | None:
    """Traces, where they are wanted: what they need is heavy, and loaded for them alone."""
    off = environ.get(TRACES_EXPORTER) == "none" or environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if config.traces == "none" or off:
        return None
    from vestibule.worker.tracing import Tracing

    return Tracing(config)
