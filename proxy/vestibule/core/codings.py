"""Content codings (RFC 9110, section 8.4): decoding pages to rewrite them, and coding them again, in bounded memory.

A decompression bomb is met in two ways: input goes in by slices so small that none can unfold to more than a few
megabytes at once, and beyond ``limit`` decompressed bytes decoding raises.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import brotli
import zstandard

from vestibule.core.errors import VestibuleError

CODINGS = ("gzip", "br", "zstd", "deflate")
"""Names of the codings that can be read and written, the ones preferred first."""

_WINDOW = 1 << 23  # RFC 9659 bounds zstd windows in HTTP to 8 MiB


class CodingError(VestibuleError):
    """The site's answer cannot be decoded, or unfolds beyond the limit: the site's fault."""


class _Zlib:
    """gzip, and deflate in both readings (RFC 9110 has zlib's wrapper; some servers send it raw)."""

    SLICE = 4096

    def __init__(self, gzip: bool) -> None:
        self._gzip = gzip
        self._decoder = zlib.decompressobj(31 if gzip else 15)
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._decoder.eof:
                if not self._gzip or not data.strip(b"\0"):
                    return
                self._decoder = zlib.decompressobj(31)  # a further member (RFC 1952, section 2.2)
            yield self._decompress(data)
            data = self._decoder.unused_data if self._decoder.eof else b""

    def _decompress(self, data: bytes) -> bytes:
        try:
            out = self._decoder.decompress(data)
        except zlib.error:
            if self._started or self._gzip:
                raise
            self._decoder = zlib.decompressobj(-15)
            out = self._decoder.decompress(data)
        self._started = True
        return out

    def flush(self) -> None:
        if not self._decoder.eof:
            raise CodingError("the answer ends in the midst of its compressed body")


class _Brotli:
    SLICE = 4096
    PIECE = 1 << 20

    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._decoder.process(data, output_buffer_limit=self.PIECE)
        while not self._decoder.can_accept_more_data():
            yield self._decoder.process(b"", output_buffer_limit=self.PIECE)

    def flush(self) -> None:
        if not self._decoder.is_finished():
            raise CodingError("the answer ends in the midst of its compressed body")


class _Zstd:
    SLICE = 64

    def __init__(self) -> None:
        self._decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj(read_across_frames=True)

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._decoder.decompress(data)

    def flush(self) -> None:
        """Frames carry their own end; a cut one cannot be told from one that goes on."""


class Decoder:
    """Decodes a body by pieces. coding: one of CODINGS. limit: decompressed bytes; beyond it CodingError is raised."""

    def __init__(self, coding: str, limit: int) -> None:
        self._codec: _Zlib | _Brotli | _Zstd = (
            _Brotli() if coding == "br" else _Zstd() if coding == "zstd" else _Zlib(coding == "gzip")
        )
        self._left = limit

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what ``data`` unfolds to."""
        step = self._codec.SLICE
        for start in range(0, len(data), step):
            try:
                for out in self._codec.feed(data[start : start + step]):
                    self._left -= len(out)
                    if self._left < 0:
                        raise CodingError("the answer unfolds beyond limits.page_bytes")
                    if out:
                        yield out
            except (zlib.error, brotli.error, zstandard.ZstdError) as error:
                raise CodingError("the answer's compressed body is damaged") from error

    def close(self) -> None:
        """Raise CodingError if the body was cut off."""
        self._codec.flush()


class Encoder:
    """Codes a body by pieces; each piece can be decoded as soon as it is sent, so that pages keep streaming."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        if coding == "br":
            self._brotli = brotli.Compressor(quality=4)
        elif coding == "zstd":
            self._zstd = zstandard.ZstdCompressor(level=3).compressobj()
        else:
            self._zlib = zlib.compressobj(5, zlib.DEFLATED, 31 if coding == "gzip" else 15)

    def feed(self, data: bytes) -> bytes:
        """Code a piece and flush it."""
        if not data:
            return b""
        if self._coding == "br":
            return bytes(self._brotli.process(data) + self._brotli.flush())
        if self._coding == "zstd":
            return self._zstd.compress(data) + self._zstd.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        return self._zlib.compress(data) + self._zlib.flush(zlib.Z_SYNC_FLUSH)

    def close(self) -> bytes:
        """The end of the coded body."""
        if self._coding == "br":
            return bytes(self._brotli.finish())
        if self._coding == "zstd":
            return self._zstd.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
        return self._zlib.flush(zlib.Z_FINISH)
