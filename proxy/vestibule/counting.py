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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from vestibule.config import Config
from vestibule.config.checks import OIDC_SECRET
from vestibule.core import secret
from vestibule.core.errors import LinkError, StoreError, VestibuleError
from vestibule.journal import take_over
from vestibule.link import SOCKET
from vestibule.live import LOOK, Follower, Live
from vestibule.process import ADMIN, AGAIN, address, ready, start_log

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

    from vestibule import dashboard
    from vestibule.recorder.backend import Calls
    from vestibule.recorder.service import Plan, Recorder

log = logging.getLogger("vestibule.recorder")

_JOURNAL_FIRST = 10.0
"""Seconds that the journal may take before workers are answered."""

NICE = 5
"""How much later than the workers the recorder gets the processor, where there is not enough for both."""

METRICS_TOKEN = "VESTIBULE_METRICS_TOKEN"  # noqa: S105
"""The variable with the bearer token by which other machines may read ``/metrics``."""

NOTED_WITHIN = 5.0
"""Seconds that noting a changed configuration may take; where the store is away it is not noted."""


def plan_of(config: Config, key: str) -> Plan:
    """What the recorder needs of the configuration."""
    from vestibule.core.visit import Settings
    from vestibule.recorder.service import Plan

    return Plan(
        site=config.site.name,
        store=config.store,
        secret=key,
        settings=Settings(
            hosts=frozenset(config.site.hosts),
            first_party=frozenset(config.site.first_party),
            timezone=ZoneInfo(config.site.timezone),
            pages=dict(config.analytics.pages),
            own=tuple(map(str, config.analytics.own)),
            spam=frozenset(host.removeprefix("www.") for host in config.analytics.spam),
        ),
        timezone=config.site.timezone,
        k=config.analytics.k,
        live_every=config.analytics.live_every,
        keep_for=config.analytics.keep_for,
        prove_for=config.consent.prove_for,
        signed_in_for=config.sign_in.keep_for,
        spool=config.limits.spool,
    )


def compose(config: Config, state: Path, key: str) -> Recorder:
    """Compose a recorder; not started yet."""
    from vestibule.recorder.lookups import Tables
    from vestibule.recorder.service import Recorder

    return Recorder(plan_of(config, key), state, Tables(geoip_path(config)))


def geoip_path(config: Config) -> Path | None:
    """The country database: the configured one, else the shipped one, else none."""
    if config.geoip is not None:
        return config.geoip
    from vestibule import catalogue

    return catalogue.country_database()


class Counting:
    """The recorder process."""

    def __init__(
        self,
        live: Live,
        config: Config,
        state: Path,
        *,
        secrets: Sequence[str],
        supervised: bool,
        folder: Path | None = None,
    ) -> None:
        """folder: the configuration's, where the dashboard may change it."""
        from vestibule.recorder.backend import Backend, Calls
        from vestibule.recorder.office import Office

        self._state, self._secrets = state, tuple(secrets)
        self._folder = folder
        self._supervised = supervised
        self._parent = os.getppid()
        self._follower = Follower(live, config, self._use, self._tell)
        self._recorder = compose(config, state, secrets[0])
        self._backend = Backend(self._recorder, self._config_health)
        self._calls = Calls(self._recorder, self._backend)
        self._office = Office(self._recorder)
        self._app = self._dashboard(config)
        self._stopping = asyncio.Event()
        self._listening = asyncio.Event()

    async def run(self, sockets: Sequence[socket.socket]) -> None:
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
            recorder = self._recorder
            # First what workers wrote meanwhile: they believe to know all that is revoked once they are answered.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._take_over_now(), _JOURNAL_FIRST)
            await receiver.serve(str(path), recorder.hits, recorder.record, self._calls, recorder.refuse)
            ready()
            server = self._admin()
            tasks.append(asyncio.create_task(server.serve(list(sockets) or None)))
            tasks.append(asyncio.create_task(self._watch()))
            tasks.append(asyncio.create_task(self._greet(server, sockets)))
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

    def _admin(self) -> uvicorn.Server:
        import uvicorn

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self._app(scope, receive, send)

        host, _, port = self._follower.config.dashboard.listen.rpartition(":")
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
        return _server(uvicorn_config, self._listening)

    def _dashboard(self, config: Config, before: Starlette | None = None) -> Starlette:
        """The admin app. before: the one that it replaces; who is signed in there stays so."""
        from vestibule import dashboard

        settings = dashboard.Settings(
            site=config.site.name,
            timezone=config.site.timezone,
            secrets=self._secrets,
            k=config.analytics.k,
            live_every=config.analytics.live_every,
            observe=config.mode == "observe",
            hosts=(config.dashboard.listen.rpartition(":")[0], *config.dashboard.hosts),
            networks=config.dashboard.networks,
            embed=config.dashboard.embed,
            keep_for=config.analytics.keep_for,
            prove_for=config.consent.prove_for,
            oidc=_oidc(config),
            metrics_token=os.environ.get(METRICS_TOKEN) or None,
        )
        editable = self._folder if config.dashboard.edit else None
        return dashboard.create_app(
            self._backend,
            settings,
            staff=before.state.staff if before is not None else None,
            office=self._office,
            desk=dashboard.ConfigDesk(config, editable, _change),
        )

    async def _greet(self, server: uvicorn.Server, sockets: Sequence[socket.socket]) -> None:
        """Print the link by which the first account is made, once the store can say that there is none."""
        from vestibule.dashboard import first_login_path

        await self._listening.wait()
        listeners = sockets or [listener for each in server.servers for listener in each.sockets]
        while True:
            try:
                path = await first_login_path(self._app)
                break
            except StoreError:
                await asyncio.sleep(5)
        if path is not None:
            print(f"vestibule: first login {address(listeners[0])}{path}", file=sys.stderr, flush=True)

    async def _take_over(self) -> None:
        """Take what workers wrote while this process was away, and what they still write where it did not answer."""
        while True:
            taken = await self._take_over_now()
            await asyncio.sleep(1 if taken else 6)

    async def _take_over_now(self) -> bool:
        """Return whether all could be taken."""
        try:
            await take_over(self._state, self._recorder.records)
        except (VestibuleError, OSError) as error:
            log.warning("consent records wait in the journal: %s", error)
            return False
        return True

    async def _watch(self) -> None:
        """Follow the configuration, and the supervisor, without which nobody would end this process."""
        while True:
            await asyncio.sleep(LOOK)
            if self._supervised and os.getppid() != self._parent:
                self._stopping.set()
            await self._follower.look()

    async def _use(self, config: Config) -> None:
        """Count and show by another configuration."""
        app = self._dashboard(config, self._app)
        self._recorder.reload(plan_of(config, self._secrets[0]))
        self._app = app
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(NOTED_WITHIN):
                await self._office.note(self._recorder.today().isoformat(), f"Configuration {config.revision}")

    def _tell(self, line: str) -> None:
        """Where there are workers, the first of them says it."""
        if not self._supervised:
            log.warning("%s", line)

    def _config_health(self) -> dict[str, Any]:
        problems = self._follower.problems
        error = {"error": "; ".join(problems[:5])} if problems else {}
        return {"revision": self._follower.config.revision, **error}


