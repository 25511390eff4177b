"""An ASGI app that sees each exchange pass, and logs it when it has ended."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any

from vestibule.access.entry import FAILED, FORBIDDEN, LEFT, SWITCHED, UNREACHED, Entry, Writer
from vestibule.access.sink import OFF, Sink
from vestibule.core.forwarding import client_address
from vestibule.core.hints import STREAM, WHOLE
from vestibule.core.networks import truncate
from vestibule.core.pages import Folder

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ENTRY = "vestibule.access"
"""Key in the scope under which an exchange's entry is found; absent where nothing is logged."""

SITE = "vestibule.site"
"""Key in the scope under which a request's site is named, where that is a further one of the instance: by its folder in
``sites/``."""

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class AccessLog:
    """The app, with a log that can be exchanged while it runs. Without one it costs next to nothing.

    Use it on one event loop only, and ``close`` it at the end.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._to = OFF
        self._sink: Sink | None = None
        self._writer = Writer()
        self._folder = Folder()
        self._sites: Mapping[str, tuple[str, Folder]] = {}
        self._trusted: tuple[str, ...] = ()

    def use(
        self,
        to: str,
        *,
        pages: Mapping[str, str],
        trusted: Sequence[str],
        sites: Mapping[str, tuple[str, Mapping[str, str]]] = MappingProxyType({}),
    ) -> None:
        """Log from now on to ``to`` (``off``, ``stdout`` or a path). pages: patterns that fold paths. trusted: whose
        word is taken for the client's address. sites: where there are several, the name and the patterns of each, by
        what ``SITE`` names it."""
        self._folder, self._trusted = Folder(pages), tuple(trusted)
        self._sites = {site: (name, Folder(patterns)) for site, (name, patterns) in sites.items()}
        if to == self._to:
            return
        before, self._to = self._sink, to
        self._sink = None if to == OFF else Sink(to)
        if before is not None:
            before.close()

    def close(self, patience: float = 2.0) -> None:
        """Write what there is, within ``patience`` seconds."""
        if self._sink is not None:
            self._sink.close(patience)
            self._sink = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self._sink is None or scope["type"] == "lifespan":
            return self._app(scope, receive, send)
        return self._logged(self._sink, scope, receive, send)

    def refused(self, status: int, address: str | None, scope: Scope | None) -> None:
        """A message was refused. scope: of its request, where that had begun; if we have seen it pass, its own line
        says so when it ends."""
        passing: Entry | None = scope.get(ENTRY) if scope is not None else None
        if passing is not None:
            passing.status = passing.status or status
        elif self._sink is not None:
            entry = Entry()
            entry.status, entry.whole = status, True
            if scope is not None:
                self._write(self._sink, scope, entry, time.time(), 0.0)
            else:
                self._sink.write(self._writer.line(time.time(), truncate(address or ""), "", None, entry, 0.0))

    async def _logged(self, sink: Sink, scope: Scope, receive: Receive, send: Send) -> None:
        entry = scope[ENTRY] = Entry()
        now, begun = time.time(), time.perf_counter()
        head_only = scope.get("method") == "HEAD"

        async def seen(message: Message) -> None:
            _note_status(entry, message)
            if message["type"] != STREAM:
                await send(message)
                _note_body(entry, message, head_only)
                return
            try:
                await send(message)
                entry.whole = True
            finally:
                entry.size += message["source"].passed

        try:
            await self._app(scope, receive, seen)
            entry.whole = entry.whole or entry.status == SWITCHED
        except ConnectionError:
            entry.status = entry.status or UNREACHED
            raise
        except Exception:
            entry.status = entry.status or FAILED
            raise
        finally:
            entry.status = entry.status or LEFT
            self._write(sink, scope, entry, now, time.perf_counter() - begun)

    def _write(self, sink: Sink, scope: Scope, entry: Entry, now: float, seconds: float) -> None:
        peer = scope.get("client")
        client = client_address(
            peer[0] if peer else None, scope["headers"], self._trusted, _SCHEMES[scope.get("scheme", "http")]
        )
        site, folder = self._sites.get(scope.get(SITE, ""), ("", self._folder))
        path = folder.fold(scope["raw_path"].decode("latin-1"))
        method = scope.get("method", "GET")
        sink.write(self._writer.line(now, truncate(client.address), method, path, entry, seconds, site))


def _note_status(entry: Entry, message: Message) -> None:
    kind = message["type"]
    if kind in (WHOLE, "http.response.start", "websocket.http.response.start"):
        entry.status = message["status"]
    elif kind == "websocket.accept":
        entry.status = SWITCHED
    elif kind == "websocket.close" and not entry.status:
        entry.status, entry.whole = FORBIDDEN, True


def _note_body(entry: Entry, message: Message, head_only: bool) -> None:
    kind = message["type"]
    if kind in (WHOLE, "http.response.body", "websocket.http.response.body"):
        if not head_only:
            entry.size += len(message.get("body", b""))
        entry.whole = not message.get("more_body", False)
    elif kind == "websocket.send":
        entry.size += len(message.get("bytes") or (message.get("text") or "").encode())


def timed(scope: Scope, send: Send) -> Send:
    """``send`` of an exchange with the site that is logged; it notes when the answer begins."""
    entry: Entry = scope[ENTRY]
    begun = time.perf_counter()

    async def noted(message: Message) -> None:
        if entry.first_byte is None:
            entry.first_byte = time.perf_counter() - begun
        await send(message)

    return noted
