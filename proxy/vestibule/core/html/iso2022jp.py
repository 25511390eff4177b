"""ISO-2022-JP as browsers decode it (Encoding Standard, section 12.2), by pieces of any size.

Python's own decoders know more sets of characters than browsers, and raise on some malformed pages whatever they are
told to do about errors.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"\x1b(?:\(([BJI])|\$([@B]))")
_UNFINISHED = re.compile(rb"\x1b[($]?\Z")
_PLAIN = re.compile(rb"[\x00-\x0d\x10-\x1a\x1c-\x7f]*")
_REPLACED = "\ufffd"


def _table(characters: dict[int, str]) -> list[str]:
    return [characters.get(byte, _REPLACED) for byte in range(256)]


_ASCII = {byte: chr(byte) for byte in range(0x80) if byte not in (0x0E, 0x0F, 0x1B)}
_SETS = {
    b"B": _table(_ASCII),
    b"J": _table(_ASCII | {0x5C: "¥", 0x7E: "‾"}),
    b"I": _table({byte: chr(0xFF61 + byte - 0x21) for byte in range(0x21, 0x60)}),
}
_PAIRS = b"$"


class Decoder:
    """Decodes one page. What is malformed becomes U+FFFD; nothing raises. Holds three bytes at most."""

    def __init__(self) -> None:
        self._set = b"B"
        self._held = b""

    def decode(self, data: bytes, final: bool = False) -> str:
        """Take the next bytes of the page; return the text that can be told so far. final: they are the last."""
        data = self._held + data
        unfinished = None if final else _UNFINISHED.search(data)
        end = len(data) if unfinished is None else unfinished.start()
        out: list[str] = []
        position = 0
        for escape in _ESCAPE.finditer(data, 0, end):
            out.append(self._text(data[position : escape.start()], cut=False)[0])
            self._set = escape[1] or _PAIRS
            position = escape.end()
        text, used = self._text(data[position:end], cut=not final)
        out.append(text)
        self._held = data[position + used :]
        return "".join(out)

    def _text(self, data: bytes, *, cut: bool) -> tuple[str, int]:
        """The text of a run without escapes, and how many bytes of it were used: where it is cut, the first half of a
        character is left."""
        if self._set == b"B" and _PLAIN.fullmatch(data):
            return data.decode("ascii"), len(data)
        if self._set != _PAIRS:
            return "".join(map(_SETS[self._set].__getitem__, data)), len(data)
        out: list[str] = []
        position = 0
        while position < len(data):
            lead, trail = data[position], data[position + 1 : position + 2]
            if not 0x21 <= lead <= 0x7E:
                out.append(_REPLACED)
                position += 1
            elif not trail:
                if cut:
                    break
                out.append(_REPLACED)
                position += 1
            else:
                out.append(_pair(lead, trail[0]))
                position += 1 if trail == b"\x1b" else 2
        return "".join(out), position


def _pair(lead: int, trail: int) -> str:
    """A character of JIS X 0208 with its common extensions, by its place in Shift_JIS."""
    if not 0x21 <= trail <= 0x7E:
        return _REPLACED
    first = ((lead - 0x21) >> 1) + 0x81
    first += 0x40 if first > 0x9F else 0
    second = trail + 0x7E if lead % 2 == 0 else trail + (0x20 if trail >= 0x60 else 0x1F)
    return bytes((first, second)).decode("cp932", "ignore") or _REPLACED
