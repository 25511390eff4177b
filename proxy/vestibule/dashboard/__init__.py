"""The admin app: dashboard, stats API, sign-in, health and metrics, on a listener of its own.

It reads through ``Backend`` and imports neither the store nor the recorder; whoever composes the process hands one in.
"""

from __future__ import annotations

from vestibule.dashboard.app import create_app, first_login_path
from vestibule.dashboard.backend import Account, Backend, Role
from vestibule.dashboard.office import Office, Table
from vestibule.dashboard.settings import Oidc, Settings
from vestibule.dashboard.sites import Sites, path_of
from vestibule.dashboard.trackers import ConfigDesk, Desk

__all__ = [
    "Account",
    "Backend",
    "ConfigDesk",
    "Desk",
    "Office",
    "Oidc",
    "Role",
    "Settings",
    "Sites",
    "Table",
    "create_app",
    "first_login_path",
    "path_of",
]
