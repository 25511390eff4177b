"""The state folder: its lock, and the secret that ``--dev`` keeps in it."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from vestibule.core.secret import SHORTEST
from vestibule.core.secret import VARIABLE as SECRET
from vestibule.serve.plan import ServeError, words

KEPT = "secret"
LOCK = "vestibule.lock"
LONGEST = 85
"""Bytes of the folder's path, so that a Unix socket in it can have a name (104 bytes in all on some systems)."""


def secret(environ: Mapping[str, str], state: Path | str, *, dev: bool) -> str:
    """The value of VESTIBULE_SECRET: from the environment, else (``dev``) kept in the state folder, made if need be.

    Several secrets are comma separated, newest first. Raises ServeError where there is none, or one too short to guard
    anything.
    """
    given = environ.get(SECRET, "").strip()
    if not given and dev:
        return _own_secret(Path(state))
    if not given:
        raise ServeError(
            f"{SECRET} is not set: every signature is keyed by it; set it to a long random text"
            " (such as `openssl rand -hex 32` prints), or give --dev to try things out"
        )
    if any(len(part.strip()) < SHORTEST for part in given.split(",")):
        raise ServeError(f"{SECRET} is too short: each secret in it must have at least {SHORTEST} characters")
    return given


def kept_secret(environ: Mapping[str, str], state: Path | str) -> str:
    """The secret for a command that counts without ``serve``: from the environment, else what ``--dev`` has kept."""
    return secret(environ, state, dev=(Path(state) / KEPT).is_file())


def _own_secret(state: Path) -> str:
    path = make_state(state) / KEPT
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        kept = path.read_text(encoding="ascii").strip()
        if len(kept) >= SHORTEST:
            return kept
        raise ServeError(f"{path} holds no secret; remove it and a new one is made") from None
    made = secrets.token_hex(32)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{made}\n")
    return made


def make_state(state: Path) -> Path:
    """Make the state folder, readable by its owner only."""
    if len(os.fsencode(state)) > LONGEST:
        raise ServeError(f"state: {state} is too long a path for a socket in it; --state names another folder")
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServeError(f"state: {state} cannot be made: {words(error)}; --state names another folder") from None
    return state


def lock(state: Path | str) -> int:
    """Take the state folder for this process; returns the descriptor that holds the lock until the process ends.

    A recorder owns what lies in the folder, so two in one folder would count into each other's files.
    """
    path = make_state(Path(state)) / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ServeError(f"state: {path} cannot be opened: {words(error)}; --state names another folder") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise ServeError(
            f"state: {state} is in use by another vestibule (process {owner or 'unknown'});"
            " stop it, or give --state another folder"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    return descriptor
