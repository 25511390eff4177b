"""The bill of materials, the licences, and that two builds are one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.servers import ROOT
from tools import bill


@pytest.fixture(scope="module")
def found() -> dict[str, bill.Part]:
    try:
        return bill.parts()
    except bill.BillError as error:
        pytest.skip(f"an extra is not installed: {error}")


def test_it_names_all_that_is_needed_and_no_tool(found: dict[str, bill.Part]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    direct = {canonicalize_name(Requirement(line).name) for line in lines}
    assert direct <= set(found)
    assert set(bill.EXTRAS) == set(project["optional-dependencies"])
    assert {"h11", "pydantic-core", "cffi"} <= set(found)
    assert not {"pytest", "ruff", "mypy", "hypothesis", "mkdocs"} & set(found)


def test_no_licence_is_unknown_or_of_the_gpl_s_kind(found: dict[str, bill.Part]) -> None:
    assert bill.problems(found) == []


def test_every_reference_leads_to_a_component(found: dict[str, bill.Part]) -> None:
    made = bill.bill(found)
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    references = {made["metadata"]["component"]["bom-ref"], *(part["bom-ref"] for part in made["components"])}
    assert len(references) == len(found)
    for entry in made["dependencies"]:
        assert entry["ref"] in references
        assert set(entry["dependsOn"]) <= references


def test_it_is_written_the_same_each_time(tmp_path: Path, found: dict[str, bill.Part]) -> None:
    assert found
    texts = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        assert bill.main(folder) == 0
        (made,) = folder.glob("*.cdx.json")
        json.loads(made.read_text(encoding="utf-8"))
        texts.append(made.read_bytes() + (folder / "LICENCES.md").read_bytes())
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("License-Expression", "MIT OR Apache-2.0"), ("License", "whatever")], "MIT OR Apache-2.0"),
        ([("License", "The MIT License (MIT)")], "MIT"),
        ([("License", "Copyright (c) me\n a whole text"), ("Classifier", "License :: OSI Approved :: BSD License")],
         "BSD-3-Clause"),
        ([("Classifier", "License :: OSI Approved :: GNU General Public License v3 (GPLv3)")],
         "GNU General Public License v3 (GPLv3)"),
        ([], ""),
    ],
)  # fmt: skip
def test_licences_are_read(fields: list[tuple[str, str]], expected: str) -> None:
    about = Message()
    for name, value in fields:
        about[name] = value.replace("\n", "\n ")
    assert bill.licence("something", about) == expected


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("MIT", False),
        ("MPL-2.0", False),
        ("GPL-3.0-only", True),
        ("LGPL-2.1-or-later", True),
        ("AGPL-3.0", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("MIT OR GPL-2.0", True),
        ("", True),
    ],
)
def test_what_may_not_be_shipped_with(licence: str, refused: bool) -> None:
    part = bill.Part("something", "1", licence, "", ())
    assert bool(bill.problems({"something": part})) is refused


@pytest.mark.slow
def test_two_builds_are_one(tmp_path: Path) -> None:
    source, made = tmp_path / "source", []
    # A copy, since somebody may be at work in the checkout meanwhile.
    left_out = shutil.ignore_patterns(".*", "__pycache__", "*.so", "dist", "build", "site", "*.egg-info")
    shutil.copytree(ROOT, source, ignore=left_out)
    for name in ("one", "two"):
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / name), str(source)]
        environ = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        made.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert sorted(made[0]) == sorted(made[1])
    assert len(made[0]) == 2
    assert made[0] == made[1]
