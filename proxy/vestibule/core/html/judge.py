"""Decides on the references and scripts of one page: resolves, asks the gate, remembers.

Most of a page's addresses are plainly written and many share a host, so a gate that can decide by the origin alone is
asked once for each (`OriginGate`); the others are resolved in full.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from vestibule.core import urls
from vestibule.core.html import elements
from vestibule.core.html.grammar import compile_bytes
from vestibule.core.html.references import escape_attribute, unescape_attribute
from vestibule.core.html.tokenizer import LIMIT
from vestibule.core.html.unless import Unless

MOST_HELD = 1000
"""Most entries of `Judge.held`; what is held back beyond is, but not listed."""
MOST_VERDICTS = 4096
"""Verdicts remembered in one page; beyond, the gate is asked again."""
MOST_BASES = 4
"""Base URLs that a page may have as far as we can know; references are judged by each."""

UNREADABLE = "https://unreadable.invalid/"
"""What the gate is asked about in place of a URL that can't be read: a third party that nothing names."""


@dataclass(frozen=True, slots=True)
class Gated:
    """What holds something back. service: its id, ``unknown:HOST`` where nothing names it."""

    service: str
    name: str
    purpose: str


class Held(NamedTuple):
    """Something that was held back: by what, its kind as in `Gate.url` or ``inline``, the host ('' where none is)."""

    gated: Gated
    kind: str
    host: str


Known = tuple[Held, bytes] | bytes | Literal[False] | None
"""What `Judge.origins` knows of an origin; of one that is held back the entry to be listed, and the attribute that says
so."""


def mark(gated: Gated) -> bytes:
    """The attribute that tells what holds an element back."""
    return b' data-vestibule="' + escape_attribute(gated.service).encode("ascii", "xmlcharrefreplace") + b'"'


class Gate(Protocol):
    """Decides what may load. Answers must not change while a page is rewritten."""

    def url(self, url: str, kind: str) -> Gated | None:
        """Decide on an absolute URL as `urls.absolute` writes it; None: leave it. kind: one of `elements.KINDS`."""

    def inline(self, text: bytes) -> Gated | None:
        """Decide on the source of an inline script, at most its first `LIMIT` bytes; None: leave it."""


ByUrl = Literal["by url"]
BY_URL: Final[ByUrl] = "by url"
"""What an `OriginGate` says where the origin alone doesn't decide."""


class OriginGate(Protocol):
    """A gate that can often decide without the path. Optional: what it offers beyond `Gate` only makes it faster."""

    def origin(self, origin: str, kind: str) -> Gated | ByUrl | Unless | None:
        """Decide on every URL of an origin (``https://host``, ``https://host:port``); `BY_URL` where paths matter,
        `Unless` where some do."""


class Verdict(NamedTuple):
    """By what an attribute is held back, its kind, the host ('' where none is), and the reference that did it."""

    gated: Gated
    kind: str
    host: str
    reference: str


# Whose host stands there as it is, whatever follows it.
_PLAIN = compile_bytes(
    r"(https?:)?//((?:[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?\.)+[a-z](?:[a-z0-9\-]*[a-z0-9])?)(?=[/?#]|\Z)"
)
# What can't but stay with the base's host: "/path", "path/…", "path.ext", "?query" and "#fragment".
_OWN = compile_bytes(r"/(?=[A-Za-z0-9_.\-?#~%]|\Z)|[A-Za-z0-9_.\-]++(?=[/?#]|\Z)|[?#]|\Z")


_USUAL_TYPES: Final = {
    value: elements.script_type({b"type": value})
    for value in b"text/javascript module application/javascript application/ld+json application/json text/template "
    b"text/x-template text/html text/plain importmap".split()
}
_USUAL_LINKS: Final = {
    rel.encode(): elements.link_kind(rel.lower())
    for rel in ("", "stylesheet", "icon", "shortcut icon", "apple-touch-icon", "canonical", "alternate", "preload",
                "preconnect", "dns-prefetch", "prefetch", "modulepreload", "manifest", "next", "prev", "shortlink",
                "search", "EditURI", "wlwmanifest", "profile", "pingback", "amphtml", "mask-icon", "author", "license",
                "https://api.w.org/", "apple-touch-icon-precomposed")
}  # fmt: skip
"""What most pages ask for, found out once."""


