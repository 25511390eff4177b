"""The rest of the internet, as a listener on loopback: every connection that a browser opens to it is written down.

Chromium is told to resolve every name to this one port (`--host-resolver-rules`), so whatever it contacts comes here,
encrypted or not. A connection alone counts (that is all a preconnect does); it is known by the name in its TLS hello.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import self_signed

CHROMIUMS_OWN = frozenset(
    {
        "accounts.google.com",
        "content-autofill.googleapis.com",  # what fields of a form mean
        "passwordsleakcheck-pa.googleapis.com",  # after a password was typed
        "update.googleapis.com",
    }
)
"""Hosts that the browser itself talks to, page or no page. The demo names none of them (a test sees to it)."""

UNNAMED = "(a connection that says nothing)"
SILENCE = 0.3
"""Seconds after which a connection that has said nothing is written down as such, until it says something."""
PATIENCE = 10.0
"""Seconds after which a silent connection is closed."""
HEAD_LIMIT = 64 * 1024

_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


@dataclass(frozen=True, slots=True)
class Hit:
    """A connection (`path` is None) or a request on one. host: lower-case, without port."""

    host: str
    path: str | None = None
    kind: str = ""
    """The request's Sec-Fetch-Dest."""


class Foreign:
    """What was contacted. Threads append, tests read."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._lock = threading.Lock()
        self._hits: list[Hit] = []

    def add(self, hit: Hit) -> None:
        with self._lock:
            self._hits.append(hit)

    def retract(self, hit: Hit) -> None:
        """Take back this very entry, for one that says more."""
        with self._lock:
            self._hits = [each for each in self._hits if each is not hit]

    def clear(self) -> None:
        with self._lock:
            self._hits.clear()

    @property
    def hits(self) -> list[Hit]:
        """All but the browser's own."""
        with self._lock:
            return [hit for hit in self._hits if hit.host not in CHROMIUMS_OWN]

    @property
    def hosts(self) -> set[str]:
        return {hit.host for hit in self.hits}

    @property
    def everything(self) -> set[str]:
        """The browser's own hosts too."""
        with self._lock:
            return {hit.host for hit in self._hits}


@contextlib.contextmanager
def foreign_listener(folder: Path) -> Iterator[Foreign]:
    """Listen on a free port of loopback until the end of the block. folder: for the certificate."""
    names: dict[object, str] = {}
    context = _tls(folder, names)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    foreign = Foreign(listener.getsockname()[1])
    threads: list[threading.Thread] = []
    connections: set[socket.socket] = set()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.add(connection)
            thread = threading.Thread(target=serve, args=(connection,), daemon=True)
            threads.append(thread)
            thread.start()

    def serve(connection: socket.socket) -> None:
        try:
            connection.settimeout(PATIENCE)
            with contextlib.suppress(OSError):
                _converse(connection, context, names, foreign)
        finally:
            connections.discard(connection)
            connection.close()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield foreign
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(PATIENCE)
        for connection in list(connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(PATIENCE)


def _converse(connection: socket.socket, context: ssl.SSLContext, names: dict[object, str], foreign: Foreign) -> None:
    """One connection, TLS or plain, to its end. names: those that TLS hellos gave, by connection."""
    first = _first_byte(connection, foreign)
    if not first:
        return
    if first != b"\x16":
        _requests(connection, foreign)
        return
    encrypted = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    with encrypted:
        try:
            encrypted.do_handshake()
        finally:
            foreign.add(Hit(names.pop(encrypted, UNNAMED)))
        _requests(encrypted, foreign)


def _first_byte(connection: socket.socket, foreign: Foreign) -> bytes:
    """What a connection begins with, left there to be read; empty where it never says anything."""
    silent = Hit(UNNAMED)
    connection.settimeout(SILENCE)
    try:
        first = connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        foreign.add(silent)
        connection.settimeout(PATIENCE)
        first = connection.recv(1, socket.MSG_PEEK)  # silent to the end, it is left as it was written down
        if first:
            foreign.retract(silent)
        return first
    except OSError:
        first = b""
    if not first:
        foreign.add(silent)
    connection.settimeout(PATIENCE)
    return first


def _requests(connection: socket.socket, foreign: Foreign) -> None:
    pending = b""
    while True:
        while b"\r\n\r\n" not in pending:
            data = connection.recv(65536)
            if not data or len(pending) > HEAD_LIMIT:
                return
            pending += data
        head, _, pending = pending.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, *_ = [*lines[0].split(" "), "", ""]
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        length = int(headers.get("content-length", "0") or "0")
        while len(pending) < length:
            data = connection.recv(65536)
            if not data:
                break
            pending += data
        pending = pending[length:]
        kind = headers.get("sec-fetch-dest", "")
        host = headers.get("host", UNNAMED).lower().rsplit(":", 1)[0]
        foreign.add(Hit(host, target, kind))
        connection.sendall(_answer(method, host, kind, target))


def _answer(method: str, host: str, kind: str, target: str) -> bytes:
    """What such a host might say: scripts leave a trace in the page, and Google's and Meta's set their cookies; a page
    at ``/showing/HOST`` shows a picture of that host."""
    media, body = "text/html", b"<!DOCTYPE html><title>foreign</title><p>foreign"
    if target.startswith("/showing/"):
        body += b"<img src=https://%b/x>" % target.removeprefix("/showing/").encode()
    if kind == "script":
        cookie = {"www.googletagmanager.com": "_ga_DEMO12345", "connect.facebook.net": "_fbp"}.get(host)
        setting = f"document.cookie = '{cookie}=foreign; path=/; max-age=7776000';" if cookie else ""
        text = f"(window.foreignRan = window.foreignRan || []).push({host!r}); {setting}"
        media, body = "text/javascript", text.encode()
    elif kind == "style":
        media, body = "text/css", b"/* foreign */"
    elif kind in ("image", ""):
        media, body = "image/gif", _GIF
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n"
        "Access-Control-Allow-Origin: *\r\nCache-Control: no-store\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)


def _tls(folder: Path, names: dict[object, str]) -> ssl.SSLContext:
    """A context with a certificate that nobody signed, for any name: the browser is told to ignore that.

    names: takes the name in each hello, which is known even where the handshake fails afterwards."""
    file = folder / "foreign.pem"
    file.write_bytes(b"".join(self_signed()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def named(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        names[connection] = (name or UNNAMED).lower()

    context.sni_callback = named
    return context
