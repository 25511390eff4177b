"""Commands, run in this process as the console script does."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from vestibule import cli

Run = Callable[..., tuple[int, str, str]]
"""Runs ``vestibule ARGUMENTS``; returns its exit status, what it wrote, and what it wrote to stderr."""


def in_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vestibule", *arguments])
        code: int | str | None = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return int(code or 0), captured.out, captured.err

    return run
