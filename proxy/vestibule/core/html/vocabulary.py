"""What words in attributes mean, as they are written: types of scripts, relations of links."""

from __future__ import annotations

from typing import Final

from vestibule.core.html import elements
from vestibule.core.html.references import unescape_attribute

MOST_WORDS = 4096
"""Words of each sort that are remembered in one page; with one more all are forgotten."""

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


def word(value: bytes) -> str:
    """A raw value of which only ASCII words matter."""
    return unescape_attribute(value.decode("latin-1")).strip(" \t\n\f\r").lower()


class Vocabulary:
    """What the words of one page mean, remembered; the compiled scanner reads its tables."""

    def __init__(self) -> None:
        self.types = dict(_USUAL_TYPES)
        """Raw type of a script → `elements.script_type`."""
        self.links = dict(_USUAL_LINKS)
        """Raw relation of a link → `elements.link_kind`."""
        self.hints: dict[bytes, bool] = {}
        """Raw relation of a link → whether it does nothing but hint."""

    def link_kind(self, rel: bytes) -> str | None:
        """The kind of a link by its raw relation, as `elements.link_kind`."""
        if rel in self.links:
            return self.links[rel]
        kind = elements.link_kind(word(rel))
        if len(self.links) >= MOST_WORDS:
            self.links.clear()
        self.links[rel] = kind
        return kind

    def only_hints(self, rel: bytes) -> bool:
        """Whether a link does nothing but hint, by its raw relation, as `elements.only_hints`."""
        if rel not in self.hints:
            if len(self.hints) >= MOST_WORDS:
                self.hints.clear()
            self.hints[rel] = elements.only_hints(word(rel))
        return self.hints[rel]

    def script_type(self, value: bytes) -> str:
        """What an inline script is by the raw value of its type, as `elements.script_type`."""
        if value in self.types:
            return self.types[value]
        kind = elements.script_type({b"type": value})
        if len(self.types) >= MOST_WORDS:
            self.types.clear()
        self.types[value] = kind
        return kind
