"""``vestibule annotate``: notes on days, shown on the dashboard's graphs."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from vestibule.cli.asking import ask
from vestibule.core.errors import VestibuleError


def annotate(directory: Path, state: Path, *, text: str, day: str, site: str = "") -> None:
    """Note something on a day (ISO 8601; the site's today if empty), or print the notes where there is no text."""
    if not text:
        for note in sorted(ask(directory, state, "annotations", of=site), key=lambda note: str(note["day"])):
            print(f"{note['day']}  {note['text']}")
        return
    if day:
        try:
            date.fromisoformat(day)
        except ValueError:
            raise VestibuleError(f"--day: must be a day such as 2026-11-22; is {day!r}") from None
    print(f"{ask(directory, state, 'annotate', of=site, day=day, text=text)}: noted")
