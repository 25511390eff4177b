"""More sites in one instance: a folder ``sites/NAME/`` each, laid over the folder above setting by setting.

What a site's own files leave out is as the folder above has it. Mappings are merged key by key, so that a
``trackers.yaml`` of one line changes one service; lists and single values are taken whole. What makes a site that site
(``site`` but for its time zone, ``cookies.domain``) is never inherited, and what belongs to the whole instance (the
listeners, the store, the limits …) is set above only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vestibule.config.documents import Document, SettingPath
from vestibule.config.models import Config, SiteFile, SitesOwn
from vestibule.core.errors import Problem

SITES = "sites"
"""The folder in the configuration folder that holds a folder for each further site."""
MOST = 64
"""Further sites of an instance; each is held ready in every worker."""

SHARED: Collection[SettingPath] = frozenset(
    (
        *((name,) for name in SiteFile.model_fields if name not in SitesOwn.model_fields),
        ("analytics", "keep_for"),
        ("consent", "prove_for"),
    )
)
"""Settings of the whole instance: one store keeps everything as long, one listener answers for all."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


def folders(directory: Path) -> tuple[Path, ...]:
    """The folders of further sites, sorted by name; whatever is hidden is none."""
    try:
        found = [path for path in (directory / SITES).iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return ()
    return tuple(sorted(found))


def check_names(directory: Path) -> Iterator[tuple[str, Problem]]:
    """What lies in ``sites/`` and is no folder of a site, each with the name it would have."""
    folder = directory / SITES
    found = folders(directory)
    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        if path.is_file():
            message = f"unknown file; a site is a folder: {SITES}/{path.stem}/site.yaml"
            yield path.stem, Problem(str(path), 0, path.name, message)
    for path in found:
        if not _NAME.fullmatch(path.name):
            message = "a site's folder is named by up to 32 lower-case letters, digits and hyphens"
            yield path.name, Problem(str(path), 0, f"{SITES}.{path.name}", message)
    for path in found[MOST:]:
        yield path.name, Problem(str(path), 0, f"{SITES}.{path.name}", f"an instance has at most {MOST} further sites")


def over(own: Document, above: Document) -> Document:
    """A site's document with what it leaves out as it is above."""
    return Document(own.file, _merged(own.data, _inherited(above.data)), own.lines, above)


def check_shared(own: Document, above: Document) -> Iterator[Problem]:
    """A site sets nothing that holds for all."""
    for path in sorted(SHARED, key=str):
        if _has(own.data, path):
            setting = ".".join(map(str, path))
            yield Problem(own.file, own.line(path), setting, f"holds for all sites; set it in {above.file}")


def check_apart(sites: Sequence[tuple[Config, Document]]) -> Iterator[tuple[str, Problem]]:
    """What two sites may not both have, told of the later one: a host, a name, a domain that the choice is shared over.
    Each problem comes with the name of its site's folder."""
    hosts: dict[str, str] = {}
    names: dict[str, str] = {}
    domains: dict[str, str] = {}
    for config, document in sites:
        place = f"{SITES}/{config.profile}" if config.profile else "the folder above"
        found: list[tuple[SettingPath, str]] = []
        if (other := names.setdefault(config.site.name, place)) != place:
            found.append((("site", "name"), f"is the name of {other} already, and all is kept by it"))
        for index, host in enumerate(config.site.hosts):
            if (other := hosts.setdefault(host, place)) != place:
                found.append((("site", "hosts", index), f"{host} is a host of {other} already"))
        domain = config.cookies.domain
        if domain is not None and (other := domains.setdefault(domain, place)) != place:
            message = f"{domain} is shared over by {other} already: each would overwrite the other's choice"
            found.append((("cookies", "domain"), message))
        for path, message in found:
            setting = ".".join(map(str, path))
            yield config.profile, Problem(document.file, document.line(path), setting, message)


def inherits(path: SettingPath) -> bool:
    """Whether a further site takes a setting over that it leaves out."""
    return path == ("site", "timezone") or (path[:1] != ("site",) and path != ("cookies", "domain"))


def _inherited(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a further site may take over: all but what makes the first one that site."""
    kept = {name: value for name, value in data.items() if name != "site"}
    if _has(data, ("site", "timezone")):
        kept["site"] = {"timezone": data["site"]["timezone"]}
    if isinstance(kept.get("cookies"), dict):
        kept["cookies"] = {name: value for name, value in kept["cookies"].items() if name != "domain"}
    return kept


def _merged(own: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(above)
    for key, value in own.items():
        under = merged.get(key)
        merged[key] = _merged(value, under) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def _has(data: Mapping[str, Any], path: SettingPath) -> bool:
    here: Any = data
    for key in path:
        if not isinstance(here, dict) or key not in here:
            return False
        here = here[key]
    return True
