"""The commands: names, arguments, words of help. What they do is imported when they run.

Annotations are evaluated where they stand: Typer reads all of them, several times over where they are text.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vestibule import __version__


def _empty() -> typer.Typer:
    return typer.Typer(
        name="vestibule",
        no_args_is_help=True,
        add_completion=False,
        # Plain text: errors stay short, and rich is not loaded only to draw boxes.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = _empty()
trackers_app = typer.Typer(help="List what trackers.yaml says, or change it.", rich_markup_mode=None)
stats_app = typer.Typer(help="Ask for numbers; answers in JSON.", no_args_is_help=True, rich_markup_mode=None)
users_app = typer.Typer(help="Who may sign in to the dashboard.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(trackers_app, name="trackers")
app.add_typer(stats_app, name="stats")
app.add_typer(users_app, name="users")
catalogue_app = typer.Typer(help="What is known of third parties.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(catalogue_app, name="catalogue")


class Earlier(StrEnum):
    """What numbers are compared with."""

    PREVIOUS = "previous"
    YEAR = "year"


class Interval(StrEnum):
    """The step of a time series."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


class Role(StrEnum):
    """What a user of the dashboard may do."""

    VIEWER = "viewer"
    ENGINEER = "engineer"
    OFFICER = "officer"


class Span(StrEnum):
    """What a report is about."""

    WEEK = "week"
    MONTH = "month"


class ReportForm(StrEnum):
    """How a report is written."""

    TEXT = "text"
    HTML = "html"
    SLACK = "slack"


class ScanForm(StrEnum):
    """How the findings of a scan are written."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"


class TrackerState(StrEnum):
    """What trackers.yaml may say of a service."""

    ALLOW = "allow"
    ASK = "ask"
    BLOCK = "block"


def _version(wanted: bool) -> None:
    if wanted:
        from vestibule.core.html.scanner import SCANNER

        typer.echo(f"vestibule {__version__}" + ("" if SCANNER else " (without the compiled scanner)"))
        raise typer.Exit


@app.callback()
def vestibule(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The entrance hall of a website: a cookie-consent and analytics proxy."""


ConfigDir = Annotated[Path, typer.Option("--config", metavar="DIR", help="The configuration folder.")]
StateDir = Annotated[Path, typer.Option("--state", metavar="DIR", help="The folder for what Vestibule keeps.")]
Dev = Annotated[
    bool, typer.Option("--dev", help="Try things out: a secret of its own, and localhost as the site's first host.")
]
SiteName = Annotated[
    str, typer.Option("--site", metavar="NAME", help="Which of several: its folder in sites/, its name or a host.")
]
Kind = Annotated[str, typer.Option("--kind", help="What was counted: view, visit, error, blocked, consent …")]
From = Annotated[str, typer.Option("--from", metavar="DATE", help="First day, YYYY-MM-DD (the site's time zone).")]
To = Annotated[str, typer.Option("--to", metavar="DATE", help="Last day, YYYY-MM-DD.")]
Compare = Annotated[
    Earlier | None, typer.Option("--compare", help="Beside it the time just before, or 52 weeks before.")
]
Where = Annotated[str, typer.Option("--where", metavar="DIM:VALUE", help="Only what has this value.")]

CONFIG = Path("config")
STATE = Path(".vestibule")


@app.command()
def serve(
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,
    workers: Annotated[str, typer.Option(metavar="N|auto", help="Worker processes; auto: one a core.")] = "",
    dev: Dev = False,
) -> None:
    """Run everything: the proxy, the recorder and the dashboard."""
    from vestibule.cli import serving

    serving.serve(config, state, workers, dev)


@app.command()
def recorder(config: ConfigDir = CONFIG, state: StateDir = STATE, dev: Dev = False) -> None:
    """Run only the recorder and the dashboard.

    For apps that carry ConsentMiddleware inside themselves.
    """
    from vestibule.cli import serving

    serving.recorder(config, state, dev)


Browser = Annotated[bool, typer.Option("--browser", help="Visit the pages in Chromium, too (needs Playwright).")]
Pages = Annotated[int, typer.Option("--pages", min=1, max=1000, help="Pages at most.")]
Delay = Annotated[float, typer.Option("--delay", min=0, max=60, help="Seconds between requests; on this machine none.")]
Seconds = Annotated[float, typer.Option("--time", min=1, max=86_400, help="Seconds after which no page is begun.")]


@app.command()
def init(
    url: Annotated[str, typer.Argument(metavar="URL", help="The site as it answers today.")],
    browser: Browser = False,
    pages: Pages = 20,
    delay: Delay = 1.0,
    seconds: Seconds = 300.0,
    force: Annotated[bool, typer.Option("--force", help="Write over a configuration that is there.")] = False,
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,  # noqa: ARG001 - every command takes both
) -> None:
    """Read a site and write a first configuration for it.

    Every third party and cookie found is named and explained in it. robots.txt is honoured.
    """
    from vestibule.cli import starting
    from vestibule.scan.crawling import Bounds

    starting.init(config, url, browser=browser, bounds=Bounds(pages, delay, seconds), force=force, site=site)


