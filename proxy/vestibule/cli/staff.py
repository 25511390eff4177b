"""``vestibule users``: who may sign in to the dashboard."""

from __future__ import annotations

import getpass
import re
import secrets
import sys
import time
from pathlib import Path

from vestibule.cli.asking import ask
from vestibule.core.errors import VestibuleError

_NAME = re.compile(r"[\w.@+-]{1,64}")


def add(directory: Path, state: Path, name: str, role: str) -> None:
    """Add a user, or give the one of that name a new password and role."""
    from vestibule.dashboard import passwords

    if not _NAME.fullmatch(name):
        raise VestibuleError("users: a name has 1 to 64 letters, digits or any of . _ @ + -")
    password = _password()
    complaint = passwords.complaint(password)
    if complaint:
        raise VestibuleError(f"users: {complaint}")
    ask(directory, state, "add_user", name=name, password_hash=passwords.hash_password(password), role=role)
    print(f"{name} ({role}) may sign in")


def show(directory: Path, state: Path) -> None:
    """Print the users, one a line."""
    users = ask(directory, state, "users")
    width = max((len(user["name"]) for user in users), default=0)
    for user in users:
        print(f"{user['name'].ljust(width)}  {user['role']}")


def remove(directory: Path, state: Path, name: str) -> None:
    """Remove a user. Raises VestibuleError where there is none of that name."""
    if not ask(directory, state, "remove_user", name=name):
        raise VestibuleError(f"users: there is no user named {name}")
    print(f"{name} is removed")


def token(directory: Path, state: Path, owner: str, name: str, site: str = "") -> None:
    """Print a new API token of a user for a site's numbers; it can't be shown again. Raises VestibuleError where there
    is no such user."""
    from vestibule.dashboard.keys import digest

    id_ = secrets.token_hex(6)
    made = f"vst_{id_}_{secrets.token_urlsafe(32)}"
    row = {"id": id_, "owner": owner, "name": name, "digest": digest(made), "created": int(time.time())}
    ask(directory, state, "add_token", of=site, **row)
    print(made)


def _password() -> str:
    """Typed twice at a terminal; else one line of stdin, so that scripts can give it."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise VestibuleError("users: the two passwords differ")
    return password
