"""What a single setting cannot tell: names that must be known elsewhere, and dates that must keep their distance."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date, timedelta

from vestibule import catalogue
from vestibule.config.documents import Document, SettingPath, scalars
from vestibule.config.models import SiteFile, TrackersFile
from vestibule.config.wording import suggest
from vestibule.core.contrast import CONTROL, TEXT, contrast
from vestibule.core.errors import Problem
from vestibule.core.purposes import State

OIDC_SECRET = "VESTIBULE_OIDC_SECRET"  # noqa: S105
TRACES_EXPORTER = "OTEL_TRACES_EXPORTER"
NOTICE_DAYS = 30
"""Days by which a material change is announced ahead of taking effect."""


_PASSWORD = re.compile(r"^clickhouse://(?:[^/@\s]*:[^/@\s]+@|\S*[?&]password=[^&])")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_NEEDED = (
    ("text", "background", TEXT),
    ("soft", "background", TEXT),
    ("accent", "background", TEXT),
    ("on_accept", "accept", TEXT),
    ("on_reject", "reject", TEXT),
    ("accept", "background", CONTROL),
    ("reject", "background", CONTROL),
)
"""Which colour is seen on which, and the contrast that this needs (WCAG 2.2 AA)."""


def check_theme(values: SiteFile, document: Document) -> Iterator[Problem]:
    """Colours must be told apart, and the button that rejects must be as visible as the one that accepts."""
    for scheme, colours in (("light", values.banner.theme.light), ("dark", values.banner.theme.dark)):
        found = colours.resolved()
        for front, back, needed in _NEEDED:
            ratio = contrast(found[front], found[back])
            if ratio < needed:
                message = f"{found[front]} on {found[back]} ({back}) has a contrast of {ratio:.2f}:1; WCAG AA asks for"
                yield _of_colour(document, scheme, front, f"{message} {needed}:1")
        for front, back, accept in (
            ("reject", "background", ("accept", "background")),
            ("on_reject", "reject", ("on_accept", "accept")),
        ):
            ours = contrast(found[front], found[back])
            theirs = contrast(found[accept[0]], found[accept[1]])
            if ours < theirs:
                message = f"the button that rejects must not be less visible than the one that accepts: {front} has a"
                yield _of_colour(
                    document, scheme, front, f"{message} contrast of {ours:.2f}:1, {accept[0]} {theirs:.2f}:1"
                )


def _of_colour(document: Document, scheme: str, name: str, message: str) -> Problem:
    path = ("banner", "theme", scheme, name)
    return Problem(document.file, document.line(path), ".".join(path), message)


def check_upstream(values: SiteFile, document: Document) -> Iterator[Problem]:
    """A file of authorities must be one, and is of use only where certificates are shown."""
    path = values.site.upstream_ca
    if path is None:
        return
    import ssl  # not for all who have no such file: it takes its time to load

    message = ""
    if not values.site.upstream.startswith("https://"):
        message = "is for an upstream at https:// only; site.upstream is another"
    else:
        try:
            if not ssl.create_default_context(cafile=path).get_ca_certs():
                message = f"{path} holds no authority's certificate"
        except (OSError, ssl.SSLError) as error:
            reason = "it is no PEM file" if isinstance(error, ssl.SSLError) else error.strerror
            message = f"{path} cannot be read: {reason}"
    if message:
        yield Problem(document.file, document.line(("site", "upstream_ca")), "site.upstream_ca", message)


def check_traces(values: SiteFile, document: Document, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Traces need the extra, and are sent by OTLP over HTTP alone."""
    if values.traces == "none":
        return
    message = ""
    if not _has_otel():
        message = 'needs the extra "otel": pip install "vestibule[otel]"'
    elif environ.get(TRACES_EXPORTER, "otlp") not in ("", "otlp", "none"):
        message = f"are sent by OTLP only; {TRACES_EXPORTER} in the environment says otherwise"
    else:
        for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if environ.get(name, "") not in ("", "http/protobuf"):
                message = f"are sent as http/protobuf only; {name} in the environment says otherwise"
    if message:
        yield Problem(document.file, document.line(("traces",)), "traces", message)


def _has_otel() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def check_oidc(values: SiteFile, document: Document, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Signing in by OpenID Connect needs the extra, the client's secret, and a role for somebody."""
    oidc = values.dashboard.oidc
    if oidc is None:
        return
    message = ""
    if importlib.util.find_spec("authlib") is None:
        message = 'needs the extra "oidc": pip install "vestibule[oidc]"'
    elif not environ.get(OIDC_SECRET):
        message = f"needs the client's secret in {OIDC_SECRET}: secrets are not kept in files"
    elif not (oidc.viewers or oidc.engineers or oidc.officers):
        message = "lets nobody in: name values of the claim under viewers, engineers or officers"
    if message:
        yield Problem(document.file, document.line(("dashboard", "oidc")), "dashboard.oidc", message)


def check_domain(values: SiteFile, document: Document) -> Iterator[Problem]:
    """A choice can be shared only among hosts of a domain that someone registered (RFC 6265bis, section 5.7)."""
    domain = values.cookies.domain
    if domain is None:
        return
    from publicsuffixlist import PublicSuffixList  # not for all who share no choice

    line = document.line(("cookies", "domain"))
    if not any(host == domain or host.endswith(f".{domain}") for host in values.site.hosts):
        yield Problem(document.file, line, "cookies.domain", f"none of site.hosts is {domain} or below it")
    elif PublicSuffixList().privatesuffix(domain) is None:
        message = f"{domain} is nobody's own domain: browsers keep no cookie for it"
        yield Problem(document.file, line, "cookies.domain", message)


def check_secrets(document: Document, overridden: Collection[SettingPath]) -> Iterator[Problem]:
    """Secrets are given in the environment: files are read by many, and kept in version control."""
    for path, value in scalars(document.data):
        if path in overridden or not isinstance(value, str):
            continue
        message = ""
        if path == ("store",) and _PASSWORD.search(value):
            message = "holds a password, and secrets are not kept in files: set VESTIBULE_STORE in the environment"
        elif _PRIVATE_KEY.search(value):
            message = "holds a private key, and secrets are not kept in files"
        if message:
            yield Problem(document.file, document.line(path), ".".join(map(str, path)), message)


def check_services(document: Document) -> Iterator[Problem]:
    """Every service that ``trackers.yaml`` names must be known; looked at even where other settings are wrong."""
    known = catalogue.ids()
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
        if isinstance(hidden, str) and hidden not in known and hidden not in custom:
            message = f"no service named {hidden}{suggest(hidden, known)}"
            yield Problem(document.file, document.line(("cname", host)), f"cname.{host}", message)


def check_own_hosts(values: SiteFile, rules: TrackersFile, document: Document) -> Iterator[Problem]:
    """A host that the site answers for cannot be a tracker's in whole: each of its pages would be closed."""
    hosts = values.site.hosts
    closed: list[SettingPath] = [("cname", host) for host in rules.cname if host in hosts]
    for name, service in rules.custom.items():
        if not service.paths and service.state is not State.ALLOW:
            closed += [("custom", name, "hosts", n) for n, host in enumerate(service.hosts) if host in hosts]
    for path in closed:
        file, line = document.places().get(path, (document.file, document.line(path)))
        message = "the site itself is served there, and would be closed; name another host"
        message += ", or the paths that are not the site's" if path[0] == "custom" else ""
        yield Problem(file, line, ".".join(map(str, path[:3])), message)


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
