"""What is measured of a request: of which kind it was, what came of it, and how long it took until the last of the
answer was handed on. Of a WebSocket only the handshake is."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType

from starlette.types import Message, Send

from vestibule.core.meter import OTHER, PAGE, PRIVACY, WEBSOCKET, Meter, kind_of
from vestibule.middleware.seen import Seen

LEFT = 0
FAILED = 500
SWITCHED = 101
FORBIDDEN = 403


def ended(meter: Meter, begun: float, seen: Seen, document: bool, failed: bool) -> None:
    """Count an exchange with the site. begun: by ``perf_counter``. document: a document was wanted. failed: nobody
    answered, and not because whoever asked had left."""
    kind = kind_of(seen.content_type)
    if kind == OTHER and document:
        kind = PAGE
    status = seen.status or (FAILED if failed else LEFT)
    meter.answered(kind, status, perf_counter() - begun, seen.size if kind == PAGE else 0)


class Answer:
    """An answer of our own or to a handshake, as it is sent: ``with Answer(meter, send) as send:``. One that was never
    begun is not counted, unless what should have begun it failed."""

    def __init__(self, meter: Meter, send: Send, kind: int = PRIVACY) -> None:
        self._meter = meter
        self._send = send
        self._kind = kind
        self._status = LEFT
        self._begun = perf_counter()

    async def __call__(self, message: Message) -> None:
        if not self._status:
            self._status = _status_of(message)
            if self._status and self._kind == WEBSOCKET:
                self._count()
        await self._send(message)

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._status:
            if self._kind != WEBSOCKET:
                self._count()
        elif isinstance(error, Exception):
            self._status = LEFT if isinstance(error, ConnectionError) else FAILED
            self._count()

    def _count(self) -> None:
        self._meter.answered(self._kind, self._status, perf_counter() - self._begun)


def _status_of(message: Message) -> int:
    """The status that a message begins an answer with; LEFT where it begins none."""
    kind = message["type"]
    if kind in ("http.response.start", "websocket.http.response.start"):
        status: int = message["status"]
        return status
    return {"websocket.accept": SWITCHED, "websocket.close": FORBIDDEN}.get(kind, LEFT)
