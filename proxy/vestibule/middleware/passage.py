"""One exchange's part in signing in: what it carries to the site, what the site says in its answer of who signed in or
out, and which of its cookies end with the browser.

Visitors never see those words, and can never send them. What is decided on is complete before the answer's headers
leave, so that what they say has taken effect when it is read.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from starlette.types import Message, Receive, Scope

from vestibule.core.cookie_policy import CookieVerdict
from vestibule.core.cookies import SetCookie, harden, kept, removal, temporary
from vestibule.core.jar import store
from vestibule.core.sign_in import (
    MAX_LOOK,
    Keep,
    Standing,
    folded,
    language_of,
    read_account,
    read_preferences,
    ticked,
)
from vestibule.core.urls import absolute
from vestibule.middleware.sign_in import SAFE
from vestibule.privacy import keeping, sign_in
from vestibule.privacy.answers import Header
from vestibule.privacy.policy import registrable
from vestibule.privacy.texts import choose
from vestibule.privacy.visitor import Visitor

if TYPE_CHECKING:
    from vestibule.middleware.request import Prepared
    from vestibule.middleware.sign_in import SignIns

NAMED_WITHIN = 3_600_000
"""Milliseconds after the box was ticked within which the site says whose sign-in it was."""

_SEE_OTHER = (301, 302, 303)


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer of the site says about signing in. signs_out: empty, ``1`` or ``everywhere``."""

    account: str = field(default="", repr=False)
    preferences: str = field(default="", repr=False)
    signs_out: str = ""


_NOTHING = Said()


def _read(headers: Sequence[Header]) -> Said:
    said: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name.startswith(b"vestibule-"):
            said.setdefault(name, []).append(value.strip())
    if not said:
        return _NOTHING
    accounts, preferences = said.get(b"vestibule-account", []), said.get(b"vestibule-preferences", [])
    out = [value.lower() for value in said.get(b"vestibule-sign-out", [])]
    return Said(
        # Two answers to who signed in are none.
        (read_account(accounts[0]) or "") if len(accounts) == 1 else "",
        (read_preferences(preferences[0]) or "") if len(preferences) == 1 else "",
        "everywhere" if b"everywhere" in out else "1" if b"1" in out else "",
    )


