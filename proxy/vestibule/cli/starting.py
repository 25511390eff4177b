"""``vestibule init``: reads a site as it answers today, and writes a first configuration for it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from vestibule import catalogue, config
from vestibule.cli.scanning import address, look
from vestibule.config import schema
from vestibule.core.consent import Purpose, State
from vestibule.core.cookie_policy import CookiePolicy
from vestibule.core.errors import VestibuleError
from vestibule.core.trackers import Rules
from vestibule.privacy.policy import registrable
from vestibule.scan.crawling import Bounds
from vestibule.scan.drafting import Draft, draft, left_open, site_hosts
from vestibule.scan.findings import Findings, Judge

FILES = (config.SITE, config.TRACKERS)


def init(
    directory: Path,
    url: str,
    *,
    browser: bool,
    bounds: Bounds,
    force: bool,
    arguments: tuple[str, ...] = (),
    site: str = "",
) -> None:
    """Write ``directory``, or in it the folder of the further site that ``site`` names. Raises VestibuleError where the
    site cannot be read, or a configuration is there already. arguments: more of them for Chromium."""
    instance = directory
    if site:
        config.load(instance, os.environ)  # further to one that is fine
        directory = instance / config.SITES / site
    there = [name for name in FILES if (directory / name).exists()]
    if there and not force:
        raise VestibuleError(
            f"init: {directory / there[0]} is there already; --config names another folder, --force writes over it"
        )
    start = address("init", url)
    services = catalogue.load().services
    host = urlsplit(start).hostname or ""
    rules = Rules(
        services, states={}, unknown=State.BLOCK, first_party=site_hosts(host), exactly=[host], registrable=registrable
    )
    seen = look(start, rules, bounds, browser=browser, arguments=arguments)
    judge = Judge(
        rules,
        CookiePolicy({}, partial(_known, rules), State.BLOCK),
        home=seen.home,
        own=host,
        listed=(),
        registrable=registrable,
        services=services,
    )
    findings = judge.judge(seen.sightings, Findings(start, seen.pages, browser, notes=list(seen.notes)))
    made = draft(
        findings,
        seen.outlines,
        {service.id: service for service in services},
        today=date.today(),
        timezone=timezone(os.environ),
        schema={f"{name}.yaml": f"{_schemas(site)}/{name}.json" for name in schema.FILES},
        further=site,
    )
    _write(instance, directory, made)
    findings.notes += left_open(findings, seen.outlines)
    _say(instance, directory, findings)


def _known(rules: Rules, name: str) -> tuple[str, Purpose, State] | None:
    cookie = rules.cookie(name)
    return None if cookie is None else (cookie.service, cookie.purpose, State.BLOCK)


def timezone(environ: Mapping[str, str], link: Path = Path("/etc/localtime")) -> str:
    """The time zone of this machine by its name; UTC where it has none."""
    candidates = [environ.get("TZ", "").removeprefix(":")]
    with suppress(OSError):
        candidates.append(str(link.readlink()).partition("zoneinfo/")[2].removeprefix("Etc/"))
    for name in candidates:
        try:
            if name and not name.startswith("/"):
                return ZoneInfo(name).key
        except (ValueError, OSError, KeyError):
            continue
    return "UTC"


def _schemas(site: str) -> str:
    """Where the schemas lie, as seen from the files that name them."""
    return f"../../schema/{config.SITES}" if site else "schema"


def _write(instance: Path, directory: Path, made: Draft) -> None:
    """Write all files, or none: they are held against ``check`` before they go to their place, those of a further site
    together with the others of the instance."""
    try:
        instance.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=instance, prefix=".init-") as folder:
            whole = Path(folder)
            fresh = whole / directory.relative_to(instance)
            if fresh != whole:
                shutil.copytree(instance, whole, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)
            fresh.mkdir(parents=True, exist_ok=True)
            for name, text in zip(FILES, (made.site, made.trackers), strict=True):
                (fresh / name).write_text(text, encoding="utf-8")
            config.load(whole, os.environ if fresh != whole else {})
            directory.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                (fresh / name).replace(directory / name)
        schema.write(instance / "schema")
    except OSError as error:
        raise VestibuleError(f"init: {directory} cannot be written: {error.strerror}") from None


def _say(instance: Path, directory: Path, findings: Findings) -> None:
    named = {party.service for party in findings.parties if party.certain and party.service}
    unnamed = {party.host for party in findings.parties if party.certain and not party.service and not party.inside}
    own = [cookie for cookie in findings.cookies if not cookie.third_party]
    counted = (
        (len(findings.pages), "pages"),
        (len(named), "services"),
        (len(unnamed), "hosts that nothing names"),
        (len(own), "cookies"),
    )
    print(", ".join(f"{number} {what}" for number, what in counted))
    for note in findings.notes:
        print(f"note: {note}")
    for name in FILES:
        print(f"wrote {directory / name}")
    print(f"Read them: every line says what was found. Then: vestibule check --config {instance}")
    print(f"Try it:    vestibule serve --dev --config {instance}")
