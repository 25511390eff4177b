"""What engineers ask and change about third parties: the rule that decides, the lines to paste, the switch."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vestibule.config import Config
from vestibule.core.consent import State
from vestibule.core.errors import VestibuleError
from vestibule.privacy.policy import build_rules

UNKNOWN = "unknown:"
"""How a service begins that nothing names; its host follows."""
COOKIE = "cookie:"
"""How one begins that is a cookie of the site which nothing declares; its name follows."""

Write = Callable[[Path, str, str], None]
"""Sets the state of a service in the configuration folder: folder, service, state. Raises VestibuleError."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What would happen, and why. state: allow, ask, block. written: where the rule is written."""

    state: str
    purpose: str
    rule: str
    written: str


@dataclass(frozen=True, slots=True)
class Tracker:
    """A service that the configuration names. custom: one of the site's own."""

    id: str
    name: str
    purpose: str
    state: str
    custom: bool = False


_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)


class Desk(Protocol):
    """Where engineers sit."""

    @property
    def editable(self) -> bool: ...

    def trackers(self) -> Sequence[Tracker]: ...

    def verdict(self, service: str) -> Verdict | None:
        """Return what is decided on a service, or on a host given as ``unknown:HOST``; None where there is neither."""
        ...

    async def change(self, service: str, state: str) -> None:
        """Change ``trackers.yaml``. Raises VestibuleError."""
        ...


class ConfigDesk:
    """The desk over a configuration. folder: its place; write: changes it; either is None where it may not be changed
    from here."""

    def __init__(self, config: Config, folder: Path | None = None, write: Write | None = None) -> None:
        self._config = config
        self._folder = folder
        self._write = write
        self._rules = build_rules(config)

    @property
    def editable(self) -> bool:
        return self._folder is not None and self._write is not None

    def trackers(self) -> Sequence[Tracker]:
        found = [Tracker("unknown", "", "", str(self._config.trackers.unknown))]
        for id_, state in self._config.trackers.services.items():
            service = self._rules.service(id_)
            found.append(
                Tracker(id_, service.name if service else "", str(service.purpose) if service else "", str(state))
            )
        for id_, own in self._config.trackers.custom.items():
            found.append(Tracker(id_, own.name or ", ".join(own.hosts), str(own.purpose), str(own.state), custom=True))
        return found

    def verdict(self, service: str) -> Verdict | None:
        if service.startswith(UNKNOWN):
            decided = self._rules.decide(service.removeprefix(UNKNOWN), "/")
        else:
            named = self._rules.verdict(service)
            if named is None:
                return None
            decided = named
        return Verdict(str(decided.state), str(decided.purpose), decided.rule, decided.source)

    async def change(self, service: str, state: str) -> None:
        if self._folder is None or self._write is None:
            raise VestibuleError("trackers.yaml may not be changed from here: see dashboard.edit")
        if state not in list(State):
            raise VestibuleError("a state is allow, ask or block")
        # Reading and writing the folder takes a few milliseconds of disk.
        await asyncio.to_thread(self._write, self._folder, service, state)


def lines_for(service: str, state: str = "ask") -> str:
    """Return what to paste into ``trackers.yaml`` so that a service, or the host of ``unknown:HOST``, is named;
    nothing where that is no name of a host."""
    if not service.startswith(UNKNOWN):
        return f"services:\n  {service}: {state}\n"
    host = service.removeprefix(UNKNOWN)
    if _HOST.fullmatch(host) is None:
        return ""
    name = re.sub(r"[^a-z0-9]+", "-", host.removeprefix("www.").lower()).strip("-") or "service"
    return f"custom:\n  {name}: {{hosts: [{host}], purpose: marketing, state: {state}}}\n"


def declared(services: Iterable[str]) -> str:
    """Return the lines that declare the site's cookies among these in ``site.yaml``; empty where none can be."""
    names = [service.removeprefix(COOKIE) for service in services if service.startswith(COOKIE)]
    safe = [name for name in names if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", name)]
    lines = "".join(f"    {name}: {{purpose: necessary}}\n" for name in safe)
    return f"cookies:\n  declare:\n{lines}" if safe else ""
