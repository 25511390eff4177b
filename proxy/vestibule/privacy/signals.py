"""What browsers tell by themselves, and is counted: beacons, pixels, reports of what a policy held back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from vestibule.core import beacons
from vestibule.core.consent import Purpose
from vestibule.core.pixels import PIXEL, is_pixel_name
from vestibule.privacy import answers
from vestibule.privacy.exchange import Exchange, Routes
from vestibule.privacy.forms import MAX_BODY
from vestibule.privacy.policy import SitePolicy

MAX_REPORT = 32 << 10


class Signals:
    """Answers for one configuration."""

    def __init__(self, policy: SitePolicy) -> None:
        self._policy = policy
        self.routes: Routes = {"/_privacy/event": {"POST": self._event}, "/_privacy/csp": {"POST": self._report}}

    async def pixel(self, exchange: Exchange) -> None:
        """Answer ``/_privacy/pixel/NAME.gif``."""
        name = exchange.path.removeprefix("/_privacy/pixel/").removesuffix(".gif")
        if exchange.method not in ("GET", "HEAD") or not is_pixel_name(name):
            await answers.answer_text(exchange.send, 404, "There is nothing at this address.")
            return
        exchange.counter.event("pixel", (("name", name),))
        await answers.answer(exchange.send, 200, PIXEL, "image/gif", answers.PRIVATE, head=exchange.method == "HEAD")

    async def _event(self, exchange: Exchange) -> None:
        """What a page tells by itself: counted only for visitors who agreed to statistics."""
        told = beacons.read(await answers.read_body(exchange.receive, MAX_BODY))
        choice = exchange.visitor.effective
        if choice is None or not choice.grants(Purpose.STATISTICS):
            await answers.answer_text(exchange.send, 403, "Nothing is counted here without consent to statistics.")
        elif told is None:
            await answers.answer_text(exchange.send, 400, "That is no beacon: see docs/consent-api.md.")
        else:
            for kind, event in told:
                exchange.counter.event(kind, event)
            await answers.answer(exchange.send, 204, b"", "", answers.PRIVATE)

    async def _report(self, exchange: Exchange) -> None:
        body = await answers.read_body(exchange.receive, MAX_REPORT)
        for host, path, kind in _violations(body):
            verdict = self._policy.rules.decide(host, path, kind)
            if not verdict.open(exchange.visitor.effective):
                exchange.counter.blocked(verdict.key, verdict.purpose.value, "csp")
        await answers.answer(exchange.send, 204, b"", "", ())


def _violations(body: bytes) -> Iterable[tuple[str, str, str]]:
    """Host, path and kind of what a CSP report says was held back (CSP3, section 5.3)."""
    try:
        data = json.loads(body)
        report = data["csp-report"]
        blocked, directive = str(report["blocked-uri"]), str(report.get("effective-directive", ""))
        parts = urlsplit(blocked)
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname:
        yield parts.hostname, parts.path or "/", directive.partition("-")[0]
