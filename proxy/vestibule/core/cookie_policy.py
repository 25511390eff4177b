"""Which cookies may pass under a choice: those that the site declares, those that the catalogue knows, all others."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from vestibule.core.consent import Choice, Purpose, State
from vestibule.core.cookies import Pair


@dataclass(frozen=True, slots=True)
class Declared:
    """What the configuration says of a cookie. harden: make it stricter. scripts: the site's scripts must read it."""

    purpose: Purpose
    harden: bool = True
    scripts: bool = False


@dataclass(frozen=True, slots=True)
class CookieVerdict:
    """What the policy says of a cookie, and by which rule. session: it is what the site knows a signed-in visitor by.
    harden: make it stricter; http_only: keep it from scripts, too."""

    name: str
    purpose: Purpose
    state: State
    service: str | None
    rule: str
    session: bool = False
    harden: bool = False
    http_only: bool = False

    def passes(self, choice: Choice | None) -> bool:
        """Whether the cookie may be set and sent under this choice."""
        if self.state is State.ALLOW:
            return True
        return self.state is State.ASK and choice is not None and choice.grants(self.purpose, self.service)


class CookiePolicy:
    """Decides on cookies by name: declared by the site, known from the catalogue, or unknown.

    declared: the site's own cookies (``*`` stands for any characters). service: looks a name up in the catalogue and
    returns (service id, purpose, state of that service), or None. unknown: for all other names. sessions: names of the
    cookies that the site knows a signed-in visitor by; they are necessary without being declared.
    """

    def __init__(
        self,
        declared: Mapping[str, Declared],
        service: Callable[[str], tuple[str, Purpose, State] | None],
        unknown: State,
        sessions: Iterable[str] = (),
    ) -> None:
        self._declared = _Names(declared)
        self._sessions = _Names(dict.fromkeys(sessions, Declared(Purpose.NECESSARY)))
        self._service = service
        self._unknown = unknown
        # Cookie names come from the network: the cache is bounded.
        self.decide: Callable[[str], CookieVerdict] = lru_cache(maxsize=2048)(self._decide)

    def sift(self, pairs: Iterable[Pair], choice: Choice | None) -> tuple[list[Pair], list[Pair]]:
        """Those that pass under this choice, and those that don't. The same as ``decide`` and ``passes`` for each, in
        one go, since every request with cookies comes by."""
        decide, allow, ask = self.decide, State.ALLOW, State.ASK
        passing, refused = [], []
        for pair in pairs:
            verdict = decide(pair[0])
            state = verdict.state
            if state is allow or (state is ask and choice is not None and verdict.passes(choice)):
                passing.append(pair)
            else:
                refused.append(pair)
        return passing, refused

    def _decide(self, name: str) -> CookieVerdict:
        if not name:
            return CookieVerdict(name, Purpose.MARKETING, State.BLOCK, None, "a cookie without a name")
        session, found = self._sessions.find(name), self._declared.find(name)
        if found is not None:
            return _declared(name, found[1], f"cookies.declare.{found[0]}: {found[1].purpose}", session is not None)
        if session is not None:
            return _declared(name, session[1], f"sign_in.cookies: {session[0]}", True)
        known = self._service(name)
        if known is not None:
            service, purpose, state = known
            necessary = purpose is Purpose.NECESSARY
            if necessary and state is State.ASK:
                state = State.ALLOW
            # Whose scripts it is for nobody can say here.
            return CookieVerdict(name, purpose, state, service, f"catalogue: a cookie of {service}", harden=necessary)
        return CookieVerdict(name, Purpose.MARKETING, self._unknown, None, f"cookies.unknown: {self._unknown}")


def _declared(name: str, declared: Declared, rule: str, session: bool) -> CookieVerdict:
    necessary = declared.purpose is Purpose.NECESSARY
    harden = necessary and declared.harden
    return CookieVerdict(
        name,
        declared.purpose,
        State.ALLOW if necessary else State.ASK,
        None,
        rule,
        session=session,
        harden=harden,
        http_only=harden and not declared.scripts,
    )


class _Names:
    """What is said of names, some of which stand for many."""

    def __init__(self, written: Mapping[str, Declared]) -> None:
        self._exact = {name: declared for name, declared in written.items() if "*" not in name}
        self._patterns = tuple(
            (re.compile(fnmatch.translate(name.replace("[", "[[]").replace("?", "[?]"))), name, declared)
            for name, declared in written.items()
            if "*" in name
        )

    def find(self, name: str) -> tuple[str, Declared] | None:
        """What is said of a name, and as what it is written."""
        exact = self._exact.get(name)
        if exact is not None:
            return name, exact
        for pattern, written, declared in self._patterns:
            if pattern.fullmatch(name):
                return written, declared
        return None
