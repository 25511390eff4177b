"""Keeping visitors signed in, as far as it concerns their cookies and what they see of it.

The cookie ``keep`` is the only place where an e-mail address is. What is revoked is known by keyed hashes alone
(``core.sign_in``); while it is not known what is revoked, nothing is restored or renewed from the cookie.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from markupsafe import Markup

from vestibule.core.cookies import EPOCH
from vestibule.core.errors import LinkError
from vestibule.core.sign_in import Keep, Opened, SignIn, Standing, language_of
from vestibule.privacy import removing
from vestibule.privacy.answers import Header
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.rendering import environment
from vestibule.privacy.texts import Texts, choose, fill
from vestibule.privacy.visitor import KEEP_COOKIE, Visitor, cookie_name

MAX_TOKENS = 8
"""Keep cookies of one request that are opened; a browser has one, and whoever sends more of them has none."""


class Revoked(Protocol):
    """What has been revoked, as far as this process knows (``link.Mirror`` is it)."""

    @property
    def fresh(self) -> bool:
        """Whether that is known at all just now."""

    def cover(self, marks: Sequence[str], signed_in: int) -> bool:
        """Whether what was signed in then (milliseconds since the epoch) is revoked by any of these marks."""

    def add(self, marks: Sequence[str], when: int) -> None:
        """Revoke in this process at once."""


def name_of(policy: SitePolicy, visitor: Visitor) -> str:
    """The name of the keep cookie on this visitor's host."""
    return cookie_name(KEEP_COOKIE, secure=visitor.secure, domain=policy.cookie_domain(visitor.host))


def recognise(policy: SitePolicy, revoked: Revoked, visitor: Visitor, when: int) -> Visitor:
    """The visitor with what their keep cookie means: a choice that their browser has lost, their language; and without
    the site's session cookies where their sign-in is over. when: it is now, in milliseconds since the epoch."""
    name = name_of(policy, visitor)
    tokens = {pair.value for pair in visitor.cookies if pair.name == name}
    if not tokens:
        return visitor
    if len(tokens) > MAX_TOKENS:
        return replace(visitor, sign_in=SignIn(Standing.UNREADABLE, when))
    opened = [found for token in tokens if (found := policy.open_keep(token)) is not None]
    if len(opened) != 1:
        # Of two that could both be true, another host or path may have set one.
        doubtful = tuple(found.keep for found in opened)
        return replace(visitor, sign_in=SignIn(Standing.UNREADABLE, when, doubtful=doubtful))
    (found,) = opened
    if is_over(policy, revoked, found.keep, found.marks, visitor.now):
        dropped = tuple(pair.name for pair in visitor.cookies if policy.cookies.decide(pair.name).session)
        cookies = tuple(pair for pair in visitor.cookies if pair.name not in dropped)
        over = SignIn(Standing.OVER, when, found.keep, found.newest, dropped=dropped)
        return replace(visitor, cookies=cookies, sign_in=over)
    return _restored(policy, revoked, visitor, found, when)


def is_over(policy: SitePolicy, revoked: Revoked, keep: Keep, marks: Sequence[str], now: int) -> bool:
    """Whether a sign-in is over, by its time or since it was revoked. marks: of its series and account."""
    return not keep.lives(now, policy.config.sign_in.keep_for) or revoked.cover(marks, keep.signed_in)


def _restored(policy: SitePolicy, revoked: Revoked, visitor: Visitor, found: Opened, when: int) -> Visitor:
    keep = found.keep
    tag = language_of(keep.preferences)
    language = f"{tag},{visitor.language}" if tag and visitor.language else tag or visitor.language or keep.language
    lost = policy.signer.loads(keep.choice, visitor.now) if visitor.kept is None and revoked.fresh else None
    sign_in = SignIn(Standing.LIVES, when, keep, found.newest, lost is not None)
    visitor = replace(visitor, language=language, sign_in=sign_in)
    if lost is None:
        return visitor
    if not lost.decided or lost.revision != policy.config.policy.revision:
        return replace(visitor, kept=lost)
    choice, added = policy.without_added(lost)
    return replace(visitor, kept=lost, choice=choice, added=added)


# -- the cookie


def keep_cookie(policy: SitePolicy, visitor: Visitor, keep: Keep, nonce: bytes) -> Header:
    """The ``Set-Cookie`` header that keeps a sign-in for what is left of its life."""
    return _cookie(policy, visitor, policy.keeper.seal(keep, nonce), f"Max-Age={max(keep.expires - visitor.now, 0)}")


def removal(policy: SitePolicy, visitor: Visitor) -> Header:
    """The ``Set-Cookie`` header that removes the keep cookie."""
    return _cookie(policy, visitor, "", f"Expires={EPOCH}", "Max-Age=0")


