"""Consent receipts: what was agreed to, signed so that anyone can check it.

A receipt has the fields of ISO/IEC TS 27560:2023 (consent record information structure), clause 6.3: a header, what is
processed for which purposes, the parties, and the event of consent; among them all that are mandatory, under the names
that the W3C's Data Privacy Vocabulary lists for them (the standard itself is not public). It is signed with Ed25519
(RFC 8037) as a JSON Web Signature in the flattened JSON serialization (RFC 7515, section 7.2.2). Beside the signature
the file carries the same receipt in the clear, to be read; whoever checks it compares the two.

The keys follow from the deployment's secrets by HKDF (RFC 5869), so that there is nothing to store: as long as a secret
is listed, receipts made under it can be checked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vestibule.core.errors import VestibuleError

SCHEMA = "ISO/IEC TS 27560:2023"
TYPE = "consent-receipt+json"
MAX_RECEIPT = 256 << 10
"""Bytes of a receipt that is checked; a longer one is refused."""


class ReceiptError(VestibuleError):
    """A receipt cannot be believed; the message says why."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A purpose that was agreed to. services: what was let in for it, ``(name, provider, country, policy)``."""

    purpose: str
    name: str
    text: str
    services: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a receipt says. time, keep_for: seconds. origin: of the site, ``https://HOST``. notice: the privacy
    policy's address. texts: digest of the words shown."""

    site: str
    origin: str
    record: str
    time: int
    keep_for: int
    revision: str
    notice: str
    contact: str
    language: str
    surface: str
    texts: str
    signal: str
    grants: tuple[Grant, ...]
    refused: tuple[str, ...] = field(default=())


def compose(facts: Facts) -> dict[str, Any]:
    """The receipt of a choice, as JSON would have it."""
    moment = datetime.fromtimestamp(facts.time, UTC)
    until = datetime.fromtimestamp(facts.time + facts.keep_for, UTC)
    return {
        "schema_version": SCHEMA,
        "receipt_id": f"{facts.record}.{facts.time}",
        "record_id": facts.record,
        # Whom it is about nobody knows but who holds it: the record's number is the only name there is.
        "pii_principal_id": facts.record,
        "pii_processing": {
            "privacy_notice": {"url": facts.notice, "version": facts.revision, "digest": facts.texts},
            "language": facts.language,
            "purposes": [_purpose(facts, grant, until) for grant in facts.grants],
            "purposes_refused": list(facts.refused),
        },
        "parties": [
            {
                "party_id": facts.origin,
                "party_name": facts.site,
                "party_role": "pii_controller",
                "party_type": "website operator",
                # A postal address is no setting: it stands in the notice.
                "party_address": facts.notice,
                "party_url": facts.origin,
                "party_contact": facts.contact,
            }
        ],
        "events": [
            {
                "event_time": moment.isoformat(),
                "validity_duration": f"P{facts.keep_for // 86400}D",
                "entity_id": facts.record,
                "event_type": "explicit",
                "event_state": "given",
                "collection_method": facts.surface,
                **({"overridden_signal": facts.signal} if facts.signal else {}),
            }
        ],
    }


def _purpose(facts: Facts, grant: Grant, until: datetime) -> dict[str, Any]:
    countries = sorted({country for _, _, country, _ in grant.services if country})
    return {
        "purpose": grant.name,
        "purpose_type": grant.purpose,
        "purpose_description": grant.text,
        "lawful_basis": "consent",
        "pii_information": [
            {"pii_type": kind, "pii_optional": True, "special_pii_category": False}
            for kind in ("online identifiers", "usage of this site")
        ],
        "pii_controllers": [facts.origin],
        "collection_method": facts.surface,
        "processing_method": ["loaded by the browser from the recipients named"],
        # Where the recipients are at home. Of what nothing is known the privacy notice has to speak.
        "storage_locations": countries or [facts.notice],
        "jurisdiction": countries or [facts.notice],
        "retention_period": until.isoformat(),
        "services": [service for service, _, _, _ in grant.services],
        "recipient_third_parties": [
            {"name": provider or service, "country": country, "privacy_policy": policy}
            for service, provider, country, policy in grant.services
        ],
        "withdrawal_method": f"{facts.origin}/_privacy/",
        "privacy_rights": f"{facts.origin}/_privacy/#rights",
    }


