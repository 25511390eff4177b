"""The choice: what it is, how it is made, and what changes with it."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs

from vestibule.core.consent import ASKED, Choice
from vestibule.core.errors import LinkError
from vestibule.privacy import answers, embedding, removing
from vestibule.privacy.banner import Banner
from vestibule.privacy.exchange import Exchange, Records, Routes
from vestibule.privacy.forms import MAX_BODY, Answer, parse_answer, to_choice
from vestibule.privacy.guard import digest, parse_written, purposes, written
from vestibule.privacy.keeping import cookie
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.recording import consent_record
from vestibule.privacy.texts import choose
from vestibule.privacy.visitor import Visitor


class Choosing:
    """Answers for one configuration."""

    def __init__(self, policy: SitePolicy, banner: Banner, records: Records) -> None:
        self._policy = policy
        self._banner = banner
        self._records = records
        self.routes: Routes = {
            "/_privacy/consent": {"GET": self._state, "POST": self._choose},
            "/_privacy/clear": {"GET": self._clear},
            "/_privacy/frame": {"GET": self._frame},
        }

    async def _state(self, exchange: Exchange) -> None:
        """The state; with ``before``, what a page says it was made under, also whether that page has lost something."""
        visitor = exchange.visitor
        told = as_json(self._policy, visitor.effective, visitor)
        if exchange.query.startswith("before="):
            before = parse_written(parse_qs(exchange.query[:MAX_BODY]).get("before", [""])[0])
            told |= self._for_script(visitor.effective) | {"lost": self._banner.guard.loses(before, visitor.effective)}
        await answers.answer_json(exchange.send, 200, told)

    async def _clear(self, exchange: Exchange) -> None:
        """Which keys of the browser's storage may not stay: it has a name (``v``) by which it may be cached."""
        leftovers = self._banner.guard.leftovers(exchange.visitor.effective)
        named = exchange.query == f"v={digest(leftovers)}"
        cached = ((b"cache-control", b"private, max-age=31536000, immutable"),) if named else answers.PRIVATE
        body = json.dumps({"clear": leftovers}).encode()
        headers = (*cached, *answers.SECURITY)
        await answers.answer(exchange.send, 200, body, "application/json", headers, head=exchange.method == "HEAD")

    async def _choose(self, exchange: Exchange) -> None:
        visitor = exchange.visitor
        body = await answers.read_body(exchange.receive, MAX_BODY)
        given = parse_answer(body, exchange.content_type)
        if given is None:
            await answers.answer_text(exchange.send, 400, self._policy.texts(exchange.language)["error"]["form"])
            return
        if given.shown not in ("", self._policy.shown) and not given.refuses:
            # Nobody agrees to what they were not shown: they are asked by what is asked today. A refusal always holds.
            await self._ask_again(exchange, given)
            return
        texts = self._policy.texts(given.language or choose(visitor.language))
        choice = replace(
            to_choice(self._policy, given, visitor.kept, visitor.now, secrets.token_urlsafe(16)),
            language=texts.tag,
            texts=self._policy.texts_digest(texts.tag)[:16],
            signal=visitor.signal,
        )
        try:
            await self._records.keep(consent_record(self._policy, choice))
        except LinkError:
            # Only a grant needs proof; a refusal must not depend on our disk.
            if not given.refuses and not choice.refuses_all:
                await answers.answer_text(exchange.send, 503, texts["error"]["again"], [(b"retry-after", b"5")])
                return
        exchange.counter.event(
            "consent",
            (
                ("choice", choice.label),
                ("surface", given.surface.value),
                ("language", texts.tag),
                ("purpose", "+".join(purpose.value for purpose in ASKED if purpose in choice.purposes) or "none"),
            ),
        )
        headers = [
            cookie(self._policy, visitor, choice),
            *removing.on_choice(self._policy, visitor, choice, given.next),
        ]
        if not exchange.wants_json:
            await exchange.lead_back(given.next, headers)
            return
        after, _ = self._policy.without_added(choice)
        guard = self._banner.guard
        told = {
            **self._for_script(after),
            "open": guard.opened(given.held, after, visitor),
            "lost": guard.loses(visitor.effective, after),
            "clear": guard.leftovers(after),
        }
        # What is told is what their cookie says from now on.
        now = replace(visitor, choice=after, kept=choice)
        await answers.answer_json(exchange.send, 200, {**as_json(self._policy, after, now), **told}, headers)

    async def _ask_again(self, exchange: Exchange, given: Answer) -> None:
        if exchange.wants_json:
            # The script loads the page anew, which asks.
            effective = exchange.visitor.effective
            told = {**as_json(self._policy, effective, exchange.visitor), **self._for_script(effective)}
            told |= {"open": [], "lost": True, "clear": ""}
            await answers.answer_json(exchange.send, 200, told)
        else:
            await exchange.lead_back(given.next, ())

    def _for_script(self, choice: Choice | None) -> dict[str, object]:
        """What only our script in pages wants to know."""
        return {"state": written(choice), "consent_mode": self._banner.guard.consent_mode(choice)}

    async def _frame(self, exchange: Exchange) -> None:
        """An embed that was let in when its page was there already, or the question whether it may."""
        visitor = exchange.visitor
        embed = embedding.read(self._policy, visitor, exchange.query)
        if embed is None or not embedding.may_be_shown(exchange.headers):
            await answers.answer_text(exchange.send, 403, "Only embeds in this site's own pages are shown here.")
            return
        target = f"{exchange.path}?{exchange.query}"
        page = embedding.render(self._banner, visitor, embed, target)
        headers = (*answers.PRIVATE, *embedding.headers(self._policy, visitor, embed))
        await answers.answer(
            exchange.send, 200, page, "text/html; charset=utf-8", headers, head=exchange.method == "HEAD"
        )


def as_json(policy: SitePolicy, choice: Choice | None, visitor: Visitor) -> dict[str, object]:
    """What is told of a choice, and of what the browser holds of it: see docs/consent-api.md."""
    return {
        "asked": choice is None or bool(visitor.added),
        "purposes": purposes(choice),
        "services": dict(choice.services) if choice else {},
        "revision": policy.config.policy.revision,
        # A refusal by signal was never chosen: it has no revision of a policy, and no time.
        "time": datetime.fromtimestamp(choice.time, UTC).isoformat() if choice and choice.revision else None,
        "signal": visitor.signal or None,
        "objection": visitor.kept is not None and visitor.kept.objects,
        "record": choice.record if choice else None,
    }
