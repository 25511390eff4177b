"""``vestibule report``: the last week or month, for cron to send."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from vestibule import config
from vestibule.cli.asking import Call, recorder
from vestibule.core.errors import VestibuleError
from vestibule.dashboard import report as reports
from vestibule.dashboard.periods import Period
from vestibule.dashboard.words import LANGUAGES, Words


def report(directory: Path, state: Path, *, span: str, form: str, mail: str, language: str, site: str = "") -> None:
    """Print the report. form: text, html, slack; mail: print a message to this address instead."""
    if language not in LANGUAGES:
        raise VestibuleError(f"--language: must be one of {', '.join(LANGUAGES)}; is {language!r}")
    found = config.pick(config.load(directory, os.environ), site)
    period = reports.last(span, datetime.now(ZoneInfo(found.site.timezone)).date())
    earlier = reports.before(period)
    with recorder(directory, state, site) as call:
        now, before = ({kind: _by_day(call, kind, each) for kind in reports.KINDS} for each in (period, earlier))
        days = {"from": period.start.isoformat(), "to": period.end.isoformat()}
        tops = [call("breakdown", kind=kind, by=by, limit=10, **days) for kind, by, _ in reports.TOP]
    totals = reports.totals(now, before, earlier)
    made = reports.compose(found.site.name, found.analytics.k, period, totals, tops, Words(language))
    if mail:
        try:
            sys.stdout.buffer.write(reports.to_mail(made, mail))
        except ValueError as error:
            raise VestibuleError(f"--mail: {mail!r} {error}") from None
        return
    shape = {"text": reports.to_text, "html": reports.to_html, "slack": reports.to_slack}[form]
    sys.stdout.write(shape(made))


def _by_day(call: Call, kind: str, period: Period) -> dict[str, int]:
    """A kind's facts by ISO date."""
    answer = call("timeseries", kind=kind, interval="day", **{"from": str(period.start), "to": str(period.end)})
    return {str(point["time"]): int(point["count"]) for point in answer["points"]}
