"""Errors of others without what they were about: their messages may hold what a visitor sent."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any


def without_data(error: BaseException) -> str:
    """Where an exception came from, without its message."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__name__} in the app\n{frames}"


class DiscreetLogger(logging.Logger):
    """Passes errors on to another logger by their kind alone, and nothing else: uvicorn's messages hold addresses and
    paths.
    """

    def __init__(self, target: logging.Logger) -> None:
        super().__init__(f"{target.name}.websocket", logging.ERROR)
        self.parent = target

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:  # noqa: ARG002 - the message holds data
        error = sys.exc_info()[1]
        if error is not None:
            self.error("%s", without_data(error))
