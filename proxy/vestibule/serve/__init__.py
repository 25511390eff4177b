"""The supervisor: binds the listeners, starts workers and the recorder, and keeps them alive.

It lives for months and holds the site's ports, so it is the smallest process of all: the standard library only, no
configuration models, no store. What it needs is in a :class:`Plan`; ``vestibule serve`` makes one from the checked
configuration and then becomes this module (:func:`become`).

What it promises: a listener is bound before anything starts, so a taken port is one clear line and not a restart loop.
A process that dies is started again, at once where it had been stable, else after a delay that doubles up to a bound.
SIGTERM and SIGINT drain: no new connection, running requests get ``drain`` seconds, then the recorder may write what it
still holds; a second signal cuts it short. SIGHUP is passed on to the workers. Children end with their supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from vestibule.core.secret import VARIABLE as SECRET
from vestibule.process import BEGUN
from vestibule.serve.listeners import bind, inherited, leave, socket_file
from vestibule.serve.plan import Plan, ServeError, become, cores, python, say
from vestibule.serve.state import kept_secret, lock, secret
from vestibule.serve.supervisor import Supervisor

__all__ = ["SECRET", "Plan", "ServeError", "become", "cores", "kept_secret", "lock", "python", "run", "say", "secret"]


def run(plan: Plan, environ: Mapping[str, str]) -> None:
    """Take the state folder, bind, and supervise until a signal ends it. Raises ServeError where it cannot start."""
    surroundings = dict(environ)
    surroundings[SECRET] = secret(surroundings, plan.state, dev=plan.dev)
    held = lock(plan.state)
    shutil.rmtree(Path(plan.state) / BEGUN, ignore_errors=True)
    public, admin = inherited(surroundings)
    ours: tuple[int, int] | None = None
    try:
        # VESTIBULE_SECTION__KEY overrides any scalar of site.yaml: config.py.
        if not public:
            public = bind("listen", "site.yaml", "VESTIBULE_LISTEN", plan.listen)
            ours = socket_file(plan.listen)
        admin = admin or bind("dashboard.listen", "site.yaml", "VESTIBULE_DASHBOARD__LISTEN", plan.dashboard)
        _raise_file_limit()
        asyncio.run(_supervise(plan, surroundings, public, admin))
    finally:
        for listener in (*public, *admin):
            listener.close()
        leave(plan.listen, ours)
        os.close(held)


async def _supervise(
    plan: Plan, environ: Mapping[str, str], public: Sequence[socket.socket], admin: Sequence[socket.socket]
) -> None:
    await Supervisor(plan, environ, public, admin).run()


def _raise_file_limit() -> None:
    """Every connection is a descriptor or two: take as many as the system lets us."""
    with contextlib.suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
