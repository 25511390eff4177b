"""The admin app's listener: a dashboard for every site."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from vestibule import dashboard
from vestibule.config import Config, editing
from vestibule.config.checks import OIDC_SECRET
from vestibule.core.errors import StoreError
from vestibule.dashboard.staff import Staff
from vestibule.process import address, say
from vestibule.recorder.backend import Backend
from vestibule.recorder.office import Office

METRICS_TOKEN = "VESTIBULE_METRICS_TOKEN"  # noqa: S105
"""The variable with the bearer token by which other machines may read ``/metrics``."""

Apps = Mapping[str, Starlette]
"""The admin app of every site, by its folder; the first site's is ''."""


class Admin:
    """What shows the recorders' figures. folder: the configuration's, where the dashboard may change it."""

    def __init__(self, folder: Path | None, secrets: Sequence[str]) -> None:
        self._folder, self._secrets = folder, tuple(secrets)
        self.backends: dict[str, Backend] = {}
        """By the sites' folders."""
        self.offices: dict[str, Office] = {}
        """Likewise."""
        self._apps: Apps = {}
        self._listening = asyncio.Event()

    def dashboards(self, config: Config) -> Apps:
        """The admin apps of all sites. Who is signed in at one of them is at the others, and stays so."""
        before = self._apps.get("")
        first = self._dashboard(config, config, before.state.staff if before is not None else None)
        further = {site.profile: self._dashboard(config, site, first.state.staff) for site in config.sites}
        return {"": first, **further}

    def show(self, apps: Apps) -> None:
        """Answer with these from the next request on."""
        self._apps = apps

    def server(self, config: Config) -> uvicorn.Server:
        """The server; it serves on the listeners that it is given, or binds its own."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await dashboard.Sites(self._apps)(scope, receive, send)

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
        return _Server(uvicorn_config, self._listening)

    async def greet(self, server: uvicorn.Server, sockets: Sequence[socket.socket]) -> None:
        """Print the link by which the first account is made, once the store can say that there is none."""
        await self._listening.wait()
        listeners = sockets or [listener for each in server.servers for listener in each.sockets]
        while True:
            try:
                path = await dashboard.first_login_path(self._apps[""])
                break
            except StoreError:
                await asyncio.sleep(5)
        if path is not None:
            say(f"first login {address(listeners[0])}{path}", "recorder")

    def _dashboard(self, config: Config, site: Config, staff: Staff | None) -> Starlette:
        """A site's admin app. staff: who is signed in at the others, and was before."""
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
            oidc=oidc_of(config),
            sites=tuple((each.site.name, dashboard.path_of(each.profile)) for each in config.everyone),
            metrics_token=os.environ.get(METRICS_TOKEN) or None,
        )
        editable = self._folder if config.dashboard.edit else None
        return dashboard.create_app(
            self.backends[site.profile],
            settings,
            staff=staff,
            office=self.offices[site.profile],
            desk=dashboard.ConfigDesk(site, editable, partial(_change, site.profile)),
        )


def oidc_of(config: Config) -> dashboard.Oidc | None:
    """The sign-in provider, where there is one."""
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
    editing.change(folder, service, state, os.environ, site=profile)


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: signals are the process's."""

    def __init__(self, config: uvicorn.Config, listening: asyncio.Event) -> None:
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening.set()