def _cookie(policy: SitePolicy, visitor: Visitor, value: str, *life: str) -> Header:
    domain = policy.cookie_domain(visitor.host)
    parts = [f"{name_of(policy, visitor)}={value}", "Path=/", *life, "HttpOnly", "SameSite=Lax"]
    if visitor.secure:
        parts.append("Secure")
    if domain:
        parts.append(f"Domain={domain}")
    return b"set-cookie", "; ".join(parts).encode("latin-1")


def session_removals(policy: SitePolicy, visitor: Visitor, spared: Container[str] = ()) -> tuple[Header, ...]:
    """``Set-Cookie`` headers that remove the site's session cookies that came, but for those that are ``spared``."""
    came = [pair.name for pair in visitor.cookies if policy.cookies.decide(pair.name).session]
    came += visitor.sign_in.dropped if visitor.sign_in is not None else ()
    names = dict.fromkeys(name for name in came if name not in spared)
    return removing.removals(policy, visitor, tuple(names), "/")


# -- signing out

Keeping = Callable[[Mapping[str, object]], Awaitable[None]]


async def revoke(policy: SitePolicy, keeping: Keeping, marks: Sequence[str], when: int) -> bool:
    """Revoke, and return whether it is on disk; if it is not, it holds in this process only. when: milliseconds since
    the epoch."""
    try:
        await keeping({"revoke": list(marks), "time": when, "site": policy.config.site.name})
    except LinkError:
        return False
    return True


def moment(when: int, keep: Keep) -> int:
    """The time with which to revoke a sign-in: never before it began, though a clock was set back in between."""
    return max(when, keep.signed_in)


async def sign_out_everywhere(policy: SitePolicy, keeping: Keeping, visitor: Visitor) -> tuple[bool, list[Header]]:
    """End a visitor's sign-in on all devices. Returns whether the others will learn of it, and the headers that remove
    the cookies here. Whoever holds a cookie that is over can end nothing with it."""
    headers = [removal(policy, visitor), *session_removals(policy, visitor)]
    if visitor.sign_in is None or visitor.sign_in.live is None:
        return True, headers
    keep = visitor.sign_in.live
    marks = policy.keeper.marks(series=keep.series, account=keep.account)
    return await revoke(policy, keeping, marks, moment(visitor.sign_in.when, keep)), headers


# -- what visitors see


def section(policy: SitePolicy, visitor: Visitor, texts: Texts) -> Markup:
    """What the centre says of being kept signed in; empty for whom it does not concern."""
    keep = _told(visitor)
    if keep is None:
        return Markup("")
    words = texts["sign_in"]
    kept = fill(
        words["kept"],
        email=_text(keep.account) or policy.config.site.name,
        date=texts.date(policy.day(keep.expires)),
    )
    return Markup(environment().get_template("sign_in.html").render(words=words, kept=kept, tag=texts.tag))  # noqa: S704


def data(visitor: Visitor) -> dict[str, object] | None:
    """What the keep cookie holds, for themselves, as JSON would have it; None without one that counts."""
    keep = _told(visitor)
    if keep is None:
        return None
    return {
        "account": _text(keep.account) or None,
        "preferences": json.loads(_text(keep.preferences)) if keep.preferences else None,
        "language": keep.language or None,
        "since": datetime.fromtimestamp(keep.signed_in // 1000, UTC).isoformat(),
        "until": datetime.fromtimestamp(keep.expires, UTC).isoformat(),
    }


def _told(visitor: Visitor) -> Keep | None:
    """What may be told of a sign-in: nothing to a script, which would read in the page what its cookie keeps from it,
    and nothing to whoever comes with a cookie that is over."""
    return visitor.sign_in.live if visitor.sign_in is not None and visitor.sign_in.shown else None


def _text(written: str) -> str:
    """UTF-8 that came in a header, where each byte is a character."""
    return written.encode("latin-1").decode("utf-8", "replace")


def cookies_off(policy: SitePolicy, visitor: Visitor, style: str, again: str) -> bytes:
    """The page for who signed in with cookies turned off, UTF-8. again: the address to try once more."""
    texts = policy.texts(choose(visitor.language))
    page = (
        environment()
        .get_template("cookies_off.html")
        .render(
            texts=texts,
            words=texts["sign_in"],
            tag=texts.tag,
            site=policy.config.site.name,
            text=fill(texts["sign_in"]["off_text"], site=policy.config.site.name),
            policy_url=policy.config.policy.url,
            style=style,
            again=again,
        )
    )
    return page.encode()
