"""The deployment's secrets, as ``VESTIBULE_SECRET`` holds them."""

from __future__ import annotations

from vestibule.core.errors import VestibuleError

VARIABLE = "VESTIBULE_SECRET"
SHORTEST = 16
"""Characters that each secret has at least; a shorter one could be found by trying."""


def parse(text: str) -> tuple[str, ...]:
    """The secrets of a comma-separated list, newest first. Raises VestibuleError for none, or one too short."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise VestibuleError(f"{VARIABLE} is not set: every signature is keyed by it")
    if any(len(secret) < SHORTEST for secret in found):
        raise VestibuleError(f"{VARIABLE} is too short: each secret in it must have at least {SHORTEST} characters")
    return found
