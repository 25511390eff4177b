"""``python -m vestibule.counting``: how the supervisor starts the recorder process."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from vestibule.config import Config
from vestibule.core import secret
from vestibule.core.errors import VestibuleError
from vestibule.counting.processor import keep_to_one
from vestibule.live import Live
from vestibule.process import ADMIN, AGAIN, start_log, step_back

log = logging.getLogger("vestibule.recorder")

NICE = 15
"""How much later than workers the recorder gets the processor, where there is not enough for both: pages go first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recorder; returns the exit status."""
    parser = argparse.ArgumentParser(prog="vestibule.counting")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args(arguments)
    start_log("recorder")
    step_back(NICE)
    keep_to_one()
    descriptors = [int(part) for part in os.environ.get(ADMIN, "").split(",") if part.isdigit()]
    try:
        live = Live(options.config, os.environ, options.state)
        config = live.first(again=AGAIN in os.environ)
        secrets = secret.parse(os.environ.get(secret.VARIABLE, ""))
        options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(
                _run(live, config, options.state, secrets, sockets, supervised=bool(descriptors), folder=options.config)
            )
    except (VestibuleError, OSError) as error:
        for line in str(error).splitlines():
            log.error("%s", line)
        return 1
    return 0


async def _run(
    live: Live,
    config: Config,
    state: Path,
    secrets: Sequence[str],
    sockets: Sequence[socket.socket],
    *,
    supervised: bool,
    folder: Path,
) -> None:
    # Only now: what it imports takes a second of the processor, which by `NICE` pages have first.
    from vestibule.counting.counting import Counting

    counting = Counting(live, config, state, secrets=secrets, supervised=supervised, folder=folder)
    await counting.run(sockets)


if __name__ == "__main__":
    sys.exit(main())
