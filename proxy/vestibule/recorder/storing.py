"""The store, from an event loop: one thread owns the connection, opens it when it is needed and again when it broke.

Calls to the store block, and chDB's take seconds at times; here they wait in a queue, and the loop goes on.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

from vestibule.core.errors import QuestionError, StoreError
from vestibule.store import Store, open_store

Answer = TypeVar("Answer")
Given = ParamSpec("Given")

TIMEOUT = 120.0
"""Seconds after which a caller is told that the store doesn't answer. What it asked for may still happen."""

MAX_QUEUE = 200
"""Calls that wait at most; more are refused at once."""


class StoreThread:
    """keep_for: seconds after which the store may forget released numbers. prove_for: likewise consent records; None:
    never."""

    def __init__(self, dsn: str, keep_for: int, prove_for: int | None = None) -> None:
        self._dsn = dsn
        self._keep_for = keep_for
        self._prove_for = prove_for
        self._executor = ThreadPoolExecutor(1, "store")
        self._store: Store | None = None
        self._waiting = 0
        self.trouble = "not opened yet"
        """Why the last call failed; empty when it succeeded. A question that makes no sense is no failure."""
        self.errors = 0
        """Calls that failed, since the start."""

    async def do(
        self, action: Callable[Concatenate[Store, Given], Answer], *args: Given.args, **kwargs: Given.kwargs
    ) -> Answer:
        """Run ``action`` on the store. Raises StoreError. What was begun goes on where the caller is cancelled."""
        if self._waiting >= MAX_QUEUE:
            raise StoreError("store: too many questions at a time")
        self._waiting += 1
        asked = functools.partial(self._run, lambda store: action(store, *args, **kwargs))
        running = asyncio.get_running_loop().run_in_executor(self._executor, asked)
        running.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(running), TIMEOUT)
        except TimeoutError:
            raise StoreError("store: it does not answer") from None

    async def close(self) -> None:
        """Wait for what is under way, and close."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
        self._executor.shutdown()

    def _done(self, ended: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not ended.cancelled():
            # Looked at, so that an error nobody waits for any more is no warning.
            ended.exception()

    def _run(self, action: Callable[[Store], Answer]) -> Answer:
        try:
            if self._store is None:
                store = open_store(self._dsn)
                store.migrate()
                store.keep(self._keep_for, self._prove_for)
                self._store = store
                self.trouble = ""
            answer = action(self._store)
        except QuestionError:
            # Not the store's fault. It may not even have been asked, so what ailed it before stays.
            raise
        except StoreError as error:
            self.trouble = str(error)
            self.errors += 1
            raise
        self.trouble = ""
        return answer

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
