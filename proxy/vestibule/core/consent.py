"""A visitor's choice: what was agreed to, and the signed token that carries it.

The token is the value of the choice cookie. It is signed, not encrypted: it holds nothing but the visitor's own
choice, an objection of theirs, and which announcement they have read. Signatures are HMAC-SHA256 by itsdangerous,
salted with the site's name, so that a token of one site is no token of another. Base64 lets the last character's
padding bits flip without changing what is decoded, so a token counts only if it is the very text that its content
encodes to.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from vestibule.core.purposes import ASKED, Purpose, State

__all__ = ["ASKED", "MARK", "Choice", "ChoiceSigner", "Purpose", "State", "Surface", "mark"]


class Surface(StrEnum):
    """Where a choice was made."""

    BANNER = "banner"
    CENTRE = "centre"
    SIGNAL = "signal"
    API = "api"


@dataclass(frozen=True, slots=True)
class Choice:
    """What a visitor decided.

    purposes: those granted (never ``necessary``, which needs no consent).
    services: single services decided against or for their purpose; True grants.
    revision: the policy revision that was shown.
    record: id of the consent record that proves it; None for a refusal.
    time: seconds since the epoch, UTC, in whole hours when it comes from a token of a refusal or a grant alike.
    shown: marks (see :func:`mark`) of the services that were shown under the granted purposes; None: of all that there
    are. A service that is added later is not among them, and has still to be asked for.
    surface, language, texts: how and in which words it was asked, for the receipt. texts: the first sixteen hex digits
    of the digest of these words. signal: what the browser asked for, which this choice goes before.
    objects: the visitor objects to being counted. notice: the announcement that was read, by the day it takes effect.
    decided: False where nothing was decided yet, and only ``objects`` and ``notice`` are to be kept.
    """

    purposes: frozenset[Purpose]
    revision: str
    time: int
    record: str | None = None
    services: Mapping[str, bool] = field(default_factory=dict)
    shown: frozenset[str] | None = None
    surface: str = ""
    language: str = ""
    texts: str = ""
    signal: str = ""
    objects: bool = False
    notice: str = ""
    decided: bool = True

    def grants(self, purpose: Purpose, service: str | None = None) -> bool:
        """Whether this choice lets something of ``purpose`` (and, where named, of ``service``) run."""
        if purpose is Purpose.NECESSARY:
            return True
        if service is not None and service in self.services:
            return self.services[service]
        return purpose in self.purposes

    @property
    def refuses_all(self) -> bool:
        """Whether nothing is granted, no purpose and no single service."""
        return not self.purposes and not any(self.services.values())

    @property
    def label(self) -> str:
        """``accept``, ``reject`` or ``save`` (something in between)."""
        if self.refuses_all:
            return "reject"
        if all(purpose in self.purposes for purpose in ASKED) and all(self.services.values()):
            return "accept"
        return "save"


MARK = 4
"""Characters of a mark."""


def mark(service: str, purpose: Purpose) -> str:
    """Four characters that stand for a service under a purpose (24 bits: among a hundred services one in three
    thousand sites has two alike, and then one of them is not asked for by itself)."""
    return base64.urlsafe_b64encode(hashlib.sha256(f"{service}\0{purpose}".encode()).digest()[:3]).decode()


class ChoiceSigner:
    """Signs and reads choice tokens.

    secrets: newest first; the newest signs, all verify, so that keys rotate without asking anyone again.
    keep_for: seconds after which a choice is no choice any more.
    """

    MAX_TOKEN = 2048

    def __init__(self, secrets: Sequence[str], site: str, keep_for: int) -> None:
        if not secrets or not all(secrets):
            raise ValueError("at least one secret is needed, and none may be empty")
        # itsdangerous takes its keys oldest first.
        self._serializer = URLSafeSerializer(
            list(reversed(secrets)),
            salt=f"vestibule.choice:{site}",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )
        self._keep_for = keep_for

    def dumps(self, choice: Choice) -> str:
        """Return the token of a choice: URL-safe ASCII."""
        return self._encode(choice)

    def loads(self, token: str, now: int) -> Choice | None:
        """Return the choice of a token, or None where it is forged, altered, expired, of another site or from the
        future by more than five minutes."""
        if not token or len(token) > self.MAX_TOKEN:
            return None
        try:
            raw = self._serializer.loads(token)
        except BadData:
            return None
        choice = _decode(raw)
        if choice is None or not (-300 <= now - choice.time < self._keep_for):
            return None
        payload = token.rsplit(".", 1)[0]
        if payload != self._serializer.dumps(raw).rsplit(".", 1)[0] or not _canonical_base64(token.rsplit(".", 1)[1]):
            return None
        return choice

    def _encode(self, choice: Choice) -> str:
        raw: dict[str, Any] = {"t": choice.time}
        if choice.decided:
            raw["p"] = [purpose.value for purpose in ASKED if purpose in choice.purposes]
            raw["r"] = choice.revision
        if choice.record is not None:
            raw["i"] = choice.record
        if choice.services:
            raw["s"] = dict(sorted(choice.services.items()))
        if choice.shown is not None:
            raw["m"] = "".join(sorted(choice.shown))
        raw |= {key: value for key, name in _TEXTS.items() if (value := getattr(choice, name))}
        if choice.objects:
            raw["o"] = 1
        return str(self._serializer.dumps(raw))


_BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _canonical_base64(text: str) -> bool:
    """Whether unpadded base64url text has zero padding bits (RFC 4648, section 3.5)."""
    spare = {0: 0, 2: 4, 3: 2}.get(len(text) % 4)
    if spare is None or not text:
        return False
    last = _BASE64URL.find(text[-1])
    return last >= 0 and last & ((1 << spare) - 1) == 0


_TEXTS = {"u": "surface", "l": "language", "h": "texts", "g": "signal", "n": "notice"}


def _decode(raw: Any) -> Choice | None:
    if not isinstance(raw, dict):
        return None
    decided = "p" in raw
    purposes, services, record, shown = raw.get("p", []), raw.get("s", {}), raw.get("i"), raw.get("m")
    texts = {name: raw.get(key, "") for key, name in _TEXTS.items()}
    if (
        not isinstance(purposes, list)
        or not all(isinstance(purpose, str) for purpose in purposes)
        or not isinstance(raw.get("r", "" if not decided else None), str)
        or type(raw.get("t")) is not int
        or not (record is None or isinstance(record, str))
        or not isinstance(services, dict)
        or not all(isinstance(granted, bool) for granted in services.values())
        or not (shown is None or (isinstance(shown, str) and len(shown) % MARK == 0))
        or not all(isinstance(text, str) for text in texts.values())
    ):
        return None
    return Choice(
        purposes=frozenset(purpose for purpose in ASKED if purpose.value in purposes),
        revision=raw.get("r", ""),
        time=raw["t"],
        record=record,
        services=services,
        shown=None if shown is None else frozenset(shown[at : at + MARK] for at in range(0, len(shown), MARK)),
        objects=bool(raw.get("o")),
        decided=decided,
        **texts,
    )
