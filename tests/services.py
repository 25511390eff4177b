"""A whole ``vestibule serve`` for tests: its configuration, its processes, and what it says."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import Running, vestibule_process, wait_until

SECRET = "a secret that is long enough for tests"
AWAY = "clickhouse://nobody@127.0.0.1:9/none"
"""A store that is not there: the recorder starts at once, counts into its spool, and waits."""


def write_config(folder: Path, upstream: str, **extra: str) -> Path:
    """A small configuration; ``extra`` replaces or adds top-level settings, in YAML."""
    folder.mkdir(exist_ok=True)
    settings = {
        "site": f"{{name: example.test, hosts: [example.test], upstream: '{upstream}'}}",
        "listen": "127.0.0.1:0",
        "dashboard": "{listen: '127.0.0.1:0'}",
        "store": AWAY,
        "analytics": "{live_every: 2s}",
    } | extra
    (folder / "site.yaml").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    (folder / "trackers.yaml").write_text("unknown: block\n")
    return folder


@dataclass
class Service:
    """A running ``vestibule serve``."""

    running: Running
    folder: Path
    state: Path

    @property
    def url(self) -> str:
        return self._line("vestibule: serving ")

    @property
    def dashboard(self) -> str:
        return self._line("vestibule: dashboard ")

    @property
    def login(self) -> str:
        """The link of the first login that was printed last; empty before."""
        lines = [line for line in self.running.output().splitlines() if "first login " in line]
        return lines[-1].rpartition(" ")[2] if lines else ""

    def _line(self, start: str) -> str:
        def found() -> list[str]:
            return [line for line in self.running.output().splitlines() if line.startswith(start)]

        def done() -> bool:
            return bool(found()) or self.running.process.poll() is not None

        with contextlib.suppress(AssertionError):
            wait_until(done, start)
        assert found(), self.running.output()
        return found()[0].removeprefix(start).split()[0]

    def get(self, path: str = "/", host: str = "example.test") -> bytes:
        request = urllib.request.Request(self.url + path, headers={"Host": host})
        with urllib.request.urlopen(request, timeout=10) as answer:
            body: bytes = answer.read()
            return body

    def status(self, path: str = "/", host: str = "example.test") -> int:
        try:
            request = urllib.request.Request(self.url + path, headers={"Host": host})
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def children(self, module: str) -> list[int]:
        return self.running.children(module)

    def said(self, text: str) -> int:
        return self.running.output().count(text)


@contextlib.contextmanager
def service(tmp_path: Path, upstream: str, *arguments: str, **extra: str) -> Iterator[Service]:
    folder = write_config(tmp_path / "config", upstream, **extra)
    state = tmp_path / "state"
    command = ["serve", "--config", str(folder), "--state", str(state), *(arguments or ("--workers", "1"))]
    with vestibule_process(command, {"VESTIBULE_SECRET": SECRET}) as running:
        started = Service(running, folder, state)
        assert started.url
        yield started
