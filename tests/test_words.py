"""The dashboard's languages: every English text has its German, with the same places to fill."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

import vestibule.dashboard
from vestibule.dashboard.backend import Role
from vestibule.dashboard.dimensions import DIMENSIONS, PLURALS, name_of
from vestibule.dashboard.figures import DURATIONS, FIGURES
from vestibule.dashboard.panels import PANELS, VIEWS
from vestibule.dashboard.periods import NAMES, Period
from vestibule.dashboard.values import LABELS, TAGS
from vestibule.dashboard.words import LANGUAGES, Words, preferred, table

FOLDER = Path(vestibule.dashboard.__file__).parent
PLACE = re.compile(r"\{\w+\}")


def in_templates() -> Iterator[str]:
    for path in sorted(FOLDER.glob("templates/*.html")):
        for call in re.finditer(
            r"_\(('(?:[^'\\]|\\.)*')(?: if [^,)]*? else ('(?:[^'\\]|\\.)*'))?", path.read_text("utf-8")
        ):
            yield from (ast.literal_eval(text) for text in call.groups() if text)


def in_code() -> Iterator[str]:
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                if name in ("words", "_words", "Refusal", "ProviderError"):
                    yield str(node.args[0].value)


def in_tables() -> Iterator[str]:
    for panel in PANELS:
        yield from (panel.title, panel.noun, panel.hint, *(tab.name for tab in panel.tabs))
    for figure in FIGURES.values():
        yield from (figure.title, figure.help)
    for labels in LABELS.values():
        yield from labels.values()
    yield from TAGS.values()
    yield from (view.title for view in VIEWS)
    yield from (*DURATIONS, *PLURALS.values(), *NAMES.values(), *Role, *map(name_of, DIMENSIONS))


TEXTS = sorted({*in_templates(), *in_code(), *in_tables()} - {""})


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_every_text_is_translated_and_no_other(language: str) -> None:
    known = table(language)
    assert [text for text in TEXTS if text not in known] == []
    assert set(known) - set(TEXTS) - {"allow", "ask", "block", "the days before", "last year", "nothing"} == set()
    for text, other in known.items():
        assert sorted(PLACE.findall(text)) == sorted(PLACE.findall(other)), text


@pytest.mark.parametrize(
    ("header", "chosen", "language"),
    [
        ("", "", "en"),
        ("de", "", "de"),
        ("de-CH,en;q=0.8", "", "de"),
        ("fr, en;q=0.5, de;q=0.9", "", "de"),
        ("en, de", "", "en"),
        ("de;q=x, en;q=0.1", "", "en"),
        ("de;q=0", "", "en"),
        ("en", "de", "de"),
        ("de", "xx", "de"),
        ("," * 10_000, "", "en"),
    ],
)
def test_the_preferred_language(header: str, chosen: str, language: str) -> None:
    assert preferred(header, chosen) == language


def test_numbers_and_days() -> None:
    english, german = Words("en"), Words("de")
    assert (english.number(12345), german.number(12345)) == ("12,345", "12.345")
    assert (english.decimal(1234.56), german.decimal(1234.56)) == ("1,234.6", "1.234,6")
    assert (english.percent(0.004), german.percent(0.5)) == ("< 1 %", "50 %")
    assert (english.country("DE"), german.country("DE"), german.country("XX")) == ("Germany", "Deutschland", None)
    days = Period("custom", date(2026, 9, 28), date(2026, 10, 4))
    assert (english.describe(days), german.describe(days)) == ("28 Sep – 4 Oct 2026", "28. Sept. – 4. Okt. 2026")
