"""The proxies that `bench.proxy` sets beside each other, and the site behind them: how each is started and pinned."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROXY, LOAD = 0, 1
"""Processor cores: one for the proxy that is measured, the other for the site, the load and our recorder."""

HOST = "bench.example"
PEERS = ROOT / ".venv" / "bench-peers"
PINNED = (
    "asgiproxy==0.2.0",
    "fastapi==0.165.0",
    "fastapi-proxy-lib==0.3.0",
    "httptools==0.6.4",
    "mitmproxy==11.0.2",
    "uvicorn==0.54.0",
    "uvloop==0.21.0",
)

_NGINX = """
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log /dev/null;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 1000000; sendfile on; default_type application/json;
  types {{ text/html html; }}
  client_body_temp_path {folder}/{name}-1; proxy_temp_path {folder}/{name}-2; fastcgi_temp_path {folder}/{name}-3;
  uwsgi_temp_path {folder}/{name}-4; scgi_temp_path {folder}/{name}-5;
  {site}
}}
"""
_SITE = """
  server {{
    listen 127.0.0.1:{port}; root {folder}/www;
    location = /fresh.html {{ sub_filter '</html>' '<!-- $request_id --></html>'; }}
  }}
"""
_REFERENCE = """
  upstream site {{ server 127.0.0.1:{site}; keepalive 128; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    proxy_pass_header Server; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k;
    location / {{ proxy_pass http://site; }}
    location ~ ^/(page|fresh).html$ {{
      proxy_pass http://site; sub_filter_once off;
      sub_filter ' src="https://www.googletagmanager.com' ' data-src="https://www.googletagmanager.com';
      sub_filter '</head>' '<script src="/banner.js"></script></head>';
    }}
  }}
"""
_VESTIBULE = """
site: {{name: Bench, hosts: [{host}], upstream: "http://127.0.0.1:{site}"}}
listen: 127.0.0.1:{port}
dashboard: {{listen: "127.0.0.1:{admin}"}}
policy: {{revision: "1", url: /privacy, contact: privacy@bench.example}}
cookies: {{declare: {{session: {{purpose: necessary}}}}}}
store: clickhouse://127.0.0.1:9/none
"""
_TRACKERS = "unknown: block\nservices: {google-analytics: ask, google-tag-manager: ask, youtube: ask}\n"
_UVICORN = """
import asyncio, uvicorn
{app}
uvicorn.run(app, port={port}, loop="uvloop", http="httptools", access_log=False, log_level="error", lifespan="auto")
"""
_ASGIPROXY = """
from asgiproxy.config import BaseURLProxyConfigMixin, ProxyConfig
from asgiproxy.context import ProxyContext
from asgiproxy.simple_proxy import make_simple_proxy_app
class Config(BaseURLProxyConfigMixin, ProxyConfig):
    upstream_base_url = "http://127.0.0.1:{site}"
app = make_simple_proxy_app(ProxyContext(Config(), max_concurrency=128))
"""
_FASTAPI_PROXY_LIB = """
from fastapi_proxy_lib.fastapi.app import reverse_http_app
app = reverse_http_app(base_url="http://127.0.0.1:{site}/")
"""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running proxy. pids: the processes that do its work, whose time and memory is its own; aside: those beside."""

    name: str
    port: int
    pids: tuple[int, ...]
    aside: tuple[int, ...] = field(default=())


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def _started(core: int | None, command: Sequence[str], port: int, folder: Path, **environ: str) -> Iterator[int]:
    """Run on one core (None: on any) until it listens; yields its process id."""
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [*([] if core is None else ["taskset", "-c", str(core)]), *command],
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if process.poll() is not None:
                raise RuntimeError((folder / f"{port}.log").read_text("utf-8", "replace")[-2000:])
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _nginx(folder: Path, name: str, site: str) -> list[str]:
    path = folder / f"{name}.conf"
    path.write_text(_NGINX.format(folder=folder, name=name, site=site))
    return ["nginx", "-e", "/dev/null", "-c", str(path)]


@contextlib.contextmanager
def site(folder: Path, core: int | None = LOAD) -> Iterator[int]:
    """The site: an nginx that serves ``folder/www``; yields its port."""
    port = free_port()
    with _started(core, _nginx(folder, "site", _SITE.format(port=port, folder=folder)), port, folder):
        yield port


@contextlib.contextmanager
def nginx(folder: Path, behind: int) -> Iterator[Contestant]:
    port = free_port()
    command = _nginx(folder, "reference", _REFERENCE.format(port=port, site=behind))
    with _started(PROXY, command, port, folder) as pid:
        yield Contestant("nginx", port, (pid, *_children(pid)))


@contextlib.contextmanager
def vestibule(folder: Path, behind: int, *, pinned: bool = True, workers: int = 1) -> Iterator[Contestant]:
    """``vestibule serve``, whole: cookies, headers, the policy, facts on their way to a recorder.

    pinned: workers are on a core of their own, and all else on the other; else all are where they want to be.
    """
    port, config = free_port(), folder / "config"
    config.mkdir()
    written = _VESTIBULE.format(port=port, site=behind, host=HOST, admin=free_port())
    (config / "site.yaml").write_text(written)
    (config / "trackers.yaml").write_text(_TRACKERS)
    command = [sys.executable, "-m", "vestibule", "serve", "--config", str(config), "--state", str(folder / "state")]
    secret = "a secret that is long enough for benches"
    core = LOAD if pinned else None
    with _started(core, [*command, "--workers", str(workers)], port, folder, VESTIBULE_SECRET=secret) as pid:
        time.sleep(2.0)  # the recorder begins, too
        ours: list[int] = []
        others = [pid]
        for child in _children(pid):
            is_worker = b"vestibule.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
            (ours if is_worker else others).append(child)
        for worker in ours if pinned else ():
            os.sched_setaffinity(worker, {PROXY})
        yield Contestant("vestibule", port, tuple(ours), tuple(others))


def peers() -> Path | None:
    """The folder of the other proxies' programs, which are installed on first use; None where that fails."""
    done = PEERS / ".installed"
    if done.exists() and done.read_text() == "\n".join(PINNED):
        return PEERS / "bin"
    print("installing the other proxies, once …", file=sys.stderr)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS)], check=True, capture_output=True)
        pip = [str(PEERS / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PINNED], check=True, capture_output=True, timeout=600)
    except (subprocess.SubprocessError, OSError):
        shutil.rmtree(PEERS, ignore_errors=True)
        return None
    done.write_text("\n".join(PINNED))
    return PEERS / "bin"


@contextlib.contextmanager
def peer(name: str, folder: Path, programs: Path, behind: int) -> Iterator[Contestant]:
    """``asgiproxy``, ``fastapi-proxy-lib`` or ``mitmproxy``."""
    port = free_port()
    if name == "mitmproxy":
        options = ["--mode", f"reverse:http://127.0.0.1:{behind}", "--listen-host", "127.0.0.1", "-p", str(port)]
        command = [str(programs / "mitmdump"), "--quiet", "--set", f"confdir={folder}/mitm", *options]
    else:
        app = {"asgiproxy": _ASGIPROXY, "fastapi-proxy-lib": _FASTAPI_PROXY_LIB}[name].format(site=behind)
        command = [str(programs / "python"), "-c", _UVICORN.format(app=app, port=port)]
    with _started(PROXY, command, port, folder) as pid:
        yield Contestant(name, port, (pid, *_children(pid)))


PEER_NAMES = ("asgiproxy", "fastapi-proxy-lib", "mitmproxy")


def busy(pids: Sequence[int]) -> float:
    """Processor seconds of processes so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pids: Sequence[int]) -> float:
    """Resident megabytes of processes."""
    total = 0.0
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
    return total
