"""A worker: uvicorn on an inherited listener, and in it the middleware in front of the site.

Workers hold nothing that outlives them: any of them may be killed at any time. What a worker is composed of stands in
:class:`Worker`; the supervisor starts it as ``python -m vestibule.worker``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from vestibule.config import Config
from vestibule.core import secret
from vestibule.core.errors import VestibuleError
from vestibule.link import SOCKET, Sender
from vestibule.live import LOOK, Follower, Live
from vestibule.middleware import ConsentMiddleware
from vestibule.process import AGAIN, ready, start_log
from vestibule.protocol import HardenedWebSocket, ServerLimits, hardened
from vestibule.upstream import Limits, Upstream

LAST_FACTS = 3.0
"""Seconds that the last facts have to reach the recorder when this process ends."""

log = logging.getLogger("vestibule.worker")

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
            await current.upstream(scope, receive, send)
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
    return config.site.upstream, config.trusted_proxies, config.limits


def _upstream(config: Config) -> Upstream:
    limits = config.limits
    return Upstream(
        config.site.upstream,
        limits=Limits(
            connections=limits.upstream_connections,
            queue=limits.queue_timeout,
            connect=limits.connect_timeout,
            first_byte=limits.first_byte_timeout,
            read=limits.idle_timeout,
            write=limits.idle_timeout,
            idle=limits.keep_alive,
        ),
        trusted_proxies=config.trusted_proxies,
    )


def _server_limits(config: Config) -> ServerLimits:
    limits = config.limits
    return ServerLimits(
        head=limits.header_timeout,
        body=limits.idle_timeout,
        write=limits.idle_timeout,
        idle=limits.keep_alive,
        url_bytes=limits.url_bytes,
        header_bytes=limits.header_bytes,
        header_count=limits.header_count,
        body_bytes=limits.body_bytes,
    )


class _Server(uvicorn.Server):
    """uvicorn's server, told by the worker when to end and telling it when it listens."""

    on_started: Callable[[], None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the worker's: uvicorn would end the process by them before the last facts are sent."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.on_started is not None:
            self.on_started()

    def limit(self, config: Config) -> None:
        """Hold connections that come from now on to these limits."""
        self.config.http_protocol_class = hardened(_server_limits(config))
        self.config.limit_concurrency = config.limits.connections


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
        self._site = Site(config)
        self._sender = Sender(str(state / SOCKET))
        self._middleware = ConsentMiddleware(
            self._site, config, secrets=secrets, sender=self._sender, state=state, dev=dev
        )
        self._sockets = list(sockets)
        self._server = _Server(
            uvicorn.Config(
                self._middleware,
                http=hardened(_server_limits(config)),
                ws=HardenedWebSocket,
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                limit_concurrency=config.limits.connections,
                timeout_graceful_shutdown=max(round(drain), 1),
            )
        )
        self._server.on_started = ready

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
        try:
            await self._server.serve(self._sockets)
        finally:
            await self._sender.close()
            await asyncio.wait([sending], timeout=LAST_FACTS)
            for task in (sending, watching, *again):
                task.cancel()
            await asyncio.gather(sending, watching, *again, return_exceptions=True)
            await self._site.close()

    def _stop(self) -> None:
        self._server.should_exit = True

    async def _watch(self) -> None:
        """Follow the configuration, and the supervisor: without it nobody would start or end this process."""
        while True:
            await asyncio.sleep(LOOK)
            if os.getppid() != self._parent:
                self._stop()
            await self._follower.look()

    async def _use(self, config: Config) -> None:
        """Serve by another configuration from the next request on."""
        self._middleware.reload(config)
        await self._site.exchange(config)
        self._server.limit(config)

    def _tell(self, line: str) -> None:
        """Say it once, not once a worker: all read the same folder."""
        if self._first:
            log.warning("%s", line)


# -- the process -------------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line that the supervisor writes."""
    parser = argparse.ArgumentParser(prog="vestibule.worker")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--fd", type=int, action="append", required=True, help="an inherited listening socket")
    parser.add_argument("--number", type=int, default=1, help="which of the workers; the first speaks for all")
    parser.add_argument("--drain", type=float, default=30.0, help="seconds that running requests have when stopping")
    parser.add_argument("--dev", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker; returns the exit status."""
    options = parse(arguments)
    start_log(f"worker {options.number}")
    first = options.number == 1
    live = Live(options.config, os.environ, options.state, keeps=first)
    try:
        secrets = secret.parse(os.environ.get(secret.VARIABLE, ""))
        config = live.first(again=AGAIN in os.environ)
        if live.problems and first:
            log.warning("config: begun with the last good one, for the folder is broken")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(
                _run(
                    functools.partial(
                        Worker,
                        live,
                        config,
                        [socket.socket(fileno=descriptor) for descriptor in options.fd],
                        secrets=secrets,
                        state=options.state,
                        dev=options.dev,
                        first=first,
                        drain=options.drain,
                    )
                )
            )
    except VestibuleError as error:
        for line in str(error).splitlines():
            log.error("%s", line)
        return 1
    return 0


async def _run(compose: Callable[[], Worker]) -> None:
    await compose().run()


if __name__ == "__main__":
    sys.exit(main())
