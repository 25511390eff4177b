"""Writes a first configuration from what was found: what is known gets a line, all else a comment that can become one.

Nothing is opened that visitors were not asked about, save payments: what nobody names stays closed, and so do cookies
whose purpose their names don't tell.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlsplit

from vestibule.core.consent import Purpose, State
from vestibule.core.services import PURPOSES, Service
from vestibule.core.tables import is_address
from vestibule.scan.crawling import is_local
from vestibule.scan.findings import Findings, FoundCookie, Party, by_service
from vestibule.scan.reading import Outline
from vestibule.scan.reports import lasting

SESSIONS = re.compile(
    r"(?:PHPSESSID|JSESSIONID|ASP\.NET_SessionId|ASPSESSIONID\w+|connect\.sid|sessionid|laravel_session|ci_session|"
    r"_?\w+_session(?:_id)?|session|sid|express\.sid|_session_id|wordpress_logged_in_\w+|wordpress_sec_\w+)"
)
"""Cookies by which frameworks know a visitor who has signed in, or began to do something."""
GUARDS = re.compile(r"csrftoken|_csrf|XSRF-TOKEN|csrf[_-]?token|_?csrf\w*|__RequestVerificationToken\w*|__Host-csrf\w*")
"""Cookies that guard forms."""
_PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_/.@-]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "~"})
_MAIL = re.compile(r"[\w.+-]{1,64}@[A-Za-z0-9.-]{1,250}")
_FIELD = re.compile(r"[ -~]{1,200}")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_WIDTH = 118

_TITLES: Mapping[Purpose, str] = {
    Purpose.NECESSARY: "necessary: payments work for everyone",
    Purpose.PREFERENCES: "preferences",
    Purpose.STATISTICS: "statistics",
    Purpose.MARKETING: "marketing",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """The two files, as text."""

    site: str
    trackers: str


def draft(
    findings: Findings,
    outlines: Sequence[Outline],
    services: Mapping[str, Service],
    *,
    today: date,
    timezone: str,
    schema: Mapping[str, str],
    further: str = "",
) -> Draft:
    """Write both files. services: the catalogue by id. schema: file → address of its JSON Schema, from the file.
    further: the name of one more site of an instance, whose listeners and store are set above."""
    return Draft(
        "\n".join(_site(findings, outlines, services, today, timezone, schema["site.yaml"], further=further)) + "\n",
        "\n".join(_trackers(findings, services, today, schema["trackers.yaml"])) + "\n",
    )


# site.yaml


def _site(
    findings: Findings,
    outlines: Sequence[Outline],
    services: Mapping[str, Service],
    today: date,
    timezone: str,
    schema: str,
    *,
    further: str,
) -> Iterator[str]:
    home = urlsplit(findings.pages[0])
    hosts = site_hosts(home.hostname or "")
    local = is_local(home.hostname or "")
    if local and further:
        hosts = [f"{further}.localhost"]
    yield f"# yaml-language-server: $schema={schema}"
    yield f"# A first configuration for {findings.url}, made on {today}. `vestibule check` reads it back."
    yield "# Every setting and its default: docs/configuration.md. What is left out here " + (
        "is as the folder above has it." if further else "has its default."
    )
    yield "site:"
    yield f"  name: {scalar(hosts[0])}"
    yield f"  hosts: [{', '.join(map(scalar, hosts))}]"
    if local and not further:
        yield "  # ↑ the names by which visitors reach the site; with --dev localhost stands for the first of them"
    yield f"  upstream: {home.scheme}://{home.netloc}"
    if not local:
        yield "  # ↑ the server behind Vestibule. Once the public name leads to Vestibule, name the server itself here."
    yield f"  timezone: {scalar(timezone)}"
    yield "mode: enforce                 # observe: nothing is held back, all that would be is counted (a first week)"
    if not further:
        yield "listen: 127.0.0.1:8080"
        yield "dashboard: {listen: 127.0.0.1:8081}"
        yield "store: chdb://.vestibule/store  # below the folder that vestibule is started in"
    yield ""
    yield from _policy(outlines, home.hostname or "", today)
    yield ""
    yield from _cookies(findings, services)
    yield from _sign_in(findings, outlines)


def _policy(outlines: Sequence[Outline], host: str, today: date) -> Iterator[str]:
    found = next((outline.policy for outline in outlines if outline.policy), "")
    parts = urlsplit(found)
    url = _path(found) if parts.hostname == host else found if found.startswith("https://") else ""
    contact = _contact(outlines)
    yield "policy:"
    yield f'  revision: "{today}"         # a new value asks everyone again'
    yield f"  url: {scalar(url or '/privacy')}" + (
        "" if url else "             # no link to a privacy policy was found: check this"
    )
    if contact:
        yield f"  contact: {scalar(contact)}  # an address that was found on the site: check it"
    else:
        yield "  # contact: whom visitors write to about privacy"


def _contact(outlines: Sequence[Outline]) -> str:
    found = list(dict.fromkeys(outline.contact for outline in outlines if _MAIL.fullmatch(outline.contact)))
    return next(
        (each for each in found if re.match(r"privacy|datenschutz|dpo|legal", each, re.IGNORECASE)), ""
    ) or next(iter(found), "")


def _cookies(findings: Findings, services: Mapping[str, Service]) -> Iterator[str]:
    own = [cookie for cookie in findings.cookies if not cookie.third_party]
    yield "cookies:"
    yield "  unknown: block              # a site cookie that nothing declares never reaches a browser"
    theirs = [cookie for cookie in own if cookie.service]
    for cookie in theirs:
        name = services[cookie.service].name if cookie.service in services else cookie.service
        yield from comment(f"{cookie.name} is a cookie of {name}: trackers.yaml decides on it.", "  ")
    declared = [cookie for cookie in own if not cookie.service and _necessary(cookie.name)]
    others = [cookie for cookie in own if not cookie.service and not _necessary(cookie.name)]
    for cookie in others:
        words = (
            f"{cookie.name}: nothing tells what it is for, so it stays closed. {_set(cookie)} To let it in, say why:"
        )
        yield from comment(words, "  ")
        yield f"  #   {scalar(cookie.name)}: {{purpose: preferences}}"
    yield "  declare:" if declared else "  declare: {}                 # without {} once a line stands below"
    for cookie in declared:
        yield from comment(f"By its name {_necessary(cookie.name)}. {_set(cookie)} Check it.", "    ")
        scripts = cookie.scripts and GUARDS.fullmatch(cookie.name) is not None
        yield f"    {scalar(cookie.name)}: {{purpose: necessary{', scripts: true' if scripts else ''}}}"


def _necessary(name: str) -> str:
    """What a cookie is by its name; '' where that does not tell that it is necessary."""
    if SESSIONS.fullmatch(name):
        return "a session of the site's own"
    return "what guards the site's forms" if GUARDS.fullmatch(name) else ""


def _set(cookie: FoundCookie) -> str:
    life = "until the browser closes" if not cookie.lasts else f"for {lasting(cookie.lasts)}"
    return f"Set {life} on {places(cookie.pages)}."


def _sign_in(findings: Findings, outlines: Sequence[Outline]) -> Iterator[str]:
    outline = next((outline for outline in outlines if outline.login), None)
    if outline is None:
        return
    logout = next((outline.logout for outline in outlines if outline.logout), "")
    sessions = [
        cookie.name for cookie in findings.cookies if not cookie.third_party and SESSIONS.fullmatch(cookie.name)
    ]
    yield ""
    yield "sign_in:"
    if not sessions:
        words = (
            "The site has a log-in form, but its session cookie was not seen: it is set when somebody signs in. Name "
            "it here (or under cookies.declare), or it is held back as unknown and nobody can sign in."
        )
        yield from comment(words, "  ")
    yield f"  cookies: [{', '.join(map(scalar, sessions))}]"
    field = outline.remember if _FIELD.fullmatch(outline.remember) else ""
    path = _path(outline.login)
    yield f"  login: {{path: {scalar(path)}" + (f", field: {scalar(field)}}}" if field else "}")
    if not field:
        yield from comment("No box was found in that form that keeps visitors signed in; field: NAME names it.", "  ")
    if logout:
        yield f"  logout: {scalar(_path(logout))}"


def left_open(findings: Findings, outlines: Sequence[Outline]) -> Iterator[str]:
    """What whoever asked must still say before all of the site works, in words."""
    sessions = any(SESSIONS.fullmatch(cookie.name) for cookie in findings.cookies if not cookie.third_party)
    if any(outline.login for outline in outlines) and not sessions:
        yield "nobody can sign in until sign_in.cookies names the site's session cookie, which was not seen"


# trackers.yaml


def _trackers(findings: Findings, services: Mapping[str, Service], today: date, schema: str) -> Iterator[str]:
    how = "read, and visited in a browser" if findings.browser else "read; what only scripts load, a browser tells"
    yield f"# yaml-language-server: $schema={schema}"
    yield from comment(
        f"What {findings.url} loads from others, on {today}: {len(findings.pages)} pages were {how}.", ""
    )
    yield "# `vestibule scan --browser` compares again. A saved change is live within a second."
    yield "# allow: always. ask: after consent to its purpose. block: never."
    yield "unknown: block            # third parties that nothing here names"
    found = by_service(party for party in findings.parties if not party.inside)
    listed = {id_: parties for id_, parties in found.items() if id_ and any(party.certain for party in parties)}
    unsure = {id_: parties for id_, parties in found.items() if id_ and id_ not in listed}
    of_cookies = {cookie.service for cookie in findings.cookies if cookie.service and not cookie.third_party}
    extra = sorted(id_ for id_ in of_cookies if id_ not in listed and id_ in services)
    yield "services:" if listed or extra else "services: {}"
    for purpose in PURPOSES:
        ids = [id_ for id_ in (*listed, *extra) if id_ in services and services[id_].purpose is purpose]
        if ids:
            yield f"  # -- {_TITLES[purpose]}"
        for id_ in sorted(ids, key=lambda each: services[each].name.lower()):
            yield from _service(services[id_], listed.get(id_, []), findings.cookies)
    for id_, parties in unsure.items():
        if id_ in services:
            yield from comment(f"{services[id_].name} is mentioned in a script on {places(_pages(parties))}:", "  ")
            yield f"  # {id_}: ask"
    yield from _custom([party for party in found.get("", []) if party.host])
    yield "cname: {}                 # first-party names that are trackers in disguise: {metrics.example.com: NAME}"


def _service(service: Service, parties: Sequence[Party], cookies: Iterable[FoundCookie]) -> Iterator[str]:
    provider = ", ".join(filter(None, (service.provider, service.country)))
    yield from comment(f"{service.name} ({provider}): {service.sentence}" if provider else service.name, "  ")
    hosts = [party.host for party in parties if party.host]
    inline = any(not party.host for party in parties)
    names = sorted({cookie.name for cookie in cookies if cookie.service == service.id and not cookie.third_party})
    seen = [*hosts, *(["a script in the page"] if inline else []), *(f"the cookie {name}" for name in names)]
    pages = _pages(parties)
    yield from comment(f"seen: {', '.join(seen)}" + (f"; on {places(pages)}" if pages else ""), "  ")
    state = State.ALLOW if service.purpose is Purpose.NECESSARY else State.ASK
    yield f"  {service.id}: {state}"


def _custom(unknown: Sequence[Party]) -> Iterator[str]:
    yield "custom: {}                # what the catalogue does not know; without {} once a line stands below"
    names: set[str] = set()
    for party in unknown:
        kinds = ", ".join(sorted(party.kinds))
        certain = f"is loaded as {kinds}" if party.certain else "is mentioned in a script"
        words = f"Nothing names {party.host}, which {certain} on {places(party.pages)}; it stays closed. To ask for it:"
        yield from comment(words, "")
        host = party.host.partition(":")[0]
        if is_address(host):
            yield "# (an address has no name: give it one first)"
            continue
        yield f"#   {_id(host, names)}: {{hosts: [{host}], purpose: marketing, state: ask}}"


def _id(host: str, taken: Collection[str]) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", host.removeprefix("www.").rpartition(".")[0] or host).strip("-") or "third-party"
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    if isinstance(taken, set):
        taken.add(unique)
    return unique


# Words and YAML


def site_hosts(host: str) -> list[str]:
    """The names of a site by the one it was read under: with and without ``www.``; ``localhost`` on this machine."""
    if is_local(host):
        return ["localhost"]
    if is_address(host) or ":" in host or host.count(".") == 0:
        return [f"[{host}]" if ":" in host else host]
    bare = host.removeprefix("www.")
    return [bare, f"www.{bare}"] if host.startswith("www.") or host.count(".") == 1 else [host]


def places(pages: Sequence[str]) -> str:
    """Paths of pages in words: the first two, and how many more."""
    paths = [urlsplit(page).path or "/" for page in pages]
    shown = ", ".join(_printable(path) for path in paths[:2])
    return shown + (f" and {len(paths) - 2} more" if len(paths) > 2 else "")


def _path(url: str) -> str:
    return "/" + urlsplit(url).path.lstrip("/")


def _pages(parties: Iterable[Party]) -> list[str]:
    return list(dict.fromkeys(page for party in parties for page in party.pages))


def comment(text: str, indent: str) -> Iterator[str]:
    """A comment in lines of at most 118 characters; what a site says stands in it without control characters."""
    line = f"{indent}#"
    for word in map(_printable, text.split()):
        if len(line) + 1 + len(word) > _WIDTH and line != f"{indent}#":
            yield line
            line = f"{indent}#  "
        line += f" {word}"
    yield line


def scalar(text: str) -> str:
    """A text as YAML has it: bare where nobody can take it for anything else, else in quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    quoted = (_ESCAPES.get(character) or _escaped(character) for character in text)
    return f'"{"".join(quoted)}"'


def _escaped(character: str) -> str:
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
