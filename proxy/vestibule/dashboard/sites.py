"""The admin apps of several sites on one listener: the first one's at ``/``, each further one's below
``/sites/NAME/``.

An app never sees what it stands below but where it writes links: ``ROOT`` in the scope tells.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ROOT = "vestibule.root"
"""Key in the scope of what stands before an app's every path, without a slash at its end; absent where nothing does."""
SITES = "/sites/"


def path_of(profile: str) -> str:
    """Where a site's app stands, by the name of the site's folder; empty for the first one."""
    return f"{SITES}{profile}" if profile else ""


class Sites:
    """apps: by the name of the site's folder; the first site's is empty."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path.startswith(SITES):
            name, slash, rest = path.removeprefix(SITES).partition("/")
            app = self._apps.get(name) if name else None
            if app is not None and not slash:
                await RedirectResponse(f"{path}/", status_code=308)(scope, receive, send)
                return
            if app is not None:
                await app({**scope, "path": f"/{rest}", ROOT: path_of(name)}, receive, send)
                return
        await self._apps[""](scope, receive, send)
