"""API tokens and shared links: both are made from the deployment's secret and a row in the office.

A token is ``vst_ID_SECRET``; the row has its digest. A shared link is a signed id and end; the row can be removed. So a
copy of the tables opens nothing, and neither does the secret alone.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer

from vestibule.dashboard.office import Office, Share, Table, Token

REMEMBERED = 10
"""Seconds for which rows that were read are taken as they were; a removed one opens nothing after that."""
MOST_ROWS = 1000
LONGEST_SHARE = 400 * 86_400
_TOKEN = re.compile(r"vst_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Guest:
    """Who has a shared link: no member of staff."""

    name: str
    password_hash: str = ""
    role: str = "guest"


class Keys:
    """``clock``: seconds since the epoch. ``secrets_``: newest first. Methods that read may raise StoreError."""

    def __init__(self, office: Office, secrets_: Sequence[str], site: str, clock: Callable[[], float]) -> None:
        self._office = office
        self._clock = clock
        self._serializer = URLSafeSerializer(
            list(reversed(secrets_)),
            salt=f"vestibule.share:{site}",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )
        self._read: OrderedDict[Table, tuple[float, dict[str, Token | Share]]] = OrderedDict()

    async def token(self, presented: str) -> Token | None:
        """Return the row of a token, or None where it is none."""
        found = _TOKEN.fullmatch(presented)
        if found is None:
            return None
        row = (await self._rows(Table.TOKENS)).get(found[1])
        if not isinstance(row, Token) or not hmac.compare_digest(row.digest, digest(presented)):
            return None
        return row

    async def new_token(self, name: str, owner: str) -> str:
        """Keep a new token and return it: it can't be shown again."""
        id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        text = f"vst_{id_}_{secret}"
        row = {"name": name, "owner": owner, "digest": digest(text), "created": int(self._clock())}
        await self._office.put(Table.TOKENS, id_, row)
        self._read.clear()
        return text

    async def tokens(self) -> list[Token]:
        return [Token.of(row) for row in await self._office.entries(Table.TOKENS, MOST_ROWS)]

    async def share(self, presented: str) -> Share | None:
        """Return the row of a shared link's token, or None where it is forged, over or revoked."""
        if len(presented) > 512:
            return None
        try:
            raw = self._serializer.loads(presented)
        except BadData:
            return None
        match raw:
            case [str(id_), int(until)] if self._clock() < until and self._serializer.dumps(raw) == presented:
                row = (await self._rows(Table.SHARES)).get(id_)
                return row if isinstance(row, Share) else None
        return None

    async def new_share(self, name: str, owner: str, seconds: int) -> str:
        """Keep a new shared link and return its token."""
        id_, until = secrets.token_hex(6), int(self._clock()) + min(seconds, LONGEST_SHARE)
        await self._office.put(Table.SHARES, id_, {"name": name, "owner": owner, "until": until})
        self._read.clear()
        return self.share_token(Share(id_, name, owner, until))

    def share_token(self, share: Share) -> str:
        return str(self._serializer.dumps([share.id, share.until]))

    async def shares(self) -> list[Share]:
        now = self._clock()
        rows = [Share.of(row) for row in await self._office.entries(Table.SHARES, MOST_ROWS)]
        return [row for row in rows if row.until > now]

    async def remove(self, table: Table, id_: str) -> bool:
        self._read.clear()
        return await self._office.remove(table, id_)

    async def _rows(self, table: Table) -> dict[str, Token | Share]:
        read, rows = self._read.get(table, (0.0, {}))
        now = self._clock()
        if not 0 <= now - read < REMEMBERED:
            kind = Token if table is Table.TOKENS else Share
            rows = {}
            for found in await self._office.entries(table, MOST_ROWS):
                row = kind.of(found)
                rows[row.id] = row
            self._read[table] = (now, rows)
        return rows


def digest(token: str) -> str:
    """Return SHA-256 in hexadecimal digits; a token has 256 random bits, so that no slower hash is needed."""
    return hashlib.sha256(token.encode()).hexdigest()
