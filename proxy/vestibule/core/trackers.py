"""Whom a URL, an inline script or a cookie belongs to, and whether it may run.

Guards promise 1 (closed until asked), so every doubt is decided for the closed side: what nothing names follows
``unknown``, a path that could be read in two ways gets the stricter of both verdicts, and a name that several
services claim goes to the strictest.

How a host is looked up: names given in ``cname`` first; then the site's own hosts, which are closed only on paths that
relay to a service; then the table of services by longest suffix of the host, and on one host by the longest matching
path; then the block lists; then ``unknown``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol, TypeVar

from vestibule.core.consent import Choice, Purpose, State
from vestibule.core.patterns import tidy_path
from vestibule.core.services import PURPOSES, UNKNOWN, Cookie, Service, Verdict
from vestibule.core.signatures import Signatures
from vestibule.core.sources import Sources
from vestibule.core.tables import CookieTable, Host, HostTable, RelayTable, is_address

__all__ = ["BlockList", "Cookie", "Rules", "Service", "Verdict"]

_K = TypeVar("_K")
_V = TypeVar("_V")
_HOST = re.compile(r"(?:[a-z0-9._-]{1,100}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""Hosts that can be let in by themselves: what a visitor sends of one goes into their cookie and into policies."""


class BlockList(Protocol):
    """A list of filters that names what is closed even where ``unknown`` would let it pass."""

    def rule(self, host: str, path: str, kind: str) -> str | None:
        """Return the filter that names this URL, or None. host: with ``:port`` where that is not the usual one."""


