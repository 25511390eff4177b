"""JSON Schemas of the configuration's files, for editors: written from the models so that they cannot differ from them.

They say what a single setting may be. What depends on several (``check``) they leave to ``vestibule check``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vestibule import catalogue
from vestibule.config.models import SiteFile, SitesOwn, TrackersFile
from vestibule.config.reference import readable
from vestibule.config.sites import SHARED, SITES

FILES: Mapping[str, type[BaseModel]] = {"site": SiteFile, "trackers": TrackersFile}
"""``site.json`` and ``trackers.json``: the schemas, and the models they are of."""

FURTHER: Mapping[str, type[BaseModel]] = {f"{SITES}/site": SitesOwn, f"{SITES}/trackers": TrackersFile}
"""Those of the files in ``sites/NAME/``, which may leave out what the folder above has."""

DURATION = {
    "type": "string",
    "pattern": r"^\s*\d+(\.\d+)?\s*(s|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?|months?|y|years?)\s*$",
}
SIZE = {
    "anyOf": [
        {"type": "integer", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^\s*\d+\s*([KkMmGg]i?)?[Bb]?\s*$"},
    ]
}
ACCESS_LOG = {"anyOf": [{"enum": ["off", "stdout", False]}, {"type": "string", "pattern": "^/.*[^/]$"}]}
_WRITTEN: Mapping[str, Mapping[str, Any]] = {"_duration": DURATION, "_size": SIZE, "_access_log": ACCESS_LOG}
"""What a value looks like in the file, by the function that reads it."""


def schema(name: str) -> dict[str, Any]:
    """Return the schema (draft 2020-12) of ``site.yaml`` or ``trackers.yaml``: name ``site`` or ``trackers``; of those
    of further sites with ``sites/`` before it."""
    model = FILES[name] if name in FILES else FURTHER[name]
    made = model.model_json_schema(by_alias=True, mode="validation")
    definitions = made.get("$defs", {})
    for each in _models(model):
        _as_written(made if each is model else definitions.get(each.__name__, {}), each)
    if model is TrackersFile:
        # Editors complete the names; others are allowed, since services of one's own may be listed as well.
        services = made["properties"]["services"]
        services["propertyNames"] = {"anyOf": [{"enum": sorted(catalogue.ids())}, services.get("propertyNames", {})]}
    if name in FURTHER:
        _as_inherited(made, model)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": f"{name}.yaml"}


def text(name: str) -> str:
    """The schema as the file that is shipped."""
    return json.dumps(schema(name), ensure_ascii=False, indent=1) + "\n"


def write(folder: Path) -> None:
    """Write the schemas into a folder."""
    (folder / SITES).mkdir(parents=True, exist_ok=True)
    for name in (*FILES, *FURTHER):
        (folder / f"{name}.json").write_text(text(name), encoding="utf-8")


def _models(model: type[BaseModel], met: set[type[BaseModel]] | None = None) -> Iterator[type[BaseModel]]:
    met = set() if met is None else met
    if model in met:
        return
    met.add(model)
    yield model
    for field in model.model_fields.values():
        for below in _below(field.annotation):
            yield from _models(below, met)


def _below(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _below(argument)


def _as_written(made: dict[str, Any], model: type[BaseModel]) -> None:
    """Let a model's schema say how values are written, where that differs from what they become."""
    for name, field in model.model_fields.items():
        shown = made.get("properties", {}).get(field.alias or name)
        if shown is None:
            continue
        shown.pop("title", None)  # only the name again
        for function, written in _WRITTEN.items():
            if function in _functions(field):
                kept = {key: shown[key] for key in ("description", "default") if key in shown}
                if isinstance(kept.get("default"), int):
                    kept["default"] = readable(kept["default"], field)
                shown.clear()
                shown |= kept | dict(written)


def _as_inherited(made: dict[str, Any], model: type[BaseModel]) -> None:
    """Let a schema say that what is left out is as the folder above has it, and leave out what is set there only."""
    definitions = made.get("$defs", {})
    for each in _models(model):
        shown = made if each is model else definitions.get(each.__name__, {})
        if each.__name__ not in ("SitesOwn", "Site"):
            shown.pop("required", None)
        for setting in shown.get("properties", {}).values():
            setting.pop("default", None)
    for path in SHARED:
        section = made["properties"].get(path[0]) if len(path) > 1 else None
        if section is not None:
            definitions[section["$ref"].rpartition("/")[2]]["properties"].pop(path[1])


def _functions(field: FieldInfo) -> set[str]:
    return {function.__name__ for item in field.metadata if (function := getattr(item, "func", None))}


if __name__ == "__main__":
    write(Path("config") / "schema")
