"""The compiled scanner. It may be missing: see `scanner`."""

from collections.abc import Callable, Mapping
from typing import Any

Item = tuple[int, bytes, bytes, int, Any]
"""An attribute: where its name starts, its name as written, its raw value and where that starts, and what is known of
the origin that holds it back, if one does (`Why`), or None."""
Attributes = tuple[tuple[bytes, int, str | None], ...]
Tag = tuple[int, int, int, int, int, bytes, tuple[Item, ...]]
"""A start tag: a `scanner.Verdict`, where it starts, where its name ends, where it ends, where to read on (where the
text of a script or frame ends, -1 if that is not known), its lower-case name, and those attributes that matter."""
Why = tuple[object, bytes]
"""What holds something back: an entry to be listed, and the attribute that says so."""
Known = tuple[
    Mapping[str, Mapping[bytes | None, object]],
    Mapping[str, Mapping[bytes, object]],
    Mapping[bytes, str | None],
    Mapping[bytes, str],
    Mapping[bytes, bool],
    Callable[[bytes, str | tuple[str] | bytes | None], object],
    Callable[[bytes], Why | None],
    list[Any],
    list[bytes],
]
"""Of a page: `judge.Judge.origins` and `judge.Judge.addresses`; what is known of raw values of ``rel`` and of a
script's ``type``, and of ``rel`` whether it only hints; what finds out what these lack (`judge.Judge.learn`); what
judges the text of an inline script; where what is held back is listed; and the parts of the rewritten page."""

INTERFACE: int
"""Must be `compiled.INTERFACE`, else this was built from other sources."""

class Words:
    def __new__(cls, pairs: tuple[tuple[bytes, bytes], ...], /) -> Words:
        """pairs: literals, and of each a key: a word in it (ASCII letters, digits, ``_``, ``$``)."""

    def find(self, text: bytes, /) -> list[int]:
        """The places among the pairs of the literals that a text holds, if it holds their key as a whole word, too; in
        no certain order."""

class Scanner:
    def __new__(
        cls,
        elements: dict[bytes, tuple[int, bool, bool, bool, Attributes]],
        pragmas: frozenset[bytes],
        inert: bytes,
        ours: bytes,
        /,
    ) -> Scanner:
        """elements: by lower-case name `scanner.Role`, whether it belongs into a head, whether its end tag matters,
        whether it does in a head, and attributes with `scanner.Form` and kind. pragmas: ``http-equiv`` that do
        nothing. inert: an attribute for scripts that are held back. ours: what to put before names of attributes."""

    def scan(
        self, buffer: bytes, position: int, copied: int, where: int, within: int, known: Known, /
    ) -> tuple[int, int, int, Tag | None]:
        """Read on from ``position``, where no tag is open, over what needs nobody, and disarm what is held back.

        Returns where it stops, at the end or where something stands that has to be looked at closely; up to where the
        buffer is written to the page's parts; what is to be passed as ``within`` with the next call for this buffer
        (where a noscript element ends of which the tags are read like any, 0 or less where there is none); and a start
        tag to be judged, if that is why it stops.

        copied: up to where the buffer was written before. where: flags of `scanner.Where`.
        """
