"""What measures: that it sends what workers send, waits for nobody who has ended, and runs what its figures name."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import commands
from bench.recorder import heard, messages
from bench.traffic import Traffic
from tests.servers import ROOT
from vestibule.link.sending import BATCH


@pytest.mark.parametrize(
    ("target", "given", "patience", "words"),
    [(os._exit, 7, 60, "ended with 7"), (time.sleep, 60, 0.1, "was silent for 0.1 s")],
    ids=["ended", "silent"],
)
def test_a_process_that_says_nothing_is_given_up(
    target: Callable[[Any], object], given: int, patience: float, words: str
) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(given,))
    process.start()
    with ours, theirs, pytest.raises(SystemExit, match=words):
        heard(ours, process, patience)
    process.join(30)
    assert process.exitcode is not None


def test_what_a_process_said_before_it_ended_is_heard() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=os._exit, args=(0,))
    process.start()
    with ours:
        theirs.send({"VmHWM": 1})
        theirs.close()
        process.join(30)
        assert heard(ours, process) == {"VmHWM": 1}


def test_messages_are_as_large_as_a_workers() -> None:
    found = messages(Traffic(random.Random(1)), 5 * BATCH)
    assert [len(json.loads(each)["hits"]) for each in found] == [BATCH] * 5


def test_the_rows_about_commands_are_what_is_run() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    section = text.partition("\n## Commands\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `?([^|`]+?)`? \| \d", section, re.MULTILINE)
    assert len(rows) >= 4
    assert set(rows) <= commands.asked(Path("config")).keys()
