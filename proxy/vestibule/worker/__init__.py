"""A worker: uvicorn on an inherited listener, and in it the middleware in front of the site.

Workers hold nothing that outlives them: any of them may be killed at any time. What a worker is composed of stands in
:class:`Worker`; the supervisor starts it as ``python -m vestibule.worker``.
"""

from __future__ import annotations

from vestibule.worker.worker import Worker

__all__ = ["Worker"]
