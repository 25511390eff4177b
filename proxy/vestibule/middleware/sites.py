"""The further sites of an instance, and which of them a request is for, by its host.

Each site has a snapshot of its own: rules, signatures, texts, what is remembered of requests. Nothing of one is asked
for a request to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.types import Scope

from vestibule.access import SITE
from vestibule.config import Config
from vestibule.core.forwarding import client_address
from vestibule.middleware.recall import UPGRADED, Recall
from vestibule.privacy.visitor import hostname


class Further:
    """The sites of ``sites/NAME/``.

    make: makes a site ready. before: those of the configuration that this one takes the place of; sites in which
    nothing has changed are taken over as they are.
    """

    def __init__(self, config: Config, make: Callable[[Config], Recall], before: Further | None = None) -> None:
        ready = before._ready if before is not None else {}
        self._ready: Mapping[tuple[str, str], Recall] = {
            (site.profile, site.revision): _taken(ready, site) or make(site) for site in config.sites
        }
        self._trusted = config.trusted_proxies
        self._by_host = {host: recall for recall in self._ready.values() for host in recall.snapshot.policy.answered}

    def of(self, scope: Scope) -> Recall | None:
        """The site that a request is for, which is noted in its scope; None where it is none of these."""
        if type(scope["headers"]) not in (tuple, list):
            scope["headers"] = list(scope["headers"])  # which are read again, as ASGI does not say they can be
        if not self._by_host:
            return None
        peer = scope.get("client")
        scheme = UPGRADED[scope.get("scheme", "http")]
        client = client_address(peer[0] if peer else None, scope["headers"], self._trusted, scheme)
        found = self._by_host.get(hostname(client.host))
        if found is not None:
            scope[SITE] = found.snapshot.policy.config.profile
        return found


def _taken(ready: Mapping[tuple[str, str], Recall], site: Config) -> Recall | None:
    found = ready.get((site.profile, site.revision))
    # A name is held until a new start, and so may differ from what the revision is of.
    return found if found is not None and found.snapshot.policy.config.site.name == site.site.name else None
