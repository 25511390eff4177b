"""Passwords of staff: argon2id with the library's defaults (RFC 9106, second recommended option)."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MINIMUM = 10
MAXIMUM = 200


def hash_password(password: str) -> str:
    """Return argon2's encoded hash. Takes tens of milliseconds and 64 MiB: call it in a thread."""
    return PasswordHasher().hash(password)


def verify(encoded: str, password: str) -> bool:
    """Whether the password belongs to the hash; an unreadable hash belongs to none. As costly as ``hash_password``."""
    try:
        return PasswordHasher().verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False


def complaint(password: str) -> str | None:
    """Why a password is refused, or None."""
    if len(password) < MINIMUM:
        return f"A password needs at least {MINIMUM} characters."
    if len(password) > MAXIMUM:
        return f"A password has at most {MAXIMUM} characters."
    if len(set(password)) < 4:
        return "A password needs more than three different characters."
    return None
