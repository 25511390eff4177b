"""What Vestibule is made of: a bill of materials (CycloneDX 1.6, JSON) and a report of licences.

    python -m tools.bill FOLDER          writes FOLDER/vestibule-VERSION.cdx.json and FOLDER/LICENCES.md

Read from what is installed here: what the distribution needs with all its extras, and what that needs in turn. Nothing
in either file changes from run to run. Ends with status 1 where a licence is not known, or is one of the GPL's kind.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = "vestibule"
EXTRAS = ("browser", "embedded", "lists", "oidc", "otel")

CLASSIFIED = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
SPELT = {
    "Apache 2.0": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "The MIT License (MIT)": "MIT",
}
LOOKED_UP = {"crawler-user-agents": "MIT"}
"""Distributions whose metadata say nothing: by the licence in their repository or files."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_COPYLEFT = re.compile(r"(?i)\b(A|L)?GPL|\bGNU\b")


class BillError(Exception):
    """Something that is needed is not installed, or may not be shipped with."""


@dataclass(frozen=True, slots=True)
class Part:
    """A distribution. needs: names of others, as below. licence: an SPDX expression; empty where none is known."""

    name: str
    version: str
    licence: str
    summary: str
    needs: tuple[str, ...]

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def parts(root: str = OURS, extras: Iterable[str] = EXTRAS) -> dict[str, Part]:
    """All that ``root`` needs, itself included, by name. Raises BillError."""
    found: dict[str, Part] = {}
    wanted: dict[str, set[str]] = {canonicalize_name(root): set(extras)}
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise BillError(f"{name} is not installed") from None
        needs = sorted(_needs(distribution, wanted[name]))
        for needed, more in needs:
            known = wanted.setdefault(needed, set())
            if needed not in found or not more <= known:
                known |= more
                waiting.append(needed)
        about = distribution.metadata
        names = tuple(dict.fromkeys(needed for needed, _ in needs))
        found[name] = Part(name, distribution.version, licence(name, about), _summary(about), names)
    return dict(sorted(found.items()))


def _summary(about: Any) -> str:
    return str(about.get("Summary") or "")


def _needs(distribution: metadata.Distribution, extras: set[str]) -> Iterable[tuple[str, frozenset[str]]]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *sorted(extras))):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def licence(name: str, about: Any) -> str:
    """The licence of a distribution by its metadata: the SPDX expression, else its words, else its classifiers."""
    expression = about.get("License-Expression")
    if expression:
        return str(expression)
    words = (about.get("License") or "").strip()
    if words and "\n" not in words:
        spdx = SPELT.get(words, words)
        if _NAME.fullmatch(spdx):
            return str(spdx)
    classified = [item.rpartition(" :: ")[2] for item in about.get_all("Classifier") or () if "License ::" in item]
    known = sorted({CLASSIFIED.get(item, item) for item in classified if item != "DFSG approved"})
    return " OR ".join(known) or LOOKED_UP.get(name, "")


def bill(found: Mapping[str, Part]) -> dict[str, Any]:
    """The bill of materials as JSON values, by CycloneDX 1.6."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _component(found[OURS], "application")},
        "components": [_component(part, "library") for name, part in found.items() if name != OURS],
        "dependencies": [
            {"ref": part.purl, "dependsOn": [found[name].purl for name in part.needs]} for part in found.values()
        ],
    }


def _component(part: Part, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "description": part.summary,
        "licenses": [{"expression": part.licence}],
        "purl": part.purl,
    }


def report(found: Mapping[str, Part]) -> str:
    """The licences as a Markdown table."""
    rows = [f"| {part.name} | {part.version} | {part.licence} |" for name, part in found.items() if name != OURS]
    head = f"# Licences\n\nWhat {OURS} {found[OURS].version} needs, with all its extras ({', '.join(EXTRAS)}).\n\n"
    return head + "\n".join(("| distribution | version | licence |", "| --- | --- | --- |", *rows)) + "\n"


def problems(found: Mapping[str, Part]) -> list[str]:
    """Distributions that may not be shipped with: no licence is known, or one of the GPL's kind."""
    return [
        f"{part.name}: {part.licence or 'no licence is known'}"
        for part in found.values()
        if not part.licence or _COPYLEFT.search(part.licence)
    ]


def main(folder: Path) -> int:
    """Write both files; returns the exit status."""
    try:
        found = parts()
    except BillError as error:
        print(f"bill: {error}", file=sys.stderr)
        return 1
    for line in (bad := problems(found)):
        print(f"bill: {line}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{OURS}-{found[OURS].version}.cdx.json"
    (folder / name).write_text(json.dumps(bill(found), indent=2) + "\n", encoding="utf-8")
    (folder / "LICENCES.md").write_text(report(found), encoding="utf-8")
    print(f"Wrote {folder / name} and {folder / 'LICENCES.md'}: {len(found) - 1} distributions")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
