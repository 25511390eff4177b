"""What goes wrong on the way to a client."""

from __future__ import annotations


class ClientDisconnectedError(ConnectionError):
    """Raised from ``send`` when there is nobody left to send to (ASGI 2.4)."""
