"""The proof of a choice: what a consent record says, made when the choice is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime

from vestibule.core.consent import ASKED, Choice, Surface
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.texts import Texts


def texts_digest(texts: Texts) -> str:
    """A hash of all texts that were shown, so that the record proves what was agreed to."""
    canonical = json.dumps(texts.data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def consent_record(policy: SitePolicy, choice: Choice, surface: Surface, texts: Texts) -> Mapping[str, object]:
    """The record of a choice: no address, no agent, the time by the hour; a refusal has no id."""
    hour = datetime.fromtimestamp(choice.time, UTC).replace(minute=0, second=0, microsecond=0)
    return {
        "id": choice.record or "",
        "hour": hour.strftime("%Y-%m-%dT%H:00:00Z"),
        "site": policy.config.site.name,
        "revision": choice.revision,
        "texts": texts_digest(texts),
        "language": texts.tag,
        "purposes": [purpose.value for purpose in ASKED if purpose in choice.purposes],
        "services": dict(choice.services),
        "surface": surface.value,
    }
