"""``vestibule explain``: which rule decides about an address or a cookie, and where it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from vestibule import config
from vestibule.config import Config
from vestibule.config.documents import read
from vestibule.core import urls
from vestibule.core.consent import Purpose, State
from vestibule.core.cookie_policy import CookieVerdict
from vestibule.core.errors import VestibuleError
from vestibule.core.html.elements import KINDS
from vestibule.core.trackers import Rules, Verdict
from vestibule.privacy.policy import build_cookie_policy, build_rules
from vestibule.privacy.removing import is_own
from vestibule.privacy.visitor import KEEP_COOKIE

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_FILE = re.compile(rf"(?:sites/[^/]+/)?{re.escape(config.TRACKERS)}")
_RELATIVE = re.compile(r"[a-z][a-z0-9+.-]*:(?![0-9])|[/?#\\\\]|\.\.?/", re.IGNORECASE)
"""How a reference begins that is one as it stands: a scheme (no port follows it), or a part of a path."""


def explain(directory: Path, *, url: str, page: str, kind: str, cookie: str, site: str = "") -> None:
    """Print the verdict on ``url`` (loaded by ``page`` as ``kind``), or on the cookie named ``cookie``. site: whose it
    is; the page's if left out."""
    if bool(url) == bool(cookie):
        raise VestibuleError("explain: give either the URL of what is loaded, or --cookie NAME")
    if kind not in KINDS:
        raise VestibuleError(f"explain: --type: must be one of {', '.join(KINDS)}; is {kind!r}")
    found = _meant(config.load(directory, os.environ), site, page)
    rules = build_rules(found)
    if cookie and is_own(cookie):
        _show(f"cookie {cookie}", _of_own(cookie))
        return
    if cookie:
        verdict = build_cookie_policy(found, rules).decide(cookie)
        _show(f"cookie {cookie}", _of_cookie(verdict, directory, rules, found))
        return
    address, host, path = locate(found, url, page)
    _show(f"{address} ({kind})", _of_url(rules.decide(host, path, kind), directory, rules))


def _meant(found: Config, site: str, page: str) -> Config:
    """The site that is named, else the one that has the page's host, else the first."""
    if site:
        return config.pick(found, site)
    here = urls.parse(page) if "://" in page else None
    host = here.target.host if here is not None else ""
    return next((each for each in found.everyone if host in each.site.hosts), found)


def locate(found: Config, url: str, page: str) -> tuple[str, str, str]:
    """The full address; its host as the rules want it, with a port only where that is not the usual one; its path.

    Read as browsers read it in a page. Without a scheme it begins with a host, as one types it; with ``/``, a path.
    """
    own = found.site.hosts[0]
    base = page if "://" in page else f"https://{page or own}/"
    here, reference = urls.parse(base), url if _RELATIVE.match(url) else f"//{url}"
    address, target = urls.absolute(reference, base), urls.resolve(reference, base)
    if here is None:
        raise VestibuleError(f"explain: --page: {page} is no address of a page")
    if address is None or target is None or target.scheme not in _PORTS:
        raise VestibuleError(f"explain: {url} is no address of something to load; give https://HOST/PATH")
    same = (target.host, target.port) == (here.target.host, here.target.port)
    usual = same or target.port in (None, _PORTS[target.scheme])
    return address, target.host if usual else f"{target.host}:{target.port}", target.path


def _of_url(verdict: Verdict, directory: Path, rules: Rules) -> Sequence[tuple[str, str]]:
    own = verdict.service is None and verdict.state is State.ALLOW and verdict.source == "first party"
    service = "the site itself" if own else _service(verdict.service, rules)
    return (
        ("service", service),
        ("purpose", str(verdict.purpose)),
        ("verdict", _meaning(verdict.state, verdict.purpose, "loads")),
        ("rule", verdict.rule),
        ("written", _written(verdict.source, directory)),
    )


def _of_cookie(verdict: CookieVerdict, directory: Path, rules: Rules, found: Config) -> Sequence[tuple[str, str]]:
    rule = rules.verdict(verdict.service) if verdict.service else None
    return (
        ("service", _service(verdict.service, rules) if verdict.service else "the site's own, or nobody known"),
        ("purpose", str(verdict.purpose)),
        ("verdict", _meaning(verdict.state, verdict.purpose, "is let through")),
        *([("lives", "until the browser closes, or as sign_in.keep_for says")] if verdict.session else []),
        *([("hardened", _hardening(verdict))] if verdict.harden else []),
        ("rule", verdict.rule),
        ("written", _written(rule.source, directory) if rule else _in_site(verdict.rule, directory, found)),
    )


def _hardening(verdict: CookieVerdict) -> str:
    names = ["Secure (on https)", "SameSite=Lax (where the site says nothing)"]
    return ", ".join([*names, "HttpOnly"] if verdict.http_only else names)


def _of_own(name: str) -> Sequence[tuple[str, str]]:
    """Vestibule's own two."""
    keeps = "keeps the visitor signed in who ticked the box" if name.endswith(KEEP_COOKIE) else "holds the choice"
    return (
        ("service", "Vestibule itself"),
        ("purpose", str(Purpose.NECESSARY)),
        ("verdict", f"{keeps}; the site neither gets nor sets it"),
        ("rule", "its name is ours"),
    )


def _service(name: str | None, rules: Rules) -> str:
    service = rules.service(name) if name else None
    if service is None:
        return name or "nothing names it"
    provider = f", {service.provider}" if service.provider and service.provider != service.name else ""
    return f"{service.id} ({service.name}{provider})"


def _meaning(state: State, purpose: Purpose, verb: str) -> str:
    words = {
        State.ALLOW: f"allow: always {verb}",
        State.ASK: f"ask: {verb} after consent to {purpose}",
        State.BLOCK: f"block: never {verb}",
    }
    return words[state]


def _written(source: str, directory: Path) -> str:
    return str(directory / source) if _FILE.match(source) else source


def _in_site(rule: str, directory: Path, found: Config) -> str:
    """Where ``cookies.SETTING: VALUE``, ``cookies.declare.NAME: VALUE`` or ``sign_in.cookies: NAME`` is written; a
    default has no line."""
    setting = tuple(rule.rpartition(": ")[0].split(".", 2))
    own = config.home(directory, found)
    for folder in dict.fromkeys((own, directory)):
        line = read(folder / config.SITE, []).lines.get(setting)
        if line:
            return f"{folder / config.SITE}:{line}"
    return str(own / config.SITE)


def _show(title: str, rows: Sequence[tuple[str, str]]) -> None:
    print(title)
    for name, value in rows:
        print(f"  {name:<8} {value}")
