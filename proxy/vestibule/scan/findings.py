"""What was seen, held against a configuration: who it is, what happens to it, and whether anybody decided on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from vestibule.core.consent import Purpose, State
from vestibule.core.cookie_policy import CookiePolicy
from vestibule.core.patterns import Glob
from vestibule.core.services import Service
from vestibule.core.trackers import Rules
from vestibule.core.urls import resolve
from vestibule.scan.sightings import MAX_PAGES, Contact, How, SetCookie, Sightings, Signature, Stored

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


@dataclass(slots=True)
class Party:
    """A third party: a host, or a service by its inline script.

    known: whether a line of the configuration decides on it. certain: False where it is only mentioned in a script.
    inside: it is loaded by foreign frames only, which Vestibule does not look into. verdict and rule: in words.
    """

    host: str
    service: str
    name: str
    purpose: Purpose
    state: State
    known: bool
    rule: str
    certain: bool = False
    inside: bool = True
    kinds: set[str] = field(default_factory=set)
    how: set[str] = field(default_factory=set)
    pages: list[str] = field(default_factory=list)
    example: str = ""

    @property
    def unknown(self) -> bool:
        """Whether somebody should decide on it."""
        return self.certain and not self.inside and not self.known


@dataclass(slots=True)
class FoundCookie:
    """A cookie. third_party: a foreign host set it, for itself; whether that may happen is decided at the host."""

    name: str
    host: str
    third_party: bool
    service: str
    purpose: Purpose
    state: State
    known: bool
    rule: str
    lasts: int
    scripts: bool
    pages: list[str] = field(default_factory=list)

    @property
    def unknown(self) -> bool:
        return not self.known and not self.third_party


@dataclass(slots=True)
class FoundKey:
    """A key that scripts keep in the browser; service: whose it is by its name, '' for the site's or nobody's."""

    area: str
    key: str
    host: str
    service: str
    pages: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Findings:
    """All of it, in order: what nobody decided on first, then by service and host."""

    url: str
    pages: list[str]
    browser: bool
    parties: list[Party] = field(default_factory=list)
    cookies: list[FoundCookie] = field(default_factory=list)
    storage: list[FoundKey] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def unknown(self) -> int:
        """How many things nobody decided on."""
        return sum(party.unknown for party in self.parties) + sum(cookie.unknown for cookie in self.cookies)


class Judge:
    """Holds sightings against rules.

    home: the address of the site that was looked at. own: the first host of the configuration, for which it stands.
    listed: the services that the configuration names. registrable: the domain under which someone registered a host.
    """

    def __init__(
        self,
        rules: Rules,
        cookies: CookiePolicy,
        *,
        home: SplitResult,
        own: str,
        listed: Collection[str],
        registrable: Callable[[str], str | None],
        services: Iterable[Service],
    ) -> None:
        self._rules = rules
        self._cookies = cookies
        self._home = home
        self._own = own
        self._listed = frozenset(listed)
        self._registrable = registrable
        self._storage = [(Glob(pattern), service.id) for service in services for pattern in service.storage]

    def judge(self, sightings: Sightings, findings: Findings) -> Findings:
        """Fill ``findings``."""
        parties: dict[tuple[str, str], Party] = {}
        cookies: dict[tuple[str, str], FoundCookie] = {}
        keys: dict[tuple[str, str, str], FoundKey] = {}
        for sighting, pages in sightings.seen.items():
            if isinstance(sighting, Contact):
                self._contact(sighting, pages, parties)
            elif isinstance(sighting, Signature):
                self._signature(sighting, pages, parties)
            elif isinstance(sighting, SetCookie):
                self._cookie(sighting, pages, cookies)
            else:
                self._key(sighting, pages, keys)
        findings.parties = sorted(parties.values(), key=lambda each: (not each.unknown, each.service, each.host))
        findings.cookies = sorted(cookies.values(), key=lambda each: (not each.unknown, each.third_party, each.name))
        findings.storage = sorted(keys.values(), key=lambda each: (each.area, each.key, each.host))
        if sightings.lost:
            findings.notes.append(f"{sightings.lost} further sightings were left out: the bounds are reached")
        return findings

    def _contact(self, contact: Contact, pages: list[str], parties: dict[tuple[str, str], Party]) -> None:
        target = resolve(contact.url, contact.url)
        if target is None or not target.host:
            return
        query = urlsplit(contact.url).query
        path = f"{target.path}?{query}" if query else target.path
        host = self._host(target.scheme, target.host, target.port)
        verdict = self._rules.decide(host, path, contact.kind)
        if verdict.source == "first party":
            return
        service = verdict.service or ""
        known = service in self._listed or verdict.source == "lists" or self._is_disguised(verdict.rule)
        party = parties.setdefault(
            (host, service),
            Party(host, service, verdict.name, verdict.purpose, verdict.state, known, verdict.rule),
        )
        party.certain = party.certain or contact.how is not How.MENTION
        party.inside = party.inside and bool(contact.inside)
        if contact.how is not How.MENTION:
            party.kinds.add(contact.kind)
        party.how.add(contact.how.value)
        party.example = party.example or contact.url
        _note(party.pages, pages)

    def _signature(self, signature: Signature, pages: list[str], parties: dict[tuple[str, str], Party]) -> None:
        verdict = self._rules.verdict(signature.service)
        if verdict is None:
            return
        known = signature.service in self._listed
        party = parties.setdefault(
            ("", signature.service),
            Party("", signature.service, verdict.name, verdict.purpose, verdict.state, known, verdict.rule),
        )
        party.certain, party.inside = True, False
        party.kinds.add("inline")
        party.how.add(How.INLINE.value)
        _note(party.pages, pages)

    def _cookie(self, cookie: SetCookie, pages: list[str], cookies: dict[tuple[str, str], FoundCookie]) -> None:
        third_party = not self._is_own(cookie.host)
        verdict = self._cookies.decide(cookie.name)
        known = not verdict.rule.startswith("cookies.unknown") and (
            verdict.service is None or verdict.service in self._listed
        )
        service, purpose, state, rule = verdict.service or "", verdict.purpose, verdict.state, verdict.rule
        if third_party:
            party = self._rules.decide(cookie.host, "/")
            service, purpose, state, rule = party.service or "", party.purpose, party.state, party.rule
        found = cookies.setdefault(
            (cookie.name, cookie.host if third_party else ""),
            FoundCookie(
                cookie.name,
                cookie.host,
                third_party,
                service,
                purpose,
                state,
                known,
                rule,
                cookie.lasts,
                cookie.scripts,
            ),
        )
        _note(found.pages, pages)

    def _key(self, stored: Stored, pages: list[str], keys: dict[tuple[str, str, str], FoundKey]) -> None:
        if not self._is_own(stored.host):
            service = self._rules.decide(stored.host, "/").service or stored.host
        else:
            service = next((id_ for glob, id_ in self._storage if glob.matches(stored.key)), "")
        found = keys.setdefault(
            (stored.area, stored.key, stored.host), FoundKey(stored.area, stored.key, stored.host, service)
        )
        _note(found.pages, pages)

    # Whose a host is

    def _host(self, scheme: str, host: str, port: int | None) -> str:
        """A host as the rules know it: the site that was looked at stands for the configuration's first host."""
        usual = _PORTS.get(self._home.scheme)
        if host == self._home.hostname and (port or _PORTS.get(scheme)) in (self._home.port or usual, usual):
            return self._own
        return host if port in (None, _PORTS.get(scheme), self._home.port) else f"{host}:{port}"

    def _is_own(self, host: str) -> bool:
        if host == self._home.hostname:
            return True
        if self._rules.decide(host, "/").source == "first party":
            return True
        domain = self._registrable(host)
        return domain is not None and domain == self._registrable(self._home.hostname or "")

    def _is_disguised(self, rule: str) -> bool:
        return rule.startswith("cname.")


def _note(pages: list[str], more: Iterable[str]) -> None:
    for page in more:
        if page not in pages and len(pages) < MAX_PAGES:
            pages.append(page)


def by_service(parties: Iterable[Party]) -> Mapping[str, list[Party]]:
    """Parties of each service, in order; ``""`` holds those that nothing names."""
    found: dict[str, list[Party]] = {}
    for party in parties:
        found.setdefault(party.service, []).append(party)
    return found
