"""What the recorder process is composed of: the recorder, its socket and the admin app.

The supervisor starts it as ``python -m vestibule.counting``. Commands that find no such process running compose the
same for as long as they need it: see :func:`local`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from vestibule.config import Config
from vestibule.core.errors import ConfigError, LinkError, StoreError, VestibuleError
from vestibule.journal import take_over
from vestibule.live import LOOK, Live

if TYPE_CHECKING:
    import uvicorn

    from vestibule.recorder.backend import Calls
    from vestibule.recorder.service import Plan, Recorder

SOCKET = "recorder.sock"
READY = "VESTIBULE_READY_FD"
AGAIN = "VESTIBULE_AGAIN"
ADMIN = "VESTIBULE_ADMIN_FD"
SECRET = "VESTIBULE_SECRET"  # noqa: S105 - the variable's name

FIXED = ("site.name", "store", "dashboard", "limits", "geoip")
"""Settings that the recorder takes up only when it is started anew."""

log = logging.getLogger("vestibule.recorder")


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """The deployment's secrets, newest first. Raises VestibuleError where there is none."""
    found = [part.strip() for part in environ.get(SECRET, "").split(",") if part.strip()]
    if not found:
        raise VestibuleError(f"{SECRET} is not set")
    return found


def plan_of(config: Config, secret: str) -> Plan:
    """What the recorder needs of the configuration."""
    from vestibule.core.visit import Settings
    from vestibule.recorder.service import Plan

    return Plan(
        site=config.site.name,
        store=config.store,
        secret=secret,
        settings=Settings(
            hosts=frozenset(config.site.hosts),
            first_party=frozenset(config.site.first_party),
            timezone=ZoneInfo(config.site.timezone),
            pages=dict(config.analytics.pages),
            own=tuple(map(str, config.analytics.own)),
        ),
        timezone=config.site.timezone,
        k=config.analytics.k,
        live_every=config.analytics.live_every,
        keep_for=config.analytics.keep_for,
        spool=config.limits.spool,
    )


def compose(config: Config, state: Path, secret: str) -> Recorder:
    """Compose a recorder; not started yet."""
    from vestibule.recorder.lookups import Tables
    from vestibule.recorder.service import Recorder

    return Recorder(plan_of(config, secret), state, Tables(geoip_path(config)))


def geoip_path(config: Config) -> Path | None:
    """The country database: the configured one, else the shipped one, else none."""
    if config.geoip is not None:
        return config.geoip
    from vestibule import catalogue

    return catalogue.country_database()


class Counting:
    """The recorder process."""

    def __init__(self, live: Live, config: Config, state: Path, *, secrets: Sequence[str], supervised: bool) -> None:
        from vestibule.recorder.backend import Backend, Calls

        self._live, self._config, self._state, self._secrets = live, config, state, list(secrets)
        self._supervised = supervised
        self._parent = os.getppid()
        self._recorder = compose(config, state, secrets[0])
        self._backend = Backend(self._recorder, self._config_health)
        self._calls = Calls(self._recorder, self._backend)
        self._stopping = asyncio.Event()

    async def run(self, sockets: Sequence[socket.socket], ready: Callable[[], None]) -> None:
        """Count until a signal ends it. sockets: the admin app's listeners; none: it binds its own."""
        from vestibule.link import Receiver

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        receiver = Receiver()
        tasks: list[asyncio.Task[None]] = []
        path = self._state / SOCKET
        await self._recorder.start()
        try:
            self._recorder.run()
            await receiver.serve(str(path), self._recorder.hits, self._recorder.record, self._calls)
            ready()
            server, app = self._admin()
            tasks.append(asyncio.create_task(server.serve(list(sockets) or None)))
            tasks.append(asyncio.create_task(self._watch()))
            tasks.append(asyncio.create_task(self._greet(app)))
            tasks.append(asyncio.create_task(self._take_over()))
            await self._stopping.wait()
            server.should_exit = True
            await asyncio.wait(tasks[:1], timeout=3)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await receiver.close()
            with contextlib.suppress(OSError):
                path.unlink()
            await self._recorder.stop()

    def _admin(self) -> tuple[uvicorn.Server, Any]:
        import uvicorn

        from vestibule import dashboard

        config = self._config
        settings = dashboard.Settings(
            site=config.site.name,
            timezone=config.site.timezone,
            secrets=tuple(self._secrets),
            k=config.analytics.k,
            live_every=config.analytics.live_every,
            observe=config.mode == "observe",
        )
        app = dashboard.create_app(self._backend, settings)
        host, _, port = config.dashboard.listen.rpartition(":")
        uvicorn_config = uvicorn.Config(
            app,
            host=host.strip("[]"),
            port=int(port),
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=200,
            timeout_graceful_shutdown=2,
        )
        return _server(uvicorn_config), app

    async def _greet(self, app: Any) -> None:
        """Print the link by which the first account is made, once the store can say that there is none."""
        from vestibule.dashboard import first_login_path

        while True:
            try:
                path = await first_login_path(app)
                break
            except StoreError:
                await asyncio.sleep(5)
        if path is not None:
            print(f"vestibule: first login http://{self._config.dashboard.listen}{path}", file=sys.stderr, flush=True)

    async def _take_over(self) -> None:
        """Take what workers wrote while this process was away, and what they still write where it did not answer."""
        while True:
            try:
                await take_over(self._state, self._recorder.record)
            except (VestibuleError, OSError) as error:
                log.warning("consent records wait in the journal: %s", error)
                await asyncio.sleep(5)
            await asyncio.sleep(1)

    async def _watch(self) -> None:
        """Follow the configuration, and the supervisor, without which nobody would end this process."""
        while True:
            await asyncio.sleep(LOOK)
            if self._supervised and os.getppid() != self._parent:
                self._stopping.set()
            if self._live.changed():
                with contextlib.suppress(ConfigError):
                    config = await asyncio.to_thread(self._live.reload)
                    self._recorder.reload(plan_of(config, self._secrets[0]))
                    self._config = config

    def _config_health(self) -> dict[str, Any]:
        problems = [str(problem) for problem in self._live.problems]
        return {"revision": self._config.revision, **({"error": "; ".join(problems[:5])} if problems else {})}


