"""The recorder's end: takes what workers send, and answers what they and commands ask."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vestibule.core.errors import LinkError, VestibuleError
from vestibule.core.visit import Hit
from vestibule.link.asking import hang_up
from vestibule.link.frames import SEND_TIMEOUT, Message, pack, read
from vestibule.link.unkept import Delivery

_CLOSE_TIMEOUT = 3.0
_STATUS = re.compile("[0-9]{3}")
_SENDER = re.compile("[0-9a-f]{16}")
_MOST = 1 << 32
"""What a worker can have counted at most between two messages."""

OnHits = Callable[[Sequence[Hit], int, Delivery | None], Awaitable["asyncio.Future[Any] | None"]]
"""Takes hits, how many were dropped, and which message it was. What it returns is done once they are on disk, and
cancelled where nobody will tell."""
OnRefusals = Callable[[Mapping[int, int]], None]
OnMeter = Callable[[Mapping[str, Any]], None]
OnRecord = Callable[[Mapping[str, Any]], Awaitable[None]]
OnCall = Callable[[str, Mapping[str, Any]], Awaitable[Any]]


class Receiver:
    """The recorder's end: ``serve`` until cancelled, or ``close``."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(
        self,
        path: str,
        on_hits: OnHits,
        on_record: OnRecord,
        on_call: OnCall,
        on_refusals: OnRefusals | None = None,
        on_meter: OnMeter | None = None,
    ) -> None:
        """Take connections at ``path`` (a socket that a dead process left behind is replaced); returns at once.

        A handler's VestibuleError is answered with its message, any other error with its type only.
        """

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._connections[task] = writer
                task.add_done_callback(lambda ended: self._connections.pop(ended, None))
            try:
                while (message := await read(reader)) is not None:
                    if "hits" in message:
                        if on_refusals is not None:
                            on_refusals(_refusals(message.get("refusals")))
                        if on_meter is not None and isinstance(message.get("meter"), dict):
                            on_meter(message["meter"])
                        hits, unread = _hits(message["hits"])
                        delivery = _delivery(message)
                        kept = await on_hits(hits, _number(message.get("dropped")) + unread, delivery)
                        if delivery is not None and kept is not None:
                            kept.add_done_callback(partial(_acknowledge, writer, delivery.number))
                    elif "record" in message:
                        await _answer(writer, message, on_record(message["record"]))
                    elif "call" in message:
                        await _answer(writer, message, on_call(str(message["call"]), message.get("with") or {}))
            except (OSError, VestibuleError, TimeoutError):
                # Whoever speaks otherwise is no worker of ours, and what cannot be taken now comes again with the next
                # connection: this one ends.
                pass
            finally:
                await hang_up(writer)

        _remove(path)
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(connected, path)
        except OSError as error:
            raise LinkError(f"{path}: {error.strerror or error}") from None
        finally:
            os.umask(mask)

    async def close(self) -> None:
        """Take no more connections, and end those there are; what arrived before is handled."""
        if self._server is not None:
            self._server.close()
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(tuple(self._connections), timeout=_CLOSE_TIMEOUT)


async def _answer(writer: asyncio.StreamWriter, message: Message, doing: Awaitable[Any]) -> None:
    answer: Message = {"id": message.get("id")}
    try:
        answer["result"] = await doing
        frame = pack(answer)
    except VestibuleError as error:
        frame = pack({"id": message.get("id"), "error": str(error)})
    except Exception as error:
        frame = pack({"id": message.get("id"), "error": f"the recorder failed: {type(error).__name__}"})
    writer.write(frame)
    await asyncio.wait_for(writer.drain(), SEND_TIMEOUT)


def _acknowledge(writer: asyncio.StreamWriter, number: int, kept: asyncio.Future[Any]) -> None:
    if not kept.cancelled() and kept.exception() is None and not writer.transport.is_closing():
        writer.write(pack({"kept": number}))


def _delivery(message: Message) -> Delivery | None:
    """Which message it is, where its sender wants to know that it is kept."""
    sender, number = message.get("from"), message.get("number")
    if not isinstance(sender, str) or not _SENDER.fullmatch(sender) or type(number) is not int:
        return None
    return Delivery(sender, number, message.get("last") is True) if 0 < number < 1 << 63 else None


def _hits(rows: Any) -> tuple[list[Hit], int]:
    """The hits among rows, and how many of them are none: those of a worker of another version may be others."""
    if not isinstance(rows, list):
        raise LinkError("hits are no list")
    hits = []
    for row in rows:
        with contextlib.suppress(ValueError):
            hits.append(Hit.from_json(row))
    return hits, len(rows) - len(hits)


def _refusals(value: Any) -> dict[int, int]:
    found = value.items() if isinstance(value, dict) else ()
    return {int(status): _number(count) for status, count in found if _STATUS.fullmatch(status)}


def _number(value: Any) -> int:
    return value if type(value) is int and 0 <= value <= _MOST else 0


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
