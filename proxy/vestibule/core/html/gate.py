"""The gate: what a page's rewriter asks whether something may load, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from vestibule.core.html.references import escape_attribute
from vestibule.core.html.unless import Unless

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
