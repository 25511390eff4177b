"""What our parts tell each other in ASGI messages beyond what ASGI says. Servers offer it to those apps alone that know
it, and whose layers do, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

WHOLE = "vestibule.whole"
"""An extension that a server may offer in ``scope["extensions"]``: one message of this type is a whole answer, with the
``status`` and ``headers`` of ``http.response.start`` and the ``body`` of the only ``http.response.body``."""

STREAM = "vestibule.stream"
"""Another one: after ``http.response.start`` one message of this type stands for all of the body, which has a length.
Its ``source`` is a :class:`Source`."""


class Sink(Protocol):
    """A client's socket, to which bytes are moved that never come to memory of ours. Raises ConnectionError where the
    client has gone, or has taken too long."""

    async def write(self, data: bytes | memoryview) -> None:
        """Write these bytes after what was written before."""

    def take(self, pipe: int, size: int) -> int:
        """Move at most so many bytes from a pipe; returns how many were, 0 where it has to be waited for."""

    async def writable(self) -> None:
        """Wait until the socket takes more."""


class Source(Protocol):
    """A body of known length that is still to come: to be moved, or else to be read in pieces. Once."""

    size: int
    """Bytes that it has."""

    passed: int
    """Bytes that were moved or read so far."""

    @property
    def ended(self) -> bool:
        """Whether the piece that was read last was the last one."""

    async def move(self, sink: Sink) -> bool:
        """Move all of it; False where that cannot be done, and then nothing was. Raises what the sink does, and
        an error of its own where the body breaks off."""

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]: ...

    async def __anext__(self) -> bytes | memoryview: ...
