"""Keeping a visitor signed in: the token that carries it, and whether they asked for it.

The token is the value of the cookie ``keep``. It is encrypted and authenticated by AES-GCM-SIV (RFC 8452), which two
equal nonces do not break; the key follows from the deployment's secret and the site's name by HKDF (RFC 5869), so that
a token of one site is no token of another. Whoever has a copy of the cookie is who it names: nothing in it tells a
thief from its owner. What bounds that is its life, and that the server refuses what was revoked.

A revocation is a keyed hash, of a series (one ticked box) or of an account (everywhere), and a time: what was signed in
until then is over. So the list of revocations says of nobody who they are.

Forged, cut, swapped and foreign tokens come as easily as true ones. So everything here answers None for them, after a
bounded amount of work, and never says why.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate
from typing import NamedTuple
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
MAX_TOKEN = 4096 - len("__Secure-keep")
"""Characters of a token: browsers refuse a cookie of more than 4,096 with its name."""
MAX_ACCOUNT = 254
"""Bytes of an e-mail address (RFC 5321, section 4.5.3.1.3)."""
MAX_PREFERENCES = 2048
"""Bytes of what a site may have kept with it."""
MAX_LOOK = 64 << 10
"""Bytes of a sign-in request that are searched for the box; one that stands behind them is not ticked."""

STAMPED = 300
"""Seconds for which a stamp holds."""

_MAX_FIELDS = 500
_EARLY = 300
_VERSION = 1
_HEAD = struct.Struct(">BQQQ5H")
"""The version, three times, and the lengths of the five texts that follow."""
_ACCOUNT = re.compile(rb"[^\x00-\x20\x7f\",;<>()@]+@[^\x00-\x20\x7f\",;<>()@]+")
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")


@dataclass(frozen=True, slots=True)
class Keep:
    """What a keep cookie holds. Texts are latin-1, one character a byte.

    series: names this sign-in, at random. signed_in: when the box was ticked, milliseconds since the epoch; renewals
    do not change it. issued, expires: of this token, in seconds. account: the e-mail address; empty while the site has
    not said whose it is. choice: the token of the consent choice, as its cookie has it. language: BCP 47, for who names
    none. preferences: the site's, JSON as the site wrote it.
    """

    series: str
    signed_in: int
    issued: int
    expires: int
    account: str = field(default="", repr=False)
    choice: str = field(default="", repr=False)
    language: str = ""
    preferences: str = field(default="", repr=False)

    def lives(self, now: int, keep_for: int) -> bool:
        """Whether it counts: neither over, nor from the future by more than five minutes. keep_for: the longest life
        that the configuration gives it today."""
        return now - self.issued >= -_EARLY and now < min(self.expires, self.issued + keep_for)

    def is_due(self, now: int, keep_for: int) -> bool:
        """Whether half of its life is over, so that a visit gives it a new one."""
        return now - self.issued >= keep_for // 2


class Standing(Enum):
    """How it stands with the keep cookie that came. OVER: it was ours, and its time is up or it was revoked; what the
    site knows the visitor by is over with it. UNREADABLE: it says nothing."""

    LIVES = "lives"
    OVER = "over"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a visitor's keep cookie means. when: they came with it, milliseconds since the epoch. newest: it was sealed
    by the newest secret. restored: the choice that holds comes from it. dropped: names of the site's session cookies
    that were over with it. doubtful: where several came, what each of them holds; they end together, and count for
    nothing else. shown: its owner may be looking, not a script, so that what it holds may be told."""

    standing: Standing
    when: int
    keep: Keep | None = None
    newest: bool = True
    restored: bool = False
    dropped: tuple[str, ...] = ()
    doubtful: tuple[Keep, ...] = ()
    shown: bool = True

    @property
    def live(self) -> Keep | None:
        """The keep where it counts."""
        return self.keep if self.standing is Standing.LIVES else None


class Opened(NamedTuple):
    """A token that was opened. newest: by the newest secret; else it should be written anew. marks: by which its series
    and its account are revoked."""

    keep: Keep
    newest: bool
    marks: tuple[str, ...]