class Passage:
    """One request and its answer. What it works out for the answer's headers stands in ``cookies`` when ``see`` is
    done."""

    def __init__(self, sign_ins: SignIns, visitor: Visitor, prepared: Prepared, scope: Scope, now: float) -> None:
        self._sign_ins = sign_ins
        self._visitor = visitor
        self._prepared = prepared
        self._method: str = scope["method"]
        self._login = self._method == "POST" and scope["path"] == sign_ins.login
        self._logout = scope["path"] == sign_ins.logout and self._method not in ("HEAD", "OPTIONS")
        self._type = b""
        self._body = bytearray()
        self._when = int(now * 1000)
        self._begun = time.monotonic()
        self._keep = visitor.sign_in.live if visitor.sign_in is not None else None
        self._life = self._left()
        self._set: frozenset[str] = frozenset()
        self.told = False
        """Whether the site was told who comes: its answer is one visitor's own."""
        self.cookies: list[Header] = []
        self.matters = self._login or self._logout or visitor.sign_in is not None
        """Whether this answer may begin or end something, whatever it says."""

    # -- the request

    def carried(self) -> list[Header]:
        """What the site is told of a remembered visitor who comes without a session: only with a navigation, and only
        while it is known that nothing was revoked."""
        keep = self._keep
        if (
            keep is None
            or not keep.account
            or not self._prepared.top
            or self._method not in SAFE
            or not self._sign_ins.on
            or not self._sign_ins.revoked.fresh
            or any(self._sign_ins.is_session(pair.name) for pair in self._visitor.cookies)
        ):
            return []
        self.told = True
        found = [(b"vestibule-account", keep.account.encode("latin-1"))]
        if keep.preferences:
            found.append((b"vestibule-preferences", keep.preferences.encode("latin-1")))
        return found

    def watch(self, scope: Scope, receive: Receive) -> Receive:
        """``receive``, whose first bytes are looked at as the site takes them, where this is a sign-in."""
        if not self._login:
            return receive
        self._type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        body = self._body

        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request" and len(body) < MAX_LOOK:
                body.extend(message.get("body", b"")[: MAX_LOOK - len(body)])
            return message

        return received

    # -- the answer

    async def see(self, status: int, headers: list[Header]) -> list[Header]:
        """Take in an answer's status and headers (names in lower case); returns the headers, with the way back marked
        where cookies may be turned off."""
        said = _read(headers)
        if said is _NOTHING and not self.matters:
            return headers
        self._set = frozenset(filter(None, (self._session(*header) for header in headers)))
        sets = self._login and bool(self._set)
        if said.signs_out or (self._logout and status < 400):
            await self._sign_out(said)
        elif self._login and (status < 400 or said.account):
            await self._sign_in(said, sets=sets)
        else:
            await self._go_on(said)
        self._life = self._left()
        return self._mark(status, headers) if sets and not self._visitor.cookies else headers

    def cookie(self, cookie: SetCookie, verdict: CookieVerdict) -> SetCookie:
        """A cookie of the site's as it is set: necessary ones made stricter, sessions ending with the browser or
        kept."""
        if self._sign_ins.policy.observe:
            return cookie
        if verdict.harden:
            cookie = harden(cookie, secure=self._visitor.secure, http_only=verdict.http_only)
        if not verdict.session:
            return cookie
        if cookie.removes(self._visitor.now):
            return removal(cookie)
        return temporary(cookie) if self._life is None else kept(cookie, self._life)

    async def _sign_out(self, said: Said) -> None:
        keep, self._keep = self._known(), None
        account = (said.account or (keep.account if keep else "")) if said.signs_out == "everywhere" else ""
        if keep is not None or account:
            await self._sign_ins.revoke(self._when, keep, account)
        for each in self._visitor.sign_in.doubtful if self._visitor.sign_in is not None else ():
            await self._sign_ins.revoke(self._when, each)
        self._remove()

    async def _sign_in(self, said: Said, *, sets: bool) -> None:
        """A sign-in as far as can be told: that it failed, some sites say with a page like any other."""
        before = self._known()
        wants = ticked(self._type.decode("latin-1"), bytes(self._body), self._sign_ins.field)
        if wants and (sets or said.account or self._keep is None):
            series, now = secrets.token_urlsafe(12), self._visitor.now
            keep = Keep(series, self._when, now, now + self._sign_ins.keep_for, said.account)
            self._keep = self._with_preferences(keep, said.preferences or None)
            self._write(self._sign_ins.with_choice(self._keep, self._choice()))
        elif not wants and (sets or said.account):
            self._keep = None
            self._remove()
        else:
            await self._go_on(said)
            return
        if before is not None:
            await self._sign_ins.revoke(self._when, before)

    async def _go_on(self, said: Said) -> None:
        """An answer to somebody who may be kept signed in."""
        visitor, sign_ins = self._visitor, self._sign_ins
        found = visitor.sign_in
        if found is None:
            return
        keep = self._keep
        if keep is None or sign_ins.is_over(keep, visitor.now):
            # It was over before, or ended while the site was at work: in another tab, on another device.
            self._keep = None
            if self._prepared.document or found.standing is Standing.OVER:
                self._remove(sessions=found.standing is Standing.OVER)
            return
        if not sign_ins.revoked.fresh:
            return
        if said.account and not self._may_be(keep, said.account):
            self._keep = None
            await sign_ins.revoke(self._when, keep)
            self._remove()
            return
        changed = replace(keep, account=keep.account or said.account)
        changed = self._with_preferences(changed, said.preferences or None)
        later = sign_ins.chosen_since(keep, self._begun)
        if later is not None:
            changed = sign_ins.with_choice(changed, later)
        if self._prepared.top and self._method in SAFE:
            changed = self._renewed(changed)
            if visitor.kept is not None and later in (None, self._choice()):
                changed = self._with_own_choice(changed, restored=found.restored)
        if changed != keep or (not found.newest and self._prepared.top):
            self._write(changed)

    def _with_own_choice(self, keep: Keep, *, restored: bool) -> Keep:
        """The keep with the choice in their browser, or that from the keep back in their browser: but not by a page
        that took its time, which could write it over another one, made meanwhile in another tab and with another
        worker. Until one comes promptly, each request reads it from the keep cookie."""
        if not restored:
            return self._sign_ins.with_choice(keep, self._choice())
        if self._visitor.kept is not None and self._sign_ins.is_prompt(self._begun):
            self.cookies.append(keeping.cookie(self._sign_ins.policy, self._visitor, self._visitor.kept))
        return keep

    def _may_be(self, keep: Keep, account: str) -> bool:
        """Whether an account may be the one that was kept signed in. One that had no name yet takes that of the sign-in
        it belongs to, and not of whoever signs in later by another way."""
        if not keep.account:
            return self._when - keep.signed_in < NAMED_WITHIN
        return folded(keep.account) == folded(account)

    def _renewed(self, keep: Keep) -> Keep:
        now, keep_for = self._visitor.now, self._sign_ins.keep_for
        return replace(keep, issued=now, expires=now + keep_for) if keep.is_due(now, keep_for) else keep

    def _with_preferences(self, keep: Keep, preferences: str | None) -> Keep:
        if preferences is None:
            return keep if keep.language else replace(keep, language=choose(self._visitor.language))
        return replace(keep, preferences=preferences, language=language_of(preferences) or keep.language)

    def _choice(self) -> str:
        """The token of the choice in their browser."""
        kept = self._visitor.kept
        return "" if kept is None else self._sign_ins.policy.signer.dumps(kept)

    def _known(self) -> Keep | None:
        """What their cookie holds, also where it is over."""
        return self._visitor.sign_in.keep if self._visitor.sign_in is not None else None

    def _write(self, keep: Keep) -> None:
        self._keep = keep
        self.cookies.append(self._sign_ins.cookie(self._visitor, keep))

    def _remove(self, *, sessions: bool = False) -> None:
        if self._visitor.sign_in is not None:
            self.cookies.append(sign_in.removal(self._sign_ins.policy, self._visitor))
            if sessions:
                self.cookies += sign_in.session_removals(self._sign_ins.policy, self._visitor, self._set)

    def _left(self) -> int | None:
        """Seconds that session cookies are kept, None where they end with the browser."""
        return None if self._keep is None else max(self._keep.expires - self._visitor.now, 1)

    # -- cookies turned off

    def _session(self, name: bytes, value: bytes) -> str:
        """The name of the session cookie that a header sets; empty where it sets none."""
        cookie = self._parsed(name, value)
        return "" if cookie is None else cookie.name

    def _parsed(self, name: bytes, value: bytes) -> SetCookie | None:
        cookie = SetCookie.parse(value.decode("latin-1")) if name == b"set-cookie" else None
        if cookie is None or not self._sign_ins.is_session(cookie.name) or cookie.removes(self._visitor.now):
            return None
        return cookie

    def _mark(self, status: int, headers: list[Header]) -> list[Header]:
        """Where a browser that sent no cookie is led on with a session cookie, see to it that it comes with that."""
        if status not in _SEE_OTHER or self._sign_ins.policy.observe:
            return headers
        path = self._visitor.origin + self._sign_ins.login
        marked = []
        for name, value in headers:
            if name == b"location":
                target = absolute(value.decode("latin-1"), path) or ""
                if target.startswith(self._visitor.origin + "/") and self._comes_with(headers, target):
                    local = target[len(self._visitor.origin) :]
                    marked.append((name, self._sign_ins.marked(self._visitor, local).encode("latin-1")))
                    continue
            marked.append((name, value))
        return marked

    def _comes_with(self, headers: Sequence[Header], target: str) -> bool:
        """Whether a browser would send any of the session cookies there."""
        visitor = self._visitor
        path = target[len(visitor.origin) :].partition("?")[0].partition("#")[0]
        for name, value in headers:
            cookie = self._parsed(name, value)
            if cookie is None:
                continue
            stored = store(
                cookie, visitor.host, self._sign_ins.login, secure=visitor.secure, now=visitor.now, is_suffix=_is_suffix
            )
            if stored is not None and stored.goes_to(visitor.host, path, secure=visitor.secure):
                return True
        return False


def _is_suffix(domain: str) -> bool:
    return registrable(domain) is None
