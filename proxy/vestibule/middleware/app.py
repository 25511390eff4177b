"""The middleware itself: pure ASGI. What can be computed once is; what belongs to a request lives in it alone."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vestibule import link
from vestibule.config import Config
from vestibule.core import secret
from vestibule.core.cookies import SetCookie
from vestibule.core.errors import LinkError
from vestibule.core.headers import client_address
from vestibule.core.visit import Hit
from vestibule.journal import Journal
from vestibule.live import Follower, Live
from vestibule.middleware import hits
from vestibule.middleware.hits import Asked, target_of
from vestibule.middleware.request import Header, prepare, wanted_for
from vestibule.middleware.response import REPORTING, Responder
from vestibule.middleware.snapshot import Snapshot
from vestibule.middleware.tending import Tending
from vestibule.privacy import answers
from vestibule.privacy.endpoints import Endpoints, Exchange
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.visitor import Visitor, read

log = logging.getLogger("vestibule")
_UPGRADED = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class Sender(Protocol):
    """The way to the recorder (:class:`vestibule.link.Sender` is it)."""

    def send(self, hit: Hit) -> None: ...
    async def record(self, record: Mapping[str, object]) -> None: ...


class ConsentMiddleware:
    """Closes what visitors have not agreed to, and counts.

    app: any ASGI app. config: the folder to read the configuration from, which is then followed while requests come;
    or a configuration, which stays. secrets: keys of signatures, newest first; from VESTIBULE_SECRET (comma separated)
    if None. sender: the way to the recorder; if None, the recorder that shares ``state`` (``vestibule recorder``) is
    found by its socket there; while none runs, pages go on, and consent records wait in the journal of ``state``.
    dev: also answer for localhost.

    Raises ConfigError for a folder that cannot be used, VestibuleError without a secret or with one that is too short.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: Config | Path | str,
        *,
        secrets: Sequence[str] | None = None,
        sender: Sender | None = None,
        state: Path | str = ".vestibule",
        dev: bool = False,
    ) -> None:
        live = None
        if not isinstance(config, Config):
            live = Live(Path(config), os.environ, Path(state))
            config = live.first()
        own = None if sender is not None else link.Sender(str(Path(state) / link.SOCKET))
        self._app = app
        self._secrets = secret.parse(os.environ.get(secret.VARIABLE, "") if secrets is None else ",".join(secrets))
        self._sender: Sender = own if sender is None else sender  # type: ignore[assignment]
        self._dev = dev
        self._records = _Records(self._sender, Journal(Path(state)))
        self._snapshot = self._make(config)
        follower = Follower(live, config, self._take_up, log.warning) if live else None
        self._tending = Tending(own, follower) if own or follower else None

    async def _take_up(self, config: Config) -> None:
        self.reload(config)

    def reload(self, config: Config) -> None:
        """Use another configuration for the requests that come from now on."""
        self._snapshot = self._make(config)

    def _make(self, config: Config) -> Snapshot:
        return Snapshot(SitePolicy(config, self._secrets, dev=self._dev), self._records)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._tending is not None:
            self._tending.begin()
        if scope["type"] == "http":
            await self._http(self._snapshot, scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(self._snapshot, scope, receive, send)
        else:
            if scope["type"] == "lifespan" and self._tending is not None:
                receive = self._tending.until_shutdown(receive)
            await self._app(scope, receive, send)

    # HTTP

    async def _http(self, snapshot: Snapshot, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._ask(snapshot, scope)
        if asked is None:
            await answers.answer_text(send, 421, "This server does not answer for that host.")
            return
        if Endpoints.owns(scope["path"]):
            await snapshot.endpoints(Exchange(asked.visitor, scope, receive, send, _Counter(self._sender, asked)))
            return
        if await self._relay(asked, send):
            return
        prepared = prepare(snapshot, asked.visitor, scope["headers"])
        responder = Responder(snapshot, asked.visitor, prepared, asked.target, scope["method"], send)
        try:
            await self._app({**scope, "headers": prepared.headers}, receive, responder)
        finally:
            if responder.seen.status:
                hit = hits.of_exchange(asked, responder)
                if hit is not None:
                    self._sender.send(hit)

    @staticmethod
    def _ask(snapshot: Snapshot, scope: Scope) -> Asked | None:
        """Who asks for what; None where the request is for another host."""
        policy, peer, now = snapshot.policy, scope.get("client"), time.time()
        client = client_address(
            peer[0] if peer else None,
            scope["headers"],
            policy.config.trusted_proxies,
            _UPGRADED[scope.get("scheme", "http")],
        )
        visitor = read(policy, client.scheme, client.host, scope["headers"], int(now))
        if not policy.answers_for(visitor.host):
            return None
        return Asked(snapshot, scope, visitor, client.address, now, target_of(scope))

    async def _relay(self, asked: Asked, send: Send) -> bool:
        """Answer for a path of the site's own that only passes data on to a service that is closed."""
        policy, visitor = asked.snapshot.policy, asked.visitor
        host = policy.config.site.hosts[0] if visitor.host in policy.local else visitor.host
        verdict = policy.rules.decide(host, asked.target, wanted_for(asked.scope["headers"]))
        if verdict.open(visitor.effective):
            return False
        _Counter(self._sender, asked).blocked(verdict.service or f"unknown:{host}", verdict.purpose.value, "relay")
        if policy.observe:
            return False
        await answers.answer(send, 204, b"", "", answers.PRIVATE)
        return True

    # WebSockets

    async def _websocket(self, snapshot: Snapshot, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._ask(snapshot, scope)
        if asked is None:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        visitor = asked.visitor
        prepared = prepare(snapshot, visitor, scope["headers"])
        headers = [item for item in prepared.headers if item[0] != b"accept-encoding"]

        async def filtered(message: Message) -> None:
            if message["type"] in ("websocket.accept", "websocket.http.response.start"):
                kept = [item for item in message.get("headers", ()) if _may_pass(snapshot, visitor, item)]
                message = {**message, "headers": kept}
            await send(message)

        await self._app({**scope, "headers": headers}, receive, filtered)


class _Counter:
    """Counts what happens in one request to our own addresses."""

    def __init__(self, sender: Sender, asked: Asked) -> None:
        self._sender = sender
        self._asked = asked

    def event(self, kind: str, event: Iterable[tuple[str, str]]) -> None:
        self._sender.send(hits.of_event(self._asked, kind, event))

    def blocked(self, service: str, purpose: str, reason: str) -> None:
        self._sender.send(hits.of_event(self._asked, "blocked", (), ((service, purpose, "", reason),)))


class _Records:
    """Keeps a consent record with the recorder, or while that is away in the journal that it takes over later."""

    def __init__(self, sender: Sender, journal: Journal) -> None:
        self._sender = sender
        self._journal = journal

    async def keep(self, record: Mapping[str, object]) -> None:
        try:
            await self._sender.record(record)
        except LinkError:
            # In a thread: it waits for a lock and for the disk, and requests go on.
            await asyncio.to_thread(self._journal.append, record)


def _may_pass(snapshot: Snapshot, visitor: Visitor, item: Header) -> bool:
    name, value = item[0].lower(), item[1]
    if name == b"set-cookie":
        cookie = SetCookie.parse(value.decode("latin-1"))
        return cookie is not None and snapshot.policy.cookies.decide(cookie.name).passes(visitor.effective)
    return name not in REPORTING and not name.replace(b"_", b"-").startswith(b"vestibule-")