class Rules:
    """The configuration's view of third parties. Immutable but for its caches, which are bounded.

    services: the catalogue. states: what the configuration says of them, by id; those it leaves out follow ``unknown``.
    custom: services of the configuration, with ``custom_states``; on a host that the catalogue names too they win, one
    that names a host of the site's own closes the paths it names there, and in policies they open names below too.
    first_party: the site's hosts; other names of their registrable domains are first party too. exactly: further
    hosts that are ours, without their domains. registrable: the domain under which someone registered a host (public
    suffix list), None or empty where there is none. cname: first-party name to the id of the service it hides.
    where: service id (or ``unknown``) to ``file:line``.

    An ``ask`` for a necessary service asks for preferences: what is necessary would not be asked.
    """

    MAX_CACHED = 4096
    MAX_CACHED_KEY = 512
    MAX_INLINE_CACHED = 2048
    MAX_POLICIES_CACHED = 256

    def __init__(
        self,
        services: Iterable[Service],
        *,
        states: Mapping[str, State],
        unknown: State,
        first_party: Sequence[str],
        registrable: Callable[[str], str | None],
        custom: Iterable[Service] = (),
        custom_states: Mapping[str, State] | None = None,
        cname: Mapping[str, str] | None = None,
        where: Mapping[str, str] | None = None,
        exactly: Sequence[str] = (),
        lists: Sequence[BlockList] = (),
    ) -> None:
        self._unknown = unknown
        self._where = dict(where or {})
        self._registrable = registrable
        self._lists = tuple(lists)
        self._own = frozenset((*first_party, *exactly))
        self._own_domains = frozenset(filter(None, (self._domain(host) for host in first_party)))

        self._services: dict[str, Service] = {}
        self._rules: dict[str, Verdict] = {}
        self._cname: dict[str, Verdict] = {}
        self._hosts = HostTable()
        self._relays = RelayTable()
        for service in services:
            self._enter(service, states.get(service.id), f"services.{service.id}")
        for service in custom:
            state = (custom_states or {}).get(service.id, states.get(service.id))
            self._enter(service, state, f"custom.{service.id}", wins=True)
        self._hosts.settle(self._rules)
        self._listed = frozenset((*states, *(custom_states or {}))) & self._services.keys()
        self._cname |= {name: self._disguised(name, id_) for name, id_ in (cname or {}).items()}
        self._cookies = CookieTable(self._services.values(), self._listed)

        self._by_host: dict[str, Verdict] = {}
        self._by_url: dict[tuple[str, str, str], Verdict] = {}
        self._by_inline: dict[bytes, str | None] = {}
        self._policies: dict[tuple[frozenset[Purpose], frozenset[tuple[str, bool]]] | None, tuple[str, ...]] = {}

    # Deciding

    def decide(self, host: str, path: str, kind: str = "script") -> Verdict:
        """Say what a URL is.

        host: as :mod:`vestibule.core.urls` writes it (lower case, Punycode, no trailing dot), with ``:port`` only
        where that is neither the scheme's default nor the page's own: a first-party name at another port is someone
        else, unless configured. path: from the ``/`` on, with its query (some services are told apart by it).
        kind: what loads it (for block lists).
        """
        verdict = self._by_host.get(host) or self._by_url.get((host, path, kind))
        return verdict if verdict is not None else self._decide(host, path, kind)

    def decide_host(self, host: str, kind: str = "script") -> Verdict | None:
        """Say what every URL of a host is, as :meth:`decide` would; None where that depends on the path."""
        verdict = self._by_host.get(host)
        if verdict is None and len(host) < self.MAX_CACHED_KEY:
            self._decide(host, "/", kind)
            verdict = self._by_host.get(host)
        return verdict

    def relay_words(self, host: str) -> tuple[str, ...] | None:
        """Words without which every path of a host is open: one of the path's segments has to begin with one of them
        for :meth:`decide` to say otherwise. None where that is not so, and for hosts that are not the site's own."""
        name, port = _split(host)
        if self._lists or not self._is_own(name, port) or (not port and name in self._cname):
            return None
        return self._relay_words

    @cached_property
    def _relay_words(self) -> tuple[str, ...] | None:
        return None if self._relays.words is None else tuple(sorted(self._relays.words))

    def decide_inline(self, text: bytes) -> Verdict | None:
        """Say whose an inline script is: the strictest of the services whose signatures it holds; None: nobody's."""
        digest = hashlib.blake2b(text, digest_size=16).digest()
        try:
            found = self._by_inline[digest]
        except KeyError:
            found = self._strictest(self._signatures.find(text))
            _remember(self._by_inline, digest, found, self.MAX_INLINE_CACHED)
        return None if found is None else self._rules[found]

    def cookie(self, name: str) -> Cookie | None:
        """Return the catalogue's entry for a cookie of the site's own domain; None where no service sets such one.

        The most specific pattern wins; among equals that of a service the configuration lists, then the strictest.
        """
        return self._cookies.find(name)

    # Asking about services

    def service(self, id_: str) -> Service | None:
        """Return a service as the configuration has it: an ``ask`` moves a necessary one to preferences."""
        return self._services.get(id_)

    def verdict(self, id_: str) -> Verdict | None:
        """Return the verdict on a service as a whole (with no host), None where there is no such service."""
        return self._rules.get(id_)

    def named(self, name: str) -> Verdict | None:
        """Return the verdict on what pages and choices name: a service, or ``unknown:HOST`` where nothing names the
        host; None for any other name."""
        if not name.startswith(UNKNOWN):
            return self._rules.get(name)
        host = name[len(UNKNOWN) :]
        verdict = self.decide(host, "/", "frame") if _HOST.fullmatch(host) else None
        return verdict if verdict is not None and verdict.key == name and verdict.source != "first party" else None

    def services_in_use(self) -> tuple[tuple[Service, State], ...]:
        """Return what visitors are told of: the services that the configuration lists and does not block, by purpose
        (necessary first), then by name."""
        in_use = [
            (self._services[id_], self._rules[id_].state)
            for id_ in self._listed
            if self._rules[id_].state is not State.BLOCK
        ]
        return tuple(
            sorted(in_use, key=lambda pair: (PURPOSES.index(pair[0].purpose), pair[0].name.lower(), pair[0].id))
        )

    def everything_open(self, choice: Choice | None) -> bool:
        """Whether nothing at all is closed under this choice, so that no policy is needed."""
        if self._lists or not self._unknown_verdict("").open(choice):
            return False
        if choice is not None and any(name.startswith(UNKNOWN) and not on for name, on in choice.services.items()):
            return False
        return all(rule.open(choice) for rule in self._rules.values())

    def allowed_hosts(self, choice: Choice | None) -> tuple[str, ...]:
        """Return the sources of a content security policy (without scheme) for what is open under this choice.

        The site's own names come first, then what the configuration lists, then the rest, so that a policy can be
        cut short from the end. ``*.domain`` stands only where no rule names a closed host below it. A source may carry
        a path where only that part of a host is open. ``("*",)`` where everything is open, and with ``unknown:
        allow``: a policy cannot say "all but these", so there rewriting alone keeps closed services out.
        """
        key = None if choice is None else (choice.purposes, frozenset(choice.services.items()))
        try:
            return self._policies[key]
        except KeyError:
            sources = self._sources(choice)
            _remember(self._policies, key, sources, self.MAX_POLICIES_CACHED)
            return sources

    # Building

    def _enter(self, service: Service, state: State | None, setting: str, *, wins: bool = False) -> None:
        """Take a service into the tables. One that ``wins`` takes hosts and paths over from the catalogue."""
        rule, source = f"{setting}: {state}", self._where.get(service.id, "trackers.yaml")
        if state is None:
            state = self._unknown
            rule, source = f"unknown: {state} ({service.id} is not listed)", self._unknown_source
        if state is State.ASK and service.purpose is Purpose.NECESSARY:
            cookies = tuple(replace(cookie, purpose=Purpose.PREFERENCES) for cookie in service.cookies)
            service = replace(service, purpose=Purpose.PREFERENCES, cookies=cookies)
        known = self._services.get(service.id)
        self._services[service.id] = service if known is None else known.extended(service)
        self._rules[service.id] = Verdict(service.id, service.name, service.purpose, state, rule, source, "")
        self._hosts.enter(service, wins=wins)
        for relay in service.relays:
            self._relays.enter(service.id, relay)
        if wins:
            self._enter_own(service)

    def _enter_own(self, service: Service) -> None:
        """Take what a service of the configuration names on the site's own hosts: paths as relays, a whole host like
        one that ``cname`` names."""
        names = [host.removeprefix("*.") for host in service.hosts]
        narrowing = [path for path in service.paths if path.startswith("/")]
        places = [(name, path) for name in names for path in narrowing]
        for location in service.paths:
            name, slash, path = location.partition("/")
            places.append((name.removeprefix("*."), slash + path))
        for name, path in places:
            if name and self._is_own(name, ""):
                self._relays.enter(service.id, path, name)
        if not narrowing:
            self._cname |= {name: self._rules[service.id] for name in names if self._is_own(name, "")}

    def _disguised(self, name: str, id_: str) -> Verdict:
        rule = self._rules.get(id_)
        if rule is None:  # A configuration with such a name is refused; should one come through, it stays closed.
            return Verdict(None, id_, Purpose.MARKETING, State.BLOCK, f"cname.{name}: {id_}", "trackers.yaml", name)
        return replace(rule, rule=f"cname.{name}: {id_}, {rule.rule}", host=name)

    @cached_property
    def _signatures(self) -> Signatures:
        # Made at the first inline script: commands that only look at hosts do without.
        return Signatures({service.id: service.inline for service in self._services.values() if service.inline})

    @property
    def _unknown_source(self) -> str:
        return self._where.get("unknown", "trackers.yaml: unknown")

    # Looking up

    def _decide(self, host: str, path: str, kind: str) -> Verdict:
        name, port = _split(host)
        by_path = True
        if not port and name in self._cname:
            verdict, by_path = self._cname[name], False
        elif self._is_own(name, port):
            verdict = self._decide_own(name, path, kind, port)
        else:
            verdict, by_path = self._decide_foreign(name, path, kind, port)
        if verdict.host != host:
            verdict = replace(verdict, host=host)
        if len(host) + len(path) <= self.MAX_CACHED_KEY:
            if by_path:
                _remember(self._by_url, (host, path, kind), verdict, self.MAX_CACHED)
            else:
                _remember(self._by_host, host, verdict, self.MAX_CACHED)
        return verdict

    def _decide_own(self, name: str, path: str, kind: str, port: str) -> Verdict:
        relayed = self._strictest({id_ for reading in _readings(path) for id_ in self._relays.find(name, reading)})
        if relayed is not None:
            verdict = self._rules[relayed]
            return replace(verdict, rule=f"first-party path, {verdict.rule}")
        first_party = Verdict(None, name, Purpose.NECESSARY, State.ALLOW, "first party", "first party", name)
        return self._listed_verdict(name, path, kind, port) or first_party

    def _decide_foreign(self, name: str, path: str, kind: str, port: str) -> tuple[Verdict, bool]:
        """Return the verdict and whether it depends on the path."""
        id_, by_path = self._hosts.find(name, path)
        verdicts = [self._verdict_of(id_, name)]
        if by_path:
            verdicts += [self._verdict_of(self._hosts.find(name, other)[0], name) for other in _readings(path)]
        verdict = max(verdicts, key=lambda each: each.strictness)
        if verdict.service is None and self._lists:
            return self._listed_verdict(name, path, kind, port) or verdict, True
        return verdict, by_path

    def _verdict_of(self, id_: str | None, host: str) -> Verdict:
        return self._unknown_verdict(host) if id_ is None else self._rules[id_]

    def _unknown_verdict(self, host: str) -> Verdict:
        rule = f"unknown: {self._unknown}"
        return Verdict(None, host, Purpose.MARKETING, self._unknown, rule, self._unknown_source, host)

    def _listed_verdict(self, name: str, path: str, kind: str, port: str) -> Verdict | None:
        """Return the verdict of the block lists, None where none of them names the URL."""
        for block_list in self._lists:
            rule = block_list.rule(name + port, path, kind)
            if rule is not None:
                return Verdict(None, name, Purpose.MARKETING, State.BLOCK, rule, "lists", name)
        return None

    def _strictest(self, ids: Iterable[str]) -> str | None:
        return max(ids, key=lambda id_: (self._rules[id_].strictness, id_), default=None)

    def _is_own(self, name: str, port: str) -> bool:
        if name + port in self._own:
            return True
        return not port and bool(name) and self._domain(name) in self._own_domains

    def _domain(self, host: str) -> str | None:
        return None if is_address(host) or ":" in host else self._registrable(host) or None

    # Writing policies

    def _sources(self, choice: Choice | None) -> tuple[str, ...]:
        if self._unknown is State.ALLOW or self.everything_open(choice):
            return ("*",)
        opened = {id_ for id_, rule in self._rules.items() if rule.open(choice)}
        closed = {host for host, entry in self._foreign if entry.whole and entry.whole not in opened}
        closed.update(name for name, rule in self._cname.items() if not rule.open(choice))
        sources = Sources(closed)
        for domain in sorted(self._own_domains - closed):
            sources.add(domain, wide=True)
        for host in sorted(self._own - closed):
            sources.add(host)
        for host in self._let_in(choice):
            sources.add(host)
        for host, entry in self._foreign:
            if entry.whole in opened:
                sources.add(host, bare=entry.bare, wide=entry.wide)
                continue
            for pattern, id_ in entry.paths:
                if id_ in opened:
                    for path in pattern.sources():
                        sources.add(host, path, bare=entry.bare, wide=entry.wide)
        return sources.collected()

    def _let_in(self, choice: Choice | None) -> Iterable[str]:
        """Return the hosts that nothing names and that a choice lets in by themselves."""
        for name, on in choice.services.items() if choice is not None else ():
            verdict = self.named(name) if on and name.startswith(UNKNOWN) else None
            if verdict is not None and verdict.open(choice):
                yield verdict.host

    @cached_property
    def _foreign(self) -> tuple[tuple[str, Host], ...]:
        """The hosts that services name, those first that the configuration lists, then those that services name first;
        else as the catalogue has them, what was reviewed first. What it knows of the site's own hosts is for others'
        sites."""
        hosts = [(host, entry) for host, entry in self._hosts.hosts.items() if not self._is_own(host, "")]
        return tuple(sorted(hosts, key=self._importance))

    def _importance(self, item: tuple[str, Host]) -> tuple[bool, int]:
        entry = item[1]
        return not entry.serves(self._listed), entry.rank


def _readings(path: str) -> frozenset[str]:
    """Return the ways in which servers may read a path."""
    return frozenset((path, tidy_path(path)))


def _split(host: str) -> tuple[str, str]:
    """Split a host into its name and ``:port`` (empty where there is none)."""
    name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip("."), host[len(name) :]


def _remember(cache: dict[_K, _V], key: _K, value: _V, most: int) -> None:
    """Keep a value; a full cache starts anew, which costs less than keeping count of use."""
    if len(cache) >= most:
        cache.clear()
    cache[key] = value
