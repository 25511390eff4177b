"""The site's own words in place of ours: each must have a place, and keep what is filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from vestibule.config.documents import Document
from vestibule.config.models import SiteFile
from vestibule.config.wording import suggest
from vestibule.core.errors import Problem

LONGEST = 2000
"""Characters of a text."""
PLURALS = frozenset(("zero", "one", "two", "few", "many", "other"))
"""The plural categories of CLDR; a text with the key ``other`` has one form for each that its language needs."""
PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
_FIXED = ("name", "direction")

Path = tuple[str, ...]


def check_texts(values: SiteFile, document: Document) -> Iterator[Problem]:
    """Every language, every key and every placeholder of ``banner.texts`` must be known."""
    if not values.banner.texts:
        return
    import json  # these two not for all who have no words of their own

    from vestibule.assets import static

    folder = static() / "banner" / "locales"
    tags = sorted(path.stem for path in folder.glob("*.json"))
    english = json.loads((folder / "en.json").read_text(encoding="utf-8"))
    for tag, given in values.banner.texts.items():
        path = ("banner", "texts", tag)
        if tag not in tags:
            yield _problem(document, path, f"no such language{suggest(tag, tags)}")
        else:
            yield from _compare(given, english, path, document)


def _compare(given: Mapping[str, Any], known: Mapping[str, Any], path: Path, document: Document) -> Iterator[Problem]:
    for key, value in given.items():
        here = (*path, str(key))
        if key not in known or (len(path) == 3 and key in _FIXED):
            yield _problem(document, here, f"there is no such text{suggest(str(key), known)}")
            continue
        ours = known[key]
        if isinstance(ours, dict) and "other" not in ours:
            if isinstance(value, dict):
                yield from _compare(value, ours, here, document)
            else:
                yield _problem(document, here, f"must have texts below it: {', '.join(ours)}")
            continue
        yield from _check_forms(value, ours, here, document)


def _check_forms(value: object, ours: str | Mapping[str, str], path: Path, document: Document) -> Iterator[Problem]:
    forms: Mapping[str, object] = value if isinstance(value, dict) and not isinstance(ours, str) else {"other": value}
    if "other" not in forms or not forms.keys() <= PLURALS:
        yield _problem(document, path, f"needs a text for `other`; others may be {', '.join(sorted(PLURALS))}")
    allowed = set(PLACEHOLDER.findall(ours if isinstance(ours, str) else ours["other"]))
    for text in forms.values():
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST:
            yield _problem(document, path, f"must be a text of at most {LONGEST} characters")
        elif unknown := set(PLACEHOLDER.findall(text)) - allowed:
            names = ", ".join(f"{{{name}}}" for name in sorted(allowed)) or "none"
            yield _problem(document, path, f"{{{min(unknown)}}} is not filled in here; allowed: {names}")


def _problem(document: Document, path: Path, message: str) -> Problem:
    return Problem(document.file, document.line(path), ".".join(path), message)