@app.command()
def scan(
    url: Annotated[str, typer.Argument(metavar="URL", help="The site; site.upstream if left out.")] = "",
    browser: Browser = False,
    pages: Pages = 20,
    delay: Delay = 1.0,
    seconds: Seconds = 300.0,
    form: Annotated[ScanForm, typer.Option("--format", help="table, json, sarif or junit.")] = ScanForm.TABLE,
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,  # noqa: ARG001 - every command takes both
) -> None:
    """Find the third parties, cookies and storage of a site, with the verdict of today's configuration.

    Exit status 1 if anything is unknown. robots.txt is honoured. Scan the site itself, not what Vestibule makes of it.
    """
    from vestibule.cli import scanning
    from vestibule.scan.crawling import Bounds

    bounds = Bounds(pages, delay, seconds)
    raise typer.Exit(scanning.scan(config, url, browser=browser, bounds=bounds, form=form.value, site=site))


@app.command()
def check(
    explain: Annotated[bool, typer.Option("--explain", help="Print every setting: value, origin, meaning.")] = False,
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,  # noqa: ARG001 - every command takes both
) -> None:
    """Print every problem of the configuration.

    One a line, as file:line: setting: message; exit status 1 if there is any.
    """
    from vestibule.cli import checking

    checking.check(config, explain=explain)


@catalogue_app.command("show")
def catalogue_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An id; or a part of a name, a provider or a host.")],
    config: ConfigDir = CONFIG,  # noqa: ARG001 - every command takes both
    state: StateDir = STATE,  # noqa: ARG001 - every command takes both
) -> None:
    """Print what is known of a service: hosts, scripts, cookies, purpose, provider."""
    from vestibule.cli import showing

    showing.show(name)


@app.command()
def explain(
    url: Annotated[str, typer.Argument(metavar="[URL]", help="The address of a script, image, frame …")] = "",
    page: Annotated[str, typer.Option(metavar="URL", help="The page that loads it.")] = "",
    type_: Annotated[str, typer.Option("--type", metavar="TYPE", help="What it is loaded as.")] = "script",
    cookie: Annotated[str, typer.Option(metavar="NAME", help="Explain a cookie instead.")] = "",
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,  # noqa: ARG001 - every command takes both
) -> None:
    """Say which rule decides on a URL or cookie, and why."""
    from vestibule.cli import explaining

    explaining.explain(config, url=url, page=page, kind=type_, cookie=cookie, site=site)


@app.command()
def rewrite(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An HTML file; - for stdin.")],
    page: Annotated[str, typer.Option(metavar="URL", help="The address the page is served at.")],
    consent: Annotated[str, typer.Option(metavar="none|all|PURPOSES", help="What the visitor agreed to.")] = "none",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,  # noqa: ARG001 - every command takes both
) -> None:
    """Print a page as a visitor would receive it.

    A summary goes to stderr as JSON.
    """
    from vestibule.cli import rewriting

    rewriting.rewrite(config, file, page=page, consent=consent)


@app.command("import")
def import_(
    logs: Annotated[list[Path], typer.Argument(metavar="LOG...", help="Access logs, may be compressed; - for stdin.")],
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="combined, common …; else found out.")] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Count from the first line, whatever was counted before.")
    ] = False,
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,
) -> None:
    """Count access logs through the same pipeline.

    Days that are over are closed. An import that was cut short goes on where it ended.
    """
    from vestibule.cli import importing

    importing.import_logs(config, state, logs, format_, again=again, of=site)


@trackers_app.callback(invoke_without_command=True)
def trackers(
    context: typer.Context,
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,  # noqa: ARG001 - every command takes both
) -> None:
    """List what trackers.yaml says, or change it."""
    if context.invoked_subcommand is None:
        from vestibule.cli import toggling

        toggling.show(config, site)


@trackers_app.command("set")
def trackers_set(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A service, or `unknown`.")],
    wanted: Annotated[TrackerState, typer.Argument(metavar="STATE", help="allow, ask or block.")],
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,  # noqa: ARG001 - every command takes both
) -> None:
    """Set a service to allow, ask or block.

    Comments and order in the file stay; the change is live within a second.
    """
    from vestibule.cli import toggling

    toggling.change(config, name, wanted.value, site)


@stats_app.command("breakdown")
def stats_breakdown(
    by: Annotated[str, typer.Option("--by", help="The dimension: page, referrer, browser, country …")],
    kind: Kind = "view",
    start: From = "",
    end: To = "",
    where: Where = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rows at most.")] = 100,
    level: Annotated[
        str, typer.Option("--level", help="Of a tree: source, name, continent …, or from its top 0 to 3.")
    ] = "",
    compare: Compare = None,
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,
) -> None:
    """Values of a dimension with their counts, the largest first."""
    from vestibule.cli import asking

    asking.breakdown(
        config,
        state,
        site=site,
        kind=kind,
        by=by,
        start=start,
        end=end,
        where=where,
        limit=limit,
        level=level,
        compare=compare or "",
    )


