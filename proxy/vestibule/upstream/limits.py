"""What the reverse proxy may use: every buffer's bound and every wait's end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, sizes in bytes. Each value is safe as it is.

    ``connections``: open to the upstream at once; a request beyond that waits, ``waiting`` of them at most, ``queue``
    seconds long; who cannot wait gets a 503. ``connect``: TCP and TLS together. ``first_byte``: from the request sent
    to the answer's head. ``read`` and ``write``: without a single byte of the body. ``idle``: how long an unused
    connection is kept. ``expect``: how long a request body is held back for the upstream's ``100 Continue``.
    ``header_bytes`` and ``header_count``: of an answer's head; also what may come between two pieces of body that is
    neither. ``buffer``: body bytes held for a slow reader before the sender is made to wait. ``message_bytes``: the
    largest WebSocket message. ``ping``: seconds of silence after which a WebSocket upstream is asked for a sign of
    life, which it has as long to give.
    """

    connections: int = 256
    waiting: int = 1024
    queue: float = 5.0
    connect: float = 5.0
    first_byte: float = 60.0
    read: float = 60.0
    write: float = 60.0
    idle: float = 75.0
    expect: float = 1.0
    header_bytes: int = 65536
    header_count: int = 256
    buffer: int = 262144
    message_bytes: int = 16 * 1024 * 1024
    ping: float = 20.0

    @property
    def tick(self) -> float:
        """How often the waits are looked at: fine enough for the shortest, rare enough to cost nothing."""
        shortest = min(self.connect, self.first_byte, self.read, self.write, self.idle)
        return max(0.01, min(0.5, shortest / 4))