class Judge:
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
        self.page = page
        self.gate = gate
        self.encoding = encoding
        self.held: list[Held] = []
        self._look_into = look_into
        self._origin: Callable[[str, str], Gated | ByUrl | Unless | None] | None = getattr(gate, "origin", None)
        self._bases: list[urls.Url | None] = []
        self._own = self._scheme = b""
        self._origins: dict[tuple[bytes | None, bytes, str], Gated | ByUrl | Unless | None] = {}
        self._verdicts: dict[tuple[bytes, str], Verdict | None] = {}
        self.origins: dict[str, dict[bytes | None, Known]] = {}
        """Kind → origin as it is written → what is known of it: None that it is open, a table that it is `Unless` …,
        what holds it back, or False that it doesn't decide. Of the base's own ``b"/"`` for paths from the root on,
        ``b""`` for any."""
        self.addresses: dict[str, dict[bytes, Known]] = {}
        """Likewise kind → raw address that its origin doesn't decide on."""
        self.types = dict(_USUAL_TYPES)
        """Raw type of a script → `elements.script_type`."""
        self.links = dict(_USUAL_LINKS)
        """Raw relation of a link → `elements.link_kind`."""
        self.hints: dict[bytes, bool] = {}
        """Raw relation of a link → whether it does nothing but hint."""
        self._marks: dict[str, bytes] = {}
        self._captured: dict[tuple[bytes, str], Gated | ByUrl | Unless | None] = {}
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
        return tuple(self._bases)

    def start_with(self, bases: tuple[urls.Url | None, ...]) -> None:
        """Judge by these bases, of which the first is the likeliest."""
        self._bases = list(bases)
        self._own = _origin(bases[0])
        scheme, slashes, _ = self._own.partition(b"//")
        self._scheme = scheme + slashes
        self._origins.clear()
        self._captured.clear()
        self.origins = {kind: {None: None} for kind in elements.KINDS}
        self.addresses = {kind: {} for kind in elements.KINDS}

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
        for base in bases:
            if base not in self._bases and len(self._bases) < MOST_BASES:
                self._bases.append(base)
                self._verdicts.clear()

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
            gated, host = self._by_beginning(value, kind)
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

    def _by_beginning(self, value: bytes, kind: str) -> tuple[Gated | ByUrl | None, bytes]:
        """Decide by how an address begins, where that is written plainly; with its host, if it names one."""
        plain = _PLAIN.match(value)
        if plain is not None:
            scheme, host = plain.groups()
            end = plain.end()
        elif len(self._bases) == 1 and _OWN.match(value):
            scheme = host = b""
            end = 0
        else:
            return BY_URL, b""
        gated = self._by_origin(scheme, host, kind)
        if isinstance(gated, Unless):
            passes = gated.passes(value[end:]) and (host or value[:1] == b"/" or self._passes(gated))
            return None if passes else BY_URL, host
        return gated, host

    def _passes(self, unless: Unless) -> bool:
        """Whether the base's path is such that those relative to it can be told by themselves."""
        base = self._bases[0]
        return base is not None and unless.passes(base.target.path.encode())

    def _first(self, references: list[str], kind: str) -> Verdict | None:
        for reference in references:
            verdict = self.reference(reference, kind)
            if verdict is not None:
                return verdict
        return None

    def reference(self, reference: str, kind: str) -> Verdict | None:
        """Decide on a reference; None: leave it."""
        if self._by_beginning(reference.encode("utf-8", "surrogatepass"), kind)[0] is None:
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

    @property
    def plain(self) -> bool:
        """Whether addresses can be judged by their origins as they are written."""
        return self._origin is not None and len(self._bases) == 1

    def opens(self, origins: Iterable[bytes | None], kind: str) -> bool:
        """Whether all of some origins are open to a kind, whatever the address; what is, is remembered."""
        known = self.origins[kind]
        for origin in origins:
            if known.get(origin, False) is not None:
                if origin is None or self.origin(origin, kind) is not None:
                    return False
                if len(known) < MOST_VERDICTS:
                    known[origin] = None
        return True

    def learn(self, key: bytes, table: str | tuple[str] | bytes | None) -> None:
        """Find out what the compiled scanner asks for: what `origins` is to know of an origin (table: the kind) or
        `addresses` of a raw address (in a tuple), as far as there is room for more; or what a raw type (``b"type"``) or
        relation means (None, ``b"rel"``: `hints`)."""
        if isinstance(table, str):
            self._learn_origin(key, table)
        elif isinstance(table, tuple):
            self._learn_address(key, *table)
        elif table is None:
            self.link_kind(key)
        elif table == b"rel":
            self.only_hints(key)
        else:
            self.script_type(key)

    def _learn_origin(self, origin: bytes, kind: str) -> None:
        known = self.origins[kind]
        if len(known) >= MOST_VERDICTS:
            return
        gated: Gated | ByUrl | Unless | None
        if len(origin) < 2:
            gated = self._by_origin(b"", b"", kind)
            if gated is None:
                known[b""] = known[b"/"] = None
            else:
                decided = isinstance(gated, Unless) and (origin or self._passes(gated))
                known[origin] = gated.table if decided and isinstance(gated, Unless) else False
            return
        plain = _PLAIN.match(origin)
        gated = BY_URL if plain is None else self._ask(plain[1], plain[2], kind)
        if gated is None:
            known[origin] = None
        elif isinstance(gated, Gated):
            host = origin[origin.index(b"//") + 2 :].decode()
            known[origin] = Held(gated, kind, host), self.mark(gated)
        else:
            known[origin] = gated.table if isinstance(gated, Unless) else False

    def _learn_address(self, value: bytes, kind: str) -> None:
        known = self.addresses[kind]
        if len(known) < MOST_VERDICTS:
            verdict = self.attribute(b"src", value, kind)
            known[value] = None
            if verdict is not None:
                known[value] = Held(verdict.gated, verdict.kind, verdict.host), self.mark(verdict.gated)

    def mark(self, gated: Gated) -> bytes:
        """`mark`, remembered."""
        service = gated.service
        if service not in self._marks:
            if len(self._marks) >= MOST_VERDICTS:
                self._marks.clear()
            self._marks[service] = mark(gated)
        return self._marks[service]

    def origin(self, origin: bytes, kind: str) -> Gated | ByUrl | Unless | None:
        """Decide by an origin as `glance` captures it."""
        key = (origin, kind)
        if key in self._captured:
            return self._captured[key]
        plain = _PLAIN.match(origin)
        gated: Gated | ByUrl | Unless | None = BY_URL
        if plain is not None:
            gated = self._by_origin(plain[1], plain[2], kind)
        elif not origin:
            gated = self._by_origin(b"", b"", kind)
        if len(self._captured) < MOST_VERDICTS:
            self._captured[key] = gated
        return gated

    def link_kind(self, rel: bytes) -> str | None:
        """The kind of a link by its raw relation, as `elements.link_kind`."""
        if rel in self.links:
            return self.links[rel]
        kind = elements.link_kind(unescape_attribute(rel.decode("latin-1")).strip(" \t\n\f\r").lower())
        if len(self.links) >= MOST_VERDICTS:
            self.links.clear()
        self.links[rel] = kind
        return kind

    def only_hints(self, rel: bytes) -> bool:
        """Whether a link does nothing but hint, by its raw relation, as `elements.only_hints`."""
        if rel not in self.hints:
            if len(self.hints) >= MOST_VERDICTS:
                self.hints.clear()
            self.hints[rel] = elements.only_hints(unescape_attribute(rel.decode("latin-1")).strip(" \t\n\f\r").lower())
        return self.hints[rel]

    def script_type(self, value: bytes) -> str:
        """What an inline script is by the raw value of its type, as `elements.script_type`."""
        if value in self.types:
            return self.types[value]
        kind = elements.script_type({b"type": value})
        if len(self.types) >= MOST_VERDICTS:
            self.types.clear()
        self.types[value] = kind
        return kind

    def _by_origin(self, scheme: bytes | None, host: bytes, kind: str) -> Gated | ByUrl | Unless | None:
        """Decide by the origin, where the gate needs no more; no host: the base's."""
        key = (scheme, host, kind)
        if key in self._origins:
            return self._origins[key]
        gated = self._ask(scheme, host, kind)
        if len(self._origins) < MOST_VERDICTS:
            self._origins[key] = gated
        return gated

    def _ask(self, scheme: bytes | None, host: bytes, kind: str) -> Gated | ByUrl | Unless | None:
        """Likewise, without remembering it."""
        if not host:
            origin = self._own
        elif scheme is None:
            origin = self._scheme + host if self._scheme else b""
        else:
            origin = b"%b//%b" % (scheme, host)
        return self._origin(origin.decode(), kind) if origin and self._origin is not None else BY_URL

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


def _origin(url: urls.Url | None) -> bytes:
    if url is None or not url.target.host:
        return b""
    target = url.target
    return (f"{target.scheme}://{target.host}" + ("" if target.port is None else f":{target.port}")).encode()


def _encode_character(character: str, encoding: str) -> bytes:
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return bytes([ord(character) - 0xDC00])
    return character.encode(encoding, "xmlcharrefreplace")
