"""What is held about a visitor, for themselves: access and portability (GDPR art. 15 and 20).

For each thing it says where it comes from, what it is for, how long it is kept and who receives it. There is nothing to
look up: the only personal record is in the visitor's own browser, and it came with the request.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from vestibule.core.consent import ASKED, Purpose
from vestibule.core.cookies import Pair
from vestibule.privacy import sign_in
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.receipts import granted
from vestibule.privacy.removing import is_own
from vestibule.privacy.texts import Texts, fill
from vestibule.privacy.visitor import KEEP_COOKIE, Visitor


def purpose_of(policy: SitePolicy, cookie: str) -> Purpose:
    """The purpose of a cookie."""
    return Purpose.NECESSARY if is_own(cookie) else policy.cookies.decide(cookie).purpose


def data(policy: SitePolicy, visitor: Visitor, texts: Texts) -> dict[str, Any]:
    """All of it, as JSON would have it, in the words of a language."""
    config = policy.config
    return {
        "site": config.site.name,
        "contact": config.policy.contact,
        "time": datetime.fromtimestamp(visitor.now - visitor.now % 3600, UTC).isoformat(),
        "language": texts.tag,
        "cookies_in_your_browser": [_cookie(policy, pair, texts) for pair in visitor.cookies],
        "choice": _choice(policy, visitor, texts),
        "sign_in": sign_in.data(visitor),
        "objection": visitor.objects or None,
        "counts": fill(texts["data"]["counts"], k=texts.number(config.analytics.k)),
    }


def _cookie(policy: SitePolicy, pair: Pair, texts: Texts) -> dict[str, Any]:
    purpose = purpose_of(policy, pair.name)
    verdict = policy.cookies.decide(pair.name)
    service = policy.rules.service(verdict.service or "") if not is_own(pair.name) else None
    known = policy.rules.cookie(pair.name) if service is not None else None
    period = texts["cookie"]["unknown"]
    if is_own(pair.name):
        keeps = policy.config.sign_in if pair.name.endswith(KEEP_COOKIE) else policy.config.consent
        period = texts.duration(keeps.keep_for)
    elif known is not None and known.duration is not None:
        period = texts.duration(known.duration) if known.duration else texts["cookie"]["session"]
    return {
        "name": pair.name,
        "value": pair.value,
        "source": texts["data"]["source_browser"],
        "purpose": purpose.value,
        "purpose_in_words": texts["purposes"][purpose]["text"],
        "period": period,
        "recipients": [service.provider or service.name] if service else texts["data"]["recipients_none"],
    }


def _choice(policy: SitePolicy, visitor: Visitor, texts: Texts) -> dict[str, Any] | None:
    kept = visitor.kept
    if kept is None or not kept.decided:
        return None
    config = policy.config
    open_now = granted(policy, kept)
    return {
        "purposes": {purpose.value: purpose in kept.purposes for purpose in ASKED},
        "services": {service.id: True for services in open_now.values() for service in services}
        | {name: on for name, on in kept.services.items() if not on},
        "time": datetime.fromtimestamp(kept.time, UTC).isoformat(),
        "revision": kept.revision,
        "language": kept.language,
        "surface": kept.surface,
        "signal": kept.signal or None,
        "record": kept.record,
        "source": fill(texts["data"]["source_you"], date=texts.date(policy.day(kept.time))),
        "purpose": texts["data"]["purpose_choice"],
        "period": {
            "in_your_browser": texts.duration(config.consent.keep_for),
            # Under a number only where there is one: a refusal leaves nothing that could be told from another.
            "consent_record": texts.duration(config.consent.prove_for) if kept.record else None,
        },
        "recipients": sorted({each.provider or each.name for services in open_now.values() for each in services})
        or texts["data"]["recipients_none"],
    }
