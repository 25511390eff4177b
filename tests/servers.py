"""Real servers on free loopback ports: what the tests use in place of mocks.

Every helper is a context manager that leaves nothing behind: no thread, no process, no socket.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 20.0
"""Seconds after which a server that does not come up, or does not go, fails the test."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Return as soon as ``condition`` holds; fail with ``what`` after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:g} s in vain for {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def serve_asgi(
    app: Any,
    *,
    http: type[Any] | str | None = None,
    ws: type[Any] | str = "websockets-sansio",
    loop: Any = "asyncio",
    uds: Path | None = None,
    tls: tuple[Path, Path] | None = None,
    lifespan: Any = "off",
    **options: Any,
) -> Iterator[str]:
    """Serve an ASGI app by uvicorn in a thread and yield its base URL, without a slash at the end.

    ``http``: a protocol class such as ``HardenedProtocol``; without it uvicorn's own. ``uds``: listen on that Unix
    socket instead (yields ``unix:/path``). ``tls``: certificate and key. Further ``options`` go to ``uvicorn.Config``.
    """
    if http is not None and not isinstance(http, str):
        options = {"proxy_headers": False, "server_header": False, "date_header": False} | options
    if tls is not None:
        options |= {"ssl_certfile": str(tls[0]), "ssl_keyfile": str(tls[1])}
    config = uvicorn.Config(
        app,
        http=http or "httptools",
        ws=ws,
        loop=loop,
        lifespan=lifespan,
        log_config=None,
        access_log=False,
        **({"timeout_graceful_shutdown": 1} | options),
    )
    server = uvicorn.Server(config)
    if uds is not None:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(uds))
        url = f"unix:{uds}"
    else:
        # Named, since asyncio switches delays (Nagle) off only where the protocol is known to be TCP.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        url = f"{'https' if tls else 'http'}://127.0.0.1:{sock.getsockname()[1]}"
    with _threaded(server, sock):
        yield url


@contextlib.contextmanager
def _threaded(server: uvicorn.Server, sock: socket.socket) -> Iterator[None]:
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), "uvicorn to start")
        assert server.started, "uvicorn did not start"
        yield
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        sock.close()
        assert not thread.is_alive(), "uvicorn did not stop"


@dataclass
class Recorded:
    """What a ``raw_server`` was sent: one entry a connection, in the order of arrival."""

    connections: list[bytearray] = field(default_factory=list)


class Peer:
    """One accepted connection of a ``raw_server``, with the few verbs that a scripted upstream needs."""

    def __init__(self, sock: socket.socket, log: bytearray) -> None:
        self.sock = sock
        self.log = log
        self._pending = b""

    def read_head(self) -> bytes:
        """One message head up to and with the empty line; shorter where the peer ends before."""
        while b"\r\n\r\n" not in self._pending:
            if not self._more():
                break
        head, separator, self._pending = self._pending.partition(b"\r\n\r\n")
        return head + separator

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer where the peer ends before."""
        while len(self._pending) < size and self._more():
            pass
        data, self._pending = self._pending[:size], self._pending[size:]
        return data

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self._pending:
            if not self._more():
                break
        head, separator, self._pending = self._pending.partition(mark)
        return head + separator

    def skip(self, size: int) -> int:
        """Read ``size`` bytes and forget them; returns how many did not come."""
        size -= len(self._pending)
        self._pending = b""
        while size > 0 and (data := self.sock.recv(min(size, 1 << 20))):
            size -= len(data)
        return size

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def wait_closed(self) -> None:
        """Until the peer ends the connection."""
        while self._more():
            pass

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except OSError:
            return False
        self.log += data
        self._pending += data
        return bool(data)


@contextlib.contextmanager
def raw_server(handler: Callable[[Peer], None], *, seen: Recorded | None = None) -> Iterator[str]:
    """A TCP server that says exactly what ``handler`` sends, one thread a connection; yields ``http://127.0.0.1:PORT``.

    The connection is closed when the handler returns. ``seen`` collects what arrives.
    """
    seen = seen if seen is not None else Recorded()
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    threads: list[threading.Thread] = []
    open_sockets: set[socket.socket] = set()

    def handle(sock: socket.socket, log: bytearray) -> None:
        with sock:
            with contextlib.suppress(OSError):
                handler(Peer(sock, log))
            open_sockets.discard(sock)

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            log = bytearray()
            seen.connections.append(log)
            open_sockets.add(sock)
            thread = threading.Thread(target=handle, args=(sock, log), daemon=True)
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(PATIENCE)
        for sock in list(open_sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a raw server's handler hangs"


def scripted(*answers: bytes, linger: bool = True) -> Callable[[Peer], None]:
    """A handler that answers each request head on a connection with the next of ``answers``, then closes.

    ``linger``: wait for the peer to close first, as an upstream that keeps its connections does.
    """

    def handler(peer: Peer) -> None:
        for answer in answers:
            if not peer.read_head():
                return
            peer.send(answer)
        if linger:
            peer.wait_closed()

    return handler


def exchange(url: str, data: bytes, *, patience: float = 5.0, half_close: bool = False) -> bytes:
    """Send raw bytes to ``url``'s host and port and return all that comes until the server closes.

    Ends quietly with what there is on a reset, or after ``patience`` seconds of silence.
    """
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=patience) as sock:
        received = b""
        with contextlib.suppress(OSError):
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while chunk := sock.recv(65536):
                received += chunk
        return received


@dataclass
class Running:
    """A started ``vestibule`` process. ``output()`` is what it has printed so far, stdout and stderr together."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def children(self, module: str) -> list[int]:
        """Process ids of the children that run ``module``."""
        found = []
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    found.append(int(pid))
        return found


@contextlib.contextmanager
def vestibule_process(
    args: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    ready: str | Sequence[str] = (),
    patience: float = PATIENCE,
    cwd: Path = ROOT,
) -> Iterator[Running]:
    """Run ``python -m vestibule ARGS`` in a process group of its own and kill that whole group at the end.

    ``ready``: URLs to wait for; any HTTP answer counts, an error status too. Fails with the output where the process
    ends before. ``env`` is added to this process's environment.
    """
    addresses = [ready] if isinstance(ready, str) else list(ready)
    handle, name = tempfile.mkstemp(prefix="vestibule-", suffix=".log")
    log = Path(name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "proxy"), "PYTHONUNBUFFERED": "1", **(env or {})}
    with os.fdopen(handle, "wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "vestibule", *args],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Running(process, log)
    try:
        for address in addresses:
            _wait_ready(running, address, patience)
        yield running
    finally:
        _end(process)
        log.unlink(missing_ok=True)


def _wait_ready(running: Running, url: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        if running.process.poll() is not None:
            raise AssertionError(f"vestibule ended with {running.process.returncode}:\n{running.output()}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"{url} did not answer within {patience:g} s:\n{running.output()}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL to whatever of the group is left."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
