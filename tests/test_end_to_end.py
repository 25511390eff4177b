"""The main job from end to end: pages are served, counted, released, shown; and no visitor is left on disk."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import ROOT, Running, free_port, serve_asgi, vestibule_process, wait_until
from tests.sites import SITE, TRACKERS_YAML
from vestibule.middleware import ConsentMiddleware

K = 5
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
OFTEN, RARELY = 9, 3
RELEASED_WITHIN = 60.0


@dataclass
class Service:
    port: int
    config: Path
    state: Path
    running: Running

    def get(self, path: str, address: str, *extra: tuple[str, str]) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {
            "Host": "relaso.com",
            "User-Agent": AGENT,
            "Accept": "text/html",
            "Accept-Language": "de-DE,de;q=0.9",
            "Accept-Encoding": "identity",
            "Sec-Fetch-Dest": "document",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Site": "none",
            "Sec-Fetch-User": "?1",
            "X-Forwarded-For": address,
            **dict(extra),
        }
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def stats(self, *arguments: str) -> dict[str, object]:
        command = [sys.executable, "-m", "vestibule", "stats", *arguments]
        done = subprocess.run(
            [*command, "--config", str(self.config), "--state", str(self.state)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.state,
            env={"PYTHONPATH": str(ROOT / "proxy"), "VESTIBULE_SECRET": "a secret for tests", "PATH": "/usr/bin"},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def pages(self) -> dict[str, int]:
        rows = self.stats("breakdown", "--kind", "view", "--by", "page")["rows"]
        assert isinstance(rows, list)
        return {row["value"]: row["count"] for row in rows}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("end-to-end")
    config, state = folder / "config", folder / "state"
    config.mkdir()
    port, admin = free_port(), free_port()
    with serve_asgi(SITE) as upstream:
        (config / "site.yaml").write_text(
            f"""\
