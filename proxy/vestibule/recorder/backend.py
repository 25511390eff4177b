"""Answers for the dashboard, the stats API and the commands: the recorder and its store, seen from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

from vestibule.core.errors import VestibuleError
from vestibule.core.visit import Hit
from vestibule.recorder import comparing
from vestibule.recorder.office import COMMAND, LONGEST_NOTE, MOST_ROWS, Office
from vestibule.recorder.service import Recorder
from vestibule.store import Breakdown, Store, TimeSeries, User

Where = tuple[str, str]


class RequestError(VestibuleError):
    """What was asked for makes no sense; whoever asked is to mend it."""


class Backend:
    """Numbers, health and accounts of one recorder. Every method may raise StoreError."""

    def __init__(
        self,
        recorder: Recorder,
        config: Callable[[], Mapping[str, Any]] = dict,
        further: Mapping[str, Backend] = MappingProxyType({}),
    ) -> None:
        """config: says of the configuration what ``health`` is to show. further: the backends of the other sites of the
        instance, whose health it is to show, too."""
        self._recorder = recorder
        self._config = config
        self._further = further

    async def breakdown(
        self,
        *,
        site: str,
        kind: str,
        by: str,
        start: date,
        end: date,
        where: Where | None = None,
        limit: int = 100,
        level: int | None = None,
    ) -> dict[str, Any]:
        """See ``Store.breakdown``."""
        return await self.ask(
            Breakdown(site=site, kind=kind, by=by, start=start, end=end, where=where, limit=limit, level=level)
        )

    async def timeseries(
        self, *, site: str, kind: str, interval: str, start: date, end: date, where: Where | None = None
    ) -> dict[str, Any]:
        """See ``Store.timeseries``; the time zone is the site's."""
        zone = self._recorder.plan.timezone
        return await self.ask(
            TimeSeries(site=site, kind=kind, interval=interval, start=start, end=end, timezone=zone, where=where)
        )

    async def answers(self, asked: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Answer many questions, each what ``breakdown`` takes, or, where it has no ``by``, ``timeseries``."""
        zone = self._recorder.plan.timezone
        questions = [Breakdown(**each) if "by" in each else TimeSeries(**each, timezone=zone) for each in asked]
        return await self._recorder.store.do(Store.answers, questions)

    async def ask(self, question: Breakdown | TimeSeries) -> dict[str, Any]:
        """Answer a question. Raises StoreError."""
        if isinstance(question, Breakdown):
            return await self._recorder.store.do(Store.breakdown, question)
        return await self._recorder.store.do(Store.timeseries, question)

    async def health(self) -> dict[str, Any]:
        """Return what goes well and what doesn't, as numbers and short texts; ``store`` is ``ok`` or what is wrong.
        ``sites``, where there are further ones, is the same of each by its name."""
        told = {"site": self._recorder.plan.site, **await self._recorder.figures(), "config": dict(self._config())}
        others = [backend for backend in self._further.values() if backend is not self]
        if others:
            told["sites"] = {other._recorder.plan.site: await other.health() for other in others}
        return told

    async def user(self, name: str) -> User | None:
        return await self._recorder.store.do(Store.user, name)

    async def users(self) -> list[User]:
        return await self._recorder.store.do(Store.users)

    async def add_user(self, name: str, password_hash: str, role: str) -> None:
        """Add an account, or replace the one of that name."""
        await self._recorder.store.do(Store.add_user, User(name, password_hash, role), datetime.now(UTC))

    async def remove_user(self, name: str) -> bool:
        """Remove an account; return whether there was one."""
        return await self._recorder.store.do(Store.remove_user, name, datetime.now(UTC))

    async def consent_record(self, record: str) -> dict[str, Any] | None:
        """Return a consent record by its id, or None."""
        return await self._recorder.store.do(Store.consent_record, self._recorder.plan.site, record)


class Calls:
    """What commands may ask, by name, with values that JSON can carry. ``__call__`` is the link's handler.

    breakdown, timeseries: ``kind``, ``by`` or ``interval``, ``from`` and ``to`` (ISO 8601 days, both included, today if
    left out), ``where`` (``DIMENSION:VALUE``, or the two as a list), ``limit``, ``level`` (a number), ``compare``
    (``previous``, ``year``).
    begin: an ``import`` (a name) that will bring something of some ``days``; counted: how many lines of a log were
    counted before, ``known_by`` the digests of its first lines, each with its number; count: ``hits``, each as
    ``Hit.to_json``, with the digests only and up to which of its ``lines`` all have come; done: nothing more comes of
    some ``days``; finish: after the last.
    close_day: ``day``, every day that is over if left out.
    revocations: ``epoch`` and ``after`` of the last page, see ``revoking.Log``.
    """

    def __init__(self, recorder: Recorder, backend: Backend) -> None:
        self._recorder, self._backend, self._office = recorder, backend, Office(recorder)
        self._calls: dict[str, Callable[[Mapping[str, Any]], Awaitable[Any]]] = {
            "breakdown": self._breakdown,
            "timeseries": self._timeseries,
            "health": lambda _: self._backend.health(),
            "users": self._users,
            "add_user": self._add_user,
            "remove_user": self._remove_user,
            "annotate": self._annotate,
            "annotations": lambda _: self._office.entries("annotations"),
            "add_token": self._add_token,
            "consent_record": lambda given: self._backend.consent_record(_text(given, "id")),
            "count": self._count,
            "counted": self._counted,
            "begin": self._begin,
            "done": self._done,
            "finish": lambda given: self._recorder.finish_import(_import(given)),
            "close_day": self._close_day,
            "purge": lambda _: self._recorder.store.do(Store.purge),
            "migrate": lambda _: self._recorder.store.do(Store.migrate),
            "flush": self._flush,
            "revocations": self._revocations,
        }

    async def __call__(self, name: str, given: Mapping[str, Any]) -> Any:
        """Raises StoreError, or RequestError where there is no such call or it is given something wrong."""
        call = self._calls.get(name)
        if call is None:
            raise RequestError(f"{name}: there is no such call")
        return await call(given)

    async def _breakdown(self, given: Mapping[str, Any]) -> Any:
        return await self._compared(
            Breakdown(
                **self._question(given),
                by=_text(given, "by"),
                limit=_number(given, "limit", 100),
                level=None if given.get("level") is None else _number(given, "level", 0),
            ),
            given,
        )

    async def _timeseries(self, given: Mapping[str, Any]) -> Any:
        zone = self._recorder.plan.timezone
        question = TimeSeries(**self._question(given), interval=_text(given, "interval", "hour"), timezone=zone)
        return await self._compared(question, given)

    def _question(self, given: Mapping[str, Any]) -> dict[str, Any]:
        start, end = self._period(given)
        kind = _text(given, "kind", "view")
        return {"site": self._recorder.plan.site, "kind": kind, "start": start, "end": end, "where": _where(given)}

    async def _compared(self, question: Breakdown | TimeSeries, given: Mapping[str, Any]) -> Any:
        answer, period = await self._backend.ask(question), given.get("compare")
        if not period:
            return answer
        if period not in comparing.PERIODS:
            raise RequestError(f"compare: must be one of {', '.join(comparing.PERIODS)}")
        before = comparing.earlier(question, period)
        return comparing.beside(answer, await self._backend.ask(before), before)

    async def _users(self, _: Mapping[str, Any]) -> list[dict[str, str]]:
        return [{"name": user.name, "role": user.role} for user in await self._backend.users()]

    async def _remove_user(self, given: Mapping[str, Any]) -> bool:
        """With its tokens: another account of that name is another person."""
        name = _text(given, "name")
        await self._office.write_down(COMMAND, "user.remove", name)
        for token in await self._office.entries("tokens", MOST_ROWS):
            if token.get("owner") == name:
                await self._office.remove("tokens", token["id"])
        return await self._backend.remove_user(name)

    async def _annotate(self, given: Mapping[str, Any]) -> str:
        day = _day(given, "day").isoformat() if given.get("day") else self._today().isoformat()
        await self._office.write_down(COMMAND, "note.add", day)
        await self._office.note(day, " ".join(_text(given, "text").split())[:LONGEST_NOTE])
        return day

    async def _add_token(self, given: Mapping[str, Any]) -> None:
        owner, name = _text(given, "owner"), _text(given, "name", "token")
        if await self._backend.user(owner) is None:
            raise RequestError(f"users: there is no user named {owner}")
        await self._office.write_down(COMMAND, "token.add", f"{name} of {owner}")
        row = {"name": name, "owner": owner, "digest": _text(given, "digest"), "created": int(given.get("created", 0))}
        await self._office.put("tokens", _text(given, "id"), row)

    async def _add_user(self, given: Mapping[str, Any]) -> None:
        await self._office.write_down(COMMAND, "user.add", f"{_text(given, 'name')} ({_text(given, 'role', 'viewer')})")
        await self._backend.add_user(
            _text(given, "name"), _text(given, "password_hash"), _text(given, "role", "viewer")
        )

    async def _count(self, given: Mapping[str, Any]) -> int:
        rows: Sequence[Any] = given.get("hits") or ()
        try:
            hits = [Hit.from_json(row) for row in rows]
        except (TypeError, ValueError):
            raise RequestError("hits: not as a recorder takes them") from None
        known_by = _texts(given, "known_by")
        await self._recorder.importing.hits(hits, known_by, int(given.get("lines") or 0), _import(given))
        return len(hits)

    async def _counted(self, given: Mapping[str, Any]) -> int:
        try:
            known_by = [(int(lines), str(digest)) for lines, digest in given.get("known_by") or ()]
        except (TypeError, ValueError):
            raise RequestError("known_by: not as a recorder takes it") from None
        return await self._recorder.importing.position(known_by)

    async def _begin(self, given: Mapping[str, Any]) -> None:
        await self._recorder.importing.begin(_days(given), _import(given))

    async def _done(self, given: Mapping[str, Any]) -> list[str]:
        return await self._recorder.close_imported(_days(given), _import(given))

    async def _close_day(self, given: Mapping[str, Any]) -> list[str]:
        if not given.get("day"):
            return await self._recorder.close_days()
        day = _day(given, "day")
        if day >= self._today():
            raise RequestError(f"day: {day} is not over yet")
        return await self._recorder.close_days(only=day)

    async def _revocations(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return self._recorder.revoking.page(given)

    async def _flush(self, _: Mapping[str, Any]) -> None:
        await self._recorder.flush()
        await self._recorder.ship()
        await self._recorder.snapshot()

    def _today(self) -> date:
        return self._recorder.today()

    def _period(self, given: Mapping[str, Any]) -> tuple[date, date]:
        end = _day(given, "to") if given.get("to") else self._today()
        start = _day(given, "from") if given.get("from") else end
        if start > end:
            raise RequestError(f"from: {start} is after {end}")
        return start, end


def _text(given: Mapping[str, Any], name: str, default: str = "") -> str:
    value = given.get(name) or default
    if not isinstance(value, str) or not value:
        raise RequestError(f"{name}: a text is needed")
    return value


def _texts(given: Mapping[str, Any], name: str) -> list[str]:
    values = given.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise RequestError(f"{name}: a list of texts is needed")
    return values


def _days(given: Mapping[str, Any]) -> list[str]:
    return [_day({"day": day}, "day").isoformat() for day in _texts(given, "days")]


def _import(given: Mapping[str, Any]) -> str:
    return str(given.get("import") or "")


def _number(given: Mapping[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if not isinstance(value, int) or not 0 <= value <= 100_000:
        raise RequestError(f"{name}: must be a number from 0 to 100000")
    return value


def _day(given: Mapping[str, Any], name: str) -> date:
    try:
        return date.fromisoformat(str(given.get(name)))
    except ValueError:
        raise RequestError(f"{name}: must be a day as YYYY-MM-DD") from None


def _where(given: Mapping[str, Any]) -> Where | None:
    where = given.get("where")
    if not where:
        return None
    text = ":".join(map(str, where)) if isinstance(where, list | tuple) else str(where)
    dimension, _, value = text.partition(":")
    if not dimension or not value:
        raise RequestError("where: must be DIMENSION:VALUE, such as country:DE")
    return dimension, value