class LocalRecorder:
    """A recorder that lives as long as a command, for when none is running: the same calls, no socket.

    ``with LocalRecorder(config, state, secret) as recorder: recorder.call("breakdown", by="page")``
    """

    def __init__(self, config: Config, state: Path, secret: str) -> None:
        self._config, self._state, self._secret = config, state, secret
        self._runner = asyncio.Runner()
        self._recorder: Recorder | None = None
        self._calls: Calls | None = None

    def __enter__(self) -> LocalRecorder:
        self._runner.__enter__()
        try:
            self._runner.run(self._start())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._recorder is not None:
                self._runner.run(self._recorder.stop())
        finally:
            self._runner.close()

    def call(self, name: str, /, **params: Any) -> Any:
        """Ask; see ``recorder.backend.Calls``. Raises StoreError or another VestibuleError."""
        if self._calls is None:
            raise LinkError("the recorder is not open")
        return self._runner.run(_awaited(self._calls, name, params))

    async def _start(self) -> None:
        from vestibule.recorder.backend import Backend, Calls

        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        recorder = compose(self._config, self._state, self._secret)
        await recorder.start()
        self._recorder = recorder
        self._calls = Calls(recorder, Backend(recorder))


async def _awaited(calls: Calls, name: str, params: Mapping[str, Any]) -> Any:
    return await calls(name, params)


@contextlib.contextmanager
def local(config: Config, state: Path, secrets: str | Sequence[str]) -> Iterator[Callable[..., Any]]:
    """A recorder for the length of a command; yields ``call(name, **params)``.

    secrets: newest first; as a text, comma-separated.

    Raises VestibuleError; the store's troubles are raised by the calls.
    """
    found = secrets_of({SECRET: secrets}) if isinstance(secrets, str) else list(secrets)
    with LocalRecorder(config, state, found[0]) as recorder:
        yield recorder.call


def _server(config: uvicorn.Config) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        """uvicorn's server without its signal handlers: signals are the process's."""

        @contextlib.contextmanager
        def capture_signals(self) -> Any:
            yield

    return Server(config)


# -- the process -------------------------------------------------------------------------------------------------------


class _Terse(logging.Formatter):
    """One line a record. Of an exception its type and place only: its words may hold what a visitor sent."""

    def format(self, record: logging.LogRecord) -> str:
        words = record.getMessage().strip().partition("\n")[0]
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            frames = traceback.extract_tb(error.__traceback__)[-3:]
            where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
            words = f"{words}: {type(error).__name__} at {where}"
        return f"vestibule: recorder: {words}"


def _start_log() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Terse())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)


def _ready() -> None:
    """Tell the supervisor that this process answers."""
    descriptor = os.environ.pop(READY, "")
    if descriptor.isdigit():
        with contextlib.suppress(OSError):
            os.write(int(descriptor), b"1")
            os.close(int(descriptor))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recorder; returns the exit status."""
    parser = argparse.ArgumentParser(prog="vestibule.counting")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args(arguments)
    _start_log()
    descriptors = [int(part) for part in os.environ.get(ADMIN, "").split(",") if part.isdigit()]
    try:
        live = Live(options.config, os.environ, options.state)
        config = live.first(again=AGAIN in os.environ)
        secrets = secrets_of(os.environ)
        options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(_run(live, config, options.state, secrets, sockets, supervised=bool(descriptors)))
    except (VestibuleError, OSError) as error:
        for line in str(error).splitlines():
            log.error("%s", line)
        return 1
    return 0


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _run(
    live: Live,
    config: Config,
    state: Path,
    secrets: Sequence[str],
    sockets: Sequence[socket.socket],
    *,
    supervised: bool,
) -> None:
    await Counting(live, config, state, secrets=secrets, supervised=supervised).run(sockets, _ready)


if __name__ == "__main__":
    sys.exit(main())
