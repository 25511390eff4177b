"""The middleware itself: pure ASGI. What can be computed once is; what belongs to a request lives in it alone."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vestibule import link
from vestibule.config import Config
from vestibule.core import secret
from vestibule.core.cookies import SetCookie
from vestibule.core.errors import LinkError
from vestibule.core.meter import WEBSOCKET, Meter
from vestibule.core.revocations import Alone
from vestibule.core.services import Verdict
from vestibule.core.visit import Hit
from vestibule.journal import Journal
from vestibule.live import Follower, Live
from vestibule.middleware import hits
from vestibule.middleware.asked import Asked, target_of
from vestibule.middleware.fields import REPORTING
from vestibule.middleware.metering import Answer, ended
from vestibule.middleware.passage import Passage
from vestibule.middleware.recall import Recall
from vestibule.middleware.request import Header, is_ours
from vestibule.middleware.response import Responder
from vestibule.middleware.sign_in import ARRIVED, following
from vestibule.middleware.sites import Further
from vestibule.middleware.snapshot import Snapshot
from vestibule.middleware.tending import Tending
from vestibule.privacy import answers
from vestibule.privacy.endpoints import Endpoints
from vestibule.privacy.exchange import Exchange
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.removing import is_own
from vestibule.privacy.sign_in import Revoked
from vestibule.privacy.visitor import Visitor

_ELSEWHERE = "This server does not answer for that host."

log = logging.getLogger("vestibule")


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
    dev: also answer for localhost. clock: seconds since the epoch.

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
        clock: Callable[[], float] = time.time,
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
        self._clock = clock
        self._meter = self._sender.meter if isinstance(self._sender, link.Sender) else Meter()
        self._revoked: Revoked = self._sender.revoked if isinstance(self._sender, link.Sender) else Alone()
        self._records = _Records(self._sender, Journal(Path(state)), self._revoked)
        self._recall = self._make(config)
        self._further = Further(config, self._make)
        follower = Follower(live, config, self._take_up, log.warning) if live else None
        self._tending = Tending(own, follower) if own or follower else None

    async def _take_up(self, config: Config) -> None:
        # In a thread: it takes a tenth of a second a site, and requests go on.
        self.use(await asyncio.to_thread(self.prepare, config))

    def reload(self, config: Config) -> None:
        """Use another configuration for the requests that come from now on."""
        self.use(self.prepare(config))

    def prepare(self, config: Config) -> tuple[Recall, Further]:
        """Make another configuration ready for ``use``."""
        first = self._recall
        # Of several sites most stay as they are when one changes.
        if not config.sites or config.revision != first.snapshot.policy.config.revision:
            first = self._make(config)
        return first, Further(config, self._make, self._further)

    def use(self, prepared: tuple[Recall, Further]) -> None:
        """Use what was prepared for the requests that come from now on."""
        self._recall, self._further = prepared

    def _make(self, config: Config) -> Recall:
        return Recall(Snapshot(SitePolicy(config, self._secrets, dev=self._dev), self._records, self._revoked))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._tending is not None:
            self._tending.begin()
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        recall = self._further.of(scope) or self._recall
        asked = self._ask(recall, scope)
        if asked is None:
            self._elsewhere()
            await answers.answer_text(send, 421, _ELSEWHERE)
            return
        known = asked.known
        passage: Passage | None = None
        if known.plain.get(asked.target) != scope["path"]:
            if await self._answered(asked, receive, send):
                return
            if recall.snapshot.sign_ins.concerns(known.visitor, scope["path"]):
                passage = asked.passage()
        prepared = known.prepared
        headers: Sequence[Header] = prepared.headers
        if type(scope["headers"]) is not tuple:
            headers = list(headers)  # as an app expects it that writes into it
        if passage is not None:
            headers = [*headers, *passage.carried()]
            receive = passage.watch(scope, receive)
        responder = Responder(asked, send, passage)
        begun, failed = time.perf_counter(), False
        try:
            await self._app({**scope, "headers": headers}, receive, responder)
        except Exception as error:
            failed = not isinstance(error, ConnectionError)
            raise
        finally:
            ended(self._meter, begun, responder.seen, prepared.document, failed)
            if responder.seen.status:
                hit = hits.of_exchange(asked, responder)
                if hit is not None:
                    self._sender.send(hit)
            responder.end()

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(self._further.of(scope) or self._recall, scope, receive, send)
        elif scope["type"] == "lifespan" and self._tending is not None:
            await self._tending.lifespan(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    # HTTP

    def _ask(self, recall: Recall, scope: Scope) -> Asked | None:
        """Who asks for what; None where the request is for another host."""
        now = self._clock()
        known = recall.of(scope, now)
        return None if known is None else Asked(recall.snapshot, scope, known, now, target_of(scope))

    async def _answered(self, asked: Asked, receive: Receive, send: Send) -> bool:
        """Answer what is not for the site; whether it was such."""
        snapshot, scope, known = asked.snapshot, asked.scope, asked.known
        if Endpoints.owns(scope["path"]):
            with Answer(self._meter, following(snapshot.sign_ins, known.visitor, send)) as own:
                await snapshot.endpoints(Exchange(known.visitor, scope, receive, own, _Counter(self._sender, asked)))
            return True
        verdict = known.closed(snapshot.policy, asked.target)
        if verdict is not None and await self._relay(asked, verdict, send):
            return True
        if snapshot.sign_ins.is_arrival(scope):
            with Answer(self._meter, send) as own:
                await snapshot.arrive(known.visitor, asked.target, own, head=scope["method"] == "HEAD")
            return True
        signing = ARRIVED in asked.target or snapshot.sign_ins.concerns(known.visitor, scope["path"])
        if verdict is None and not signing:
            known.note_plain(asked.target, scope["path"])
        return False

    async def _relay(self, asked: Asked, verdict: Verdict, send: Send) -> bool:
        """Answer in place of a service that is closed, unless it is only observed."""
        _Counter(self._sender, asked).blocked(verdict.key, verdict.purpose.value, "relay")
        if asked.snapshot.policy.observe:
            return False
        with Answer(self._meter, send) as own:
            await answers.answer(own, 204, b"", "", answers.PRIVATE)
        return True

    def _elsewhere(self) -> None:
        """Somebody asks for another host: counted with what is refused."""
        if isinstance(self._sender, link.Sender):
            self._sender.refused(421)

    # WebSockets

    async def _websocket(self, recall: Recall, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._ask(recall, scope)
        if asked is None:
            self._elsewhere()
            await receive()
            await _refused(scope, send)
            return
        snapshot, prepared = recall.snapshot, asked.known.prepared
        headers = [item for item in prepared.headers if item[0] != b"accept-encoding"]
        passage = Passage(snapshot.sign_ins, asked.visitor, prepared, {**scope, "method": "GET"}, asked.now)

        async def filtered(message: Message) -> None:
            if message["type"] in ("websocket.accept", "websocket.http.response.start"):
                passed = (_passed(snapshot, asked.visitor, passage, item) for item in message.get("headers", ()))
                message = {**message, "headers": [item for item in passed if item is not None]}
            await answer(message)

        with Answer(self._meter, send, WEBSOCKET) as answer:
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
    """Keeps a consent record or a revocation with the recorder, or while that is away in the journal that it takes over
    later. A revocation holds in this process at once."""

    def __init__(self, sender: Sender, journal: Journal, revoked: Revoked) -> None:
        self._sender = sender
        self._journal = journal
        self._revoked = revoked

    async def keep(self, record: Mapping[str, object]) -> None:
        marks, when = record.get("revoke"), record.get("time")
        if isinstance(marks, list) and isinstance(when, int):
            self._revoked.add(marks, when)
        try:
            await self._sender.record(record)
        except LinkError:
            # In a thread: it waits for a lock and for the disk, and requests go on.
            await asyncio.to_thread(self._journal.append, record)


async def _refused(scope: Scope, send: Send) -> None:
    """Refuse a handshake for another host as any request for it, or plainly (403) where the server cannot say why."""

    async def sent(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    if "websocket.http.response" in (scope.get("extensions") or {}):
        await answers.answer_text(sent, 421, _ELSEWHERE)
    else:
        await send({"type": "websocket.close", "code": 1008})


def _passed(snapshot: Snapshot, visitor: Visitor, passage: Passage, item: Header) -> Header | None:
    """A header of a WebSocket's handshake as visitors get it."""
    name, value = item[0].lower(), item[1]
    if name == b"set-cookie":
        cookie = SetCookie.parse(value.decode("latin-1"))
        if cookie is None or is_own(cookie.name):
            return None
        verdict = snapshot.policy.cookies.decide(cookie.name)
        if not verdict.passes(visitor.effective):
            return None
        return item[0], str(passage.cookie(cookie, verdict)).encode("latin-1")
    return None if name in REPORTING or is_ours(name) else item
