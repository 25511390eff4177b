"""A visitor's receipt: what their cookie says they agreed to, with the services by purpose, signed."""

from __future__ import annotations

from typing import Any

from vestibule.core.consent import ASKED, Choice, Purpose
from vestibule.core.receipts import Facts, Grant, compose
from vestibule.core.trackers import Service
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.texts import DEFAULT, languages
from vestibule.privacy.visitor import Visitor


def receipt(policy: SitePolicy, visitor: Visitor) -> dict[str, Any] | None:
    """The signed receipt of what the visitor's cookie holds, also under an older revision of the policy; None for a
    refusal, or where there is no choice. It needs nothing that is kept on the server."""
    kept = visitor.kept
    if kept is None or not kept.decided or kept.record is None:
        return None
    return policy.receipts.sign(compose(_facts(policy, visitor, kept)))


def granted(policy: SitePolicy, choice: Choice) -> dict[Purpose, list[Service]]:
    """The services that were let in, by purpose: those that were shown when it was agreed to, and are still known."""
    found: dict[Purpose, list[Service]] = {}
    for purpose in ASKED:
        services = [
            service
            for service in (*policy.asked, *policy.let_in_besides(choice))
            if service.purpose is purpose and choice.grants(purpose, service.id) and _was_shown(policy, choice, service)
        ]
        if services or purpose in choice.purposes:
            found[purpose] = services
    return found


def _was_shown(policy: SitePolicy, choice: Choice, service: Service) -> bool:
    named = choice.shown is None or service.id in choice.services
    return named or (choice.shown is not None and policy.mark_of(service.id) in choice.shown)


def _facts(policy: SitePolicy, visitor: Visitor, choice: Choice) -> Facts:
    config = policy.config
    texts = policy.texts(choice.language if choice.language in languages() else DEFAULT)
    open_now = granted(policy, choice)
    url = config.policy.url
    return Facts(
        site=config.site.name,
        origin=visitor.origin,
        record=choice.record or "",
        time=choice.time,
        keep_for=config.consent.keep_for,
        revision=choice.revision,
        notice=url if url.startswith("https:") else visitor.origin + url,
        contact=config.policy.contact,
        language=texts.tag,
        surface=choice.surface,
        texts=choice.texts,
        signal=choice.signal,
        grants=tuple(
            Grant(
                purpose=purpose.value,
                name=str(texts["purposes"][purpose]["name"]),
                text=str(texts["purposes"][purpose]["text"]),
                services=tuple((each.name, each.provider, each.country, each.policy) for each in services),
            )
            for purpose, services in open_now.items()
        ),
        refused=tuple(purpose.value for purpose in ASKED if purpose not in open_now),
    )
