"""Starts the demo site and Vestibule in front of it, and ends both together."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vestibule import config
from vestibule.core.errors import VestibuleError

FOLDER = Path(__file__).parent / "config"
STATE = ".vestibule"
PORT = "DEMO_PORT"
READY_WITHIN = 60.0
"""Seconds from the start until everything answers; longer means that something is wrong."""
LOGIN_WITHIN = 2.0
"""Seconds more in which the link of the first login still gets into the summary; later it has a line of its own."""
ENDS_WITHIN = 45.0
"""Seconds for a process to end after it was asked to; then it is killed."""
LINE_LIMIT = 1 << 16
"""Bytes of one line of a child's log; a longer one is passed on in pieces."""

T = TypeVar("T")

_SETUP = re.compile(r"https?://\S+/setup\?token=\S+")
_ANNOUNCED = re.compile(r"vestibule: (serving|dashboard) http")


class DemoError(VestibuleError):
    """The demo cannot start; the message has one line for each reason."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address that must be free: who wants it, and what moves it elsewhere."""

    name: str
    host: str
    port: int
    variable: str

    @property
    def url(self) -> str:
        return f"http://{'localhost' if self.host in ('127.0.0.1', '0.0.0.0', '[::]') else self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Places:
    site: Place
    public: Place
    dashboard: Place


def places(environ: Mapping[str, str]) -> Places:
    """Where everything will listen, from ``demo/config`` and the environment. Raises DemoError, ConfigError."""
    text = environ.get(PORT, "3000")
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise DemoError(f"{PORT}: must be a port from 1 to 65535; is {text!r}")
    found = config.load(FOLDER, environ)
    return Places(
        Place("the demo site", "127.0.0.1", int(text), PORT),
        _place("Vestibule", found.listen, "VESTIBULE_LISTEN"),
        _place("the dashboard", found.dashboard.listen, "VESTIBULE_DASHBOARD__LISTEN"),
    )


def _place(name: str, listen: str, variable: str) -> Place:
    host, _, port = listen.rpartition(":")
    return Place(name, host, int(port), variable)


def check_free(wanted: Sequence[Place]) -> None:
    """Raise DemoError with a line for each address that another program has."""
    lines = []
    for place in wanted:
        host = place.host.strip("[]")
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, place.port))
            except OSError as error:
                number = f"{place.port + 10000}" if place.port < 50000 else "4000"
                value = number if place.variable == PORT else f"{place.host}:{number}"
                reason = (error.strerror or str(error)).lower()
                lines.append(
                    f"demo: port {place.port}, wanted for {place.name}, can't be had ({reason}); "
                    f"choose another with {place.variable}={value}"
                )
    if lines:
        raise DemoError("\n".join(lines))


class Demo:
    """Both processes. One that dies by itself ends the other: half a demo would only puzzle."""

    def __init__(self, where: Places, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._where = where
        self._say = say
        origin = f"http://{where.site.host}:{where.site.port}"
        self._environ = {"VESTIBULE_SITE__UPSTREAM": origin, **environ, "PYTHONUNBUFFERED": "1"}
        self._stop = asyncio.Event()
        self._announced = asyncio.Event()
        self._login: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._said = False

    async def run(self) -> int:
        """Run until a signal ends it; the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ask_to_stop)
        try:
            await self._start("the demo site", "demo.site", "--port", str(self._where.site.port))
            serve = ("serve", "--config", str(FOLDER), "--state", STATE, "--dev")
            await self._start("Vestibule", "vestibule", *serve)
            ends = {self._task(child.wait()): name for name, child in self._children.items()}
            stop = self._task(self._stop.wait())
            ready = self._task(self._ready())
            await asyncio.wait((*ends, stop, ready), return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and not ready.cancelled() and not ready.result():
                self._say(f"demo: nothing answered within {READY_WITHIN:g} s; its last words are above")
                return 1
            await asyncio.wait((*ends, stop), return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return 0
            name = next(name for task, name in ends.items() if task.done())
            self._say(f"demo: {name} ended by itself ({_ending(self._children[name].returncode)}); stopping the rest")
            return 1
        finally:
            await self._end()

    async def _start(self, name: str, module: str, *arguments: str) -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
            # Its own group: Ctrl-C reaches this process alone, which ends the others in order.
            process_group=0,
            preexec_fn=_die_with(os.getpid()),
        )  # fmt: skip
        self._children[name] = child
        assert child.stderr is not None
        self._task(self._relay(child.stderr))

    def _task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    async def _relay(self, stream: asyncio.StreamReader) -> None:
        """Pass on what a child says, but for what the summary says anyway."""
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than the limit: the reader has dropped it
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            if link := _SETUP.search(text):
                self._hear_login(link[0])
            elif announced := _ANNOUNCED.match(text):
                if announced[1] == "dashboard":
                    self._announced.set()
            else:
                self._say(text)

    def _hear_login(self, link: str) -> None:
        if self._said:
            self._say(f"  first dashboard login: {link}")
        elif not self._login.done():
            self._login.set_result(link)

    async def _ready(self) -> bool:
        """Wait until all three answer, then say where. False where they don't in time."""
        try:
            async with asyncio.timeout(READY_WITHIN):
                await self._announced.wait()
                await _answers(self._where.site)
                await _answers(self._where.dashboard)
        except TimeoutError:
            return False
        # No link comes where an account exists already, so the summary waits for it only shortly.
        await asyncio.wait((self._login,), timeout=LOGIN_WITHIN)
        self._said = True
        self._say(summary(self._where, self._login.result() if self._login.done() else ""))
        return True

    def _ask_to_stop(self) -> None:
        if self._stop.is_set():  # the second time: don't wait for running requests
            self._signal(signal.SIGTERM)
        self._stop.set()

    def _signal(self, number: signal.Signals) -> None:
        for child in self._children.values():
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(number)

    async def _end(self) -> None:
        """Vestibule first, so that requests on their way are still answered by the site."""
        for child in reversed(self._children.values()):
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.terminate()
                try:
                    await asyncio.wait_for(child.wait(), ENDS_WITHIN)
                except TimeoutError:
                    child.kill()
                    await child.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def summary(where: Places, login: str) -> str:
    """What somebody needs who has just typed `make run`."""
    rows = [
        ("Relaso behind Vestibule", where.public.url),
        ("the same without it", where.site.url),
        ("dashboard", where.dashboard.url),
        ("first dashboard login", login),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {address}" for name, address in rows if address]
    return "\n" + "\n".join(lines) + "\n\n  Ctrl-C ends it.\n"


async def _answers(place: Place) -> None:
    """Wait until somebody listens there; the caller bounds the time."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(place.host.strip("[]"), place.port)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
        await asyncio.sleep(0.05)


def _die_with(parent: int) -> Callable[[], None] | None:
    """Linux ends the child when this process is killed (prctl(2), PR_SET_PDEATHSIG); elsewhere nothing does."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)

    def setup() -> None:
        library.prctl(1, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return setup


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit status {code}"
    return f"signal {signal.Signals(-code).name.removeprefix('SIG')}"
