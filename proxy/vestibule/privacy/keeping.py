"""The choice cookie: where what a visitor decided is kept, in their own browser."""

from __future__ import annotations

from dataclasses import replace

from vestibule.core.consent import Choice
from vestibule.privacy.answers import Header
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.visitor import CHOICE_COOKIE, Visitor, cookie_name


def remembered(visitor: Visitor, *, objects: bool | None = None, notice: str | None = None) -> Choice:
    """What the visitor's cookie says, with an objection or an announcement that was read. Nothing is decided by it
    that was not before, and no choice lives longer for it."""
    kept = visitor.kept or Choice(frozenset(), "", visitor.now - visitor.now % 3600, decided=False)
    if not kept.decided:
        kept = replace(kept, time=visitor.now - visitor.now % 3600)
    return replace(
        kept,
        objects=kept.objects if objects is None else objects,
        notice=kept.notice if notice is None else notice,
    )


def forgotten(policy: SitePolicy, visitor: Visitor) -> Header:
    """The ``Set-Cookie`` header that removes the choice cookie."""
    return cookie(policy, visitor, Choice(frozenset(), "", visitor.now, decided=False))


def cookie(policy: SitePolicy, visitor: Visitor, choice: Choice) -> Header:
    """The ``Set-Cookie`` header that keeps a choice for the rest of its life; one that says nothing is removed."""
    domain = policy.cookie_domain(visitor.host)
    name = cookie_name(CHOICE_COOKIE, secure=visitor.secure, domain=domain)
    if choice.decided or choice.objects or choice.notice:
        # The time is kept by the hour; a choice that was just made lives its whole life.
        age = (visitor.now - choice.time) // 3600 * 3600
        parts = [f"{name}={policy.signer.dumps(choice)}", "Path=/", f"Max-Age={policy.config.consent.keep_for - age}"]
    else:
        parts = [f"{name}=", "Path=/", "Max-Age=0"]
    parts += ["HttpOnly", "SameSite=Lax"]
    if visitor.secure:
        parts.append("Secure")
    if domain:
        parts.append(f"Domain={domain}")
    return b"set-cookie", "; ".join(parts).encode("latin-1")