class Keeper:
    """Seals and opens tokens, and names what is revoked.

    secrets: newest first; the newest seals, all open. Raises ValueError without any.
    """

    def __init__(self, secrets: Sequence[str], site: str) -> None:
        if not secrets or not all(secrets):
            raise ValueError("at least one secret is needed, and none may be empty")
        self._context = f"vestibule keep {_VERSION}\n{site}".encode()
        derived = [
            HKDF(algorithm=SHA256(), length=64, salt=None, info=self._context).derive(secret.encode())
            for secret in secrets
        ]
        self._ciphers = [AESGCMSIV(key[:32]) for key in derived]
        self._marking = [key[32:] for key in derived]

    def seal(self, keep: Keep, nonce: bytes) -> str:
        """The token: URL-safe ASCII. nonce: 12 random bytes.

        Where all of it is too long for a cookie the choice is left out, so that its owner is asked again.
        """
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce is {NONCE_BYTES} bytes long")
        return self._seal(keep, keep.choice if self.fits(keep) else "", nonce)

    def fits(self, keep: Keep) -> bool:
        """Whether its token is short enough for a cookie with its choice."""
        texts = (keep.series, keep.account, keep.choice, keep.language, keep.preferences)
        size = NONCE_BYTES + 16 + _HEAD.size + sum(map(len, texts))
        return (size * 4 + 2) // 3 <= MAX_TOKEN

    def _seal(self, keep: Keep, choice: str, nonce: bytes) -> str:
        texts = (keep.series, keep.account, choice, keep.language, keep.preferences)
        head = _HEAD.pack(_VERSION, keep.signed_in, keep.issued, keep.expires, *map(len, texts))
        sealed = nonce + self._ciphers[0].encrypt(nonce, head + "".join(texts).encode("latin-1"), self._context)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def open(self, token: str) -> Opened | None:
        """What a token holds, or None where it is forged, altered, or of another site or secret."""
        if not token or len(token) > MAX_TOKEN:
            return None
        try:
            text = token.encode("ascii").translate(_TO_STANDARD)
            sealed = binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
        except (binascii.Error, UnicodeEncodeError):
            return None
        if len(sealed) < NONCE_BYTES + 16 or not _is_only(token):
            return None
        for index, cipher in enumerate(self._ciphers):
            try:
                keep = _unpack(cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._context))
            except InvalidTag:
                continue
            if keep is None:
                return None
            return Opened(keep, index == 0, self.marks(series=keep.series, account=keep.account))
        return None

    def stamp(self, path: str, now: int) -> str:
        """A short-lived proof that we led a browser to a path: the time and a keyed hash, URL-safe."""
        return f"{now:x}-{self._stamped(self._marking[0], path, now)}"

    def is_stamped(self, stamp: str, path: str, now: int) -> bool:
        """Whether ``stamp`` was made for the path within the last ``STAMPED`` seconds."""
        made, _, proof = stamp.partition("-")
        if len(stamp) > 64 or not re.fullmatch(r"[0-9a-f]{1,12}", made) or not 0 <= now - int(made, 16) < STAMPED:
            return False
        return any(
            hmac.compare_digest(proof.encode("latin-1", "replace"), each.encode())
            for each in (self._stamped(key, path, int(made, 16)) for key in self._marking)
        )

    @staticmethod
    def _stamped(key: bytes, path: str, time: int) -> str:
        return hashlib.blake2b(f"stamp\n{time}\n{path}".encode(), key=key, digest_size=12).hexdigest()

    def marks(self, *, series: str = "", account: str = "") -> tuple[str, ...]:
        """The hashes (32 hex digits each) by which a series, an account or both are revoked: one for each secret, so
        that a revocation outlives the change of the newest. The letter case of an address does not matter."""
        named = [f"series\n{series}"] if series else []
        named += [f"account\n{folded(account)}"] if account else []
        return tuple(
            hashlib.blake2b(name.encode("utf-8", "surrogateescape"), key=key, digest_size=16).hexdigest()
            for key in self._marking
            for name in named
        )


_SPARE = {0: "", 2: "AQgw", 3: "AEIMQUYcgkosw048"}


