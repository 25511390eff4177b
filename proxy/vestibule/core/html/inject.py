"""What is put into pages: our own markup, and what stands in the place of frames that are held back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vestibule.core.html.gate import Gated

Worded = Callable[[str], bytes]
"""Makes markup from the page's language: ``lang`` of its ``<html>``, in lower case; '' where it tells none."""


@dataclass(frozen=True, slots=True)
class Inject:
    """Markup to put in. head: right after <head> opens; body: first thing in <body>; foot: before </body>, or last.
    declaration: at the beginning of each ``<vestibule-declaration>``, and each ``<div>`` or ``<section>`` with
    ``data-vestibule-declaration`` or ``data-vestibule="declaration"`` (in lower case); None leaves them as they are."""

    head: bytes = b""
    body: bytes | Worded = b""
    foot: bytes | Worded = b""
    declaration: Worded | None = None


Placeholder = Callable[[Gated, str, str], bytes]
"""Markup for the place of a held frame, from what holds it, the kind and the absolute URL; put before the frame."""
NO_INJECTION = Inject()
