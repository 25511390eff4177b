"""Who is asking: sessions against accounts, signing in, and the first account of all."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from vestibule.core.errors import StoreError
from vestibule.dashboard import passwords
from vestibule.dashboard.asking import TIMEOUT
from vestibule.dashboard.backend import Account, Backend, Role
from vestibule.dashboard.sessions import Session, Sessions, belongs, fingerprint
from vestibule.dashboard.settings import Settings
from vestibule.dashboard.throttle import SignInThrottle

REMEMBERED = 60
"""Seconds for which an account that was read is taken as it was: the store may be slow or away for a while."""
MOST_REMEMBERED = 256
MOST_WAITING = 8
"""Sign-ins that wait for their turn at the password hash; one more is asked to come again."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a sign-in failed. wait: seconds until the next try makes sense."""

    message: str
    status: int
    wait: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody that a provider vouched for. The name begins so that it is no account's."""

    name: str
    role: str
    password_hash: str = ""


class Staff:
    """``clock``: seconds since the epoch."""

    def __init__(self, backend: Backend, settings: Settings, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock
        self._sessions = Sessions(settings.secrets, settings.site)
        self._throttle = SignInThrottle()
        self._remembered: OrderedDict[str, tuple[float, Account]] = OrderedDict()
        self._waiting = 0
        self._provider: str | None = None
        # One hash at a time: it takes 64 MiB and four threads.
        self._hashing = asyncio.Lock()
        self._setup = asyncio.Lock()
        self._setup_token: str | None = secrets.token_urlsafe(24)

    async def current(self, request: Request) -> Account | None:
        """Return who is signed in, or None. Raises StoreError where that can't be told."""
        session = self._session(request)
        if session is None:
            return None
        if session.role:
            vouched = self._provider is not None and session.fingerprint == self._provider
            return Member(session.name, session.role) if vouched else None
        account = await self._account(session.name)
        return account if account is not None and belongs(session, account.password_hash) else None

    def trust(self, provider: str | None) -> None:
        """Take sessions of people that a provider vouched for, by its fingerprint; those of another are over."""
        self._provider = provider

    def begin_vouched(self, request: Request, response: Response, member: Member, provider: str) -> None:
        """Begin a session of somebody who has no account here. It ends with the browser."""
        id_ = secrets.token_hex(8)
        session = Session(member.name, provider, id_, int(self._clock()), False, member.role)
        self._set_cookie(request, response, session)

    async def account(self, name: str) -> Account | None:
        """Return an account by its name, as it was within the last minute. Raises StoreError."""
        return await self._account(name)

    async def sign_in(self, address: str, name: str, password: str) -> Account | Refusal:
        """Check a password. Raises StoreError."""
        wait = self._throttle.begin(address, name[:64], self._clock())
        if wait > 0 or self._waiting >= MOST_WAITING:
            seconds = max(1, round(wait + 0.5))
            return Refusal(f"Too many tries. Please wait {_duration(seconds)}.", 429, seconds)
        self._waiting += 1
        try:
            account = await self._read(name) if NAME.fullmatch(name) else None
            right = await self._verify(account, password[: passwords.MAXIMUM + 1])
        finally:
            self._waiting -= 1
        if account is None or not right:
            return Refusal("This name and password do not belong together.", 403)
        self._throttle.succeed(address, name)
        return account

    def begin_session(self, request: Request, response: Response, account: Account, *, kept: bool = False) -> None:
        """kept: the cookie outlives the browser; else it ends with it."""
        mark, id_ = fingerprint(account.password_hash), secrets.token_hex(8)
        self._set_cookie(request, response, Session(account.name, mark, id_, int(self._clock()), kept))

    def _set_cookie(self, request: Request, response: Response, session: Session) -> None:
        response.set_cookie(
            cookie_name(request),
            self._sessions.dumps(session),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path="/",
            max_age=session.lifetime if session.kept else None,
        )

    def end_session(self, request: Request, response: Response) -> None:
        session = self._session(request)
        if session is not None:
            self._sessions.revoke(session)
        secure = request.url.scheme == "https"
        response.delete_cookie(cookie_name(request), path="/", secure=secure, httponly=True, samesite="strict")

    async def setup_token(self) -> str | None:
        """Return the token of the first sign-in, or None where there are accounts or it was used. Raises StoreError."""
        return None if await self._has_accounts() else self._setup_token

    async def setup_open(self, token: str) -> bool:
        expected = self._setup_token
        if expected is None or not hmac.compare_digest(token.encode(), expected.encode()):
            return False
        return not await self._has_accounts()

    async def set_up(self, token: str, name: str, password: str) -> Account | Refusal:
        """Make the first account, an officer's; the token is spent then. Raises StoreError."""
        async with self._setup:
            if not await self.setup_open(token):
                return Refusal("This link has been used or is none.", 403)
            if not NAME.fullmatch(name):
                return Refusal(
                    "A name has up to 64 letters, digits and . _ @ + - and begins with one of the first two.", 400
                )
            complaint = passwords.complaint(password)
            if complaint is not None:
                return Refusal(complaint, 400)
            async with self._hashing:
                encoded = await asyncio.to_thread(passwords.hash_password, password)
            async with limited():
                await self._backend.add_user(name, encoded, Role.OFFICER)
            self._setup_token = None
            account = await self._read(name)
        return account if account is not None else Refusal("The account could not be stored.", 503)

    def _session(self, request: Request) -> Session | None:
        return self._sessions.loads(request.cookies.get(cookie_name(request), ""), int(self._clock()))

    async def _has_accounts(self) -> bool:
        async with limited():
            return bool(await self._backend.users())

    async def _account(self, name: str) -> Account | None:
        now = self._clock()
        read, account = self._remembered.get(name, (0.0, None))
        if account is not None and 0 <= now - read < REMEMBERED:
            return account
        return await self._read(name)

    async def _read(self, name: str) -> Account | None:
        async with limited():
            account = await self._backend.user(name)
        self._remembered.pop(name, None)
        if account is not None:
            self._remembered[name] = (self._clock(), account)
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return account

    async def _verify(self, account: Account | None, password: str) -> bool:
        """Hash once where there is no such account, too, so that the time tells nothing."""
        async with self._hashing:
            if account is None:
                await asyncio.to_thread(passwords.hash_password, password)
                return False
            return await asyncio.to_thread(passwords.verify, account.password_hash, password)


@asynccontextmanager
async def limited() -> AsyncIterator[None]:
    """A time limit on the store whose passing is a StoreError."""
    try:
        async with asyncio.timeout(TIMEOUT):
            yield
    except TimeoutError:
        raise StoreError("the store takes too long") from None


def cookie_name(request: Request) -> str:
    return "__Host-vestibule-admin" if request.url.scheme == "https" else "vestibule-admin"


def may(account: Account, role: Role) -> bool:
    """Whether an account has the role or a higher one; an unknown role may nothing."""
    order = list(Role)
    try:
        return order.index(Role(account.role)) >= order.index(role)
    except ValueError:
        return False


def _duration(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 120 else f"{seconds // 60 + 1} minutes"
