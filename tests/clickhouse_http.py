"""ClickHouse's HTTP interface over chDB, in a process of its own: a server to be killed, slowed down and made to fail.

Not a complete interface: what clickhouse-connect sends for queries, commands and inserts. It is the same engine, so
what is tested on it is the network client, restarts, lost replies and slow answers.

    python -m tests.clickhouse_http FOLDER PORT

``POST /faults`` takes a JSON list of faults. Each is spent by the first statement that has its ``match`` in it:
``error`` answers 500 without doing anything, ``lost`` does it and drops the connection, ``slow`` waits ``seconds``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

Fault = dict[str, Any]

TRANSPORT = frozenset(
    [
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "query",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "wait_end_of_query",
    ]
)


class Handler(BaseHTTPRequestHandler):
    """One request. The engine takes one statement at a time."""

    protocol_version = "HTTP/1.1"
    engine: ClassVar[Any]
    lock: ClassVar[threading.Lock] = threading.Lock()
    faults: ClassVar[list[Fault]] = []

    def do_GET(self) -> None:
        self._answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/faults":
            self.faults[:] = json.loads(body)
            self._answer(200, b"")
            return
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        head, newline, data = given.get("query", "").encode(), b"", body
        if not head or not _is_insert(head):
            head, newline, data = body.partition(b"\n") if _is_insert(body) else (head + body, b"", b"")
        statement = head.decode()
        fault = self._fault(statement)
        if fault.get("kind") == "error":
            self._answer(500, b"Code: 202. DB::Exception: Too many. (TOO_MANY_SIMULTANEOUS_QUERIES)", code="202")
            return
        time.sleep(fault.get("seconds", 0))
        try:
            with self.lock:
                answer = self._insert(statement, data, given) if newline or data else self._query(statement, given)
        except Exception as error:
            text = str(error)
            code = text.partition("Code: ")[2].partition(".")[0] or "1001"
            self._answer(404 if code in ("60", "81") else 500, text.encode(), code=code)
            return
        if fault.get("kind") == "lost":
            self.close_connection = True
            self.connection.close()
            return
        self._answer(200, answer, form="Native" if "FORMAT Native" in statement else "TabSeparated")

    def _fault(self, statement: str) -> Fault:
        for fault in self.faults:
            if fault["match"] in statement:
                self.faults.remove(fault)
                return fault
        return {}

    def _query(self, statement: str, given: dict[str, str]) -> bytes:
        self._use(given)
        parameters = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
        result = self.engine.query(statement, "TabSeparated", params=parameters)
        return bytes(result.bytes() or b"")

    def _insert(self, statement: str, data: bytes, given: dict[str, str]) -> bytes:
        self._use(given)
        into = statement.removesuffix("FORMAT Native").strip()
        settings = ", ".join(
            f"{name} = '{value}'" for name, value in given.items() if name not in TRANSPORT and name[:6] != "param_"
        )
        with tempfile.NamedTemporaryFile(suffix=".native") as file:
            file.write(data)
            file.flush()
            clause = f"SETTINGS {settings}" if settings else ""
            self.engine.query(f"{into} FROM INFILE '{file.name}' {clause} FORMAT Native", "TabSeparated")
        return b""

    def _use(self, given: dict[str, str]) -> None:
        self.engine.query(f"USE `{given.get('database') or 'default'}`", "TabSeparated")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            data = b"".join(parts)
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        encoding = self.headers.get("Content-Encoding")
        if encoding == "lz4":
            import lz4.frame  # type: ignore[import-untyped]

            return bytes(lz4.frame.decompress(data))
        if encoding == "zstd":
            import zstandard

            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        return data

    def _answer(self, status: int, body: bytes, *, form: str = "", code: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-ClickHouse-Timezone", "UTC")
        if form and body:
            self.send_header("X-ClickHouse-Format", form)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _is_insert(statement: bytes) -> bool:
    return statement.lstrip()[:6].upper() == b"INSERT"


class Server:
    """A server process, for tests."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.dsn = f"clickhouse://default:secret@127.0.0.1:{port}/vestibule"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.clickhouse_http", str(self.folder), str(self.port)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
        root = Path(__file__).resolve().parent.parent
        self.process = subprocess.Popen(command, env=environ, cwd=root, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def fail(self, *faults: Fault) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/faults", json.dumps(faults).encode())
        with urllib.request.urlopen(request, timeout=10):
            pass


def main(folder: str, port: str) -> None:
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]
    import chdb

    Handler.engine = chdb.connect(folder)  # type: ignore[no-untyped-call]
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
