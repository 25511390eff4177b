"""The proof of a choice: what a consent record says, made when the choice is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from vestibule.core.consent import ASKED, Choice, Surface
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.texts import Texts


def texts_digest(texts: Texts) -> str:
    """A hash of all texts that were shown, so that the record proves what was agreed to."""
    canonical = json.dumps(texts.data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def consent_record(policy: SitePolicy, choice: Choice, surface: Surface, texts: Texts) -> Mapping[str, object]:
    """The record of a choice: no address, no agent, the time by the hour; a refusal has no id."""
    return {
        "id": choice.record or "",
        "time": choice.time - choice.time % 3600,
        "site": policy.config.site.name,
        "revision": choice.revision,
        "texts": texts_digest(texts),
        "language": texts.tag,
        "purposes": [purpose.value for purpose in ASKED if purpose in choice.purposes],
        "services": dict(choice.services),
        "surface": surface.value,
    }
