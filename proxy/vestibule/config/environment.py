"""Overrides from the environment: ``VESTIBULE_SECTION__KEY`` sets any single value of the files, and
``VESTIBULE_SITES__NAME__SECTION__KEY`` one of those in ``sites/NAME/``."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import BaseModel

from vestibule.config.documents import Document, SettingPath
from vestibule.config.models import SiteFile, TrackersFile
from vestibule.config.sites import SITES
from vestibule.config.validation import ENVIRONMENT, fields, submodel
from vestibule.config.wording import shown, suggest
from vestibule.core.errors import Problem

PREFIX = "VESTIBULE_"
OTHERS = frozenset(
    f"{PREFIX}{name}"
    for name in ("SECRET", "OIDC_SECRET", "METRICS_TOKEN", "CORPUS", "READY_FD", "ADMIN_FD", "AGAIN", "LOG")
)
"""Variables of the product that are no settings of the files."""

FORM = f"{PREFIX}LOG"
FORMS = ("text", "json")


def override(
    site: Document,
    trackers: Document,
    environ: Mapping[str, str],
    problems: list[Problem],
    *,
    of: str = "",
    sites: Collection[str] = (),
) -> dict[SettingPath, str]:
    """Put ``VESTIBULE_SECTION__KEY`` into the documents; returns which settings came from which variable.

    of: the further site whose documents these are; empty for the first. sites: the names of all further ones.
    """
    overridden: dict[SettingPath, str] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        # Variables have no hyphens, and names no underscores.
        meant = path[1].replace("_", "-") if path[0] == SITES and len(path) > 2 else ""
        if meant and not of and meant not in sites:
            problems.append(Problem(ENVIRONMENT, 0, name, f"no site of this name{suggest(meant, sites)}"))
        if meant != of:
            continue
        path = path[2:] if of else path
        if path[0] == "trackers" and len(path) > 1:
            document, path = trackers, path[1:]
            model: type[BaseModel] = TrackersFile
        else:
            document, model = site, SiteFile
        if path[0] not in model.model_fields:
            if name == FORM and environ[name] not in FORMS:
                message = f"must be one of {', '.join(FORMS)}; is {shown(environ[name])}"
                problems.append(Problem(ENVIRONMENT, 0, name, message))
            if name not in OTHERS:
                message = f"unknown setting{suggest(str(path[0]), [*SiteFile.model_fields, 'trackers'])}"
                problems.append(Problem(ENVIRONMENT, 0, name, message))
            continue
        if path[0] in ("services", "custom"):  # variables have no hyphens, ids have no underscores
            path = (path[0], *(part.replace("_", "-") for part in path[1:2]), *path[2:])
        problem = _scalar(model, path)
        if problem:
            problems.append(Problem(ENVIRONMENT, 0, name, problem))
            continue
        target = document.data
        for key in path[:-1]:
            below = target.get(key)
            if not isinstance(below, dict):
                below = {}
                target[key] = below
            target = below
        target[path[-1]] = None if environ[name] in ("", "null") else environ[name]
        overridden[path] = name
    return overridden


def _scalar(model: type[BaseModel], path: SettingPath) -> str | None:
    """What speaks against setting ``path`` of ``model`` from one variable; None if it is a scalar."""
    for index, key in enumerate(path):
        known = fields(model)
        if key not in known:
            return f"unknown setting{suggest(str(key), known)}"
        below = submodel(known[str(key)])
        if below is None:
            annotation = str(known[str(key)])
            if annotation.startswith("dict") and index + 2 == len(path):
                return None
            if annotation.startswith(("tuple", "dict", "list")):
                return "is not a single value; set it in the file"
            return f"{key} has no settings below it" if index + 1 < len(path) else None
        model = below
    return "is a section; add __ and the name of a setting in it"
