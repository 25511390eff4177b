"""The configuration is changed again and again while pages are asked for: none fails, and each is wholly of one
configuration: its elements, its banner and the policy in its headers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.client
import itertools
import re
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.servers import serve_asgi, wait_until
from tests.services import Service, service

HOST = "example.test"
PIECES = 8
PAUSE = 0.01
"""Seconds between two pieces of a page, so that most changes come in the middle of some."""
BROKEN_EVERY = 7
LANES = 3

STATES = {"one": ("allow", "block"), "other": ("block", "allow")}
TRACKERS = """\
unknown: block
custom:
  left: {{hosts: [left.example], purpose: marketing, state: {}}}
  right: {{hosts: [right.example], purpose: statistics, state: {}}}
"""
HEADERS = {"Host": HOST, "Accept": "text/html", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}


async def page(_: Request) -> Response:
    """A page that tells in each of its pieces what decided on it."""

    async def pieces() -> AsyncIterator[str]:
        yield "<!doctype html><title>Page</title>"
        for number in range(PIECES):
            await asyncio.sleep(PAUSE)
            yield f'<script src="https://left.example/{number}.js"></script><img src="https://right.example/{number}.gif">'

    return StreamingResponse(pieces(), media_type="text/html")


SITE = Starlette(routes=[Route("/", page)])

Seen = tuple[bytes, str]
"""A page, and the policy in its headers."""


def ask(connection: http.client.HTTPConnection) -> Seen:
    connection.request("GET", "/", headers=HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200
    return body, answer.getheader("Content-Security-Policy", "")


class Readers:
    """Threads that ask for the page until they are stopped."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._stopping = threading.Event()
        self.seen: Counter[Seen] = Counter()
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._read) for _ in range(LANES)]

    def _read(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        while not self._stopping.is_set():
            try:
                self.seen[ask(connection)] += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(repr(error))
                connection.close()
        connection.close()

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)


@contextlib.contextmanager
def wrk(url: str) -> Iterator[list[str]]:
    """wrk beside it, where it is installed; what it said is in the list afterwards."""
    said: list[str] = []
    command = shutil.which("wrk")
    if command is None:
        yield said
        return
    given = [f"-H{name}: {value}" for name, value in HEADERS.items()]
    arguments = [command, "-t1", "-c4", "-d7200s", "--timeout", "30s", *given, url + "/"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        yield said
    finally:
        process.send_signal(signal.SIGINT)
        said.append(process.communicate(timeout=60)[0])


def put(folder: Path, text: str) -> None:
    fresh = folder / "trackers.new"
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(folder / "trackers.yaml")


def change(running: Service, text: str, words: str) -> None:
    """Change the file, and wait until it was taken up or refused."""
    said = running.said(words)
    put(running.folder, text)
    running.running.process.send_signal(signal.SIGHUP)
    wait_until(lambda: running.said(words) > said, words)


def known(running: Service) -> dict[str, Seen]:
    """The page as it is by each of the two."""
    found: dict[str, Seen] = {}
    for name, states in STATES.items():
        change(running, TRACKERS.format(*states), "config: taken up")
        wait_until(functools.partial(settled, running, name, found), "all workers to know")
    return found


def settled(running: Service, name: str, found: dict[str, Seen]) -> bool:
    """Whether all workers go by one of the two; puts its page into ``found``."""
    pages = set()
    for _ in range(6):
        with contextlib.closing(http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=30)) as connection:
            pages.add(ask(connection))
    found[name] = next(iter(pages))
    return len(pages) == 1 and marks(*found[name]) == {name}


def marks(body: bytes, policy: str) -> set[str]:
    """By which of the two each piece of a page was made, and its headers."""
    text = body.decode()
    left = re.findall(r'<script [^>]*?(data-vestibule-src|src)="https://left\.example/', text)
    right = re.findall(r'<img [^>]*?(data-vestibule-src|src)="https://right\.example/', text)
    assert len(left) == len(right) == PIECES
    made = {("one" if name == "src" else "other") for name in left}
    made |= {("other" if name == "src" else "one") for name in right}
    return made | {name for name, host in (("one", "left"), ("other", "right")) if f"{host}.example" in policy}


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_no_request_fails_and_no_page_is_mixed(count: int, tmp_path: Path) -> None:
    with serve_asgi(SITE) as upstream, service(tmp_path, upstream, "--workers", "1" if count < 100 else "2") as running:
        workers = running.children("vestibule.worker")
        pages = known(running)
        assert pages["one"] != pages["other"]
        states = itertools.cycle(STATES.values())
        with wrk(running.url) as said, Readers(running.url) as readers:
            for number in range(count):
                if number % BROKEN_EVERY == BROKEN_EVERY - 1:
                    change(running, "unknown: perhaps\n", "config: not taken up")
                else:
                    change(running, TRACKERS.format(*next(states)), "config: taken up")
        assert readers.failed == []
        assert set(readers.seen) == set(pages.values())
        assert min(readers.seen.values()) > count / 10, readers.seen.values()
        assert running.children("vestibule.worker") == workers
        for text in said:
            print(text)
            assert "Non-2xx" not in text
            assert "Socket errors" not in text
            assert int(re.findall(r"(\d+) requests in", text)[0]) > count