def _oidc(config: Config) -> dashboard.Oidc | None:
    from vestibule import dashboard

    oidc = config.dashboard.oidc
    if oidc is None:
        return None
    role = dashboard.Role
    return dashboard.Oidc(
        issuer=oidc.issuer,
        client_id=oidc.client_id,
        secret=os.environ.get(OIDC_SECRET, ""),
        url=oidc.url,
        claim=oidc.claim,
        roles={role.VIEWER: oidc.viewers, role.ENGINEER: oidc.engineers, role.OFFICER: oidc.officers},
        name=oidc.name,
    )


def _change(folder: Path, service: str, state: str) -> None:
    from vestibule.config import editing

    editing.change(folder, service, state, os.environ)


class LocalRecorder:
    """A recorder that lives as long as a command, for when none is running: the same calls, no socket.

    ``with LocalRecorder(config, state, key) as recorder: recorder.call("breakdown", by="page")``
    """

    def __init__(self, config: Config, state: Path, key: str) -> None:
        self._config, self._state, self._key = config, state, key
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
        recorder = compose(self._config, self._state, self._key)
        await recorder.start()
        self._recorder = recorder
        self._calls = Calls(recorder, Backend(recorder))


async def _awaited(calls: Calls, name: str, params: Mapping[str, Any]) -> Any:
    return await calls(name, params)


@contextlib.contextmanager
def local(config: Config, state: Path, secrets: str) -> Iterator[Callable[..., Any]]:
    """A recorder for the length of a command; yields ``call(name, **params)``.

    secrets: comma separated, newest first.

    Raises VestibuleError; the store's troubles are raised by the calls.
    """
    with LocalRecorder(config, state, secret.parse(secrets)[0]) as recorder:
        yield recorder.call


def _server(config: uvicorn.Config, listening: asyncio.Event) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        """uvicorn's server without its signal handlers: signals are the process's."""

        @contextlib.contextmanager
        def capture_signals(self) -> Any:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            listening.set()

    return Server(config)


# -- the process -------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recorder; returns the exit status."""
    parser = argparse.ArgumentParser(prog="vestibule.counting")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args(arguments)
    start_log("recorder")
    os.nice(NICE)
    descriptors = [int(part) for part in os.environ.get(ADMIN, "").split(",") if part.isdigit()]
    try:
        live = Live(options.config, os.environ, options.state)
        config = live.first(again=AGAIN in os.environ)
        secrets = secret.parse(os.environ.get(secret.VARIABLE, ""))
        options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(
                _run(live, config, options.state, secrets, sockets, supervised=bool(descriptors), folder=options.config)
            )
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
    folder: Path,
) -> None:
    counting = Counting(live, config, state, secrets=secrets, supervised=supervised, folder=folder)
    await counting.run(sockets)


if __name__ == "__main__":
    sys.exit(main())
