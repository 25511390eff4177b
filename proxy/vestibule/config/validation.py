"""Holds documents against the models, and says what is wrong in the user's terms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from vestibule.config.documents import Document, SettingPath
from vestibule.config.wording import shown, suggest
from vestibule.core.errors import Problem

ENVIRONMENT = "environment"
_SECRET = re.compile(r"secret|passw|token|api_?key|private_?key", re.IGNORECASE)
M = TypeVar("M", bound=BaseModel)


def validate(
    model: type[M], document: Document, problems: list[Problem], overridden: Mapping[SettingPath, str]
) -> M | None:
    if any(problem.file == document.file for problem in problems):
        return None  # what cannot be parsed is reported once, not once more for each setting that is missing
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            path = _location(item["loc"], document.data)
            setting = ".".join(map(str, path)) or Path(document.file).stem
            message = _message(model, item, path)
            if path in overridden:
                problems.append(Problem(ENVIRONMENT, 0, overridden[path], message))
            else:
                problems.append(Problem(document.file, document.line(path), setting, message))
        return None


def _location(loc: tuple[str | int, ...], data: object) -> SettingPath:
    """pydantic's location without its own marks (``[key]``, validator names), which what is written in the data is not,
    whatever it looks like."""
    path: list[str | int] = []
    for part in loc:
        written = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        if written or not (part == "[key]" or "(" in str(part)):
            path.append(part)
            data = _below(data, part) if written else None
    return tuple(path)


def _below(data: Any, part: str | int) -> object:
    """What is written there, None beyond the end of a list."""
    return data[part] if isinstance(data, dict) or int(part) < len(data) else None


def _message(model: type[BaseModel], item: Any, path: SettingPath) -> str:
    kind, value = item["type"], item.get("input")
    if kind == "extra_forbidden":
        if _SECRET.search(str(path[-1])):
            return "unknown setting; secrets are not kept in files: VESTIBULE_SECRET is set in the environment"
        return f"unknown setting{suggest(str(path[-1]), _known(model, path[:-1]))}"
    if kind == "missing":
        return "is missing"
    if kind in ("literal_error", "enum"):
        allowed = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"must be one of {allowed}; is {shown(value)}"
    if kind in ("model_type", "dict_type"):
        return f"must hold settings (key: value); is {shown(value)}"
    if kind in ("tuple_type", "list_type"):
        return f"must be a list, such as [a, b]; is {shown(value)}"
    words = str(item["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    words = words[:1].lower() + words[1:]
    return f"{words}; is {shown(value)}"


def _known(model: type[BaseModel], path: SettingPath) -> Iterator[str]:
    """The names that are allowed at ``path``."""
    current: type[BaseModel] | None = model
    for key in path:
        if current is None:
            break
        below = fields(current)
        if key in below:
            annotation = below[str(key)]
            current = submodel(annotation)
            if current is None:  # dict[str, Model]
                current = next((m for arg in get_args(annotation) if (m := submodel(arg))), None)
    yield from fields(current) if current is not None else ()


def fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def submodel(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
