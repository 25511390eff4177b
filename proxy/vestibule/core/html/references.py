"""Character references in attribute values (HTML Standard, sections 13.2.5.72 to 13.2.5.80)."""

from __future__ import annotations

import re
from html.entities import html5

_REFERENCE = re.compile(r"&(?:#[xX]([0-9A-Fa-f]+);?|#([0-9]+);?|([A-Za-z][A-Za-z0-9]*);?)")
_LONGEST = max(map(len, html5))
# Numeric references to C1 controls mean windows-1252, see the table in section 13.2.5.80.
_WINDOWS_1252 = {
    code: bytes([code]).decode("windows-1252")
    for code in range(0x80, 0xA0)
    if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}


def unescape_attribute(value: str) -> str:
    """Decode the references in an attribute's value as browsers do: a named one without its semicolon stays literal
    before ``=`` or an alphanumeric character."""
    return _REFERENCE.sub(_decode, value) if "&" in value else value


def _decode(match: re.Match[str]) -> str:
    hexadecimal, decimal, name = match.groups()
    if name is None:
        digits = (hexadecimal or decimal).lstrip("0") or "0"
        # More digits than any code point has: out of range.
        return _character(int(digits, 16 if hexadecimal else 10) if len(digits) < 9 else 0x110000)
    return _named(match, name)


def _named(match: re.Match[str], name: str) -> str:
    whole = match[0]
    if whole.endswith(";") and name + ";" in html5:
        return html5[name + ";"]
    for length in range(min(len(name), _LONGEST), 1, -1):
        prefix = name[:length]
        if prefix in html5:
            following = (name + match.string[match.start() + 1 + len(name) : match.start() + 2 + len(name)])[
                length : length + 1
            ]
            if following == "=" or (following.isascii() and following.isalnum()):
                return whole
            return html5[prefix] + whole[1 + length :]
    return whole


def _character(code: int) -> str:
    if code in _WINDOWS_1252:
        return _WINDOWS_1252[code]
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return chr(code)


def escape_attribute(value: str) -> str:
    """Encode text so that it means the same within double quotes, and no markup where another reader sees no quotes:
    with scripts on, ``<noscript>`` ends at the first ``</noscript``, be it in an attribute."""
    return value.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
