"""The reference of settings, written from the models so that it cannot differ from them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vestibule.config.models import SiteFile, TrackersFile
from vestibule.config.validation import submodel
from vestibule.config.values import DAY, MONTH, YEAR

_UNITS = ((YEAR, "y"), (MONTH, "months"), (DAY, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, ""))


def markdown() -> str:
    """Two tables: every setting of ``site.yaml`` and of ``trackers.yaml`` with its default and meaning."""
    parts = []
    for file, model in (("site.yaml", SiteFile), ("trackers.yaml", TrackersFile)):
        parts.append(f"### `{file}`\n\n| setting | default | meaning |\n| --- | --- | --- |")
        parts.extend(f"| `{path}` | {default} | {meaning} |" for path, default, meaning in rows(model))
        parts.append("")
    return "\n".join(parts)


def rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, default and meaning of every setting below ``model``, in the order of the file."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        below = submodel(field.annotation or object)
        named = get_origin(field.annotation) is dict
        if below is None or named or field.default is None:
            yield path, _default(field), (field.description or "") + _allowed(field)
        if below is not None:
            yield from rows(below, f"{path}.NAME." if named else f"{path}.")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)  # type: ignore[call-arg,unused-ignore]
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, int) and not isinstance(value, bool):
        value = readable(value, field)
    if value is None:
        return "`null`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, dict):
        return "`{}`"
    return f"`{value}`" if value != "" else "empty"


def readable(value: int, field: FieldInfo) -> str:
    """A duration or a size as one would write it; other numbers as they are."""
    names = {function.__name__ for item in field.metadata if (function := getattr(item, "func", None))}
    units = _UNITS if "_duration" in names else _SIZES if "_size" in names else ()
    for size, unit in units:
        if value >= size and abs(value / size - round(value / size)) < 1e-6:
            return f"{round(value / size)}{' ' if unit == 'months' else ''}{unit}"
    return str(value)


def _allowed(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
    values: list[str] = []
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        values = [str(member.value) for member in annotation]
    elif get_origin(annotation) is not None and "Literal" in str(get_origin(annotation)):
        values = [str(value) for value in get_args(annotation)]
    return f" One of {', '.join(f'`{value}`' for value in values)}." if values else ""


if __name__ == "__main__":
    print(markdown())
