"""Changes made from the dashboard: notes, API tokens, shared links, a tracker's switch. Each is written down first."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from vestibule.core.errors import VestibuleError
from vestibule.dashboard.backend import Role
from vestibule.dashboard.guard import SHARED, local_path, read_form
from vestibule.dashboard.keys import LONGEST_SHARE, Keys
from vestibule.dashboard.office import LONGEST_NAME, LONGEST_NOTE, Entry, Office, Table
from vestibule.dashboard.staff import limited, may
from vestibule.dashboard.templates import Templates
from vestibule.dashboard.trackers import Desk

AUDIT_SHOWN = 200
DAYS = (7, 30, 90, 365)
"""How long a shared link may last."""


class Manage:
    """zone: the site's; ``clock``: seconds since the epoch. Without keys, office or desk the forms that
    need them answer 404."""

    def __init__(
        self,
        templates: Templates,
        keys: Keys | None,
        office: Office | None,
        desk: Desk | None,
        zone: ZoneInfo,
        clock: Callable[[], float],
    ) -> None:
        self._templates = templates
        self._keys = keys
        self._office = office
        self._desk = desk
        self._zone = zone
        self._clock = clock

    async def access(self, request: Request) -> Response:
        """The page of tokens and shared links; for officers the audit, too."""
        return await self._page(request)

    async def add_token(self, request: Request) -> Response:
        words = request.state.words

        async def change(form: Mapping[str, str]) -> Response:
            assert self._keys is not None
            if not request.state.account.password_hash:
                text = words(
                    "A token may what its owner's account may, and you have none here: a provider vouches for you."
                )
                return self._templates.message(request, 403, words("Not without an account"), text)
            name = form.get("name", "").strip()[:LONGEST_NAME] or "token"
            await self._note(request, "token.add", name)
            made = await self._keys.new_token(name, request.state.account.name)
            return await self._page(request, made=made)

        return await self._change(request, change)

    async def remove_token(self, request: Request) -> Response:
        async def change(form: Mapping[str, str]) -> Response:
            assert self._keys is not None
            token = next((one for one in await self._keys.tokens() if one.id == form.get("id")), None)
            account = request.state.account
            if token is not None and (token.owner == account.name or may(account, Role.OFFICER)):
                await self._note(request, "token.remove", token.name)
                await self._keys.remove(Table.TOKENS, token.id)
            return RedirectResponse(f"{request.state.root}/access", status_code=303)

        return await self._change(request, change)

    async def add_share(self, request: Request) -> Response:
        async def change(form: Mapping[str, str]) -> Response:
            assert self._keys is not None
            name = form.get("name", "").strip()[:LONGEST_NAME] or "link"
            days = form.get("days", "")
            seconds = int(days) * 86_400 if days.isdigit() and int(days) in DAYS else DAYS[1] * 86_400
            await self._note(request, "share.add", name)
            token = await self._keys.new_share(name, request.state.account.name, min(seconds, LONGEST_SHARE))
            return await self._page(request, link=self._link(request, token))

        return await self._change(request, change)

    async def remove_share(self, request: Request) -> Response:
        async def change(form: Mapping[str, str]) -> Response:
            assert self._keys is not None
            share = next((one for one in await self._keys.shares() if one.id == form.get("id")), None)
            if share is not None:
                await self._note(request, "share.remove", share.name)
                await self._keys.remove(Table.SHARES, share.id)
            return RedirectResponse(f"{request.state.root}/access", status_code=303)

        return await self._change(request, change)

    async def add_note(self, request: Request) -> Response:
        async def change(form: Mapping[str, str]) -> Response:
            assert self._office is not None
            text = " ".join(form.get("text", "").split())[:LONGEST_NOTE]
            try:
                day = date.fromisoformat(form.get("day", "")).isoformat()
            except ValueError:
                day = ""
            if text and day:
                await self._note(request, "note.add", day)
                row = {"day": day, "text": text, "by": request.state.account.name}
                await self._office.put(Table.NOTES, secrets.token_hex(6), row)
            return _back(form, f"{request.state.root}/")

        return await self._change(request, change)

    async def remove_note(self, request: Request) -> Response:
        async def change(form: Mapping[str, str]) -> Response:
            assert self._office is not None
            await self._note(request, "note.remove", form.get("id", "")[:32])
            await self._office.remove(Table.NOTES, form.get("id", "")[:32])
            return _back(form, f"{request.state.root}/")

        return await self._change(request, change)

    async def set_tracker(self, request: Request) -> Response:
        """Change ``trackers.yaml``, where the configuration lets the dashboard."""
        words = request.state.words
        if self._desk is None or not self._desk.editable:
            text = words("The configuration does not let the dashboard change trackers.yaml: see dashboard.edit.")
            return self._templates.message(request, 403, words("Not from here"), text)

        async def change(form: Mapping[str, str]) -> Response:
            assert self._desk is not None
            service, state = form.get("service", "")[:100], form.get("state", "")[:10]
            await self._note(request, "tracker.set", f"{service}: {state}")
            await self._desk.change(service, state)
            return _back(form, f"{request.state.root}/trackers")

        return await self._change(request, change)

    async def _change(self, request: Request, change: Callable[[Mapping[str, str]], Awaitable[Response]]) -> Response:
        words = request.state.words
        if self._office is None or self._keys is None:
            text = words("This process keeps no notes, tokens and links.")
            return self._templates.message(request, 404, words("Not here"), text)
        form = await read_form(request)
        if form is None:
            return self._templates.message(request, 413, words("Too long"), words("The form is too long."))
        try:
            async with limited():
                return await change(form)
        except VestibuleError as error:
            title = words("It was not changed")
            return self._templates.message(request, 503, title, str(error)[:300])

    async def _note(self, request: Request, action: str, about: str) -> None:
        """Write into the audit who is about to do what. Raises StoreError: what can't be written down is not done."""
        assert self._office is not None
        row = {"time": int(self._clock()), "who": request.state.account.name, "action": action, "about": about}
        await self._office.put(Table.AUDIT, secrets.token_hex(8), row)

    def _time(self, seconds: int) -> str:
        return datetime.fromtimestamp(seconds, self._zone).strftime("%Y-%m-%d %H:%M")

    @staticmethod
    def _link(request: Request, token: str) -> str:
        """The address of a shared link."""
        return f"{request.state.root}{SHARED}{token}/"

    async def _page(self, request: Request, *, made: str = "", link: str = "") -> Response:
        words, account = request.state.words, request.state.account
        if self._keys is None or self._office is None:
            text = words("This process keeps no notes, tokens and links.")
            return self._templates.message(request, 404, words("Not here"), text)
        officer = may(account, Role.OFFICER)
        try:
            async with limited():
                tokens = await self._keys.tokens()
                shares = await self._keys.shares() if may(account, Role.ENGINEER) else []
                rows = await self._office.entries(Table.AUDIT, AUDIT_SHOWN) if officer else []
        except VestibuleError:
            return self._templates.message(
                request, 503, words("The store does not answer"), words("Please try again in a moment.")
            )
        return self._templates.page(
            "access.html",
            request,
            account=account,
            engineer=may(account, Role.ENGINEER),
            officer=officer,
            tokens=[token for token in tokens if officer or token.owner == account.name],
            shares=[
                (share, self._link(request, self._keys.share_token(share)), self._time(share.until)[:10])
                for share in shares
            ],
            audit=[(self._time(entry.time), entry) for entry in map(Entry.of, rows)],
            made=made,
            link=link,
            days=DAYS,
            created={token.id: self._time(token.created)[:10] for token in tokens},
        )


def _back(form: Mapping[str, str], default: str) -> Response:
    target = local_path(form.get("next", default))
    return RedirectResponse(urlsplit(target)._replace(fragment="").geturl() or default, status_code=303)