class ReceiptSigner:
    """Signs receipts with the newest key, and publishes all.

    secrets: newest first. site: its name, so that two sites under one secret have keys of their own.
    """

    def __init__(self, secrets: Sequence[str], site: str) -> None:
        self._keys = tuple(_private(secret, site) for secret in secrets)

    def sign(self, receipt: Mapping[str, Any]) -> dict[str, Any]:
        """The receipt as it is handed out."""
        private = self._keys[0]
        header = {"alg": "EdDSA", "kid": _jwk(private.public_key())["kid"], "typ": TYPE}
        protected, payload = _encoded(header), _encoded(receipt)
        signature = private.sign(f"{protected}.{payload}".encode("ascii"))
        return {"receipt": dict(receipt), "protected": protected, "payload": payload, "signature": _base64(signature)}

    def key_set(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JSON Web Key Set (RFC 7517, section 5), newest first."""
        return {"keys": [_jwk(private.public_key()) for private in self._keys]}


def verify(text: str | bytes, key_set: object) -> dict[str, Any]:
    """Check a receipt against a key set (both as in files); return what it says. Raises ReceiptError."""
    try:
        file = json.loads(text) if len(text) <= MAX_RECEIPT else None
    except (ValueError, RecursionError):
        file = None
    if not isinstance(file, dict):
        raise ReceiptError("this is no receipt: a JSON object with protected, payload and signature is expected")
    parts = [file.get(name) for name in ("protected", "payload", "signature")]
    if not all(isinstance(part, str) and part for part in parts):
        raise ReceiptError("this is no receipt: a JSON object with protected, payload and signature is expected")
    protected, payload, signature = map(str, parts)
    header, receipt = _decoded(protected), _decoded(payload)
    if header.get("alg") != "EdDSA" or header.get("typ") != TYPE or "crit" in header:
        raise ReceiptError("it is not signed as a consent receipt is (EdDSA)")
    key = _find(key_set, header.get("kid"))
    try:
        key.verify(_bytes(signature), f"{protected}.{payload}".encode("ascii"))
    except InvalidSignature:
        raise ReceiptError("the signature does not hold: the receipt was changed, or is not of this site") from None
    if "receipt" in file and file["receipt"] != receipt:
        raise ReceiptError("what is written in it in the clear is not what was signed")
    return receipt


def _find(key_set: object, kid: object) -> Ed25519PublicKey:
    keys = key_set.get("keys") if isinstance(key_set, Mapping) else None
    for jwk in keys if isinstance(keys, list) else []:
        if isinstance(jwk, Mapping) and jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519":
            raw = _bytes(str(jwk.get("x", "")))
            if len(raw) == 32 and _thumbprint(_base64(raw)) == kid:
                return Ed25519PublicKey.from_public_bytes(raw)
    raise ReceiptError("none of these keys signed it: its secret is not listed any more, or it is of another site")


def _private(secret: str, site: str) -> Ed25519PrivateKey:
    info = f"vestibule receipts 1\n{site}".encode()
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret.encode())
    return Ed25519PrivateKey.from_private_bytes(seed)


def _jwk(key: Ed25519PublicKey) -> dict[str, str]:
    x = _base64(key.public_bytes_raw())
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": _thumbprint(x), "x": x}


def _thumbprint(x: str) -> str:
    """RFC 7638, section 3, with the members of RFC 8037, appendix A.3."""
    canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"))
    return _base64(hashlib.sha256(canonical.encode()).digest())


def _encoded(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode())


def _decoded(text: str) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(text))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ReceiptError("this is no receipt: what was signed is not JSON")
    return value


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ReceiptError("this is no receipt: its parts are not base64url") from None
