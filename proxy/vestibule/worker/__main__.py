"""``python -m vestibule.worker``: how the supervisor starts a worker."""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from vestibule.core import secret
from vestibule.core.errors import VestibuleError
from vestibule.live import Live
from vestibule.process import AGAIN, start_log
from vestibule.worker import Worker

log = logging.getLogger("vestibule.worker")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line that the supervisor writes."""
    parser = argparse.ArgumentParser(prog="vestibule.worker")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--fd", type=int, action="append", required=True, help="an inherited listening socket")
    parser.add_argument("--number", type=int, default=1, help="which of the workers; the first speaks for all")
    parser.add_argument("--drain", type=float, default=30.0, help="seconds that running requests have when stopping")
    parser.add_argument("--dev", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker; returns the exit status."""
    options = parse(arguments)
    start_log(f"worker {options.number}")
    first = options.number == 1
    live = Live(options.config, os.environ, options.state, keeps=first)
    try:
        secrets = secret.parse(os.environ.get(secret.VARIABLE, ""))
        config = live.first(again=AGAIN in os.environ)
        if live.problems and first:
            log.warning("config: begun with the last good one, for the folder is broken")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(
                _run(
                    functools.partial(
                        Worker,
                        live,
                        config,
                        [socket.socket(fileno=descriptor) for descriptor in options.fd],
                        secrets=secrets,
                        state=options.state,
                        dev=options.dev,
                        first=first,
                        drain=options.drain,
                    )
                )
            )
    except VestibuleError as error:
        for line in str(error).splitlines():
            log.error("%s", line)
        return 1
    return 0


async def _run(compose: Callable[[], Worker]) -> None:
    await compose().run()


if __name__ == "__main__":
    sys.exit(main())
