"""The proof of a choice: what a consent record says, made when the choice is."""

from __future__ import annotations

from collections.abc import Mapping

from vestibule.core.consent import ASKED, Choice
from vestibule.privacy.policy import SitePolicy


def consent_record(policy: SitePolicy, choice: Choice) -> Mapping[str, object]:
    """The record of a choice: no address, no agent, the time by the hour; a refusal has no id.

    ``texts`` is the digest of the words that were shown, ``asked`` the services that were, ``signal`` what the browser
    asked for where the choice goes before it.
    """
    return {
        "id": choice.record or "",
        "time": choice.time - choice.time % 3600,
        "site": policy.config.site.name,
        "revision": choice.revision,
        "texts": policy.texts_digest(choice.language),
        "language": choice.language,
        "purposes": [purpose.value for purpose in ASKED if purpose in choice.purposes],
        "services": dict(choice.services),
        "asked": [service.id for service in policy.asked],
        "surface": choice.surface,
        "signal": choice.signal,
    }
