"""The errors of the product. Each says whose fault it is by its class and carries the data to mend it."""

from __future__ import annotations

from typing import NamedTuple


class VestibuleError(Exception):
    """Root of all errors that Vestibule raises on purpose."""


class Problem(NamedTuple):
    """One thing wrong in the configuration. ``line`` counts from 1; 0 means the file as a whole."""

    file: str
    line: int
    setting: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.setting}: {self.message}"


class ConfigError(VestibuleError):
    """The configuration cannot be used; the operator's to mend. ``problems`` holds all that is wrong with it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class StoreError(VestibuleError):
    """The store cannot be reached or refused; try again later unless the message says what to change."""


class QuestionError(StoreError):
    """What the store was asked makes no sense; whoever asked is to mend it, and the store is well."""


class UnstorableError(VestibuleError):
    """What was counted cannot be written as the store's types have it: it is of no use to send it again."""


class LinkError(VestibuleError):
    """The recorder cannot be reached over its socket, or answered out of turn."""
