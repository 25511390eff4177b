"""``vestibule report``: the last week or month, for cron to send."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from vestibule import config
from vestibule.cli.asking import recorder
from vestibule.core.errors import VestibuleError
from vestibule.dashboard import report as reports
from vestibule.dashboard.words import LANGUAGES, Words


def report(directory: Path, state: Path, *, span: str, form: str, mail: str, language: str, site: str = "") -> None:
    """Print the report. form: text, html, slack; mail: print a message to this address instead."""
    if language not in LANGUAGES:
        raise VestibuleError(f"--language: must be one of {', '.join(LANGUAGES)}; is {language!r}")
    found = config.pick(config.load(directory, os.environ), site)
    period = reports.last(span, datetime.now(ZoneInfo(found.site.timezone)).date())
    earlier = reports.before(period)
    with recorder(directory, state, site) as call:
        totals = {}
        for kind in reports.KINDS:
            sums = []
            for each in (period, earlier):
                days = {"from": each.start.isoformat(), "to": each.end.isoformat()}
                answer = call("timeseries", kind=kind, interval="day", **days)
                sums.append(sum(int(point["count"]) for point in answer["points"]))
            totals[kind] = (sums[0], sums[1])
        days = {"from": period.start.isoformat(), "to": period.end.isoformat()}
        tops = [call("breakdown", kind=kind, by=by, limit=10, **days) for kind, by, _ in reports.TOP]
    made = reports.compose(found.site.name, found.analytics.k, period, totals, tops, Words(language))
    if mail:
        try:
            sys.stdout.buffer.write(reports.to_mail(made, mail))
        except ValueError as error:
            raise VestibuleError(f"--mail: {mail!r} {error}") from None
        return
    shape = {"text": reports.to_text, "html": reports.to_html, "slack": reports.to_slack}[form]
    sys.stdout.write(shape(made))
