"""Messages as they go over the socket: JSON behind four bytes of length, big-endian."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

import orjson

from vestibule.core.errors import LinkError

MAX_FRAME = 8 << 20
"""Bytes of a message; a longer one ends the connection."""

SEND_TIMEOUT = 5.0
"""Seconds that the other end may take to read what is written."""

_LENGTH = struct.Struct(">I")
Message = dict[str, Any]


def pack(message: Message) -> bytes:
    """Write a message. Raises LinkError where it is too long."""
    data = _written(message)
    if len(data) > MAX_FRAME:
        raise LinkError("the message is too long")
    return _LENGTH.pack(len(data)) + data


async def read(reader: asyncio.StreamReader) -> Message | None:
    """Return the next message, or None where the other end has hung up. Raises LinkError where it is none."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            raise LinkError("the message is too long")
        message = _read(await reader.readexactly(length))
    except asyncio.IncompleteReadError:
        return None
    except ValueError:
        raise LinkError("the message is not JSON") from None
    if not isinstance(message, dict):
        raise LinkError("the message is no object")
    return message


def receive(connection: socket.socket) -> Message:
    """Return the answer on a plain socket. Raises LinkError, OSError or ValueError where there is none."""
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if length > MAX_FRAME:
        raise LinkError("the recorder's answer is too long")
    answer: Message = _read(_exactly(connection, length))
    return answer


def result(answer: Message) -> Any:
    """What was asked for. Raises LinkError where the recorder said no."""
    if "error" in answer:
        raise LinkError(str(answer["error"]))
    return answer.get("result")


def _written(message: Message) -> bytes:
    """orjson takes a sixth of json's time, which a worker spends on each page; but it writes no halves of characters
    (lone surrogates), as addresses and forms may hold them, nor keys that are no texts: json does."""
    try:
        return orjson.dumps(message)
    except TypeError:
        return json.dumps(message, separators=(",", ":")).encode("ascii")


def _read(data: bytes) -> Any:
    """Raises ValueError where it is no JSON."""
    try:
        return orjson.loads(data)
    except ValueError:
        try:
            return json.loads(data)
        except RecursionError:
            raise ValueError("nested too deep") from None


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise LinkError("the recorder hung up")
        data += part
    return bytes(data)
