"""``vestibule verify-receipt``."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path

from vestibule import config
from vestibule.core import secret
from vestibule.core.errors import VestibuleError
from vestibule.core.receipts import MAX_RECEIPT, ReceiptSigner, verify

_TIMEOUT = 10.0
_MAX_KEYS = 64 << 10


def verify_receipt(directory: Path, file: Path, keys: str, site: str = "") -> None:
    """Print what a receipt says, or raise ReceiptError where it cannot be believed.

    keys: where the key set is, a URL or a file; empty for those of the secrets that are set here.
    """
    receipt = verify(_receipt(file), _key_set(directory, keys, site))
    event = receipt.get("events", [{}])[0]
    print(f"signed by this key set, and unchanged: record {receipt.get('record_id')}, {event.get('event_time')}")
    print(json.dumps(receipt, ensure_ascii=False, indent=1))


def _receipt(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read(MAX_RECEIPT + 1)
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_RECEIPT + 1)
    except OSError as error:
        raise VestibuleError(f"{file}: {error.strerror}") from None


def _key_set(directory: Path, keys: str, site: str) -> object:
    if not keys:
        secrets = secret.parse(os.environ.get(secret.VARIABLE, ""))
        found = config.pick(config.load(directory, os.environ), site)
        return ReceiptSigner(secrets, found.site.name).key_set()
    try:
        return json.loads(_fetched(keys) if keys.startswith(("https://", "http://")) else Path(keys).read_bytes())
    except OSError as error:
        raise VestibuleError(f"{keys}: {getattr(error, 'reason', None) or error.strerror or error}") from None
    except ValueError:
        raise VestibuleError(f"{keys}: holds no key set (JSON)") from None


def _fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - http or https, as was looked at
        body: bytes = answer.read(_MAX_KEYS + 1)
    if len(body) > _MAX_KEYS:
        raise VestibuleError(f"{url}: is longer than {_MAX_KEYS} bytes")
    return body
