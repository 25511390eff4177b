"""Signing in, as it passes by: which cookies end with the browser, who is kept signed in, who is over with it.

The site says who signed in and out by headers of its answers, which visitors never see and can never send. What this
decides on is complete before the answer's headers leave, so that what they say has taken effect when it is read.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from starlette.types import Message, Receive, Scope, Send

from vestibule.core.cookie_policy import CookieVerdict
from vestibule.core.cookies import SetCookie, harden, kept, removal, temporary
from vestibule.core.jar import store
from vestibule.core.sign_in import (
    MAX_LOOK,
    NONCE_BYTES,
    Keep,
    Standing,
    folded,
    language_of,
    read_account,
    read_preferences,
    ticked,
)
from vestibule.core.urls import absolute
from vestibule.privacy import answers, keeping, sign_in
from vestibule.privacy.answers import Header
from vestibule.privacy.policy import SitePolicy, registrable
from vestibule.privacy.sign_in import Revoked
from vestibule.privacy.texts import choose
from vestibule.privacy.visitor import CHOICE_COOKIE, Visitor, cookie_name

if TYPE_CHECKING:
    from vestibule.middleware.request import Prepared

log = logging.getLogger("vestibule")

ARRIVED = "vestibule-signed-in"
"""The parameter by which a browser says that it was led on after signing in."""

NAMED_WITHIN = 3_600_000
"""Milliseconds after the box was ticked within which the site says whose sign-in it was."""

PROMPT = 1.0
"""Seconds within which an answer may still write back the choice that its request began with; and that it takes at
most until a browser has taken in another one."""

_MAX_CHOSEN = 1024
_ARRIVED = ARRIVED.encode()
_SAFE = ("GET", "HEAD")
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


class SignIns:
    """Signing in under one configuration. keep: keeps a revocation durably. revoked: what is known of them."""

    def __init__(
        self, policy: SitePolicy, keep: Callable[[Mapping[str, object]], Awaitable[None]], revoked: Revoked
    ) -> None:
        self.policy = policy
        self.revoked = revoked
        self._keep = keep
        config = policy.config.sign_in
        self.login = config.login.path
        self.logout = config.logout
        self.field = config.login.field
        self.keep_for = config.keep_for
        self.on = bool(config.cookies)
        self._chosen: dict[str, tuple[float, str]] = {}

    def recognise(self, visitor: Visitor, now: float) -> Visitor:
        """See ``privacy.sign_in.recognise``."""
        return sign_in.recognise(self.policy, self.revoked, visitor, int(now * 1000))

    def is_over(self, keep: Keep, now: int) -> bool:
        """See ``privacy.sign_in.is_over``."""
        marks = self.policy.keeper.marks(series=keep.series, account=keep.account)
        return sign_in.is_over(self.policy, self.revoked, keep, marks, now)

    async def revoke(self, when: int, keep: Keep | None, account: str = "") -> None:
        """Revoke a sign-in, an account or both, at once here and within seconds everywhere. when: milliseconds since
        the epoch."""
        marks = self.policy.keeper.marks(series=keep.series if keep is not None else "", account=account)
        when = when if keep is None else sign_in.moment(when, keep)
        if marks and not await sign_in.revoke(self.policy, self._keep, marks, when):
            log.warning("a sign-out holds in one process only: neither the recorder nor the journal took it")

    def chosen(self, keep: Keep, token: str) -> None:
        """Remember the choice that is just being made under a sign-in; of many the oldest are forgotten."""
        self._chosen.pop(keep.series, None)
        if len(self._chosen) >= _MAX_CHOSEN:
            del self._chosen[next(iter(self._chosen))]
        self._chosen[keep.series] = (time.monotonic(), token)

    def chosen_since(self, keep: Keep, begun: float) -> str | None:
        """The token of the choice that was made in this process under a sign-in, if it may not have been known yet to
        the browser that began a request (by the monotonic clock)."""
        when, token = self._chosen.get(keep.series, (-PROMPT, ""))
        return token if begun < when + PROMPT else None

    def cookie(self, visitor: Visitor, keep: Keep) -> Header:
        return sign_in.keep_cookie(self.policy, visitor, keep, secrets.token_bytes(NONCE_BYTES))

    def with_choice(self, keep: Keep, token: str) -> Keep:
        """The keep with a choice's token, if there is room for it."""
        changed = replace(keep, choice=token)
        return changed if self.policy.keeper.fits(changed) else replace(keep, choice="")

    def concerns(self, visitor: Visitor, path: str) -> bool:
        """Whether an exchange has to do with signing in before its answer says so."""
        return visitor.sign_in is not None or path == self.login or path == self.logout

    def is_session(self, name: str) -> bool:
        return self.policy.cookies.decide(name).session

    # -- cookies turned off

    def is_arrival(self, scope: Scope) -> bool:
        """Whether a browser comes that was led on after signing in."""
        query: bytes = scope.get("query_string", b"")
        if _ARRIVED not in query or scope["method"] not in _SAFE:
            return False
        return any(part.partition(b"=")[0] == _ARRIVED for part in query.split(b"&"))

    async def arrive(self, visitor: Visitor, target: str, style: str, send: Send, *, head: bool) -> None:
        """Lead a browser on that sends the session cookie; tell one that does not why it cannot be signed in."""
        path, stamp = _unmarked(target)
        shown = visitor.cookies and any(self.is_session(pair.name) for pair in visitor.cookies)
        if shown or not self.policy.keeper.is_stamped(stamp, path, visitor.now):
            await answers.answer(send, 303, b"", "", [(b"location", path.encode("latin-1")), *answers.PRIVATE])
            return
        page = sign_in.cookies_off(self.policy, visitor, style, path)
        headers = (*answers.PRIVATE, *answers.SECURITY)
        await answers.answer(send, 403, page, "text/html; charset=utf-8", headers, head=head)

    def marked(self, visitor: Visitor, location: str) -> str:
        """An address of this site with the mark of an arrival."""
        rest, hash_, fragment = location.partition("#")
        separator = "&" if "?" in rest else "?"
        return f"{rest}{separator}{ARRIVED}={self.policy.keeper.stamp(rest, visitor.now)}{hash_}{fragment}"


