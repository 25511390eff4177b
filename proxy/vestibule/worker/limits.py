"""What the configuration allows: visitors, and the site."""

from __future__ import annotations

import resource
import sys

from vestibule.config import Config
from vestibule.protocol import ServerLimits
from vestibule.upstream import Limits

SPARE = 64
"""Open files that a worker keeps for other things than connections."""


def upstream_limits(config: Config) -> Limits:
    """What the configuration allows towards the site; seconds and bytes."""
    limits = config.limits
    return Limits(
        connections=limits.upstream_connections,
        waiting=limits.queue_length,
        queue=limits.queue_timeout,
        connect=limits.connect_timeout,
        first_byte=limits.first_byte_timeout,
        read=limits.idle_timeout,
        write=limits.idle_timeout,
        idle=limits.keep_alive,
        header_bytes=limits.upstream_header_bytes,
        header_count=limits.upstream_header_count,
        message_bytes=limits.message_bytes,
    )


def server_limits(config: Config) -> ServerLimits:
    """What it allows browsers; seconds and bytes. No more connections than this process may open files for."""
    limits = config.limits
    return ServerLimits(
        head=limits.header_timeout,
        body=limits.idle_timeout,
        write=limits.idle_timeout,
        rate=limits.min_rate,
        total=limits.total_timeout,
        idle=limits.keep_alive,
        url_bytes=limits.url_bytes,
        header_bytes=limits.header_bytes,
        header_count=limits.header_count,
        body_bytes=limits.body_bytes,
        pipeline=limits.pipeline,
        requests=limits.requests,
        connections=min(limits.connections, bearable(open_files())),
    )


def open_files() -> int:
    """Files that this process may have open at once."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def bearable(files: int) -> int:
    """Connections for which so many open files suffice: each may need another one to the site. With more than that a
    process could neither answer who is connected nor refuse who comes."""
    return max((files - SPARE) // 2, 1)
