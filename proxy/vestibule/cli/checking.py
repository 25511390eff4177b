"""``vestibule check``."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

from vestibule import config


def check(directory: Path) -> None:
    """Print that the folder is fine, or raise ConfigError with all that is not."""
    config.load(directory, os.environ, today=date.today())
    print(f"{directory}/: fine")
