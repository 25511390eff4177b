"""What is the same for everyone: the banner's scripts and styles, and what is well known of us."""

from __future__ import annotations

import json

from vestibule.assets import Asset
from vestibule.privacy import answers
from vestibule.privacy.banner import Banner
from vestibule.privacy.exchange import Exchange, Handler, Routes
from vestibule.privacy.policy import SitePolicy

WELL_KNOWN = ("/.well-known/gpc.json", "/.well-known/vestibule.json")
GPC_SINCE = "2026-11-22"
"""The day since which Global Privacy Control has been answered as it is now (the specification's ``lastUpdate``)."""


class Files:
    """Answers for one configuration."""

    def __init__(self, policy: SitePolicy, banner: Banner) -> None:
        self._policy = policy
        self.routes: Routes = {
            "/_privacy/banner.js": {"GET": _asset(banner.script)},
            "/_privacy/answer.js": {"GET": _asset(banner.answer)},
            "/_privacy/count.js": {"GET": _asset(banner.count)},
            "/_privacy/banner.css": {"GET": _asset(banner.style)},
            "/_privacy/centre.css": {"GET": _asset(banner.centre_style)},
            "/.well-known/gpc.json": {"GET": self._gpc},
            "/.well-known/vestibule.json": {"GET": self._keys},
        }

    async def _gpc(self, exchange: Exchange) -> None:
        honoured = "gpc" in self._policy.config.consent.honour
        await answers.answer_json(exchange.send, 200, {"gpc": honoured, "lastUpdate": GPC_SINCE})

    async def _keys(self, exchange: Exchange) -> None:
        """What receipts are checked with (RFC 7517): public, and the same for everyone."""
        body = json.dumps(self._policy.receipts.key_set()).encode() + b"\n"
        headers = ((b"cache-control", b"public, max-age=3600"), (b"access-control-allow-origin", b"*"))
        await answers.answer(
            exchange.send, 200, body, "application/jwk-set+json", headers, head=exchange.method == "HEAD"
        )


def _asset(asset: Asset) -> Handler:
    headers = (*answers.IMMUTABLE, (b"x-content-type-options", b"nosniff"))

    async def answer(exchange: Exchange) -> None:
        head = exchange.method == "HEAD"
        await answers.answer(exchange.send, 200, asset.content, asset.content_type, headers, head=head)

    return answer
