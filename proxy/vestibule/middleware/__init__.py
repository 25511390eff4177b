"""``ConsentMiddleware``: Vestibule in front of any ASGI app (the reverse proxy is one such app)."""

from __future__ import annotations

from vestibule.middleware.app import ConsentMiddleware

__all__ = ["ConsentMiddleware"]
