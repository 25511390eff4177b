"""What single views show besides tiles and panels: consent before and after a note, trackers, the privacy figures."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from starlette.requests import Request

from vestibule.core.errors import VestibuleError
from vestibule.dashboard import chart
from vestibule.dashboard.address import Address
from vestibule.dashboard.asking import TIMEOUT, Answer
from vestibule.dashboard.backend import Backend, Role
from vestibule.dashboard.dimensions import KINDS, PLURALS, name_of
from vestibule.dashboard.figures import FIGURES
from vestibule.dashboard.office import Note, Office
from vestibule.dashboard.page import Composer
from vestibule.dashboard.panels import View
from vestibule.dashboard.periods import Period
from vestibule.dashboard.settings import Settings
from vestibule.dashboard.staff import may
from vestibule.dashboard.trackers import UNKNOWN, Desk, Tracker, Verdict, declared, lines_for
from vestibule.dashboard.values import RARE, visible
from vestibule.dashboard.words import Words

RECORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
MOST_STRANGERS = 50
MOST_SERVICES = 1000
MOST_COMPARED = 5


@dataclass(frozen=True, slots=True)
class Stranger:
    """A third party that nothing names. lines: to paste into ``trackers.yaml``."""

    host: str
    count: int
    visitors: int
    verdict: Verdict | None
    lines: str


@dataclass(frozen=True, slots=True)
class Held:
    """A tracker of the configuration with what was held back of it."""

    tracker: Tracker
    count: int


@dataclass(frozen=True, slots=True)
class Turn:
    """Shares that accepted before and since a note, in words."""

    note: Note
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the privacy page."""

    name: str
    value: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Rare:
    """What share of a kind's facts is shown under no name, by a dimension."""

    kind: str
    dimension: str
    share: str


