"""What the guard, our script in a page, is made of and told; and what comes with the site's service workers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from vestibule.assets import static
from vestibule.core.consent import ASKED, Choice, State
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.verdicts import verdict_of
from vestibule.privacy.visitor import Visitor

GOOGLE = ("google-analytics", "google-tag-manager", "google-ads", "doubleclick")
"""Services that read Google's consent mode (version 2)."""
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

    @property
    def parts(self) -> tuple[str, ...]:
        """The scripts that pages need, in order. A part that could do nothing under this configuration is not sent."""
        asks = any(verdict.service in GOOGLE and verdict.state is State.ASK for verdict in self._listed)
        return ("google.js", "banner.js") if asks and not self._policy.observe else ("banner.js",)

    @property
    def later(self) -> tuple[str, ...]:
        """The scripts that pages need only once there is an answer, in order."""
        config = self._policy.config
        unlocked = config.csp != "enforce" or self._policy.observe or State(config.trackers.unknown) is State.ALLOW
        return ("revive.js", "answer.js") if unlocked else ("answer.js",)

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

    def loses(self, before: Choice | None, after: Choice) -> bool:
        """Whether something was open that is closed now: what of it runs in a page can only be stopped by leaving."""
        if before is None:
            return False
        return not before.purposes <= after.purposes or any(
            verdict.open(before) and not verdict.open(after) for verdict in self._listed
        )

    def _is_open(self, name: str, choice: Choice, visitor: Visitor) -> bool:
        if "://" in name:
            verdict = verdict_of(self._policy, visitor, name, "csp")
        elif name.startswith("unknown:"):
            host = name.removeprefix("unknown:")
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


def _expression(patterns: set[str], kept: set[str]) -> str:
    if not patterns:
        return ""
    keep = f"(?!{_either(kept)}$)" if kept else ""
    return f"^{keep}{_either(patterns)}$"


def _either(patterns: set[str]) -> str:
    return "(?:" + "|".join(".*".join(map(re.escape, each.split("*"))) for each in sorted(patterns)) + ")"
