"""``vestibule pixel``: the tag of a counting pixel."""

from __future__ import annotations

import os
from pathlib import Path

from vestibule import config
from vestibule.core.errors import VestibuleError
from vestibule.core.pixels import is_pixel_name


def pixel(directory: Path, name: str, site: str = "") -> None:
    """Print the tag that counts what is opened as ``name``. Raises VestibuleError for a name that may not be one."""
    if not is_pixel_name(name):
        raise VestibuleError(
            f"pixel: {name!r}: a name has 1 to 64 letters, digits, -, _ or ., and nothing in it that could stand for a "
            "person: no number of five digits or more, no token"
        )
    host = config.pick(config.load(directory, os.environ), site).site.hosts[0]
    print(f'<img src="https://{host}/_privacy/pixel/{name}.gif" width="1" height="1" alt="">')
