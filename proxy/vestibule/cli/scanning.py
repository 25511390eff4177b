"""``vestibule scan``: what a site loads and sets, held against today's configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from vestibule import catalogue, config
from vestibule.config import Config
from vestibule.core.errors import VestibuleError
from vestibule.core.trackers import Rules
from vestibule.privacy.policy import build_cookie_policy, build_rules, registrable
from vestibule.scan import reports
from vestibule.scan.crawling import Bounds, Crawl, crawl
from vestibule.scan.findings import Findings, Judge

MOST_PAGES = 1000
_WIDTH = 60


def scan(
    directory: Path,
    url: str,
    *,
    browser: bool,
    bounds: Bounds,
    form: str,
    arguments: tuple[str, ...] = (),
    site: str = "",
) -> int:
    """Scan ``url`` (the site of the configuration if empty), print what was found, and return the exit status: 1 where
    anything is unknown. arguments: more of them for Chromium."""
    found = config.pick(config.load(directory, os.environ), site)
    start = address("scan", url or found.site.upstream)
    rules = build_rules(found)
    seen = look(start, rules, bounds, browser=browser, arguments=arguments)
    findings = judged(seen, found, rules, browser=browser)
    sys.stdout.write(reports.told(findings, form))
    return 1 if findings.unknown else 0


def look(start: str, rules: Rules, bounds: Bounds, *, browser: bool, arguments: tuple[str, ...] = ()) -> Crawl:
    """Read a site, in a browser too where that is wanted, with a progress bar."""
    if not 1 <= bounds.pages <= MOST_PAGES:
        raise VestibuleError(f"--pages: must be a number from 1 to {MOST_PAGES}; is {bounds.pages}")
    with _progress() as progress:
        seen = crawl(start, rules, bounds, progress)
        if browser:
            from vestibule.scan.browsing import browse

            seen.notes += browse(
                seen.pages, seen.sightings, seconds=bounds.seconds, progress=progress, arguments=arguments
            )
    return seen


def judged(seen: Crawl, found: Config, rules: Rules, *, browser: bool) -> Findings:
    """What was seen, by a configuration."""
    judge = Judge(
        rules,
        build_cookie_policy(found, rules),
        home=seen.home,
        own=found.site.hosts[0],
        listed=(*found.trackers.services, *found.trackers.custom),
        registrable=registrable,
        services=catalogue.reviewed().services,  # the others name no storage
    )
    findings = Findings(seen.start, seen.pages, browser, notes=list(seen.notes))
    return judge.judge(seen.sightings, findings)


def address(command: str, text: str) -> str:
    """A site's address as one types it, with its scheme. Raises VestibuleError."""
    url = text if "://" in text or text.startswith("unix:") else f"https://{text}"
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        _ = parts.port
    except ValueError:
        fine = False
    if not fine:
        raise VestibuleError(f"{command}: must be an address such as https://example.com; is {text!r}")
    return parts._replace(path=parts.path or "/", fragment="").geturl()


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr, where that is a terminal."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as shown:
        task = shown.add_task("")

        def told(done: int, total: int, what: str) -> None:
            what = what if len(what) <= _WIDTH else what[: _WIDTH - 1] + "…"
            shown.update(task, completed=done, total=total, description=what)

        yield told
