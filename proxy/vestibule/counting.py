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
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
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
from vestibule.process import ADMIN, AGAIN, address, ready, say, start_log

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

    from vestibule import dashboard
    from vestibule.core.visit import Lookups
    from vestibule.recorder.backend import Backend, Calls
    from vestibule.recorder.office import Office
    from vestibule.recorder.service import Plan, Recorder
    from vestibule.recorder.storing import StoreThread

log = logging.getLogger("vestibule.recorder")

_JOURNAL_FIRST = 10.0
"""Seconds that the journal may take before workers are answered."""

NICE = 15
"""How much later than the workers the recorder gets the processor, where there is not enough for both: pages go first.
With 5 a page waited for a whole slice of its (some 3 ms)."""

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
        signed_in_for=max(site.sign_in.keep_for for site in config.everyone),
        spool=config.limits.spool,
    )


def compose(
    config: Config, state: Path, key: str, lookups: Lookups | None = None, store: StoreThread | None = None
) -> Recorder:
    """Compose a site's recorder; not started yet. state: the instance's. lookups, store: what it shares with others."""
    from vestibule.recorder.lookups import Tables
    from vestibule.recorder.service import Recorder
    from vestibule.recorder.sites import folder

    place = folder(state, config.profile)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Recorder(plan_of(config, key), place, lookups or Tables(geoip_path(config)), store=store)


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
        from vestibule.recorder.lookups import Tables
        from vestibule.recorder.sites import SiteCalls, Sites

        self._state, self._secrets = state, tuple(secrets)
        self._folder = folder
        self._supervised = supervised
        self._parent = os.getppid()
        self._follower = Follower(live, config, self._use, self._tell)
        self._lookups = Tables(geoip_path(config))
        self._recorders = Sites(compose(config, state, secrets[0], self._lookups))
        self._calls = SiteCalls()
        self._backends: dict[str, Backend] = {}
        self._offices: dict[str, Office] = {}
        self._apps: dict[str, Starlette] = {}
        self._answer(config)
        self._apps[""] = self._dashboard(config, config)
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
        first = self._recorders.first
        await first.start()
        try:
            self._recorders.run()
            await self._take_in(self._follower.config)
            self._apps = self._dashboards(self._follower.config)
            # First what workers wrote meanwhile: they believe to know all that is revoked once they are answered.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._take_over_now(), _JOURNAL_FIRST)
            await receiver.serve(
                str(path),
                self._recorders.hits,
                self._recorders.record,
                self._calls,
                first.refuse,
                first.meter.add,
            )
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
            await self._recorders.stop()

    def _admin(self) -> uvicorn.Server:
        import uvicorn

        from vestibule import dashboard

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await dashboard.Sites(self._apps)(scope, receive, send)

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

    async def _take_in(self, config: Config) -> None:
        """Count for sites that have come. One that has gone is counted for on, until a new start: so its last day is
        closed when that is over."""
        for site in config.sites:
            if site.profile not in self._recorders:
                store = self._recorders.first.store
                recorder = compose(site, self._state, self._secrets[0], self._lookups, store)
                await self._recorders.add(site.profile, recorder)
                self._answer(site)

    def _answer(self, site: Config) -> None:
        """Answer questions about a site."""
        from vestibule.recorder.backend import Backend, Calls
        from vestibule.recorder.office import Office

        recorder, profile = self._recorders[site.profile], site.profile
        further = {} if profile else self._backends
        backend = Backend(recorder, partial(self._config_health, profile), further)
        self._calls.add(profile, Calls(recorder, backend))
        self._offices[profile] = Office(recorder)
        self._backends[profile] = backend

    def _dashboards(self, config: Config) -> dict[str, Starlette]:
        """The admin app of every site, by its folder."""
        return {site.profile: self._dashboard(config, site) for site in config.everyone}

    def _dashboard(self, config: Config, site: Config) -> Starlette:
        """A site's admin app. Who is signed in there stays so, and is in those of the other sites."""
        from vestibule import dashboard

        before = self._apps.get("")
        settings = dashboard.Settings(
            site=site.site.name,
            timezone=site.site.timezone,
            secrets=self._secrets,
            k=site.analytics.k,
            live_every=site.analytics.live_every,
            observe=site.mode == "observe",
            hosts=(config.dashboard.listen.rpartition(":")[0], *config.dashboard.hosts),
            networks=config.dashboard.networks,
            embed=config.dashboard.embed,
            keep_for=config.analytics.keep_for,
            prove_for=config.consent.prove_for,
            oidc=_oidc(config),
            sites=tuple((each.site.name, dashboard.path_of(each.profile)) for each in config.everyone),
            metrics_token=os.environ.get(METRICS_TOKEN) or None,
        )
        editable = self._folder if config.dashboard.edit else None
        return dashboard.create_app(
            self._backends[site.profile],
            settings,
            staff=before.state.staff if before is not None else None,
            office=self._offices[site.profile],
            desk=dashboard.ConfigDesk(site, editable, partial(_change, site.profile)),
        )

    async def _greet(self, server: uvicorn.Server, sockets: Sequence[socket.socket]) -> None:
        """Print the link by which the first account is made, once the store can say that there is none."""
        from vestibule.dashboard import first_login_path

        await self._listening.wait()
        listeners = sockets or [listener for each in server.servers for listener in each.sockets]
        while True:
            try:
                path = await first_login_path(self._apps[""])
                break
            except StoreError:
                await asyncio.sleep(5)
        if path is not None:
            say(f"first login {address(listeners[0])}{path}", "recorder")

    async def _take_over(self) -> None:
        """Take what workers wrote while this process was away, and what they still write where it did not answer."""
        while True:
            taken = await self._take_over_now()
            await asyncio.sleep(1 if taken else 6)

    async def _take_over_now(self) -> bool:
        """Return whether all could be taken."""
        try:
            await take_over(self._state, self._recorders.records)
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
        before = dict(self._follower.config.revisions)
        await self._take_in(config)
        apps = self._dashboards(config)
        for site in config.everyone:
            self._recorders[site.profile].reload(plan_of(site, self._secrets[0]))
        self._apps = apps
        changed = [site for site in config.everyone if before.get(site.profile) != site.revision]
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(NOTED_WITHIN):
                for site in changed:
                    day = self._recorders[site.profile].today().isoformat()
                    await self._offices[site.profile].note(day, f"Configuration {site.revision}")

    def _tell(self, line: str) -> None:
        """Where there are workers, the first of them says it."""
        if not self._supervised:
            log.warning("%s", line)

    def _config_health(self, profile: str) -> dict[str, Any]:
        problems = self._follower.problems if not profile or self._follower.is_behind(profile) else []
        error = {"error": "; ".join(problems[:5])} if problems else {}
        revisions = dict(self._follower.config.revisions)
        return {"revision": revisions.get(profile, ""), **error}


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


