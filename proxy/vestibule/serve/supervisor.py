"""Starts the children, watches them, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vestibule.process import ADMIN, AGAIN, READY, address
from vestibule.serve.plan import Plan, ServeError, notify, python, say, words

STABLE = 10.0
"""Seconds after which a process counts as healthy, so that its next death is a first one."""

DELAY = 0.1
DELAY_MAX = 15.0
"""Seconds before a dead process is started again: the first, and the bound of doubling."""

ATTEMPTS = 5
"""Times that a worker may die before any has ever answered; then something is wrong that no restart mends."""

RECORDER_GRACE = 15.0
"""Seconds the recorder has to write what it holds, once the workers are gone."""


@dataclass(slots=True)
class Child:
    """One place for a process: what to start in it, and what runs in it now."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    descriptors: tuple[int, ...]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    ready: bool = False
    again: bool = False
    pipe: int = -1
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def alive(self) -> bool:
        return self.process is not None

    def delay(self, now: float) -> float:
        """Seconds to wait before this one is started again; counts the death."""
        self.failures = 0 if now - self.started >= STABLE else self.failures + 1
        return 0.0 if self.failures == 0 else min(DELAY * 2 ** (self.failures - 1), DELAY_MAX)

    def send(self, number: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


def _child_setup() -> Callable[[], None]:
    """What a child does between fork and exec: die with its parent, and ignore SIGHUP until it can act on it.

    PR_SET_PDEATHSIG (prctl(2)) is Linux's; elsewhere workers look after their parent themselves.
    """
    parent = os.getpid()
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def setup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if library is not None:
            library.prctl(1, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return setup


class Supervisor:
    """Starts the children of a plan and watches them until told to stop."""

    def __init__(
        self,
        plan: Plan,
        environ: Mapping[str, str],
        public: Sequence[socket.socket],
        admin: Sequence[socket.socket],
    ) -> None:
        self._plan = plan
        self._public = list(public)
        self._admin = list(admin)
        self._setup = _child_setup()
        self._stopping = False
        self._announced = False
        self._hopeless = False
        self._changed = asyncio.Event()
        folders = ("--config", plan.config, "--state", plan.state)
        dev = ("--dev",) if plan.dev else ()
        listeners = tuple(listener.fileno() for listener in public)
        administration = tuple(listener.fileno() for listener in admin)
        self._recorder = Child(
            "recorder",
            python("vestibule.counting", *folders),
            {**environ, ADMIN: ",".join(map(str, administration))},
            administration,
        )
        numbers = [f"--fd={descriptor}" for descriptor in listeners]
        self._workers = [
            Child(
                f"worker {number}",
                python("vestibule.worker", *folders, *dev, *numbers, f"--number={number}", f"--drain={plan.drain:g}"),
                environ,
                listeners,
            )
            for number in range(1, plan.workers + 1)
        ]

    @property
    def _children(self) -> Iterator[Child]:
        yield self._recorder
        yield from self._workers

    async def run(self) -> None:
        """Run until a signal ends it. Raises ServeError where no worker can be brought to answer."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        try:
            for child in self._children:
                self._start(child)
            await self._changed.wait()
            await self._drain()
            if self._hopeless:
                raise ServeError(
                    f"a worker ended {ATTEMPTS} times without ever having answered; its own words are above"
                )
        finally:
            for child in self._children:
                child.send(signal.SIGKILL)

    # - starting

    def _start(self, child: Child) -> None:
        child.timer = None
        if self._stopping:
            return
        read, write = os.pipe()
        again = {AGAIN: "1"} if child.again else {}
        try:
            child.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                child.command,
                env={**child.environ, **again, READY: str(write)},
                stdin=subprocess.DEVNULL,
                pass_fds=(*child.descriptors, write),
                # Its own group: what is typed in a terminal reaches the supervisor alone, which drains in order.
                process_group=0,
                preexec_fn=self._setup,  # sound: this process has one thread
            )
        except (OSError, subprocess.SubprocessError) as error:
            os.close(read)
            say(f"{child.name} could not be started: {words(error)}")
            child.started = time.monotonic()
            self._again(child)
            return
        finally:
            os.close(write)
        child.started = time.monotonic()
        child.ready, child.again = False, True
        child.pipe = read
        asyncio.get_running_loop().add_reader(read, self._hear, child, read)

    def _hear(self, child: Child, pipe: int) -> None:
        """A child wrote that it answers, or closed its end."""
        with contextlib.suppress(OSError):
            child.ready = bool(os.read(pipe, 1)) or child.ready
        self._close_pipe(child)
        if not self._announced and not self._stopping and any(worker.ready for worker in self._workers):
            self._announced = True
            upstream = f" (upstream {self._plan.upstream})" if self._plan.upstream else ""
            for listener in self._public:
                say(f"serving {address(listener)}{upstream}")
            for listener in self._admin:
                say(f"dashboard {address(listener)}")
            notify("READY=1")

    def _close_pipe(self, child: Child) -> None:
        if child.pipe >= 0:
            asyncio.get_running_loop().remove_reader(child.pipe)
            os.close(child.pipe)
            child.pipe = -1

    # - watching

    def _reap(self) -> None:
        for child in self._children:
            if child.process is None or (code := child.process.poll()) is None:
                continue
            child.process = None
            self._close_pipe(child)
            if self._stopping:
                self._changed.set()
                continue
            self._again(child, _ending(code))

    def _again(self, child: Child, ending: str = "") -> None:
        delay = child.delay(time.monotonic())
        if not self._announced and child is not self._recorder and child.failures >= ATTEMPTS:
            self._hopeless = self._stopping = True
            self._changed.set()
            return
        if ending:
            when = f"in {delay:g} s" if delay else "at once"
            say(f"{child.name} ended ({ending}); starting it again {when}")
        child.timer = asyncio.get_running_loop().call_later(delay, self._start, child)

    def _reload(self) -> None:
        for worker in self._workers:
            worker.send(signal.SIGHUP)

    # - ending

    def _stop(self) -> None:
        if self._stopping:
            say("stopping now")
            for child in self._children:
                child.send(signal.SIGKILL)
        self._stopping = True
        self._changed.set()

    async def _drain(self) -> None:
        """Workers first, then the recorder, which takes what they still send."""
        notify("STOPPING=1")
        for child in self._children:
            if child.timer is not None:
                child.timer.cancel()
        # While a listener is open anywhere, clients would queue up for an answer that no one gives.
        for listener in self._public:
            listener.close()
        if any(worker.alive for worker in self._workers):
            say("stopping: running requests are finished first; once more to stop now")
        # A worker keeps the limit itself; the seconds on top are for its last words to the recorder.
        await self._end(self._workers, self._plan.drain + 5)
        await self._end([self._recorder], RECORDER_GRACE)

    async def _end(self, children: Sequence[Child], limit: float) -> None:
        deadline = time.monotonic() + limit
        for child in children:
            child.send(signal.SIGTERM)
        while any(child.alive for child in children):
            self._changed.clear()
            self._reap()
            if not any(child.alive for child in children):
                return
            left = deadline - time.monotonic()
            if left <= 0:
                for child in children:
                    if child.alive:
                        say(f"{child.name} did not end within {limit:g} s and is cut off")
                    child.send(signal.SIGKILL)
                deadline = time.monotonic() + limit
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(left, 0.1))


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"signal {signal.Signals(-code).name.removeprefix('SIG')}"
    except ValueError:
        return f"signal {-code}"
