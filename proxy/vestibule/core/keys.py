"""The keys of one day: what makes a visitor countable today and forgotten tomorrow.

Everything secret about a day follows from the deployment's secret and the day's random salt by HKDF (RFC 5869). Without
the secret the salt is worthless, and once the salt is gone nobody, we included, can compute the keys again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SALT_BYTES = 32
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class DayKeys:
    """The keys of one site and day (32 bytes each). They live in memory only, and are left out of ``repr``."""

    visitors: bytes = field(repr=False)
    nodes: bytes = field(repr=False)
    cells: bytes = field(repr=False)


def day_keys(secret: str, salt: bytes, site: str, day: str) -> DayKeys:
    """Derive the keys of a day.

    secret: the newest of ``VESTIBULE_SECRET``. salt: the day's random salt, 32 bytes. day: ISO 8601, ``2026-11-22``.
    """
    if not secret:
        raise ValueError("a secret is needed")
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt is {SALT_BYTES} bytes long")
    derived = HKDF(
        algorithm=SHA256(), length=3 * _KEY_BYTES, salt=salt, info=f"vestibule counting 1\n{site}\n{day}".encode()
    ).derive(secret.encode())
    return DayKeys(derived[:_KEY_BYTES], derived[_KEY_BYTES : 2 * _KEY_BYTES], derived[2 * _KEY_BYTES :])


def visitor_key(keys: DayKeys, visitor: str) -> bytes:
    """Return the 16 bytes by which a visitor is told apart today. They must never leave memory.

    visitor: whatever tells visitors apart (address, agent and site), as text.
    """
    return hashlib.blake2b(visitor.encode("utf-8", "surrogatepass"), key=keys.visitors, digest_size=16).digest()


def node_key(keys: DayKeys, kind: str, dimension: str, value: str) -> bytes:
    """Return the 16 bytes that stand for a value in the hashes of its cells."""
    text = f"{kind}\n{dimension}\n{value}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, key=keys.nodes, digest_size=16).digest()
