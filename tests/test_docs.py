"""What the documentation says must be so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vestibule.config.reference import markdown

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def test_every_setting_is_documented_as_it_is() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page.partition("<!-- settings -->\n")[2].strip() == markdown().strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_tests_that_hold_a_claim_are_there(page: Path) -> None:
    for file, name in re.findall(r"`([\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8")):
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_blocking_names_the_tests_behind_its_claims() -> None:
    page = (ROOT / "docs" / "blocking.md").read_text(encoding="utf-8")
    closed, _, _ = page.partition("## What is not closed")
    for section in re.split(r"^##+ ", closed, flags=re.MULTILINE)[1:]:
        assert "::test_" in section or section.startswith("Which rule"), section.partition("\n")[0]
