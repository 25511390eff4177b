"""What the guard, our script in a page, is made of and told; and what comes with the site's service workers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Final

from vestibule.assets import static
from vestibule.core.consent import ASKED, Choice, Purpose, State
from vestibule.core.services import UNKNOWN
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.verdicts import verdict_of
from vestibule.privacy.visitor import Visitor

GOOGLE = ("google-analytics", "google-tag-manager", "google-ads", "doubleclick")
"""Services that read Google's consent mode (version 2)."""
_CONSENT_MODE: Final = (
    (Purpose.PREFERENCES, (), ("functionality_storage", "personalization_storage")),
    (Purpose.STATISTICS, ("google-analytics",), ("analytics_storage",)),
    (Purpose.MARKETING, ("google-ads", "doubleclick"), ("ad_storage", "ad_user_data", "ad_personalization")),
)
"""Its consent types, with the purpose they are for and the services of Google's that need them (Google, "Consent mode
reference", consent types)."""
MAX_HELD = 200
"""Things held back that are answered for at once; beyond, they count as closed."""
_MAX_CACHED = 128


class Guard:
    """Answers for one configuration."""

    def __init__(self, policy: SitePolicy) -> None:
        self._policy = policy
        trackers = policy.config.trackers
        listed = (policy.rules.verdict(name) for name in (*trackers.services, *trackers.custom))
        self._listed = tuple(verdict for verdict in listed if verdict is not None)
        self._leftovers: dict[object, str] = {}

        asks = any(verdict.service in GOOGLE and verdict.state is State.ASK for verdict in self._listed)
        self.speaks_to_google = asks and not policy.observe
        """Whether Google's consent mode is spoken: where services that read it are asked for."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The scripts that pages need, in order. A part that could do nothing under this configuration is not sent."""
        return ("google.js", "banner.js") if self.speaks_to_google else ("banner.js",)

    @property
    def later(self) -> tuple[str, ...]:
        """The scripts that pages need only once there is an answer, in order."""
        config = self._policy.config
        unlocked = config.csp != "enforce" or self._policy.observe or State(config.trackers.unknown) is State.ALLOW
        return ("revive.js", "answer.js") if unlocked else ("answer.js",)

    def consent_mode(self, choice: Choice | None) -> list[str]:
        """The types of Google's consent mode that a choice grants: those that an open service needs; by the purpose
        where none of the services that need it is asked for."""
        asked = {service.id: service.purpose for service in self._policy.asked}
        granted: list[str] = []
        for purpose, services, types in _CONSENT_MODE:
            named = [(asked[each], each) for each in services if each in asked] or [(purpose, "")]
            if choice is not None and any(choice.grants(own, each or None) for own, each in named):
                granted += types
        return granted

    def leftovers(self, choice: Choice | None) -> str:
        """A regular expression (in JavaScript too) for the keys of local and session storage that listed services
        left and may not keep; empty where there are none. A key that an open service uses too stays."""
        if self._policy.observe:
            return ""
        key = None if choice is None else (choice.purposes, tuple(sorted(choice.services.items())))
        if key not in self._leftovers:
            if len(self._leftovers) >= _MAX_CACHED:
                self._leftovers.clear()
            self._leftovers[key] = _expression(self._keys(choice, held=True), self._keys(choice, held=False))
        return self._leftovers[key]

    def _keys(self, choice: Choice | None, *, held: bool) -> set[str]:
        found: set[str] = set()
        for verdict in self._listed:
            service = self._policy.rules.service(verdict.service or "")
            if service is not None and verdict.open(choice) is not held:
                found.update(service.storage)
        return found

    def opened(self, held: Iterable[str], choice: Choice, visitor: Visitor) -> list[str]:
        """Which of the things that a page holds back are open under ``choice``. held: services as pages name them, or
        addresses that the policy refused."""
        return [name for name in list(held)[:MAX_HELD] if self._is_open(name, choice, visitor)]

    def loses(self, before: Choice | None, after: Choice | None) -> bool:
        """Whether something was open that is closed now: what of it runs in a page can only be stopped by leaving."""
        if before is None:
            return False
        besides = (self._policy.rules.named(name) for name in before.services)
        return not before.purposes <= (after.purposes if after is not None else frozenset()) or any(
            verdict is not None and verdict.open(before) and not verdict.open(after)
            for verdict in (*self._listed, *besides)
        )

    def _is_open(self, name: str, choice: Choice, visitor: Visitor) -> bool:
        if "://" in name:
            verdict = verdict_of(self._policy, visitor, name, "csp")
        elif name.startswith(UNKNOWN):
            host = name.removeprefix(UNKNOWN)
            verdict = self._policy.rules.decide(host, "/") if host else None
        else:
            verdict = self._policy.rules.verdict(name)
        return verdict is not None and verdict.open(choice)


def squeezed(name: str) -> bytes:
    """A script without its indentation and the lines that are comments: written to be read, sent to be small."""
    lines = (line.strip() for line in (static() / "banner" / name).read_text(encoding="utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//")).encode()


def joined(names: Iterable[str]) -> bytes:
    """Several scripts as one."""
    return b"\n".join(map(squeezed, names))


def epilogue(script: bytes, policy: str) -> bytes:
    """What comes after the last line of a service worker's script, classic or module, ASCII. script: ``worker.js``,
    squeezed. policy: the policy that its answer carries, '' where nothing is closed.

    After, and not before: there it would stand in the way of a ``"use strict"``. It differs with the policy, which is
    how browsers, who compare a worker's script with the one they have, come to know that there is another.
    """
    return b"\n%b(%b);\n" % (script, json.dumps(policy).encode("ascii"))


def purposes(choice: Choice | None) -> dict[str, bool] | None:
    """A choice as scripts see it; None before there is one."""
    return None if choice is None else {purpose.value: choice.grants(purpose) for purpose in ASKED}


def written(choice: Choice | None) -> str:
    """A choice as a page keeps it, to be told later whether it lost something: the purposes that are granted, then the
    services that differ from theirs (``+youtube -hotjar``); a refusal is ``none``, and empty is no choice."""
    if choice is None:
        return ""
    purposes = [purpose.value for purpose in ASKED if purpose in choice.purposes]
    services = [("+" if on else "-") + name for name, on in sorted(choice.services.items())]
    return " ".join((*purposes, *services)) or "none"


def parse_written(text: str) -> Choice | None:
    """The choice that a page says it was made under. What is not understood is left out: it only says what is to be
    compared, and grants nothing."""
    words = text.split(" ")[:MAX_HELD]
    services = {word[1:]: word[0] == "+" for word in words if word[:1] in ("+", "-")}
    purposes = frozenset(purpose for purpose in ASKED if purpose.value in words)
    return Choice(purposes, "", 0, services=services) if text else None


def digest(text: str) -> str:
    """A name for a text that may be cached for good."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _expression(patterns: set[str], kept: set[str]) -> str:
    if not patterns:
        return ""
    keep = f"(?!{_either(kept)}$)" if kept else ""
    return f"^{keep}{_either(patterns)}$"


def _either(patterns: set[str]) -> str:
    return "(?:" + "|".join(".*".join(map(re.escape, each.split("*"))) for each in sorted(patterns)) + ")"