def _unmarked(target: str) -> tuple[str, str]:
    """A path and query without the mark, and the mark."""
    path, _, query = target.partition("?")
    stamp, others = "", []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == ARRIVED:
            stamp = value
        else:
            others.append(part)
    # One slash only: two would name another host.
    path = "/" + path.lstrip("/\\")
    return (f"{path}?{'&'.join(others)}" if any(others) else path), stamp


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
            or self._method not in _SAFE
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
        if self._prepared.top and self._method in _SAFE:
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
        if self._visitor.kept is not None and time.monotonic() - self._begun < PROMPT:
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


def following(sign_ins: SignIns, visitor: Visitor, send: Send) -> Send:
    """``send`` of one of our own answers: a choice that is made there is kept in the keep cookie, too, and with that
    cookie's removal the sign-in is over."""
    if visitor.sign_in is None or visitor.sign_in.live is None:
        return send
    keep, when, policy = visitor.sign_in.live, visitor.sign_in.when, sign_ins.policy
    choice = cookie_name(CHOICE_COOKIE, secure=visitor.secure, domain=policy.cookie_domain(visitor.host))
    own = sign_in.name_of(policy, visitor)

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            cookies = [
                SetCookie.parse(value.decode("latin-1")) for name, value in message["headers"] if name == b"set-cookie"
            ]
            named = {cookie.name: cookie for cookie in cookies if cookie is not None}
            if own in named:
                await sign_ins.revoke(when, keep)
            elif choice in named:
                token = "" if named[choice].removes(visitor.now) else named[choice].value
                sign_ins.chosen(keep, token)
                header = sign_ins.cookie(visitor, sign_ins.with_choice(keep, token))
                message = {**message, "headers": [*message["headers"], header]}
        await send(message)

    return sent
