"""``vestibule trackers``: shows ``trackers.yaml`` with what the catalogue knows, and changes one state in it."""

from __future__ import annotations

import os
from pathlib import Path

from vestibule import catalogue, config
from vestibule.config import editing
from vestibule.config.editing import edited

__all__ = ["change", "edited", "show"]

UNKNOWN = "unknown"


def show(directory: Path, site: str = "") -> None:
    """Print each tracker that the configuration names: name, state, purpose, what visitors read."""
    found = config.pick(config.load(directory, os.environ), site).trackers
    known = {service.id: service for service in catalogue.load().services}
    rows = [(UNKNOWN, str(found.unknown), "", "third parties that nothing names")]
    for name, state in found.services.items():
        service = known.get(name)
        rows.append((name, str(state), str(service.purpose) if service else "", service.name if service else ""))
    for name, custom in found.custom.items():
        rows.append((name, str(custom.state), str(custom.purpose), custom.name or ", ".join(custom.hosts)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join((*cells, row[3])).rstrip())


def change(directory: Path, name: str, state: str, site: str = "") -> None:
    """Set the state of a service, of one of the site's own, or of ``unknown``. Raises VestibuleError, ConfigError."""
    editing.change(directory, name, state, os.environ, site=site)
    print(f"{name}: {state}")