def _change(profile: str, folder: Path, service: str, state: str) -> None:
    from vestibule.config import editing

    editing.change(folder, service, state, os.environ, site=profile)


class LocalRecorder:
    """A recorder that lives as long as a command, for when none is running: the same calls, no socket. Its loop is in a
    thread of its own, so that what was counted is written and sent while the command goes on.

    ``with LocalRecorder(config, state, key) as recorder: recorder.call("breakdown", by="page")``
    """

    def __init__(self, config: Config, state: Path, key: str) -> None:
        self._config, self._state, self._key = config, state, key
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorder", daemon=True)
        self._recorder: Recorder | None = None
        self._calls: Calls | None = None

    def __enter__(self) -> LocalRecorder:
        self._thread.start()
        try:
            self._run(self._start())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._recorder is not None:
                self._run(self._recorder.stop())
        finally:
            self._close()

    def call(self, name: str, /, **params: Any) -> Any:
        """Ask; see ``recorder.backend.Calls``. Raises StoreError or another VestibuleError."""
        if self._calls is None:
            raise LinkError("the recorder is not open")
        return self._run(_awaited(self._calls, name, params))

    def _run(self, doing: Coroutine[Any, Any, Any]) -> Any:
        running = asyncio.run_coroutine_threadsafe(doing, self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()
            raise

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

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
