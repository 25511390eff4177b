"""Our reverse proxy beside nginx's, by requests a second and by processor time.

Needs ``nginx`` and ``wrk``. Run: ``python -m bench proxy``, or ``python bench/proxy.py [json] [page] [download]``. Both
proxies are pinned to the first core, the site (another nginx) and the load to the second. The ratio by processor time
is the one to trust on a busy machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

SIZES = {"json": 1024, "page": 50_000, "download": 5_000_000}
SECONDS = 4
CONNECTIONS = 32

NGINX = """
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log /dev/null;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 1000000; sendfile on; default_type application/json;
  client_body_temp_path {folder}/{name}-1; proxy_temp_path {folder}/{name}-2; fastcgi_temp_path {folder}/{name}-3;
  uwsgi_temp_path {folder}/{name}-4; scgi_temp_path {folder}/{name}-5;
  {site}
}}
"""
SITE = "server {{ listen 127.0.0.1:{port}; root {folder}/www; }}"
PROXY = """
  upstream site {{ server 127.0.0.1:{site_port}; keepalive 128; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://site; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k; }} }}
"""
OURS = """
import uvicorn
from vestibule.protocol import HardenedProtocol, HardenedWebSocket
from vestibule.upstream import Upstream
uvicorn.run(Upstream("http://127.0.0.1:{site_port}"), port={port}, http=HardenedProtocol, ws=HardenedWebSocket,
    loop="uvloop", lifespan="on", proxy_headers=False, server_header=False, date_header=False, access_log=False,
    log_level="warning")
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def started(core: int, command: list[str], port: int) -> Iterator[int]:
    """Run on one core until it listens; yields its process id."""
    process = subprocess.Popen(["taskset", "-c", str(core), *command])
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def nginx(folder: Path, name: str, site: str) -> list[str]:
    path = folder / f"{name}.conf"
    path.write_text(NGINX.format(folder=folder, name=name, site=site))
    return ["nginx", "-e", "/dev/null", "-c", str(path)]


def busy(pid: int) -> float:
    """Processor seconds of a process and its children so far."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ticks = 0
    for entry in [str(pid), *children]:
        fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(pid: int, url: str) -> tuple[float, float, str]:
    """Requests a second, processor microseconds a request, 99th percentile."""
    before = busy(pid)
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", "--latency", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = busy(pid) - before
    count, rate, slow = (
        re.search(pattern, said) for pattern in (r"(\d+) requests in", r"Requests/sec:\s+([\d.]+)", r"99%\s+(\S+)")
    )
    assert count is not None
    assert rate is not None
    assert slow is not None
    if trouble := re.search(r"Socket errors.*|Non-2xx.*", said):
        print(f"  {trouble[0]}", file=sys.stderr)
    return float(rate[1]), used / int(count[1]) * 1e6, slow[1]


def main(names: Sequence[str] = ()) -> int:
    if not (shutil.which("nginx") and shutil.which("wrk") and (os.cpu_count() or 1) > 1):
        print("needs nginx, wrk and two processor cores", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "www").mkdir()
        for case, size in SIZES.items():
            (folder / "www" / case).write_bytes(b"x" * size)
        site, theirs, ours = free_port(), free_port(), free_port()
        stack.enter_context(started(1, nginx(folder, "site", SITE.format(port=site, folder=folder)), site))
        proxy = nginx(folder, "proxy", PROXY.format(port=theirs, site_port=site))
        reference = stack.enter_context(started(0, proxy, theirs))
        own = [sys.executable, "-c", OURS.format(site_port=site, port=ours)]
        candidate = stack.enter_context(started(0, own, ours))
        print(f"{'':10} {'nginx/s':>9} {'ours/s':>9} {'ratio':>6} {'by cpu':>7} {'p99 nginx':>10} {'p99 ours':>10}")
        for case in names or SIZES:
            rate, cost, slow = measure(reference, f"http://127.0.0.1:{theirs}/{case}")
            our_rate, our_cost, our_slow = measure(candidate, f"http://127.0.0.1:{ours}/{case}")
            ratios = f"{our_rate / rate:6.2f} {cost / our_cost:7.2f}"
            print(f"{case:10} {rate:9.0f} {our_rate:9.0f} {ratios} {slow:>10} {our_slow:>10}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
