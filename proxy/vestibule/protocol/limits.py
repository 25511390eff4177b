"""What a client may use: every buffer's bound and every wait's end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Times in seconds, sizes in bytes. Each value is safe as it is.

    ``head``: from the first byte of a request, or from the connection's beginning, to the end of its head. ``body``:
    without a byte of a body that is waited for. ``write``: without a byte taken of an answer that waits. ``rate``:
    bytes a second that a client must send or take meanwhile; who is slower lives on what it was faster before, ``body``
    or ``write`` seconds at most; 0: any byte will do. ``total``: from a request's head to the end of its answer.
    ``idle``: between two requests. ``linger``: in which we read on after a refusal, so that the client gets to see it;
    also how long a connection beyond ``connections`` may take to hear that it is one too many. ``pipeline``: requests
    sent ahead of their answers. ``requests``: on one connection. ``body_bytes``: of one request body. ``connections``:
    at once, WebSockets included; uvicorn's ``limit_concurrency`` is not looked at.
    """

    head: float = 10.0
    body: float = 60.0
    write: float = 60.0
    rate: float = 100.0
    total: float = 6 * 3600.0
    idle: float = 75.0
    linger: float = 2.0
    url_bytes: int = 8192
    header_bytes: int = 32768
    header_count: int = 100
    body_bytes: int = 16 * 1024**3
    pipeline: int = 64
    requests: int = 100_000
    connections: int = 4096

    @property
    def tick(self) -> float:
        """How often a connection looks at its waits."""
        return max(0.01, min(2.5, min(self.head, self.body, self.write, self.idle, self.total) / 4))

    @property
    def most(self) -> int:
        """Connections beyond which there is not even an answer: those between are told that they are too many."""
        return self.connections + max(64, self.connections // 8)
