"""Which services an inline script belongs to, by short signatures.

A signature is a regular expression over ASCII text, case counting, that begins with literal text. Of that text the
longest word (letters, digits, ``_``, ``$``) is its key: only scripts which hold the key as a whole word are searched
for the signature. So one look at a script's words decides which few of many hundred signatures are searched at all.
Repetitions are bounded (``?``, ``{m,n}`` up to 64) and never repeat a group, so that a search takes time in proportion
to the script, whatever that holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from vestibule.core.html.compiled import COMPILED

MAX_REPEAT = 64
_MIN_PREFIX = 3
_MIN_KEY = 2
_BRACES = re.compile(r"\{(\d+)(?:,(\d+))?\}")
_WORD = re.compile(r"[\w$]+", re.ASCII)
_WORDS_ONLY = bytes(code if chr(code).isascii() and _WORD.match(chr(code)) else 0x20 for code in range(256))


def check(pattern: str) -> str | None:
    """Say what is wrong with a signature, or None where it can be used."""
    if not pattern.isascii():
        return "a signature is ASCII text"
    try:
        re.compile(pattern.encode())
    except re.error as error:
        return f"not a regular expression: {error}"
    fault = _unbounded(pattern)
    if fault is not None:
        return fault
    literal = literal_prefix(pattern)
    if len(literal) < _MIN_PREFIX or len(key(literal)) < _MIN_KEY:
        return f"a signature begins with at least {_MIN_PREFIX} literal characters, {_MIN_KEY} of them in one word"
    return None


def literal_prefix(pattern: str) -> str:
    """Return the literal characters that every match of ``pattern`` begins with."""
    literal: list[str] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        step = 1
        if char == "\\":
            escaped = pattern[position + 1 : position + 2]
            if not escaped or escaped.isalnum():
                break
            char, step = escaped, 2
        elif char in ".^$*+?{}[]|()":
            break
        if pattern[position + step : position + step + 1] in ("?", "{"):
            break
        literal.append(char)
        position += step
    return "".join(literal)


def key(literal: str) -> str:
    """Return the longest word of a literal text, the first of several; empty where it has none."""
    return max(_WORD.findall(literal), key=len, default="")


class Signatures:
    """Finds the services whose signatures occur in a script.

    patterns: service id to its signatures, each one that :func:`check` finds no fault with (the catalogue's are held to
    that by tests, those of the configuration when it is read: here it would cost a tenth of a second).
    """

    def __init__(self, patterns: Mapping[str, Iterable[str]]) -> None:
        self._literals: list[tuple[bytes, str, str]] = []
        self._by_key: dict[bytes, list[int]] = {}
        pairs: list[tuple[bytes, bytes]] = []
        for service, signatures in patterns.items():
            for signature in signatures:
                literal = literal_prefix(signature)
                rest = "" if re.sub(r"\\(\W)", r"\1", signature) == literal else signature
                pairs.append((literal.encode(), key(literal).encode()))
                self._by_key.setdefault(pairs[-1][1], []).append(len(self._literals))
                self._literals.append((pairs[-1][0], rest, service))
        self._words = None if COMPILED is None else COMPILED.Words(tuple(pairs))

    def find(self, text: bytes) -> frozenset[str]:
        """Return the services that ``text`` speaks of."""
        # Scripts made from JSON write a slash as \/ or \u002F.
        if b"\\" in text:
            text = text.replace(b"\\/", b"/").replace(b"\\u002F", b"/").replace(b"\\u002f", b"/")
        found = self._search(text) if self._words is None else self._words.find(text)
        services = []
        for index in found:
            _, rest, service = self._literals[index]
            if not rest or re.search(rest.encode(), text):
                services.append(service)
        return frozenset(services)

    def _search(self, text: bytes) -> list[int]:
        """Which literals a text holds, if it holds their key as a whole word, too."""
        words = self._by_key.keys() & set(text.translate(_WORDS_ONLY).split())
        return [index for word in words for index in self._by_key[word] if self._literals[index][0] in text]


def _unbounded(pattern: str) -> str | None:
    """Say which repetition or alternative of ``pattern`` makes it unfit for one bounded pass."""
    bare = re.sub(r"\\.", "_", pattern)
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "_", bare)
    if "*" in bare or "+" in bare:
        return "repeat with {0,9} instead of * or +"
    if ")?" in bare or "){" in bare:
        return "a group must not be repeated"
    if re.search(r"\{\d*,\}", bare):
        return "a repetition needs an upper bound"
    for braces in _BRACES.finditer(bare):
        if int(braces[2] or braces[1]) > MAX_REPEAT:
            return f"at most {MAX_REPEAT} repetitions"
    depth = 0
    for char in bare:
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            return "write two signatures instead of |"
    return None
