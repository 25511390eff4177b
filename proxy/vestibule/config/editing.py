"""Changes one state in ``trackers.yaml``.

A change touches one word or adds one line, so that comments, order and quotes stay and a diff shows what was done. Only
where the file's shape leaves no such place is it written anew by the YAML library, which keeps comments too.
"""

from __future__ import annotations

import difflib
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from vestibule import catalogue, config
from vestibule.core.errors import VestibuleError

UNKNOWN = "unknown"


def change(directory: Path, name: str, state: str, environ: Mapping[str, str], *, site: str = "") -> None:
    """Set the state of a service, of one of the site's own, or of ``unknown``. site: a further one, see
    ``config.pick``: then its own file is changed. Raises VestibuleError, ConfigError."""
    picked = config.pick(config.load(directory, environ), site)
    found = picked.trackers
    known = {service.id for service in catalogue.load().services}
    if name == UNKNOWN:
        where: tuple[str, ...] = (UNKNOWN,)
    elif name in found.custom:
        where = ("custom", name, "state")
    elif name in known:
        where = ("services", name)
    else:
        close = difflib.get_close_matches(name, sorted({*known, *found.custom}), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise VestibuleError(f"trackers: no service named {name}{hint}")
    path = (config.home(directory, picked) / config.TRACKERS).resolve()
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    after = edited(before, where, state)
    if after != before:
        _write(path, after)


def edited(text: str, where: tuple[str, ...], state: str) -> str:
    """The YAML ``text`` with the setting at ``where`` (keys from the outermost) being ``state``."""
    wanted = _parse(text)
    if not _put(wanted, where, state):
        return text
    for attempt in (_replace(text, where, state), _insert(text, where, state), _append(text, where, state)):
        if attempt is not None and _same(attempt, wanted):
            return attempt
    output = io.StringIO()
    _yaml().dump(wanted, output)
    return output.getvalue()


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _parse(text: str) -> Any:
    data = _yaml().load(text)
    return _yaml().map() if data is None else data


def _put(data: Any, where: tuple[str, ...], state: str) -> bool:
    """Set it in parsed data; whether that changes anything."""
    for key in where[:-1]:
        if data.get(key) is None:
            data[key] = {}
        data = data[key]
    changes = data.get(where[-1]) != state
    data[where[-1]] = state
    return bool(changes)


def _same(text: str, wanted: Any) -> bool:
    try:
        return bool(_parse(text) == wanted)
    except YAMLError:
        return False


def _section(text: str, where: tuple[str, ...]) -> Any:
    """The mapping around the setting, or None."""
    data = _parse(text)
    for key in where[:-1]:
        data = data.get(key) if hasattr(data, "get") else None
    return data if hasattr(data, "lc") else None


def _replace(text: str, where: tuple[str, ...], state: str) -> str | None:
    """Put another word where the setting's value stands."""
    section = _section(text, where)
    if section is None or where[-1] not in section:
        return None
    line, column = section.lc.value(where[-1])
    lines = text.splitlines(keepends=True)
    old = str(section[where[-1]])
    for quoted in (old, f'"{old}"', f"'{old}'"):
        if lines[line].startswith(quoted, column):
            lines[line] = lines[line][:column] + state + lines[line][column + len(quoted) :]
            return "".join(lines)
    return None


def _insert(text: str, where: tuple[str, ...], state: str) -> str | None:
    """Add a line below the section's last setting."""
    section = _section(text, where)
    if section is None or not len(section) or where[-1] in section:
        return None
    line, column = section.lc.key(list(section)[-1])
    lines = text.splitlines(keepends=True)
    if not lines[line].endswith("\n"):
        lines[line] += "\n"
    lines.insert(line + 1, f"{' ' * column}{where[-1]}: {state}\n")
    return "".join(lines)


def _append(text: str, where: tuple[str, ...], state: str) -> str | None:
    """Begin a section at the end of the file."""
    if where[0] in _parse(text):
        return None
    end = "" if not text or text.endswith("\n") else "\n"
    *sections, name = where
    above = "".join(f"{'  ' * depth}{section}:\n" for depth, section in enumerate(sections))
    return f"{text}{end}{above}{'  ' * len(sections)}{name}: {state}\n"


def _write(path: Path, text: str) -> None:
    """Exchange the file in one step, so that no worker reads it by halves."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        if path.exists():
            shutil.copymode(path, fresh)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise VestibuleError(f"trackers: {path} cannot be written: {error.strerror}") from None
