"""A recorder for the length of a command, for when none is running."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from vestibule.config import Config
from vestibule.core import secret
from vestibule.core.errors import LinkError
from vestibule.counting.composing import compose
from vestibule.recorder.backend import Backend, Calls
from vestibule.recorder.service import Recorder


@contextlib.contextmanager
def local(config: Config, state: Path, secrets: str) -> Iterator[Callable[..., Any]]:
    """A recorder for the length of a command; yields ``call(name, **params)``.

    secrets: comma separated, newest first.

    Raises VestibuleError; the store's troubles are raised by the calls.
    """
    with LocalRecorder(config, state, secret.parse(secrets)[0]) as recorder:
        yield recorder.call


class LocalRecorder:
    """A recorder that lives as long as a command, for when none is running: the same calls, no socket. Its loop is in a
    thread of its own, so that what was counted is written and sent while the command goes on.

    ``with LocalRecorder(config, state, key) as recorder: recorder.call("breakdown", by="page")``
    """

    def __init__(self, config: Config, state: Path, key: str) -> None:
        self._config, self._state, self._key = config, state, key
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorder", daemon=True)
        self._recorder: Recorder | None = None
        self._calls: Calls | None = None

    def __enter__(self) -> LocalRecorder:
        self._thread.start()
        try:
            self._run(self._start())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._recorder is not None:
                self._run(self._recorder.stop())
        finally:
            self._close()

    def call(self, name: str, /, **params: Any) -> Any:
        """Ask; see ``recorder.backend.Calls``. Raises StoreError or another VestibuleError."""
        if self._calls is None:
            raise LinkError("the recorder is not open")
        return self._run(_awaited(self._calls, name, params))

    def _run(self, doing: Coroutine[Any, Any, Any]) -> Any:
        running = asyncio.run_coroutine_threadsafe(doing, self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()
            raise

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        recorder = compose(self._config, self._state, self._key)
        await recorder.start()
        self._recorder = recorder
        self._calls = Calls(recorder, Backend(recorder))


async def _awaited(calls: Calls, name: str, params: Mapping[str, Any]) -> Any:
    return await calls(name, params)
