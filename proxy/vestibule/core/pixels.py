"""The counting pixel: which names it goes by."""

from __future__ import annotations

import re

from vestibule.core.pages import scrub

PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
"""A transparent GIF of 1x1 points, 43 bytes."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def is_pixel_name(name: str) -> bool:
    """Whether a pixel may go by this name. What looks like an address, a UUID, a long number or a token is none: it
    could say who opened a mail. Dates may be in it."""
    return _NAME.fullmatch(name) is not None and scrub(name) == name
