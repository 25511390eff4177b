"""Where there is no browser, the tests that need one are left out as a whole, and one line says so."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

if not any(map(shutil.which, BROWSERS)):
    collect_ignore = ["browser"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not any(map(shutil.which, BROWSERS)):
        terminalreporter.write_line(
            "SKIPPED tests/browser: there is no Chromium on the PATH (on Debian: the package chromium)"
        )
