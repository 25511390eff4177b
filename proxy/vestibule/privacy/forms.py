"""Reads what was chosen: a form or JSON, bounded, and only names that are known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from vestibule.core.consent import ASKED, Choice, Purpose, State, Surface
from vestibule.privacy.policy import SitePolicy

MAX_BODY = 16 << 10
MAX_FIELDS = 200
_ASKED = {purpose.value: purpose for purpose in ASKED}


@dataclass(frozen=True, slots=True)
class Answer:
    """A choice as it was sent. kind: accept, reject, save (exactly what is named) or add (to what was granted). held:
    what the page holds back, of which the script wants to know whether it is open now."""

    kind: str
    purposes: frozenset[Purpose] = frozenset()
    services: Mapping[str, bool] = field(default_factory=dict)
    surface: Surface = Surface.BANNER
    next: str = "/"
    held: tuple[str, ...] = ()


def parse_answer(body: bytes, content_type: str) -> Answer | None:
    """Read a body; None where it says no choice that is understood."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return _from_json(body)
    if kind == "application/x-www-form-urlencoded":
        return _from_form(body)
    return None


def _from_form(body: bytes) -> Answer | None:
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except (ValueError, UnicodeDecodeError):
        return None
    kind = _one(fields.get("choice"))
    if kind not in ("accept", "reject", "save", "add"):
        return None
    surface = Surface.CENTRE if _one(fields.get("surface")) == "centre" else Surface.BANNER
    if any(name not in _ASKED for name in fields.get("purpose", ())):
        return None
    purposes = frozenset(_ASKED[name] for name in fields.get("purpose", ()))
    services = dict.fromkeys(fields.get("service", ()), True)
    held = tuple(fields.get("held", ()))
    return Answer(kind, purposes, services, surface, _one(fields.get("next")) or "/", held)


def _from_json(body: bytes) -> Answer | None:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    purposes, services = data.get("purposes", {}), data.get("services", {})
    if not _flags(purposes) or not _flags(services) or not (purposes or services):
        return None
    if any(name not in _ASKED for name in purposes):
        return None  # a misspelt purpose is no refusal
    granted = frozenset(_ASKED[name] for name, on in purposes.items() if on)
    return Answer("save", granted, services, Surface.API)


def _flags(value: object) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= MAX_FIELDS
        and all(isinstance(name, str) and isinstance(on, bool) for name, on in value.items())
    )


def _one(values: Sequence[str] | None) -> str:
    return values[0] if values else ""


def to_choice(policy: SitePolicy, answer: Answer, before: Choice | None, now: int, record: str) -> Choice:
    """The choice that an answer makes. before: what held until now. record: the id for a grant; a refusal drops it."""
    services: dict[str, bool] = {}
    if answer.kind == "accept":
        purposes = frozenset(ASKED)
    elif answer.kind == "reject":
        purposes = frozenset()
    else:
        purposes, services = answer.purposes, dict(answer.services)
        if answer.kind == "add" and before is not None:
            purposes, services = before.purposes | purposes, {**before.services, **services}
    asked = {
        name: on
        for name, on in services.items()
        if (verdict := policy.rules.verdict(name)) is not None
        and verdict.state is State.ASK
        and on != (verdict.purpose in purposes)
    }
    choice = Choice(purposes, policy.config.policy.revision, now - now % 3600, None, asked)
    return choice if choice.refuses_all else Choice(choice.purposes, choice.revision, choice.time, record, asked)
