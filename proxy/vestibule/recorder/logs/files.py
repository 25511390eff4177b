"""The lines of a log file, plain or compressed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import zstandard

MAX_LINE = 65_536
"""Characters of a line; a longer one is unreadable."""


class LogFile:
    """The lines of a log: plain, gzip, zstd, bzip2 or xz, told by content; ``-`` is the standard input.

    size: bytes of the file as it is on disk, 0 where unknown. position: bytes of it that were read, for progress. cut:
    whether its last line has no end, since it is being written.
    """

    def __init__(self, path: str | Path) -> None:
        if str(path) == "-":
            self._raw: IO[bytes] = sys.stdin.buffer
            self._owned = False
            self.size = 0
        else:
            self._raw = Path(path).open("rb")  # noqa: SIM115 - closed by close()
            self._owned = True
            self.size = Path(path).stat().st_size
        self._counted = _Counted(self._raw)
        raw: io.BufferedReader = io.BufferedReader(self._counted, 1 << 16)
        unpacked = _unpacked(raw)
        self._stream: IO[bytes] = unpacked or cast("IO[bytes]", raw)
        self._plain = unpacked is None
        self.cut = False

    @property
    def position(self) -> int:
        return self._counted.position

    def __iter__(self) -> Iterator[str]:
        """Yield lines without their ends. A line longer than MAX_LINE comes cut, and its rest is skipped. A last line
        without an end is not yielded, unless the log is packed: then nobody writes it any more.

        Raises ValueError where compressed data is broken; what came before has been yielded."""
        try:
            while line := self._stream.readline(MAX_LINE):
                if not line.endswith(b"\n"):
                    ended = self._skip() if len(line) == MAX_LINE else not self._plain
                    if not ended:
                        self.cut = True
                        return
                yield line.decode("utf-8", "replace").rstrip("\r\n")
        except (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
            raise ValueError(f"the log ends in the middle of compressed data: {error}") from error

    def _skip(self) -> bool:
        """Pass over the rest of a line; return whether it has an end, or will have none."""
        while rest := self._stream.readline(MAX_LINE):
            if rest.endswith(b"\n"):
                return True
        return not self._plain

    def close(self) -> None:
        if self._owned:
            self._raw.close()

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Counted(io.RawIOBase):
    """Counts what passes."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read1(len(buffer)) if hasattr(self._raw, "read1") else self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


class _Zstd(io.RawIOBase):
    """Unpacks zstd frames (RFC 8878), one after the other. The library's own reader takes a frame that was cut for a
    whole one. 1 KiB is unpacked at a time, which is at most 32 MiB."""

    def __init__(self, packed: io.BufferedReader) -> None:
        self._packed = packed
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and self._unpack():
            pass
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _unpack(self) -> bool:
        """Unpack a little more; False at the end. Raises EOFError where that is within a frame."""
        packed = self._packed.read(1024)
        if not packed:
            if self._frame is not None:
                raise EOFError("a zstd frame is not complete")
            return False
        while packed:
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._ready += self._frame.decompress(packed)
            packed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None
        return True


def _unpacked(stream: io.BufferedReader) -> IO[bytes] | None:
    """What is packed in a stream; None where nothing is."""
    start = stream.peek(6)[:6]
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return io.BufferedReader(_Zstd(stream), 1 << 16)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    if start.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(stream)
    return None
