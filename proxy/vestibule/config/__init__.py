"""Reads and validates the configuration folder: ``site.yaml`` and ``trackers.yaml``.

A folder is read whole or not at all: everything that is wrong in it is reported at once, each problem with file, line,
setting, value and what is allowed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from vestibule.config.checks import (
    check_domain,
    check_notice,
    check_oidc,
    check_secrets,
    check_services,
    check_theme,
    check_upstream,
)
from vestibule.config.documents import read
from vestibule.config.environment import override
from vestibule.config.lists import named, read_lists
from vestibule.config.models import Config, SiteFile, TrackersFile
from vestibule.config.texts import check_texts
from vestibule.config.validation import validate
from vestibule.config.wording import suggest
from vestibule.core.errors import ConfigError, Problem

__all__ = ["SITE", "TRACKERS", "Config", "list_files", "load"]

SITE = "site.yaml"
TRACKERS = "trackers.yaml"


def load(directory: Path | str, environ: Mapping[str, str], *, today: date | None = None) -> Config:
    """Read, merge with the environment, and validate a configuration folder.

    directory: the folder; ``site.yaml`` must be in it, ``trackers.yaml`` may be (without it everything unknown is
    closed). environ: overrides, ``VESTIBULE_SECTION__KEY``. today: where given, a notice without a date of
    announcement counts as announced on that day; a running site does not give it, since what was announced in time
    yesterday must not stop a restart today.

    Raises ConfigError with every problem found, in the order of files and lines.
    """
    folder = Path(directory)
    problems: list[Problem] = []
    if not folder.is_dir():
        raise ConfigError((Problem(str(folder), 0, "config", "no such folder; --config DIR names another"),))
    site = read(folder / SITE, problems)
    trackers = read(folder / TRACKERS, problems, optional=True)
    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        if path.name not in (SITE, TRACKERS):
            message = f"unknown file{suggest(path.name, (SITE, TRACKERS))}; allowed: {SITE}, {TRACKERS}"
            problems.append(Problem(str(path), 0, path.name, message))
    overridden = override(site, trackers, environ, problems)
    values = validate(SiteFile, site, problems, overridden)
    rules = validate(TrackersFile, trackers, problems, overridden)
    problems.extend(check_services(trackers))
    for document in (site, trackers):
        problems.extend(check_secrets(document, overridden))
    pages = (*values.site.hosts, *values.site.first_party) if values is not None else ()
    filters, lists = read_lists(folder, trackers, pages, problems)
    if values is not None:
        problems.extend(check_notice(values, site, today))
        problems.extend(check_theme(values, site))
        problems.extend(check_domain(values, site))
        problems.extend(check_upstream(values, site))
        problems.extend(check_oidc(values, site, environ))
        problems.extend(check_texts(values, site))
        if values.geoip is not None and not values.geoip.is_file():
            problems.append(Problem(site.file, site.line(("geoip",)), "geoip", f"no such file: {values.geoip}"))
    if problems or values is None or rules is None:
        raise ConfigError(tuple(sorted(set(problems))))
    settings = {name: getattr(values, name) for name in SiteFile.model_fields}
    shown = values.model_dump_json(by_alias=True) + rules.model_dump_json(by_alias=True)
    return Config.model_construct(
        **settings,
        trackers=rules,
        filters=filters,
        revision=hashlib.sha256((shown + lists).encode()).hexdigest()[:12],
        where={".".join(map(str, path)): f"{TRACKERS}:{line}" for path, line in trackers.lines.items()},
    )


def list_files(directory: Path | str) -> tuple[str, ...]:
    """The block lists that ``trackers.yaml`` names, relative to the folder, as far as that can be read."""
    return tuple(dict.fromkeys(name for _, name in named(read(Path(directory) / TRACKERS, [], optional=True))))
