"""``vestibule rewrite``: a page as a visitor with a given choice would receive it.

The file is served by a small app behind the middleware itself, so that what is shown is what happens.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from vestibule import config
from vestibule.config import Config
from vestibule.core.consent import ASKED, Choice, ChoiceSigner, Purpose
from vestibule.core.errors import VestibuleError
from vestibule.core.visit import Hit
from vestibule.middleware import ConsentMiddleware
from vestibule.privacy.visitor import CHOICE_COOKIE, cookie_name

Message = MutableMapping[str, Any]
PIECE = 65536


def rewrite(directory: Path, file: Path, *, page: str, consent: str) -> None:
    """Print the page to stdout, and a summary as JSON to stderr: what was held back and by whom, and the policy."""
    whole = config.load(directory, os.environ)
    address = _address(whole, page)
    # Alone, as if there were no others: which site it is, the page says.
    found = config.pick(whole, address.hostname or "").model_copy(update={"sites": ()})
    choice = _choice(found, consent)
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise VestibuleError(f"rewrite: {file} cannot be read: {error.strerror}") from None
    visit = _Visit(body)
    asyncio.run(visit.go(found, address, choice))
    sys.stdout.flush()
    sys.stdout.buffer.write(visit.page)
    sys.stdout.buffer.flush()
    print(json.dumps(visit.summary(consent), ensure_ascii=False, indent=1), file=sys.stderr)


def _address(found: Config, page: str) -> SplitResult:
    try:
        address = urlsplit(page)
        host = address.hostname or ""
    except ValueError:
        raise VestibuleError(f"--page: {page} is no address") from None
    if address.scheme not in ("http", "https"):
        raise VestibuleError(f"--page: must be an address such as https://{found.site.hosts[0]}/; is {page!r}")
    hosts = [each for site in found.everyone for each in site.site.hosts]
    if host not in hosts:
        raise VestibuleError(f"--page: {host} is not among site.hosts: {', '.join(hosts)}")
    return address


def _choice(found: Config, consent: str) -> Choice | None:
    """``none``: nothing was chosen yet. ``all``, or purposes, comma separated."""
    if consent == "none":
        return None
    names = [purpose.value for purpose in ASKED] if consent == "all" else consent.split(",")
    allowed = [purpose.value for purpose in ASKED]
    for name in names:
        if name.strip() not in allowed:
            raise VestibuleError(f"--consent: must be none, all, or some of {', '.join(allowed)}; is {consent!r}")
    purposes = frozenset(Purpose(name.strip()) for name in names)
    return Choice(purposes=purposes, revision=found.policy.revision, time=int(time.time()), record="rewrite")


class _Visit:
    """One request for the page, with both ends of it: the site that has the file, and the visitor who gets it."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._pieces: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._status = 0
        self._blocked: dict[tuple[str, str, str], None] = {}

    @property
    def page(self) -> bytes:
        return b"".join(self._pieces)

    async def go(self, found: Config, address: SplitResult, choice: Choice | None) -> None:
        secret = secrets.token_hex(32)  # signs this one choice, and is forgotten
        headers = [
            (b"host", address.netloc.rpartition("@")[2].encode("ascii", "replace")),
            (b"accept", b"text/html"),
            (b"sec-fetch-dest", b"document"),
        ]
        if choice is not None:
            token = ChoiceSigner([secret], found.site.name, found.consent.keep_for).dumps(choice)
            name = cookie_name(CHOICE_COOKIE, secure=address.scheme == "https", domain=found.cookies.domain)
            headers.append((b"cookie", f"{name}={token}".encode("ascii")))
        path = address.path or "/"
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": address.scheme,
            "path": unquote(path),
            "raw_path": path.encode("ascii", "replace"),
            "query_string": address.query.encode("ascii", "replace"),
            "root_path": "",
            "headers": headers,
            "client": ("192.0.2.1", 0),
            "server": (address.hostname or "", address.port or 0),
        }
        await ConsentMiddleware(self._site, found, secrets=[secret], sender=self)(scope, _nothing, self._receive)

    async def _site(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - an ASGI app
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(self._body))],
            }
        )
        for start in range(0, len(self._body), PIECE):
            piece = self._body[start : start + PIECE]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _receive(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
        else:
            self._pieces.append(message.get("body", b""))

    # What the middleware would tell the recorder.

    def send(self, hit: Hit) -> None:
        for service, purpose, _, reason in hit.blocked:
            self._blocked[service, purpose, reason] = None

    async def record(self, record: Mapping[str, object]) -> None:
        """No choice is made here."""

    def summary(self, consent: str) -> Mapping[str, Any]:
        """What a person would want to know of it."""
        policy = [value.decode("latin-1") for name, value in self._headers if name.startswith(b"content-security")]
        return {
            "status": self._status,
            "consent": consent,
            "bytes": {"in": len(self._body), "out": len(self.page)},
            "held": [
                {"service": service, "purpose": purpose, "reason": reason} for service, purpose, reason in self._blocked
            ],
            "content-security-policy": policy[-1] if policy else None,
        }


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
