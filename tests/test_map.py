"""The maps of the code tell it as it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import vestibule.core

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "proxy" / "vestibule"
NO_PART = {"__init__", "__main__"}


def modules(folder: Path) -> set[str]:
    """The modules and packages of a package."""
    inside = (entry for entry in folder.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").is_file())
    return {entry.stem for entry in inside} - NO_PART


def test_every_place_that_the_guide_names_is_there() -> None:
    guide = (ROOT / "docs" / "contributing.md").read_text("utf-8")
    table = guide.partition("## A map of the code")[2].partition("## ")[0]
    named = re.findall(r"`([a-z_/]+(?:\.py|/))`", table)
    assert len(named) > 30
    missing = [name for name in named if not any((base / name).exists() for base in (PACKAGE, ROOT))]
    assert missing == []


def test_every_part_is_on_the_page_about_the_design() -> None:
    page = (ROOT / "docs" / "design.md").read_text("utf-8")
    section = page.partition("## The floors")[2].partition("## ")[0]
    assert modules(PACKAGE) - {name.removesuffix(".py") for name in re.findall(r"`([a-z_.]+)/?`", section)} == set()


def test_the_floors_are_told_as_they_are_held() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    held = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    page = (ROOT / "docs" / "design.md").read_text("utf-8")
    told = page.partition("## The floors")[2].split("```")[1]
    assert [floor.strip() for floor in told.split("→")] == held


def test_every_decision_is_on_the_map_of_the_core() -> None:
    named = re.findall(r"`([a-z_]+)`", vestibule.core.__doc__ or "")
    assert sorted(named) == sorted(modules(PACKAGE / "core"))
