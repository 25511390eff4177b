"""The one place that requests go to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from vestibule.core.headers import own_origins

P = TypeVar("P", bound=asyncio.BaseProtocol)


@dataclass(frozen=True, slots=True)
class Target:
    """``path``: a Unix socket, else empty; ``tls``: None for plain http."""

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None
    origins: frozenset[bytes]

    @classmethod
    def parse(cls, url: str, ca_file: str | None = None) -> Target:
        """``http://host[:port]``, ``https://host[:port]`` or ``unix:/path``; ValueError says what is wrong with
        another.

        Certificates are verified against the system's authorities, or those in ``ca_file`` (PEM) alone.
        """
        if url.startswith("unix:"):
            path = url.removeprefix("unix:")
            if not path.startswith("/"):
                raise ValueError("a Unix socket needs an absolute path, as in unix:/run/site.sock")
            return cls("localhost", 0, path, None, own_origins("http", "localhost", 80))
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://host:port, https://host:port or unix:/path")
        if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username or parts.password:
            raise ValueError("must name a host and a port only: no path, query or password")
        try:
            parts.hostname.encode("idna")
        except UnicodeError:
            raise ValueError("the host is not a valid name") from None
        port = parts.port or (443 if parts.scheme == "https" else 80)
        tls = None
        if parts.scheme == "https":
            tls = ssl.create_default_context(cafile=ca_file)
            tls.set_alpn_protocols(["http/1.1"])
        return cls(parts.hostname, port, "", tls, own_origins(parts.scheme, parts.hostname, port))

    async def connect(self, factory: Callable[[], P]) -> P:
        """Open a connection; OSError (``ssl.SSLError`` among them) where that fails."""
        loop = asyncio.get_running_loop()
        if self.path:
            _, protocol = await loop.create_unix_connection(factory, self.path)
            return protocol
        name = self.host if self.tls else None
        _, protocol = await loop.create_connection(factory, self.host, self.port, ssl=self.tls, server_hostname=name)
        return protocol
