"""How well colours can be told apart: relative luminance and contrast ratio (WCAG 2.2, definitions of these names)."""

from __future__ import annotations

import re

TEXT = 4.5
"""Least contrast of text (WCAG 2.2, success criterion 1.4.3, level AA)."""
CONTROL = 3.0
"""Least contrast of what shows that a control is there, and of focus (success criterion 1.4.11, level AA)."""

COLOUR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, from 1 (the same) to 21 (black on white). Each as ``#rgb`` or ``#rrggbb``."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of a colour (``#rgb`` or ``#rrggbb``): 0 for black, 1 for white. Raises ValueError."""
    if COLOUR.fullmatch(colour) is None:
        raise ValueError("must be a colour such as #1f4b99")
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    red, green, blue = (_linear(int(digits[at : at + 2], 16) / 255) for at in (0, 2, 4))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
