"""``vestibule check``: whether the configuration is fine, and what it says in whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vestibule import config
from vestibule.config import Config
from vestibule.config.documents import SettingPath
from vestibule.config.models import SiteFile, SitesOwn, TrackersFile
from vestibule.config.sites import inherits

_SECRETS = re.compile(r"(?<=://)[^/@\s]*@|(?<=password=)[^&\s]+")


def check(directory: Path, *, explain: bool = False) -> None:
    """Print that the folder is fine, or raise ConfigError with all that is not. explain: every setting before it, its
    value, where that is written, and what it means."""
    found = config.load(directory, os.environ, today=date.today())
    if explain:
        for line in explained(found, directory, os.environ):
            print(line)
    print(f"{directory}/: fine")


def explained(found: Config, directory: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Every setting in the order of the files, without secrets: ``setting: value``, then origin and meaning; then those
    that each further site may have for itself."""
    above: _Origins = {}
    for site in found.everyone:
        folder = config.home(directory, site)
        origins = _origins(folder, environ, site.profile)
        model: type[BaseModel] = SitesOwn if site.profile else SiteFile
        for name, shape, values in ((config.SITE, model, site), (config.TRACKERS, TrackersFile, site.trackers)):
            yield f"# {folder / name}"
            for path, value, meaning in _settings(shape, values):
                origin = origins.get((name, path)) or above.get((name, path)) or "default"
                yield f"{'.'.join(path)}: {_shown(value)}"
                yield f"    {origin}" + (f" - {meaning}" if meaning else "")
            yield ""
        if not site.profile:
            above = {key: _from_above(directory, key[0], origin) for key, origin in origins.items() if inherits(key[1])}


_Origins = dict[tuple[str, SettingPath], str]
"""Where settings were written, by file and path."""


def _origins(folder: Path, environ: Mapping[str, str], profile: str) -> _Origins:
    from vestibule.config.documents import read
    from vestibule.config.environment import override

    site, trackers = (read(folder / name, [], optional=True) for name in (config.SITE, config.TRACKERS))
    written: _Origins = {
        (name, path): f"line {line}"
        for name, document in ((config.SITE, site), (config.TRACKERS, trackers))
        for path, line in document.lines.items()
    }
    for path, variable in override(site, trackers, environ, [], of=profile).items():
        name = config.SITE if path[0] in SiteFile.model_fields else config.TRACKERS
        written[name, path] = f"environment: {variable}"
    return written


def _from_above(directory: Path, name: str, origin: str) -> str:
    return f"{directory / name}, {origin}" if origin.startswith("line ") else origin


def _settings(
    model: type[BaseModel], values: BaseModel, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object, str]]:
    for name, field in model.model_fields.items():
        value = getattr(values, name)
        here = (*path, field.alias or name)
        if isinstance(value, BaseModel):
            yield from _settings(type(value), value, here)
        elif isinstance(value, dict) and value:
            for key, each in value.items():
                if isinstance(each, BaseModel):
                    yield from _settings(type(each), each, (*here, str(key)))
                else:
                    yield (*here, str(key)), each, field.description or ""
        else:
            yield here, _readable(value, field), field.description or ""


def _readable(value: object, field: Any) -> object:
    from vestibule.config.reference import readable

    return readable(value, field) if isinstance(value, int) and not isinstance(value, bool) else value


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(each)}" for key, each in value.items()) + "}"
    return _SECRETS.sub("…", str(value)) if value != "" else '""'
