"""The servers that end TLS in front of Vestibule, as `deploy/` has them: nginx and Caddy, each on ports of its own."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from tests.certificates import self_signed
from tests.servers import ROOT, free_port, wait_until


@dataclass
class Front:
    """A front server with its shipped configuration, on ports of its own. log: what it writes of errors. quic: whether
    it speaks HTTP/3, too. trust: of a client that trusts its certificate's authority alone."""

    plain: int
    secure: int
    log: Path
    quic: bool = False
    trust: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        with self.asked(method, path, body, **headers) as answer:
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def connection(self, client: str = "127.0.0.1") -> http.client.HTTPSConnection:
        """A connection that speaks HTTP/1.1. client: the address that it comes from."""
        connection = http.client.HTTPSConnection("example.com", timeout=10, context=self.trust)
        plain = socket.create_connection(("127.0.0.1", self.secure), 10, (client, 0))
        connection.sock = self.trust.wrap_socket(plain, server_hostname="example.com")
        return connection

    @contextlib.contextmanager
    def asked(
        self, method: str, path: str, body: bytes = b"", client: str = "127.0.0.1", **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        """Ask, and leave at the end of the block."""
        with contextlib.closing(self.connection(client)) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, named)
            with connection.getresponse() as answer:
                yield answer


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for example.com that is its own authority, and its key."""
    made, key = self_signed(x509.DNSName("example.com"))
    (folder / "fullchain.pem").write_bytes(made)
    (folder / "privkey.pem").write_bytes(key)
    return folder / "fullchain.pem", folder / "privkey.pem"


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def nginx(upstream: str, folder: Path) -> Iterator[Front]:
    """nginx with `deploy/nginx.conf`. upstream: HOST:PORT or unix:/PATH."""
    chain, _ = certificate(folder)
    plain, secure = free_port(), free_port()
    shipped = replaced(
        (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8"),
        {
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ssl": f"listen 127.0.0.1:{secure} ssl",
            "/etc/ssl/example.com": str(folder),
            "/var/log/nginx": str(folder),
            "server 127.0.0.1:8080;": f"server {upstream};",
        },
    )
    (folder / "vestibule.conf").write_text(shipped, encoding="utf-8")
    user = "user root;" if os.getuid() == 0 else ""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"{user} worker_processes 1; daemon off; pid {folder}/pid; events {{}} http {{ {temporary}"
        f" access_log {folder}/error.log; include {folder}/vestibule.conf; }}",
        encoding="utf-8",
    )
    command = ["nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=20, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr or "http2" in checked.stderr  # newer ones would have it said otherwise
    with started(command, folder, Front(plain, secure, folder / "error.log"), chain) as front:
        yield front


@contextlib.contextmanager
def caddy(upstream: str, folder: Path) -> Iterator[Front]:
    """Caddy with `deploy/Caddyfile`, and certificates of its own authority. upstream: HOST:PORT or unix:/PATH."""
    plain, secure = free_port(), free_port()
    here = (
        f"admin off\nhttp_port {plain}\nhttps_port {secure}\ndefault_bind 127.0.0.1\n"
        f"local_certs\nskip_install_trust\nstorage file_system {folder}/storage\n"
    )
    shipped = replaced(
        (ROOT / "deploy" / "Caddyfile").read_text(encoding="utf-8"),
        {"\n{\n": f"\n{{\n{here}", "127.0.0.1:8080": upstream.replace("unix:", "unix/")},
    )
    (folder / "Caddyfile").write_text(shipped, encoding="utf-8")
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    authority = folder / "storage" / "pki" / "authorities" / "local" / "root.crt"
    with started(command, folder, Front(plain, secure, folder / "error.log", quic=True), authority) as front:
        yield front


@contextlib.contextmanager
def started(command: list[str], home: Path, front: Front, authority: Path) -> Iterator[Front]:
    """Run a front server until the block ends. authority: the file with that of its certificate, there or to come."""
    with front.log.open("ab") as log:
        environ = {**os.environ, "HOME": str(home)}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)

    def answers() -> bool:
        assert process.poll() is None, front.log.read_text()
        with contextlib.suppress(OSError):
            front.trust.load_verify_locations(authority)
            return front.ask("GET", "/")[0] in (200, 502)
        return False

    try:
        wait_until(answers, command[0])
        yield front
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()


FRONTS: dict[str, Callable[[str, Path], contextlib.AbstractContextManager[Front]]] = {"nginx": nginx, "caddy": caddy}
