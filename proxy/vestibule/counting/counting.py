"""The recorder process while it runs: a recorder a site, their socket, the admin app."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vestibule.config import Config
from vestibule.core.errors import StoreError, VestibuleError
from vestibule.counting.admin import Admin
from vestibule.counting.composing import compose, geoip_path, plan_of
from vestibule.journal import take_over
from vestibule.link import SOCKET, Receiver
from vestibule.live import LOOK, Follower, Live
from vestibule.process import ready
from vestibule.recorder.backend import Backend, Calls
from vestibule.recorder.lookups import Tables
from vestibule.recorder.office import Office
from vestibule.recorder.sites import SiteCalls, Sites

log = logging.getLogger("vestibule.recorder")

_JOURNAL_FIRST = 10.0
"""Seconds that the journal may take before workers are answered."""

NOTED_WITHIN = 5.0
"""Seconds that noting a changed configuration may take; where the store is away it is not noted."""


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
        self._state, self._secrets = state, tuple(secrets)
        self._supervised = supervised
        self._parent = os.getppid()
        self._follower = Follower(live, config, self._use, self._tell)
        self._lookups = Tables(geoip_path(config))
        self._recorders = Sites(compose(config, state, secrets[0], self._lookups))
        self._calls = SiteCalls()
        self._admin = Admin(folder, secrets)
        self._answer(config)
        self._stopping = asyncio.Event()

    async def run(self, sockets: Sequence[socket.socket]) -> None:
        """Count until a signal ends it. sockets: the admin app's listeners; none: it binds its own."""
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
            self._admin.show(self._admin.dashboards(self._follower.config))
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
            server = self._admin.server(self._follower.config)
            tasks.append(asyncio.create_task(server.serve(list(sockets) or None)))
            tasks.append(asyncio.create_task(self._watch()))
            tasks.append(asyncio.create_task(self._admin.greet(server, sockets)))
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

    async def _take_in(self, config: Config) -> None:
        """Count for sites that have come."""
        for site in config.sites:
            if site.profile not in self._recorders:
                store = self._recorders.first.store
                recorder = compose(site, self._state, self._secrets[0], self._lookups, store)
                await self._recorders.add(site.profile, recorder)
                self._answer(site)

    async def _let_go(self) -> None:
        """End the recorders of sites that are gone, once nothing of theirs is open."""
        for profile in self._recorders.left:
            self._calls.remove(profile)
            self._admin.offices.pop(profile, None)
            self._admin.backends.pop(profile, None)
            await self._recorders.remove(profile)

    def _answer(self, site: Config) -> None:
        """Answer questions about a site."""
        recorder, profile = self._recorders[site.profile], site.profile
        further = {} if profile else self._admin.backends
        backend = Backend(recorder, partial(self._config_health, profile), further)
        self._calls.add(profile, Calls(recorder, backend))
        self._admin.offices[profile] = Office(recorder)
        self._admin.backends[profile] = backend

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
            try:
                await self._let_go()
            except Exception:
                log.exception("a site that is gone could not be let go")

    async def _use(self, config: Config) -> None:
        """Count and show by another configuration."""
        before = dict(self._follower.config.revisions)
        try:
            await self._take_in(config)
            apps = self._admin.dashboards(config)
            for site in config.everyone:
                self._recorders[site.profile].reload(plan_of(site, self._secrets[0]))
            self._admin.show(apps)
        except BaseException:
            # Those that came count for nobody.
            self._recorders.leave({site.profile for site in self._follower.config.everyone})
            raise
        # Last: where anything before fails, the configuration before goes on, with the sites that it has. One that has
        # gone is counted for until its last day is closed.
        self._recorders.leave({site.profile for site in config.everyone})
        changed = [site for site in config.everyone if before.get(site.profile) != site.revision]
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(NOTED_WITHIN):
                for site in changed:
                    day = self._recorders[site.profile].today().isoformat()
                    await self._admin.offices[site.profile].note(day, f"Configuration {site.revision}")

    def _tell(self, line: str) -> None:
        """Where there are workers, the first of them says it."""
        if not self._supervised:
            log.warning("%s", line)

    def _config_health(self, profile: str) -> dict[str, Any]:
        problems = self._follower.problems if not profile or self._follower.is_behind(profile) else []
        error = {"error": "; ".join(problems[:5])} if problems else {}
        revisions = dict(self._follower.config.revisions)
        return {"revision": revisions.get(profile, ""), **error}
