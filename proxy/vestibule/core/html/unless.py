"""Origins that are open but for a few paths: the site's own, where some paths relay to services."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vestibule.core.html.grammar import compile_bytes

# A path that no server reads as another, but for its dot segments; then query, fragment or nothing.
_PLAIN = compile_bytes(r"[A-Za-z0-9_\-.~!$'()*+,/:=]*+(?=[?#]|\Z)")


class Unless:
    """Everything of an origin is open, but what has a path of which a segment begins with one of some words: that is
    to be decided by itself. Immutable.

    words: ASCII, of 1 to 255 characters without a slash; case counts.
    """

    __slots__ = ("_begins", "table", "words")

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(sorted(set(words)))
        encoded = [word.encode("ascii") for word in self.words]
        if not all(0 < len(word) < 256 and b"/" not in word for word in encoded):
            raise ValueError(f"not the beginnings of path segments: {self.words}")
        self._begins = re.compile(rb"(?:\A|/)(?:%b)" % b"|".join(map(re.escape, encoded)))
        letters = bytearray(32)
        for word in encoded:
            letters[word[0] >> 3] |= 1 << (word[0] & 7)
        self.table = bytes(letters) + b"".join(bytes([len(word)]) + word for word in encoded)
        """For the compiled scanner: 32 bytes that tell which bytes begin a word, then each word behind its length."""

    def passes(self, reference: bytes) -> bool:
        """Whether a reference's path, relative or from its first slash on, certainly has no such segment. What it is
        relative to is left out of account."""
        path = _PLAIN.match(reference)
        return path is not None and (not self.words or self._begins.search(path[0]) is None)