class Extra:
    """Finds what a view's template needs; names that it has not are empty."""

    def __init__(
        self,
        composer: Composer,
        backend: Backend,
        office: Office | None,
        desk: Desk | None,
        settings: Settings,
        words: Words,
    ) -> None:
        self._composer = composer
        self._backend = backend
        self._office = office
        self._desk = desk
        self._settings = settings
        self._words = words

    async def of(self, view: View, here: Address, request: Request) -> Mapping[str, Any]:
        found: dict[str, Any] = {
            "strangers": (),
            "held": (),
            "editable": self._desk is not None and self._desk.editable,
            "closed_by": "",
            "undeclared": "",
            "facts": (),
            "rares": (),
            "record": None,
            "record_asked": "",
            "turns": (),
        }
        if view.id == "consent":
            found["turns"] = await self._turns(here)
        elif view.id == "trackers":
            found.update(await self._trackers(here))
        elif view.id == "privacy":
            found["facts"], found["rares"] = await asyncio.gather(self._facts(), self._rares(here))
            if may(request.state.account, Role.OFFICER):
                found.update(await self._record(request.query_params.get("record", "").strip()))
        return found

    async def _turns(self, here: Address) -> tuple[Turn, ...]:
        """The notes of the page's days, each with what was chosen before and after it."""
        notes = (await self._composer.notes(here.period))[-MOST_COMPARED:]
        figure = FIGURES["accepted"]
        assert figure.below is not None
        if not notes:
            return ()
        accepted, chosen, rare = await asyncio.gather(
            *(self._chosen(values, here.period) for values in (figure.top.values, figure.below.values, (RARE,)))
        )

        def share(since: str, until: str) -> str:
            if accepted is None or chosen is None or rare is None:
                return "–"
            some, count, hidden = (
                sum(number for day, number in days.items() if since <= day < until) for days in (accepted, chosen, rare)
            )
            return self._words.percent(some / count) if count and (some or not hidden) else "–"

        return tuple(Turn(note, share("", note.day), share(note.day, "~")) for note in notes)

    async def _chosen(self, choices: Sequence[str], period: Period) -> Mapping[str, int] | None:
        """By day how often one of some choices was made; None where that can't be had."""
        answers = await asyncio.gather(
            *(self._composer.asking.timeseries("consent", "day", period, ("choice", each)) for each in choices)
        )
        found: dict[str, int] = {}
        for answer in answers:
            if answer is None:
                return None
            for day, count in chart.counts_of(answer["points"], 10).items():
                found[day] = found.get(day, 0) + count
        return found

    async def _trackers(self, here: Address) -> dict[str, Any]:
        answer = await self._composer.asking.breakdown("blocked", "service", here.period, limit=MOST_SERVICES)
        rows = [] if answer is None else [(str(row["value"]), row) for row in answer["rows"]]
        strangers = [
            Stranger(
                visible(value.removeprefix(UNKNOWN)),
                int(row["count"]),
                int(row["visitors"]),
                self._desk.verdict(value) if self._desk is not None else None,
                lines_for(value),
            )
            for value, row in rows
            if value.startswith(UNKNOWN) and value != UNKNOWN
        ]
        counts = {value: int(row["count"]) for value, row in rows}
        unknown = sum(count for value, count in counts.items() if value.startswith(UNKNOWN))
        trackers = self._desk.trackers() if self._desk is not None else ()
        held = tuple(
            Held(tracker, unknown if tracker.id == "unknown" else counts.get(tracker.id, 0)) for tracker in trackers
        )
        named = {tracker.id for tracker in trackers}
        unnamed = [value for value, _ in rows if value not in named and not value.startswith((UNKNOWN, "("))]
        return {
            "strangers": tuple(strangers[:MOST_STRANGERS]),
            "held": held,
            "closed_by": _paste(unnamed),
            "undeclared": declared(unnamed),
        }

    async def _facts(self) -> tuple[Fact, ...]:
        words, settings = self._words, self._settings
        health, days = await asyncio.gather(self._composer.asking.health(), self._days())
        facts = [
            Fact(
                words("Smallest number of visitors shown"),
                str(settings.k),
                words("No value is shown by name for fewer visitors; rarer ones are added up."),
            ),
            Fact(
                words("What is stored"),
                words("Counts of values and of pairs of values"),
                words(
                    "No raw event, no full address, no cookie. Visitors are told apart by keys that end with the day."
                ),
            ),
        ]
        if settings.keep_for:
            facts.append(Fact(words("Numbers are kept for"), self._span(settings.keep_for)))
        if settings.prove_for:
            facts.append(Fact(words("Consent records are kept for"), self._span(settings.prove_for)))
        if days:
            opened = [self._words.day(date.fromisoformat(str(day))) for day in days.get("open", ())][:10]
            facts.append(
                Fact(
                    words("Open days"),
                    ", ".join(opened) or "–",
                    words(
                        "Their keys still exist, so that a visitor counts once. "
                        "They are thrown away when the day closes."
                    ),
                )
            )
            last = str(days.get("last") or "")
            closed = words.number(int(days.get("closed", 0)))
            facts.append(
                Fact(words("Closed days"), f"{closed} · {words.day(date.fromisoformat(last))}" if last else closed)
            )
        return (*facts, *self._health(health))

    def _health(self, health: Answer | None) -> list[Fact]:
        words = self._words
        if health is None:
            return []
        spool = health.get("spool")
        size = int(spool.get("bytes", 0)) if isinstance(spool, Mapping) else 0
        drops = health.get("drops")
        facts = [
            Fact(
                words("Store"), words("answers") if health.get("store") == "ok" else visible(str(health.get("store")))
            ),
            Fact(words("Waiting for the store"), f"{words.number(size / 1024)} KB"),
            Fact(words("Hits lost on the way"), words.number(int(health.get("dropped", 0) or 0))),
        ]
        if isinstance(drops, Mapping):
            told = ", ".join(
                f"{visible(str(name))} {words.number(int(count))}" for name, count in list(drops.items())[:20]
            )
            facts.append(Fact(words("Not counted since the start, by reason"), told or "–"))
        return facts

    async def _days(self) -> Mapping[str, Any]:
        if self._office is None:
            return {}
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._office.days()
        except (VestibuleError, TimeoutError):
            return {}

    async def _rares(self, here: Address) -> tuple[Rare, ...]:
        """The share of each kind's facts that no name is shown for, by its dimensions."""
        asked = [(kind, by) for kind in ("view", "visit", "error") for by in KINDS[kind]]
        answers = await asyncio.gather(
            *(self._composer.asking.breakdown(kind, by, here.period, limit=1000) for kind, by in asked)
        )
        found = []
        for (kind, by), answer in zip(asked, answers, strict=True):
            if answer is not None:
                rare = int(answer["rare"]["count"])
                total = rare + sum(int(row["count"]) for row in answer["rows"])
                if total:
                    share = self._words.percent(rare / total)
                    found.append(Rare(self._words(PLURALS[kind]), self._words(name_of(by)), share))
        return tuple(found)

    async def _record(self, number: str) -> dict[str, Any]:
        if not number:
            return {}
        found: Mapping[str, Any] | None = None
        if RECORD.fullmatch(number):
            try:
                async with asyncio.timeout(TIMEOUT):
                    found = await self._backend.consent_record(number)
            except (VestibuleError, TimeoutError):
                return {"record_asked": visible(number), "record": {"": self._words("The store does not answer")}}
        shown = {visible(str(name)): visible(_told(value), 2000) for name, value in (found or {}).items()}
        return {"record_asked": visible(number), "record": shown or None}

    def _span(self, seconds: int) -> str:
        days = seconds // 86_400
        return self._words("{number} days", number=self._words.number(days))


def _told(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _paste(services: list[str]) -> str:
    """Return the lines that name services in ``trackers.yaml`` as asking."""
    safe = [service for service in services if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", service)]
    return "services:\n" + "".join(f"  {service}: ask\n" for service in safe) if safe else ""
