"""What becomes of the site's answer on its way to the visitor."""

from __future__ import annotations

from collections.abc import Awaitable, Collection

from starlette.types import Message, Send

from vestibule.core.hints import STREAM, WHOLE
from vestibule.middleware.asked import Asked
from vestibule.middleware.look import CloserLook, nowhere
from vestibule.middleware.passage import Passage
from vestibule.middleware.passing import passed
from vestibule.middleware.repeated import Blocked
from vestibule.middleware.seen import Seen

_READ = (tuple, list)


class Responder:
    """One answer: it passes as it is where that can be seen to be right, and is looked at closely where not.

    passage: the request's, where that has to do with signing in; else one begins when the answer needs a closer look.
    """

    __slots__ = ("_asked", "_look", "_passage", "_passing", "_send", "seen")

    def __init__(self, asked: Asked, send: Send, passage: Passage | None) -> None:
        self._asked = asked
        self._send = send
        self._passage = passage
        self._passing = False
        self._look: CloserLook | None = None
        self.seen = Seen()

    @property
    def blocked(self) -> Collection[Blocked]:
        """What of the answer was held back."""
        return () if self._look is None else self._look.blocked

    @property
    def asks(self) -> bool:
        """Whether the answer is a page that asks for a choice."""
        return self._look is not None and self._look.asks

    def end(self) -> None:
        """The exchange is over."""
        if self._look is not None:
            self._look.end()

    def __call__(self, message: Message) -> Awaitable[None]:
        # No coroutine of its own: most messages only pass, and each would cost as much again.
        kind = message["type"]
        if kind == WHOLE or kind == "http.response.start":
            if type(message.get("headers")) not in _READ:
                # ASGI allows for none, and for what can be read but once.
                message = {**message, "headers": tuple(message.get("headers", ()))}
            passing = self._passed(message)
            if passing is None:
                look = self._closer()
                return look.whole(message) if kind == WHOLE else look.start(message)
            if kind == WHOLE:
                self.seen.size += len(message["body"])
            return self._send(passing)
        if kind == "http.response.body":
            if not self._passing:
                return self._closer().body(message)
            self.seen.size += len(message.get("body", b""))
        elif kind == STREAM:
            if not self._passing:
                return self._closer().stream(message["source"])
            return self._streamed(message)
        elif kind == "http.response.trailers":
            return nowhere(message)  # they would pass unfiltered
        return self._send(message)

    async def _streamed(self, message: Message) -> None:
        try:
            await self._send(message)
        finally:
            self.seen.size += message["source"].passed

    def _closer(self) -> CloserLook:
        if self._look is None:
            self._look = CloserLook(self._asked, self._passage or self._asked.passage(), self._send, self.seen)
        return self._look

    def _passed(self, message: Message) -> Message | None:
        """An answer that can be seen to be no page, and to hold nothing that is filtered, with the policy: it passes.
        Most are such, and a closer look would come to the same. None for all others."""
        prepared = self._asked.known.prepared
        if prepared.kind.runs or prepared.revalidates or self._passage is not None:
            return None
        passing = passed(message["headers"], prepared.lock)
        if passing is None:
            return None
        self.seen.status = message["status"]
        self.seen.content_type = passing.types
        self._passing = True
        # The app's own message stays as it is: it may send that again.
        return {**message, "headers": passing.headers}
