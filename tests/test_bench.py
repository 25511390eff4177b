"""What measures: that it runs what its figures name."""

from __future__ import annotations

import re
from pathlib import Path

from bench import commands
from tests.servers import ROOT


def test_the_rows_about_commands_are_what_is_run() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    section = text.partition("\n## Commands\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `?([^|`]+?)`? \| \d", section, re.MULTILINE)
    assert len(rows) >= 4
    assert set(rows) <= commands.asked(Path("config")).keys()