def _is_only(token: str) -> bool:
    """Whether it is the one text that its bytes are written as: bits at the end of base64 may flip and decode alike
    (RFC 4648, section 3.5)."""
    ends = _SPARE.get(len(token) % 4)
    return ends == "" or (ends is not None and token[-1] in ends)


def _unpack(data: bytes) -> Keep | None:
    if len(data) < _HEAD.size:
        return None
    version, signed_in, issued, expires, *lengths = _HEAD.unpack_from(data)
    text = data[_HEAD.size :].decode("latin-1")
    if version != _VERSION or sum(lengths) != len(text):
        return None
    series, account, choice, language, preferences = (
        text[end - length : end] for end, length in zip(accumulate(lengths), lengths, strict=True)
    )
    return Keep(series, signed_in, issued, expires, account, choice, language, preferences)


# -- what a site says


def folded(account: str) -> str:
    """An address as it is compared: its letter case does not matter."""
    return account.encode("latin-1").decode("utf-8", "surrogateescape").lower()


def read_account(value: bytes) -> str | None:
    """The e-mail address of a ``Vestibule-Account``, or None where it is none that can be carried in a header."""
    value = value.strip()
    return value.decode("latin-1") if len(value) <= MAX_ACCOUNT and _ACCOUNT.fullmatch(value) else None


def read_preferences(value: bytes) -> str | None:
    """The JSON object of a ``Vestibule-Preferences``, as it was written; None where it is none or too long."""
    value = value.strip()
    if len(value) > MAX_PREFERENCES or any(byte < 0x20 or byte == 0x7F for byte in value):
        return None
    try:
        found = json.loads(value.decode())
        # Python reads more than JSON is: NaN, numbers beyond all bounds, halves of characters.
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value.decode("latin-1") if isinstance(found, dict) else None


def language_of(preferences: str) -> str:
    """The ``language`` among a site's preferences, a BCP 47 tag; empty where there is none."""
    if '"language"' not in preferences:
        return ""
    try:
        found = json.loads(preferences.encode("latin-1"))
    except (ValueError, RecursionError):
        return ""
    tag = found.get("language") if isinstance(found, dict) else None
    return tag if isinstance(tag, str) and re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}", tag) else ""


# -- whether the box was ticked

_UNTICKED = frozenset({"", "0", "f", "false", "n", "no", "none", "null", "off", "undefined"})


def ticked(content_type: str, body: bytes, name: str) -> bool:
    """Whether a sign-in request asks to be kept: a form (either encoding) or JSON in which the field ``name`` is set.

    body: the first ``MAX_LOOK`` bytes or fewer. What cannot be read has no box ticked. A field that comes twice (a
    hidden one beside the box) is ticked once is enough.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return any(map(_says_yes, _from_form(body, name)))
    if kind == "multipart/form-data":
        return any(map(_says_yes, _from_parts(content_type, body, name)))
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return _says_yes(_from_json(body, name))
    return False


def _says_yes(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in _UNTICKED
    return value is True or (isinstance(value, int | float) and value != 0)


def _from_form(body: bytes, name: str) -> Sequence[str]:
    try:
        fields = parse_qs(body.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return ()
    return fields.get(name, ())


def _from_json(body: bytes, name: str) -> object:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found.get(name) if isinstance(found, dict) else None


_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_PART_NAME = re.compile(rb'^content-disposition:[^\r\n]*?;\s*name=(?:"([^"\r\n]*)"|([^\s;"]+))', re.IGNORECASE | re.M)


def _from_parts(content_type: str, body: bytes, name: str) -> Sequence[str]:
    """RFC 7578. A file is no box, and neither is what has no end within the bytes that are looked at."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return ()
    mark = b"\r\n--" + (boundary[1] or boundary[2]).encode("latin-1")
    parts = (b"\r\n" + body).split(mark, _MAX_FIELDS)
    found = []
    for part in parts[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        match = _PART_NAME.search(head)
        if match and b"filename" not in head.lower() and (match[1] or match[2] or b"") == name.encode():
            found.append(value[:64].decode("latin-1"))
    return found
