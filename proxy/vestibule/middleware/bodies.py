"""Bodies that are changed on their way: decoded, changed, and coded again as they were, piece by piece."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from vestibule.core.codings import Decoder, Encoder
from vestibule.core.html import encoding
from vestibule.core.html.rewriter import Rewriter


class Body(Protocol):
    """A body on its way."""

    @property
    def label(self) -> str | None:
        """The charset that the answer is to be labelled with, known with the first output; None where nobody does."""

    def feed(self, data: bytes) -> bytes: ...
    def close(self) -> bytes: ...


class Coded(ABC):
    """A body that is decoded, changed, and coded again as it was. coding: '' for none. limit: bytes, decoded."""

    def __init__(self, coding: str, limit: int) -> None:
        self.label: str | None = None
        self._decoder = Decoder(coding, limit) if coding else None
        self._encoder = Encoder(coding) if coding else None

    def feed(self, data: bytes) -> bytes:
        if self._decoder is None or self._encoder is None:
            return self._change(data)
        return self._encoder.feed(b"".join(map(self._change, self._decoder.feed(data))))

    def close(self) -> bytes:
        if self._decoder is None or self._encoder is None:
            return self._end()
        self._decoder.close()
        return self._encoder.feed(self._end()) + self._encoder.close()

    @abstractmethod
    def _change(self, data: bytes) -> bytes:
        """What becomes of a piece."""

    @abstractmethod
    def _end(self) -> bytes:
        """What comes at the end."""


class Worker(Coded):
    """A service worker's script, with something after its last line."""

    def __init__(self, addition: bytes, coding: str, limit: int) -> None:
        super().__init__(coding, limit)
        self._addition = addition

    def _change(self, data: bytes) -> bytes:
        return data

    def _end(self) -> bytes:
        return self._addition


class Page(Coded):
    """The body of a page: decoded, read in its encoding, rewritten, coded again.

    charset: of its headers. Where these don't say in which encoding it is, its first kilobyte is waited for, in which
    it may say so itself; browsers do the same.
    """

    def __init__(self, make: Callable[[str | None], Rewriter], charset: str | None, coding: str, limit: int) -> None:
        super().__init__(coding, limit)
        self._make = make
        self._charset = charset
        self._first = b""
        self._reader: encoding.Transcoder | encoding.Clarifier | None = None
        self._rewriter: Rewriter | None = None

    def _change(self, data: bytes) -> bytes:
        if self._rewriter is None:
            data, self._first = self._first + data, b""
            if not encoding.enough(self._charset, data):
                self._first = data
                return b""
            return self._begin(data)
        return self._rewriter.feed(self._reader.feed(data) if self._reader is not None else data)

    def _begin(self, data: bytes) -> bytes:
        name = encoding.declared(self._charset, data)
        self.label = "utf-8" if encoding.needs_transcoding(name) else name
        self._reader = encoding.reader(name)
        self._rewriter = self._make(name)
        return self._change(data)

    def _end(self) -> bytes:
        begun = self._begin(self._first) if self._rewriter is None else b""
        assert self._rewriter is not None
        rest = self._rewriter.feed(self._reader.close()) if self._reader is not None else b""
        return begun + rest + self._rewriter.close()