@stats_app.command("timeseries")
def stats_timeseries(
    kind: Kind = "view",
    interval: Annotated[Interval, typer.Option(help="The step.")] = Interval.HOUR,
    start: From = "",
    end: To = "",
    where: Where = "",
    compare: Compare = None,
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,
) -> None:
    """Counts over time."""
    from vestibule.cli import asking

    asking.timeseries(
        config,
        state,
        site=site,
        kind=kind,
        interval=interval.value,
        start=start,
        end=end,
        where=where,
        compare=compare or "",
    )


@users_app.command("add")
def users_add(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    role: Annotated[Role, typer.Option(help="viewer, engineer or officer.")] = Role.VIEWER,
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,
) -> None:
    """Add a user.

    Asks for the password, or reads it as a line of stdin where that is no terminal.
    """
    from vestibule.cli import staff

    staff.add(config, state, name, role.value)


@users_app.command("list")
def users_list(config: ConfigDir = CONFIG, state: StateDir = STATE) -> None:
    """List the users and their roles."""
    from vestibule.cli import staff

    staff.show(config, state)


@users_app.command("remove")
def users_remove(
    name: Annotated[str, typer.Argument(metavar="NAME")], config: ConfigDir = CONFIG, state: StateDir = STATE
) -> None:
    """Remove a user."""
    from vestibule.cli import staff

    staff.remove(config, state, name)


@users_app.command("token")
def users_token(
    owner: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: it may what they may.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "token",
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,
) -> None:
    """Print a new API token of a user."""
    from vestibule.cli import staff

    staff.token(config, state, owner, name, site)


@app.command("verify-receipt")
def verify_receipt(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A consent receipt; - for stdin.")],
    keys: Annotated[
        str, typer.Option(metavar="URL|FILE", help="The site's keys; those of VESTIBULE_SECRET if left out.")
    ] = "",
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,  # noqa: ARG001 - every command takes both
) -> None:
    """Check the signature of a consent receipt, and print what it says.

    Exit status 1 where it cannot be believed.
    """
    from vestibule.cli import receipts

    receipts.verify_receipt(config, file, keys, site)


@app.command()
def pixel(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What is counted: newsletter-2026-11, say.")],
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,  # noqa: ARG001 - every command takes both
) -> None:
    """Print the tag of a pixel that counts how often a mail or a page is opened."""
    from vestibule.cli import pixels

    pixels.pixel(config, name, site)


@app.command("close-day")
def close_day(
    day: Annotated[str, typer.Argument(metavar="[DATE]", help="YYYY-MM-DD; every day that is over if left out.")] = "",
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,
) -> None:
    """Close days that are over.

    Releases their numbers and drops their cells and salts. Repeating it changes nothing.
    """
    from vestibule.cli import asking

    asking.close_day(config, state, day, site)


@app.command()
def purge(config: ConfigDir = CONFIG, state: StateDir = STATE) -> None:
    """Remove what is older than the configuration allows."""
    from vestibule.cli import asking

    asking.purge(config, state)


@app.command()
def migrate(config: ConfigDir = CONFIG, state: StateDir = STATE) -> None:
    """Bring the store's tables up to this version."""
    from vestibule.cli import asking

    asking.migrate(config, state)


@app.command()
def report(
    span: Annotated[Span, typer.Argument(help="The last whole week or month.")] = Span.WEEK,
    form: Annotated[ReportForm, typer.Option("--format", help="text, html, or slack for a webhook.")] = ReportForm.TEXT,
    mail: Annotated[
        str, typer.Option(metavar="ADDRESS", help="A whole message to this address, for sendmail -t.")
    ] = "",
    language: Annotated[str, typer.Option(help="en or de.")] = "en",
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,
) -> None:
    """Print the last week's or month's numbers.

    To be run from cron: pipe it into sendmail -t, or into curl for a webhook.
    """
    from vestibule.cli import reporting

    reporting.report(config, state, span=span.value, form=form.value, mail=mail, language=language, site=site)


@app.command()
def annotate(
    text: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="What happened; the notes are listed if left out.")
    ] = "",
    day: Annotated[str, typer.Option(metavar="DATE", help="YYYY-MM-DD; today if left out.")] = "",
    site: SiteName = "",
    config: ConfigDir = CONFIG,
    state: StateDir = STATE,
) -> None:
    """Note something on a day: a release, a campaign. It is shown on the dashboard's graphs."""
    from vestibule.cli import annotating

    annotating.annotate(config, state, text=text, day=day, site=site)


def with_command(name: str) -> typer.Typer:
    """The app with this command alone, or with all where there is none of that name: to build them all takes longer
    than many of them run."""
    for command in app.registered_commands:
        if name == command.name or (command.name is None and command.callback and name == command.callback.__name__):
            one = _empty()
            one.registered_callback = app.registered_callback
            one.registered_commands = [command]
            return one
    return app
