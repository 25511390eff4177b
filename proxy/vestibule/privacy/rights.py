"""The visitor's own view: the centre, the receipt, what is held, and the rights to have it removed or not counted."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs

from vestibule.privacy import answers, centre, held, removing, sign_in
from vestibule.privacy.answers import Header
from vestibule.privacy.banner import Banner
from vestibule.privacy.choosing import as_json
from vestibule.privacy.exchange import PREFIX, Exchange, Records, Routes
from vestibule.privacy.forms import MAX_BODY, read_form
from vestibule.privacy.keeping import cookie, forgotten, remembered
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.receipts import receipt
from vestibule.privacy.visitor import OBJECTION

_ALONE: tuple[Header, ...] = ((b"cross-origin-opener-policy", b"noopener-allow-popups"),)
"""A page that opens the centre in a window gets no hold of it to read there (HTML Standard, section 7.1.3.1)."""


class Rights:
    """Answers for one configuration."""

    def __init__(self, policy: SitePolicy, banner: Banner, records: Records) -> None:
        self._policy = policy
        self._banner = banner
        self._records = records
        self.routes: Routes = {
            "/_privacy/": {"GET": self._centre},
            "/_privacy/receipt": {"GET": self._receipt},
            "/_privacy/data": {"GET": self._data},
            "/_privacy/erase": {"POST": self._erase},
            "/_privacy/object": {"POST": self._object},
            "/_privacy/notice": {"POST": self._notice},
            "/_privacy/sign-out": {"POST": self._sign_out},
        }

    async def _centre(self, exchange: Exchange) -> None:
        query = parse_qs(exchange.query[:500], max_num_fields=20) if exchange.query.count("&") < 20 else {}
        page = centre.render(
            self._policy, self._banner, exchange.visitor, exchange.language, query.get("done", [""])[0]
        )
        headers = (*answers.PRIVATE, *answers.SECURITY, *_ALONE)
        await answers.answer(
            exchange.send, 200, page, "text/html; charset=utf-8", headers, head=exchange.method == "HEAD"
        )

    async def _receipt(self, exchange: Exchange) -> None:
        signed = receipt(self._policy, exchange.visitor)
        if signed is None:
            await answers.answer_text(exchange.send, 404, self._policy.texts(exchange.language)["receipt"]["none"])
            return
        await answers.answer_json(exchange.send, 200, signed, [_attachment("consent-receipt.json")])

    async def _data(self, exchange: Exchange) -> None:
        found = held.data(self._policy, exchange.visitor, self._policy.texts(exchange.language))
        await answers.answer_json(exchange.send, 200, found, [_attachment("privacy-data.json")])

    async def _erase(self, exchange: Exchange) -> None:
        await answers.read_body(exchange.receive, MAX_BODY)
        visitor = exchange.visitor
        names = dict.fromkeys(pair.name for pair in visitor.cookies if pair.name)
        own = (forgotten(self._policy, visitor), sign_in.removal(self._policy, visitor))
        headers = [
            # Storage that scripts hold goes with it where the browser knows the header (W3C Clear Site Data).
            (b"clear-site-data", b'"cookies", "storage"'),
            # Our own go first and for certain: no later answer would remove them.
            *(header for header in own if header[1].partition(b"=")[0].decode("latin-1") in names),
            *removing.removals(
                self._policy,
                visitor,
                tuple(sorted(names, key=lambda name: not removing.is_own(name))),
                "/",
                removing.MAX_OWN_REMOVALS,
            ),
        ]
        await exchange.lead_back(_centre_path(exchange, "erased"), headers)

    async def _object(self, exchange: Exchange) -> None:
        """Object to being counted, or take that back. It is kept in the choice cookie, and is no choice."""
        visitor = exchange.visitor
        fields = read_form(await answers.read_body(exchange.receive, MAX_BODY), exchange.content_type) or {}
        objects = fields.get("objection", [""])[0] != "withdraw"
        if objects:
            exchange.counter.event("consent", (("choice", OBJECTION), ("surface", "centre")))
        kept = remembered(visitor, objects=objects)
        headers = [cookie(self._policy, visitor, kept)]
        if exchange.wants_json:
            state = as_json(self._policy, visitor.effective, replace(visitor, kept=kept))
            await answers.answer_json(exchange.send, 200, state, headers)
            return
        done = "objected" if objects else "counted"
        await exchange.lead_back(_centre_path(exchange, done, "rights"), headers)

    async def _notice(self, exchange: Exchange) -> None:
        """Dismiss an announcement: which one is kept in the choice cookie."""
        visitor = exchange.visitor
        fields = read_form(await answers.read_body(exchange.receive, MAX_BODY), exchange.content_type)
        notice = self._policy.notice(visitor.now)
        if fields is None or notice is None or fields.get("notice") != [notice.effective.isoformat()]:
            await answers.answer_text(exchange.send, 400, self._policy.texts(exchange.language)["error"]["form"])
            return
        kept = remembered(visitor, notice=notice.effective.isoformat())
        await exchange.lead_back(fields.get("next", ["/"])[0], [cookie(self._policy, visitor, kept)])

    async def _sign_out(self, exchange: Exchange) -> None:
        """Sign out on all devices that are kept signed in."""
        await answers.read_body(exchange.receive, MAX_BODY)
        kept, headers = await sign_in.sign_out_everywhere(self._policy, self._records.keep, exchange.visitor)
        done = "everywhere_done" if kept else "everywhere_failed"
        await exchange.lead_back(_centre_path(exchange, done), headers)


def _centre_path(exchange: Exchange, done: str, part: str = "") -> str:
    """The centre, saying what was done."""
    return f"{PREFIX}?lang={exchange.language}&done={done}{'#' if part else ''}{part}"


def _attachment(name: str) -> Header:
    return b"content-disposition", f'attachment; filename="{name}"'.encode()
