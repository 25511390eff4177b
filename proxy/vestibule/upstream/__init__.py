"""The reverse proxy as an ASGI app: a bounded pool of connections to one site, streaming both ways, WebSockets."""

from __future__ import annotations

from vestibule.upstream.app import Upstream
from vestibule.upstream.faults import Cause, ResponseAbortedError, UpstreamError, error_page
from vestibule.upstream.limits import Limits

__all__ = ["Cause", "Limits", "ResponseAbortedError", "Upstream", "UpstreamError", "error_page"]
