"""Reads and validates the configuration folder: ``site.yaml`` and ``trackers.yaml``, and those of further sites below
``sites/NAME/``.

A site's files are read whole or not at all: everything that is wrong in them is reported at once, each problem with
file, line, setting, value and what is allowed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vestibule.config import spam
from vestibule.config.checks import (
    check_domain,
    check_notice,
    check_oidc,
    check_own_hosts,
    check_secrets,
    check_services,
    check_theme,
    check_traces,
    check_upstream,
)
from vestibule.config.documents import Document, may_set, read
from vestibule.config.environment import override
from vestibule.config.lists import named, read_lists
from vestibule.config.models import Config, SiteFile, TrackersFile
from vestibule.config.sites import SITES, check_apart, check_names, check_shared, folders, over
from vestibule.config.texts import check_texts
from vestibule.config.validation import validate
from vestibule.config.wording import suggest
from vestibule.core.errors import ConfigError, Problem, VestibuleError

if TYPE_CHECKING:
    from vestibule.config.filtering import Known

__all__ = [
    "SITE",
    "SITES",
    "TRACKERS",
    "Config",
    "Reading",
    "folders",
    "home",
    "list_files",
    "load",
    "pick",
    "read_folder",
]

SITE = "site.yaml"
TRACKERS = "trackers.yaml"


class Reading(NamedTuple):
    """A folder as it was read. config: the first site with those further ones that are fine; None where the first one
    is not. problems: all there are. broken: the names of the further sites that are not fine."""

    config: Config | None
    problems: tuple[Problem, ...]
    broken: frozenset[str] = frozenset()


def load(directory: Path | str, environ: Mapping[str, str], *, today: date | None = None) -> Config:
    """Read, merge with the environment, and validate a configuration folder: all of it, or none.

    directory: the folder; ``site.yaml`` must be in it, ``trackers.yaml`` may be (without it everything unknown is
    closed), and further sites in ``sites/NAME/``. environ: overrides, ``VESTIBULE_SECTION__KEY``. today: where given, a
    notice without a date of announcement counts as announced on that day; a running site does not give it, since what
    was announced in time yesterday must not stop a restart today.

    Raises ConfigError with every problem found, in the order of files and lines.
    """
    reading = read_folder(directory, environ, today=today)
    if reading.problems or reading.config is None:
        raise ConfigError(reading.problems)
    return reading.config


def read_folder(directory: Path | str, environ: Mapping[str, str], *, today: date | None = None) -> Reading:
    """As ``load``, but with what is fine of a folder in which something is broken."""
    folder = Path(directory)
    if not folder.is_dir():
        return Reading(None, (Problem(str(folder), 0, "config", "no such folder; --config DIR names another"),))
    below = folders(folder)
    first = _Files(folder, environ, today, sites=[path.name for path in below])
    config = first.config()
    problems, known = list(first.problems), {(each.setting, each.message) for each in first.problems}
    broken: set[str] = set()
    found = [(config, first.site)] if config is not None else []

    def refuse(name: str, problem: Problem) -> None:
        # What is wrong above is told there, once.
        if (problem.setting, problem.message) not in known:
            problems.append(problem)
        broken.add(name)

    for name, problem in check_names(folder):
        refuse(name, problem)
    for path in below:
        files = _Files(path, environ, today, above=first)
        site = files.config()
        for problem in files.problems:
            refuse(path.name, problem)
        if site is not None:
            found.append((site, files.site))
    for name, problem in check_apart(found):
        refuse(name, problem)
    if config is not None:
        sites = tuple(each for each, _ in found[1:] if each.profile not in broken)
        config = config.model_copy(update={"sites": sites})
    return Reading(None if first.problems else config, tuple(sorted(set(problems))), frozenset(broken))


class _Files:
    """One site's two files, and what is wrong with them. above: those of the folder above, where it is a further site;
    sites: else the names of the further ones."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        today: date | None,
        *,
        above: _Files | None = None,
        sites: Collection[str] = (),
    ) -> None:
        self.problems: list[Problem] = []
        self._folder, self._environ, self._today, self._above = folder, environ, today, above
        self._profile = folder.name if above is not None else ""
        site = read(folder / SITE, self.problems)
        trackers = read(folder / TRACKERS, self.problems, optional=True)
        for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
            if path.name not in (SITE, TRACKERS):
                message = f"unknown file{suggest(path.name, (SITE, TRACKERS))}; allowed: {SITE}, {TRACKERS}"
                self.problems.append(Problem(str(path), 0, path.name, message))
        self._overridden = override(site, trackers, environ, self.problems, of=self._profile, sites=sites)
        self._own = (site, trackers)
        self._lists = folder if above is None or "lists" in trackers.data else above._folder
        self._known: Known | None = above._known if above is not None else {} if sites else None
        self._spam_in = folder if above is None or any(spam.named(site)) else above._folder
        self.site: Document = site if above is None else over(site, above.site)
        self.trackers: Document = trackers if above is None else over(trackers, above.trackers)

    def config(self) -> Config | None:
        """The site's configuration; None where there are problems, which are in ``problems`` then."""
        site, trackers, problems = self.site, self.trackers, self.problems
        values = validate(SiteFile, site, problems, self._overridden)
        rules = validate(TrackersFile, trackers, problems, self._overridden)
        problems.extend(check_services(trackers))
        for document in self._own:
            problems.extend(check_secrets(document, self._overridden))
        pages = (*values.site.hosts, *values.site.first_party) if values is not None else ()
        within = f"{SITES}/{self._profile}/" if self._above is not None and self._lists == self._folder else ""
        known = None if within else self._known
        filters, lists = read_lists(self._lists, trackers, pages, problems, within, known)
        problems.extend(self._spam.problems)
        if self._above is not None:
            problems.extend(check_shared(self._own[0], self._above.site))
        if values is not None:
            problems.extend(self._checked(values))
        if values is not None and rules is not None:
            problems.extend(check_own_hosts(values, rules, trackers))
        if problems or values is None or rules is None:
            return None
        settings = {name: getattr(values, name) for name in SiteFile.model_fields}
        shown = values.model_dump_json(by_alias=True) + rules.model_dump_json(by_alias=True)
        return Config.model_construct(
            **settings,
            trackers=rules,
            filters=filters,
            spam=self._spam.hosts,
            revision=hashlib.sha256((shown + lists + self._spam.digest).encode()).hexdigest()[:12],
            where={
                ".".join(map(str, path)): f"{self._named(file)}:{line}"
                for path, (file, line) in trackers.places().items()
            },
            profile=self._profile,
        )

    @cached_property
    def _spam(self) -> spam.Spam:
        """What is in the lists of spam; held together with the folder above where they are the same."""
        above = self._above
        if above is not None and self._spam_in == above._spam_in:
            names = [[*spam.named(document)] for document in (self.site, above.site)]
            if names[0] == names[1]:
                return above._spam
        return spam.read_spam(self._spam_in, self.site)

    def _checked(self, values: SiteFile) -> Iterator[Problem]:
        yield from check_notice(values, self.site, self._today)
        yield from check_theme(values, self.site)
        yield from check_domain(values, self.site)
        yield from check_upstream(values, self.site)
        yield from check_texts(values, self.site)
        if self._above is None:
            yield from check_oidc(values, self.site, self._environ)
            yield from check_traces(values, self.site, self._environ)
            if values.geoip is not None and not values.geoip.is_file():
                line = self.site.line(("geoip",))
                yield Problem(self.site.file, line, "geoip", f"no such file: {values.geoip}")

    def _named(self, file: str) -> str:
        """A file of ours as it is named in the configuration folder."""
        top = self._above._folder if self._above is not None else self._folder
        return str(Path(file).relative_to(top))


def pick(config: Config, name: str) -> Config:
    """One site of an instance by the name of its folder, its own name, or one of its hosts; where ``name`` is empty the
    first one. Raises VestibuleError."""
    for site in config.everyone:
        if name in (site.profile, site.site.name, *site.site.hosts):
            return site
    known = ", ".join(each.profile or each.site.name for each in config.everyone)
    raise VestibuleError(f"--site: there is no site named {name}; there are {known}")


def home(directory: Path, site: Config) -> Path:
    """The folder of a site's own files."""
    return directory / SITES / site.profile if site.profile else directory


def list_files(directory: Path | str) -> tuple[str, ...]:
    """The block lists that the folder's ``trackers.yaml`` name, and the lists of spam that its ``site.yaml`` do, as far
    as that can be read; relative to the folder."""
    top = Path(directory)
    found = []
    for folder in (top, *folders(top)):
        for file, setting, names in ((TRACKERS, "lists", named), (SITE, "spam_lists", spam.named)):
            # Reading YAML takes ten milliseconds, at every start and change, and most name none.
            if may_set(folder / file, setting):
                document = read(folder / file, [], optional=True)
                found += [str((folder / name).relative_to(top)) for _, name in names(document)]
    return tuple(dict.fromkeys(found))
