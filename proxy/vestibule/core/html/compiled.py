"""The compiled part, where there is one.

It is built where there is a C compiler, and only makes faster what Python does without it, to the same result:
`skimmer`, and `signatures.Signatures.find`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vestibule.core.html._scanner import Scanner, Words

INTERFACE = 3
"""Grows with what Python and the compiled part agree on, so that a build from other sources is not used."""


class Compiled(Protocol):
    """The module `_scanner`."""

    @property
    def Scanner(self) -> type[Scanner]: ...  # noqa: N802 – a class of a module
    @property
    def Words(self) -> type[Words]: ...  # noqa: N802 – likewise


def load() -> Compiled | None:
    """The compiled module; None where it was not built, or from other sources than these."""
    try:
        from vestibule.core.html import _scanner
    except ImportError:
        return None
    return _scanner if _scanner.INTERFACE == INTERFACE else None


COMPILED = load()
