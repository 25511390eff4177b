"""Reads what was chosen: a form or JSON, bounded, and only names that are known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs

from vestibule.core.consent import ASKED, Choice, Purpose, State, Surface
from vestibule.core.services import UNKNOWN
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.texts import languages

MAX_BODY = 16 << 10
MAX_FIELDS = 256
MAX_HOSTS = 16
"""Hosts that nothing names and that one choice lets in by themselves: the cookie must stay small. Beyond, those that
were let in last are kept."""
_ASKED = {purpose.value: purpose for purpose in ASKED}
_KINDS = frozenset(("accept", "reject", "save", "add", "accept-new", "reject-new", "save-new"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A choice as it was sent.

    kind: accept, reject, save (exactly what is named) or add (to what was granted); accept-new, reject-new or save-new
    decide on ``offered`` alone, the services that were added since the last choice. shown: what the form showed, as
    ``SitePolicy.shown`` names it; empty where it does not say. language: of the form; empty likewise. held: what the
    page holds back, of which the script wants to know whether it is open now.
    """

    kind: str
    purposes: frozenset[Purpose] = frozenset()
    services: Mapping[str, bool] = field(default_factory=dict)
    offered: tuple[str, ...] = ()
    surface: Surface = Surface.BANNER
    shown: str = ""
    language: str = ""
    next: str = "/"
    held: tuple[str, ...] = ()

    @property
    def refuses(self) -> bool:
        """Whether it lets in nothing that is not in already."""
        return self.kind in ("reject", "reject-new")


def parse_answer(body: bytes, content_type: str) -> Answer | None:
    """Read a body; None where it says no choice that is understood."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return _from_json(body)
    if kind == "application/x-www-form-urlencoded":
        return _from_form(body)
    return None


def read_form(body: bytes, content_type: str) -> dict[str, list[str]] | None:
    """The fields of a form; None where it is none."""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return None
    try:
        return parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except (ValueError, UnicodeDecodeError):
        return None


def _from_form(body: bytes) -> Answer | None:
    fields = read_form(body, "application/x-www-form-urlencoded")
    if fields is None:
        return None
    # A placeholder's button names a service and nothing else.
    kind = _one(fields.get("choice")) or ("add" if fields.get("service") else "")
    if kind not in _KINDS or any(name not in _ASKED for name in fields.get("purpose", ())):
        return None
    language, _, shown = _one(fields.get("shown")).partition(".")
    return Answer(
        kind=kind,
        purposes=frozenset(_ASKED[name] for name in fields.get("purpose", ())),
        services=dict.fromkeys(fields.get("service", ()), True),
        offered=tuple(fields.get("offered", ())),
        surface=Surface.CENTRE if _one(fields.get("surface")) == "centre" else Surface.BANNER,
        shown=shown,
        language=language if language in languages() else "",
        next=_one(fields.get("next")) or "/",
        held=tuple(fields.get("held", ())),
    )


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
    return Answer("save", granted, services, surface=Surface.API)


def _flags(value: object) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= MAX_FIELDS
        and all(isinstance(name, str) and isinstance(on, bool) for name, on in value.items())
    )


def _one(values: Sequence[str] | None) -> str:
    return values[0] if values else ""


def to_choice(policy: SitePolicy, answer: Answer, before: Choice | None, now: int, record: str) -> Choice:
    """The choice that an answer makes.

    before: what the visitor's cookie says until now, under the present policy or not; what of it is no choice is kept.
    record: the id for a grant; a refusal drops it. Neither the words nor the signal are filled in here.
    """
    revision = policy.config.policy.revision
    valid = before is not None and before.decided and before.revision == revision
    choice = _decide(policy, answer, before if valid else None)
    if before is not None:
        choice = replace(choice, objects=before.objects, notice=before.notice)
    choice = replace(choice, revision=revision, time=now - now % 3600, surface=answer.surface.value)
    # What is no different from its purpose says nothing; what is not asked for cannot be let in.
    services = {
        name: on
        for name, on in choice.services.items()
        if (verdict := policy.rules.named(name)) is not None
        and verdict.state is State.ASK
        and on != (verdict.purpose in choice.purposes)
    }
    for name in [name for name in services if name.startswith(UNKNOWN)][:-MAX_HOSTS]:
        del services[name]
    choice = replace(choice, services=services)
    if choice.refuses_all:
        # A refusal is like any other: nothing tells two apart.
        return replace(choice, services={}, shown=None)
    return replace(choice, record=record)


def _decide(policy: SitePolicy, answer: Answer, before: Choice | None) -> Choice:
    """Purposes, services and what was shown, of which more is said than needed."""
    if answer.kind in ("accept-new", "reject-new", "save-new"):
        return _decide_new(policy, answer, before)
    if answer.kind == "reject":
        return Choice(frozenset(), "", 0)
    if answer.kind == "accept":
        return Choice(frozenset(ASKED), "", 0, shown=policy.marks(frozenset(ASKED)))
    purposes, services = answer.purposes, dict(answer.services)
    if answer.kind == "add" and before is not None:
        marks = policy.marks(purposes)
        shown = None if before.shown is None else before.shown | marks
        return replace(
            before, purposes=before.purposes | purposes, services={**before.services, **services}, shown=shown
        )
    return Choice(purposes, "", 0, services=services, shown=policy.marks(purposes))


def _decide_new(policy: SitePolicy, answer: Answer, before: Choice | None) -> Choice:
    """What was decided before, and on each of the services that were added what was decided now."""
    chosen = {"accept-new": set(answer.offered), "reject-new": set(), "save-new": set(answer.services)}[answer.kind]
    if before is None:
        # Their choice ran out, or the policy changed, while the form lay open: only what they named counts.
        services = dict.fromkeys(chosen & set(answer.offered), True)
        return Choice(frozenset(), "", 0, services=services, shown=frozenset())
    decided = {name: name in chosen for name in answer.offered}
    shown = before.shown
    if shown is not None:
        shown |= {found for name in answer.offered if (found := policy.mark_of(name))}
    return replace(before, services={**before.services, **decided}, shown=shown)
