"""What a single setting cannot tell: names that must be known elsewhere, and dates that must keep their distance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from vestibule import catalogue
from vestibule.config.documents import Document
from vestibule.config.models import SiteFile
from vestibule.config.wording import suggest
from vestibule.core.errors import Problem

NOTICE_DAYS = 30
"""Days by which a material change is announced ahead of taking effect."""


def check_services(document: Document) -> Iterator[Problem]:
    """Every service that ``trackers.yaml`` names must be known; looked at even where other settings are wrong."""
    known = {service.id for service in catalogue.load().services}
    custom = _names(document, "custom")
    for name in _names(document, "services"):
        if name not in known and name not in custom:
            message = f"no service of this name in the catalogue{suggest(name, known)}"
            message += "" if "did you mean" in message else "; describe your own under custom"
            yield Problem(document.file, document.line(("services", name)), f"services.{name}", message)
    for name in custom:
        if name in known:
            message = "is a service of the catalogue; set it under services, or take another name"
            yield Problem(document.file, document.line(("custom", name)), f"custom.{name}", message)
    for host, hidden in _names(document, "cname").items():
        if hidden not in known and hidden not in custom:
            message = f"no service named {hidden}{suggest(str(hidden), known)}"
            yield Problem(document.file, document.line(("cname", host)), f"cname.{host}", message)


def _names(document: Document, section: str) -> dict[str, object]:
    found = document.data.get(section)
    return found if isinstance(found, dict) else {}


def check_notice(values: SiteFile, document: Document, today: date | None) -> Iterator[Problem]:
    notice = values.policy.notice
    announced = (notice.announced or today) if notice is not None else None
    if notice is None or announced is None or (notice.announced is None and announced >= notice.effective):
        return
    earliest = announced + timedelta(days=NOTICE_DAYS)
    if notice.effective < earliest:
        line = document.line(("policy", "notice", "effective"))
        message = f"must be {NOTICE_DAYS} days or more after the announcement: {earliest}; is {notice.effective}"
        message += "" if notice.announced else " (announced: DATE says since when it has been shown)"
        yield Problem(document.file, line, "policy.notice.effective", message)
