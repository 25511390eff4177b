"""Where readings part: text that some browsers take for markup is made so that all read the same, or dropped.

While it is unclear who is right, one reader for each possible reading follows what comes. Bounded by `MOST_DOUBTS`.
"""

from __future__ import annotations

from typing import Self

from vestibule.core.html.namespaces import Namespaces, Reading
from vestibule.core.html.page import PageReader
from vestibule.core.html.raw_text import (
    BOGUS_COMMENT,
    CDATA,
    CDATA_ESCAPED,
    PLAINTEXT,
    RAW_TEXT,
    RAW_TEXT_ESCAPED,
    Raw,
    Treat,
)

MOST_DOUBTS = 2
"""Doubts about the reading within doubts; beyond, the rest of the page is dropped."""
_PLAINTEXT_ESCAPED = PLAINTEXT._replace(treat=Treat.ESCAPE)
_PARTED = Raw(b"parted", PLAINTEXT.end, 0, Treat.DROP)


class Parting(PageReader):
    """Reads raw text as every browser will."""

    def _enter_raw(self, name: bytes, reading: Reading, start: int) -> None:
        """Begin to read the text of elements that hold no markup."""
        if name == b"plaintext":
            if reading is not Reading.FOREIGN and self._sealed:
                self._emit(start, b"", self._position)
            elif reading is not Reading.FOREIGN:
                self._raw = PLAINTEXT if reading is Reading.HTML else _PLAINTEXT_ESCAPED
        elif name in RAW_TEXT and reading is not Reading.FOREIGN:
            self._script_state = 0
            self._raw = RAW_TEXT[name]
            if reading is Reading.UNSURE:
                self._doubt(RAW_TEXT_ESCAPED[name], self._reader(self._raw), self._reader(None))

    def _begin_section(self, raw: Raw, start: int) -> None:
        super()._begin_section(raw, start)
        if raw is CDATA_ESCAPED:
            html = self._reader(BOGUS_COMMENT)
            html._namespaces = Namespaces()
            self._doubt(raw, html, self._reader(CDATA))

    def _reader(self, raw: Raw | None) -> Self:
        """One of the possible readers of what follows, by itself; it finds out how far it and others part."""
        reader = self._child(self._judge.bases)
        reader._judge.held = []
        reader._namespaces = self._namespaces.copy()
        reader._in_select, reader._frameset, reader._templates = self._in_select, self._frameset, self._templates
        reader._in_noscript = self._in_noscript
        reader._raw = raw
        reader._doubts = self._doubts + 1
        return reader

    def _doubt(self, raw: Raw, *readers: Self) -> None:
        """Begin to read text that not every reader takes for text."""
        self._raw = raw
        self._readers = readers if self._doubts < MOST_DOUBTS else ()

    def _read_raw(self, raw: Raw) -> bool:
        if raw is _PARTED:
            return self._read_parted()
        start = self._position
        more = super()._read_raw(raw)
        if self._readers or (raw.treat is Treat.ESCAPE and raw.name != PLAINTEXT.name):
            text = self._buffer[start : self._position]
            for reader in self._readers:
                reader.feed(text)
            if self._raw is None:
                if raw is not CDATA_ESCAPED:
                    self._emit(self._position, b"</" + raw.name + b">")
                    self._namespaces.end(raw.name)
                self._raw = _PARTED
                if raw is CDATA_ESCAPED and self._agreed:
                    self._raw, self._readers = None, ()
        return more

    def _read_parted(self) -> bool:
        """Drop what follows up to where all readers are outside of tags, comments and raw text: what some of them take
        for text must not come to life. They can only meet behind a ">"."""
        while True:
            end = self._buffer.find(b">", self._position) + 1
            piece = self._buffer[self._position : end or len(self._buffer)]
            for reader in self._readers:
                reader.feed(piece)
            self._position += len(piece)
            self._emit(self._position - len(piece), b"", self._position)
            if not end:
                return False
            if self._agreed:
                self._raw, self._readers = None, ()
                return True

    @property
    def _agreed(self) -> bool:
        # Without readers there were too many doubts: then nothing is agreed on any more.
        return bool(self._readers) and all(reader._at_rest for reader in self._readers)

    @property
    def _at_rest(self) -> bool:
        """Whether everything was read, and no tag, comment or raw text is open."""
        return self._raw is None and self._long is None and not self._buffer and not self._waiting
