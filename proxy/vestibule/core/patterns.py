"""Patterns of names and paths: plain text, or text with ``*`` for any run of characters.

Matching walks the text once a piece, so that no pattern can make it slow.
"""

from __future__ import annotations

import re
from urllib.parse import unquote


class Glob:
    """A pattern in which ``*`` stands for any run of characters, the empty one too. Case matters."""

    __slots__ = ("_ends", "_inner", "_starts", "pattern", "weight")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.weight = len(pattern.replace("*", ""))
        """How many characters it names: the more, the more specific."""
        pieces = pattern.split("*")
        self._starts = pieces[0]
        self._ends = pieces[-1] if len(pieces) > 1 else None
        self._inner = [piece for piece in pieces[1:-1] if piece]

    def matches(self, text: str) -> bool:
        if self._ends is None:
            return text == self._starts
        if not text.startswith(self._starts):
            return False
        position = len(self._starts)
        for piece in self._inner:
            found = text.find(piece, position)
            if found < 0:
                return False
            position = found + len(piece)
        return len(text) - len(self._ends) >= position and text.endswith(self._ends)


class PathPattern:
    """A pattern of URL paths.

    Without ``*`` it names a path and everything below it (``/maps`` matches ``/maps`` and ``/maps/embed``, not
    ``/mapsx``; ``/maps/`` only what is below). With ``*`` it has to match the whole path. Where it holds a ``?`` it is
    matched against path and query, else the query is left out of account.
    """

    __slots__ = ("_below", "_glob", "_query", "pattern", "weight")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._query = "?" in pattern
        self._below = pattern if pattern.endswith("/") else pattern + "/"
        self._glob = Glob(pattern) if "*" in pattern or self._query else None
        self.weight = len(pattern.replace("*", ""))

    def matches(self, path: str) -> bool:
        if not self._query:
            path = path.partition("?")[0]
        if self._glob is not None:
            return self._glob.matches(path)
        return path == self.pattern or path.startswith(self._below)

    def sources(self) -> tuple[str, ...]:
        """Return the paths that a content security policy needs to cover this pattern (CSP Level 3, section 2.3.1).

        A policy knows exact paths and folders (those that end in ``/``); a ``*`` widens to the folder it is in.
        Empty where the pattern has characters that no policy source may hold.
        """
        path = self.pattern.partition("?")[0]
        if "*" in path:
            path = path[: path.index("*")]
            path = path[: path.rindex("/") + 1]
        if not _SOURCE_PATH.fullmatch(path):
            return ()
        if path.endswith("/") or self._glob is not None or "." in path.rsplit("/", 1)[1]:
            return (path,)
        return (path, path + "/")


_SOURCE_PATH = re.compile(r"/[A-Za-z0-9._~!$&()*+=:@%/-]*")
_SLASHES = re.compile(r"[/\\]+")


def tidy_path(path: str) -> str:
    """Return what a careless server may read in a path: unescaped, single slashes, no dot segments, no parameters
    behind ``;``. The query is kept, unescaped too. The result serves only to compare."""
    if path.isascii() and not _UNTIDY.search(path):
        return path
    plain, mark, query = path.partition("?")
    for _ in range(3):
        decoded = unquote(plain, errors="replace")
        if decoded == plain:
            break
        plain = decoded
    segments: list[str] = []
    last = ""
    for segment in _SLASHES.split(plain):
        last = segment.partition(";")[0].strip("\t\n\r\0 ")
        if last == "..":
            del segments[-1:]
        elif last not in ("", "."):
            segments.append(last)
    folder = "/" if segments and last in ("", ".", "..") else ""
    return "/" + "/".join(segments) + folder + mark + unquote(query, errors="replace")


_UNTIDY = re.compile(r"[%;\\]|//|/\.|^[^/]|\s|\0")
