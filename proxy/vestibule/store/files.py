"""The SQL that ships with the package."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

_INCLUDE = re.compile(r"^ *-- include: (\w+)\n", re.MULTILINE)


@lru_cache(maxsize=256)
def query(name: str, **instead: str) -> str:
    """Return the query ``queries/NAME.sql``. A line ``-- include: OTHER`` stands for the other one's text, or for that
    of the one that is named ``instead`` of it."""
    text = (files(__package__) / "queries" / f"{name}.sql").read_text("utf-8")
    return _INCLUDE.sub(lambda found: query(instead.get(found[1], found[1]), **instead), text)


def migrations() -> list[tuple[int, str, list[str]]]:
    """Return the migrations as (number, name, statements), in the order in which they are applied."""
    found = []
    for file in (files(__package__) / "schema").iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        if file.name.endswith(".sql"):
            found.append((int(number), name, _statements(file.read_text("utf-8"))))
    return sorted(found)


def _statements(text: str) -> list[str]:
    """Split at semicolons at the end of a line."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [statement.strip() for statement in f"{code}\n".split(";\n") if statement.strip()]
