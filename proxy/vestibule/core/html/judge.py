"""Decides on the references and scripts of one page: resolves, asks the gate, remembers.

What `origins` can't tell by how an address begins is resolved in full.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from vestibule.core import urls
from vestibule.core.html import elements
from vestibule.core.html.copier import LIMIT
from vestibule.core.html.gate import UNREADABLE, Gate, Gated, Held
from vestibule.core.html.origins import MOST_VERDICTS, Known, Origins
from vestibule.core.html.references import unescape_attribute
from vestibule.core.html.vocabulary import Vocabulary

MOST_HELD = 1000
"""Most entries of `Judge.held`; what is held back beyond is, but not listed."""
MOST_BASES = 4
"""Base URLs that a page may have as far as we can know; references are judged by each."""


class Verdict(NamedTuple):
    """By what an attribute is held back, its kind, the host ('' where none is), and the reference that did it."""

    gated: Gated
    kind: str
    host: str
    reference: str


class Judge(Origins):
    """Verdicts on one page, and what was held back in it.

    look_into: rewrites a document that is carried in a URL, and returns what was held back in it.
    """

    def __init__(
        self,
        page: urls.Url | None,
        gate: Gate,
        encoding: str,
        look_into: Callable[[bytes], Gated | None],
    ) -> None:
        super().__init__(gate)
        self.page = page
        self.encoding = encoding
        self.held: list[Held] = []
        self._look_into = look_into
        self._verdicts: dict[tuple[bytes, str], Verdict | None] = {}
        self.addresses: dict[str, dict[bytes, Known]] = {}
        """Kind → raw address that its origin doesn't decide on → what is known of it, as in `origins`."""
        self.words = Vocabulary()
        self.base_set = False
        self.start_with((page,))

    def decode(self, value: bytes) -> str:
        """The text of a raw attribute value."""
        return unescape_attribute(value.decode(self.encoding, "surrogateescape"))

    def encode(self, text: str) -> bytes:
        """Text in the page's encoding; what that lacks as a character reference."""
        try:
            return text.encode(self.encoding, "surrogateescape")
        except UnicodeEncodeError:
            return b"".join(_encode_character(character, self.encoding) for character in text)

    # The base of the page's references

    @property
    def bases(self) -> tuple[urls.Url | None, ...]:
        """The URLs that references may be relative to, the likeliest first; None where there is none."""
        return tuple(self._bases)

    def set_base(self, reference: str, certain: bool) -> None:
        """Take a page's ``base``: the first that counts. Where it is uncertain whether one does, every reference is
        judged by either."""
        if self.base_set or self.page is None:
            return
        base = self.page.join(reference)
        if base is None or base.target.scheme in ("data", "javascript"):
            base = self.page
        if certain:
            # Bases that were uncertain stay possible: had they counted, this one would not.
            self.start_with((base, *self._bases[1:]))
            self.base_set = True
        else:
            self.add_bases((base,))
        self._verdicts.clear()

    def add_bases(self, bases: tuple[urls.Url | None, ...]) -> None:
        """Judge by these as well, as far as there is room (`MOST_BASES`)."""
        for base in bases:
            if base not in self._bases and len(self._bases) < MOST_BASES:
                self._bases.append(base)
                self._verdicts.clear()

    def start_with(self, bases: tuple[urls.Url | None, ...]) -> None:
        super().start_with(bases)
        self.addresses = {kind: {} for kind in elements.KINDS}

    # Verdicts

    def note(self, gated: Gated, kind: str, host: str = "") -> None:
        """List something as held back."""
        self.add(Held(gated, kind, host))

    def add(self, held: Held) -> None:
        """Likewise."""
        if len(self.held) < MOST_HELD:
            self.held.append(held)

    def attribute(self, name: bytes, value: bytes, kind: str) -> Verdict | None:
        """Decide on the raw value of an attribute (lower-case name); None: leave it."""
        listed = name in elements.LISTS
        if not listed:
            if value[:5] == b"data:" and kind in ("image", "media"):
                return None
            gated, host = self.by_beginning(value, kind)
            if gated is None:
                return None
            if host and isinstance(gated, Gated):
                return Verdict(gated, kind, host.decode(), self.decode(value))
        key = (value, kind)
        if key in self._verdicts:
            return self._verdicts[key]
        text = self.decode(value)
        decided = None
        if not (name in elements.SVG_REFERENCES and text.startswith("#")):
            decided = self._first(elements.references(name, text), kind) if listed else self.reference(text, kind)
        if len(self._verdicts) < MOST_VERDICTS:
            self._verdicts[key] = decided
        return decided

    def _first(self, references: list[str], kind: str) -> Verdict | None:
        for reference in references:
            verdict = self.reference(reference, kind)
            if verdict is not None:
                return verdict
        return None

    def reference(self, reference: str, kind: str) -> Verdict | None:
        """Decide on a reference; None: leave it."""
        if self.by_beginning(reference.encode("utf-8", "surrogatepass"), kind)[0] is None:
            return None
        for base in self._bases:
            url = base.join(reference) if base is not None else urls.parse(reference)
            host = "" if url is None else url.target.host
            if url is None:
                gated = self.unreadable(kind)
            elif url.target.scheme == "data" and kind in ("frame", "object", "script"):
                gated = self._data(reference, kind)
            else:
                gated = self.gate.url(str(url), kind) if host else None
            if gated is not None:
                return Verdict(gated, kind, host, reference)
        return None

    def address(self, reference: str) -> str:
        """The absolute URL of a reference."""
        base = self._bases[0]
        url = base.join(reference) if base is not None else urls.parse(reference)
        return UNREADABLE if url is None else str(url)

    def unreadable(self, kind: str) -> Gated | None:
        """Decide on what can't be read."""
        return self.gate.url(UNREADABLE, kind)

    def inline(self, text: bytes) -> Gated | None:
        """Decide on the source of an inline script; None: leave it."""
        return self.gate.inline(text if len(text) <= LIMIT else text[:LIMIT])

    def script(self, text: bytes) -> tuple[Held, bytes] | None:
        """Likewise, as the compiled scanner wants it: an entry to be listed, and the attribute that says so."""
        gated = self.inline(text)
        return None if gated is None else (Held(gated, "inline", ""), self.mark(gated))

    def speculation(self, text: bytes) -> Verdict | None:
        """Decide on speculation rules: those that name only URLs that may load are left; others may reach anyone."""
        try:
            rules = [rule for group in json.loads(text).values() for rule in group]
            named = [str(url) for rule in rules for url in rule.get("urls", ())]
            anyone = any("where" in rule or "urls" not in rule for rule in rules)
        except (ValueError, TypeError, AttributeError, RecursionError):
            named, anyone = [], True
        verdict = self._first(named, "hint")
        gated = self.unreadable("hint") if anyone and verdict is None else None
        return verdict if gated is None else Verdict(gated, "hint", "", UNREADABLE)

    def learn(self, key: bytes, table: str | tuple[str] | bytes | None) -> None:
        """Find out what the compiled scanner asks for: what `origins` is to know of an origin (table: the kind) or
        `addresses` of a raw address (in a tuple), as far as there is room for more; or what a raw type (``b"type"``) or
        relation means (None, ``b"rel"``: `hints`)."""
        if isinstance(table, str):
            self.learn_origin(key, table)
        elif isinstance(table, tuple):
            self._learn_address(key, *table)
        elif table is None:
            self.words.link_kind(key)
        elif table == b"rel":
            self.words.only_hints(key)
        else:
            self.words.script_type(key)

    def _learn_address(self, value: bytes, kind: str) -> None:
        known = self.addresses[kind]
        if len(known) < MOST_VERDICTS:
            verdict = self.attribute(b"src", value, kind)
            known[value] = None
            if verdict is not None:
                known[value] = Held(verdict.gated, verdict.kind, verdict.host), self.mark(verdict.gated)

    def _data(self, reference: str, kind: str) -> Gated | None:
        """Look into a document or script that is carried in its own URL."""
        head, _, body = re.sub(r"[\t\n\r]", "", reference).strip().partition(",")
        content = unquote_to_bytes(body.partition("#")[0].encode("utf-8", "surrogateescape"))
        if head.rstrip().lower().endswith("base64"):
            try:
                content = base64.b64decode(content + b"===")
            except (binascii.Error, ValueError):
                return self.unreadable(kind)
        if kind == "script":
            return self.inline(content)
        if "utf-16" in head.lower() or "2022" in head or b"\0" in content:
            return self.unreadable(kind)
        return self._look_into(content)


def _encode_character(character: str, encoding: str) -> bytes:
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return bytes([ord(character) - 0xDC00])
    return character.encode(encoding, "xmlcharrefreplace")
