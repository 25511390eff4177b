"""Signing in under one configuration, for all exchanges: what is over, which choice was just made under a sign-in, and
browsers that turn cookies off. What one exchange has to do with it is :mod:`vestibule.middleware.passage`.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from starlette.types import Message, Scope, Send

from vestibule.core.cookies import SetCookie
from vestibule.core.sign_in import NONCE_BYTES, Keep
from vestibule.privacy import answers, sign_in
from vestibule.privacy.answers import Header
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.sign_in import Revoked
from vestibule.privacy.visitor import CHOICE_COOKIE, Visitor, cookie_name

log = logging.getLogger("vestibule")

ARRIVED = "vestibule-signed-in"
"""The parameter by which a browser says that it was led on after signing in."""

PROMPT = 1.0
"""Seconds within which an answer may still write back the choice that its request began with; and that it takes at
most until a browser has taken in another one."""

SAFE = ("GET", "HEAD")
"""Methods by which a browser asks for pages."""

_MAX_CHOSEN = 1024
_ARRIVED = ARRIVED.encode()


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

    @staticmethod
    def is_prompt(begun: float) -> bool:
        """Whether an answer comes so soon that it may write back the choice that its request began with (by the
        monotonic clock)."""
        return time.monotonic() - begun < PROMPT

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
        if _ARRIVED not in query or scope["method"] not in SAFE:
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