site: {{name: relaso.com, hosts: [relaso.com], upstream: "{upstream}"}}
listen: 127.0.0.1:{port}
dashboard: {{listen: 127.0.0.1:{admin}}}
analytics: {{k: {K}, live_every: 2s}}
store: chdb://{folder}/store
""",
            encoding="utf-8",
        )
        (config / "trackers.yaml").write_text(TRACKERS_YAML, encoding="utf-8")
        arguments = ["serve", "--workers", "1", "--config", str(config), "--state", str(state)]
        ready = [f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{admin}/healthz"]
        environ = {"VESTIBULE_SECRET": "a secret for tests"}
        with vestibule_process(arguments, environ, ready=ready, patience=60) as running:
            yield Service(port, config, state, running)


def addresses(first: int, count: int) -> list[str]:
    """Addresses whose full form occurs nowhere else."""
    return [f"91.37.{first}.{number}" for number in range(17, 17 + count)]


def test_pages_that_were_visited_are_shown_and_nothing_below_k(service: Service) -> None:
    for page, count in (("/page", OFTEN), ("/echo", OFTEN), ("/elsewhere-often", OFTEN), ("/rarely", RARELY)):
        for number, address in enumerate(addresses(len(page), count)):
            service.get(f"{page}?email=someone{number}@example.org", address)
    wait_until(lambda: "/page" in service.pages(), "the released page", RELEASED_WITHIN)
    shown = service.pages()
    # Numbers of the open day are rounded down to multiples of k.
    assert shown["/page"] == OFTEN // K * K
    assert not any("rarely" in page for page in shown)
    for by in ("page", "referrer", "country", "browser", "language", "network"):
        answer = service.stats("breakdown", "--kind", "view", "--by", by)
        assert answer["provisional"] is True
        rows = answer["rows"]
        assert isinstance(rows, list)
        assert all(row["visitors"] >= K for row in rows)


def test_what_was_held_back_is_counted(service: Service) -> None:
    def blocked() -> list[str]:
        rows = service.stats("breakdown", "--kind", "blocked", "--by", "service")["rows"]
        assert isinstance(rows, list)
        return [row["value"] for row in rows]

    wait_until(lambda: "youtube" in blocked(), "the held services", RELEASED_WITHIN)


def test_an_objector_is_counted_only_as_one(service: Service) -> None:
    for address in addresses(99, OFTEN):
        service.get("/page", address, ("Sec-GPC", "1"))

    def objections() -> int:
        points = service.stats("timeseries", "--kind", "consent", "--interval", "day")["points"]
        assert isinstance(points, list)
        return sum(point["count"] for point in points)

    wait_until(lambda: objections() >= OFTEN, "the objections", RELEASED_WITHIN)
    assert service.pages()["/page"] == OFTEN // K * K


def test_nothing_on_disk_is_a_visitor(service: Service) -> None:
    """Reads every byte under the store and the state folder. Runs last: by then all has been written."""
    content = b"".join(
        path.read_bytes() for folder in (service.state.parent,) for path in folder.rglob("*") if path.is_file()
    )
    assert b"/page" in content
    for address in addresses(5, OFTEN) + addresses(99, OFTEN):
        assert address.encode() not in content
        packed = bytes(map(int, address.split(".")))
        assert packed not in content, "an address in four bytes"
    for left in (AGENT.encode(), b"Gecko/20100101", b"someone0", b"@example.org", b"a secret for tests"):
        assert left not in content
    assert not re.search(rb"91\.37\.\d+\.(1[7-9]|2\d)\b", content)


def test_the_recorder_is_small_enough(service: Service) -> None:
    sizes = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            command = (status.parent / "cmdline").read_bytes()
            words = status.read_text(encoding="utf-8")
        except OSError:
            continue
        if str(service.state).encode() in command:
            kind = (
                "recorder" if b"vestibule.counting" in command else "worker" if b"vestibule.worker" in command else ""
            )
            sizes[kind] = int(words.partition("VmRSS:")[2].split()[0]) // 1024
    assert sizes["recorder"] <= 500
    assert sizes["worker"] <= 80


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="nothing tells who waits")
def test_the_recorder_keeps_to_one_processor(service: Service) -> None:
    (recorder,) = service.running.children("vestibule.counting")
    for task in Path(f"/proc/{recorder}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            assert len(os.sched_getaffinity(int(task.name))) == 1
    worker, *_ = service.running.children("vestibule.worker")
    assert os.sched_getaffinity(worker) == os.sched_getaffinity(0)


def test_the_middleware_in_an_app_counts_beside_a_recorder(tmp_path: Path) -> None:
    """The way of the README: the middleware by its folder, and `vestibule recorder`, which share a state folder."""
    config, state = tmp_path / "config", tmp_path / "state"
    config.mkdir()
    admin = free_port()
    (config / "site.yaml").write_text(
        f"""\
site: {{name: relaso.com, hosts: [relaso.com], upstream: "http://127.0.0.1:9"}}
dashboard: {{listen: 127.0.0.1:{admin}}}
analytics: {{k: {K}, live_every: 2s}}
store: chdb://{tmp_path}/store
""",
        encoding="utf-8",
    )
    environ = {"VESTIBULE_SECRET": "a secret for tests"}
    arguments = ["recorder", "--config", str(config), "--state", str(state)]
    ready = [f"http://127.0.0.1:{admin}/healthz"]
    app = ConsentMiddleware(SITE, config, secrets=["a secret for tests"], state=state)
    with (
        vestibule_process(arguments, environ, ready=ready, patience=60) as running,
        serve_asgi(app, lifespan="on") as url,
    ):
        service = Service(int(url.rpartition(":")[2]), config, state, running)
        for address in addresses(7, OFTEN):
            assert service.get("/page", address) == 200
        wait_until(lambda: service.pages().get("/page") == OFTEN // K * K, "the released page", RELEASED_WITHIN)
        (config / "trackers.yaml").write_text("unknown: allow\n", encoding="utf-8")
        wait_until(lambda: b' src="https://www.youtube.com' in _page(service), "the changed configuration")


def _page(service: Service) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    try:
        connection.request("GET", "/page", headers={"Host": "relaso.com", "Accept": "text/html"})
        return connection.getresponse().read()
    finally:
        connection.close()
