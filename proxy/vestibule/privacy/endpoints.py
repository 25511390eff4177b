"""What is answered under ``/_privacy`` and ``/.well-known``: who answers it, and whom it is answered."""

from __future__ import annotations

from vestibule.privacy import answers, removing
from vestibule.privacy.answers import Header
from vestibule.privacy.banner import Banner
from vestibule.privacy.choosing import Choosing
from vestibule.privacy.exchange import PREFIX, Exchange, Records, Routes
from vestibule.privacy.files import WELL_KNOWN, Files
from vestibule.privacy.origin import from_own_pages, is_navigation
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.rights import Rights
from vestibule.privacy.signals import Signals
from vestibule.privacy.visitor import Visitor

_FOR_EYES = frozenset({"/_privacy/", "/_privacy/data"})
"""What tells the values of cookies: read by a script in a page, it would say what ``HttpOnly`` keeps from scripts."""


class Endpoints:
    """Answers for one configuration."""

    def __init__(self, policy: SitePolicy, banner: Banner, records: Records) -> None:
        self._policy = policy
        self._signals = Signals(policy)
        self._routes: Routes = {
            **Rights(policy, banner, records).routes,
            **Choosing(policy, banner, records).routes,
            **self._signals.routes,
            **Files(policy, banner).routes,
        }

    @staticmethod
    def owns(path: str) -> bool:
        """Whether a path is ours to answer."""
        return path.startswith(PREFIX) or path in WELL_KNOWN or path == PREFIX[:-1]

    async def __call__(self, exchange: Exchange) -> None:
        methods = self._routes.get(exchange.path)
        if exchange.path == PREFIX[:-1]:
            await answers.answer(exchange.send, 308, b"", "", [(b"location", PREFIX.encode())])
        elif exchange.path.startswith("/_privacy/pixel/") and exchange.path.endswith(".gif"):
            await self._signals.pixel(exchange)
        elif methods is None:
            await answers.answer_text(exchange.send, 404, "There is nothing at this address.")
        else:
            method = "GET" if exchange.method == "HEAD" and "GET" in methods else exchange.method
            handler = methods.get(method)
            if handler is None:
                allow = ", ".join(sorted(methods)).encode()
                await answers.answer_text(exchange.send, 405, "Not allowed here.", [(b"allow", allow)])
            elif exchange.path in _FOR_EYES and not is_navigation(exchange.headers):
                await answers.answer_text(exchange.send, 403, "This is for you to read, not for a script.")
            elif method == "POST" and not from_own_pages(exchange.headers, exchange.visitor.origin):
                await answers.answer_text(exchange.send, 403, self._policy.texts(exchange.language)["error"]["foreign"])
            else:
                try:
                    await handler(exchange)
                except answers.TooLargeError as error:
                    await answers.answer_text(exchange.send, 413, str(error), [(b"connection", b"close")])

    def removals(self, visitor: Visitor, names: tuple[str, ...], target: str) -> tuple[Header, ...]:
        """``Set-Cookie`` headers that remove cookies of these names. target: the path (and query) they came with."""
        return removing.removals(self._policy, visitor, names, target)
