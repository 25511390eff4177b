"""An admin app over numbers in memory, for the tests of the dashboard and of the API."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from starlette.applications import Starlette

from tests.servers import serve_asgi
from vestibule.core.errors import StoreError
from vestibule.dashboard import Settings, create_app
from vestibule.dashboard.office import Table
from vestibule.dashboard.passwords import hash_password
from vestibule.dashboard.sessions import Session, Sessions, fingerprint
from vestibule.dashboard.trackers import Desk
from vestibule.dashboard.values import RARE

SITE = "relaso.com"
ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 22, 14, 37, tzinfo=ZONE)
SNAPSHOT = int(NOW.timestamp()) - 7 * 60
PASSWORD = "an arch of quiet stone"

Rows = list[tuple[str, int, int]]

VALUES: dict[tuple[str, str], Rows] = {
    ("view", "referrer"): [
        ("internal", 5210, 2210),
        ("direct", 2841, 1920),
        ("search: Google", 2204, 1630),
        ("social: LinkedIn", 894, 702),
        ("assistant: ChatGPT", 612, 498),
        ("news.ycombinator.com/item", 431, 388),
        ("mail", 240, 201),
        ("search: Bing", 187, 149),
        ("www.g2.com (others)", 96, 81),
        ("social (others)", 41, 37),
        ("partner.example/tools", 22, 19),
    ],
    ("view", "campaign"): [("(none)", 12000, 5100), ("autumn-launch", 530, 402), ("newsletter-46", 201, 177)],
    ("view", "medium"): [("(none)", 11000, 4800), ("email", 240, 201), ("cpc", 190, 160)],
    ("view", "page"): [
        ("/", 3920, 2980),
        ("/pricing", 2110, 1604),
        ("/blog/2026/why-counts-are-enough", 1493, 1288),
        ("/app/deals/:id", 1320, 214),
        ("/features", 902, 733),
        ("/contact", 411, 367),
        ("/blog/2026/* (others)", 322, 240),
        ("/login", 301, 260),
        ("/imprint", 88, 80),
        ("/docs/import/a-page-with-a-name-that-is-so-long-that-it-would-not-fit-into-any-panel-of-any-width", 64, 51),
        ("/privacy", 40, 38),
    ],
    ("view", "browser"): [
        ("Chrome 142", 5200, 2300),
        ("Safari 19", 2510, 1260),
        ("Firefox 145", 1490, 690),
        ("Edge 142", 1203, 610),
        ("Chrome (others)", 711, 350),
        ("Samsung Internet 29", 140, 90),
    ],
    ("view", "os"): [
        ("Windows 11", 5200, 2300),
        ("iOS 19", 2100, 1060),
        ("Mac OS X 15", 1490, 690),
        ("Android 16", 900, 500),
    ],
    ("view", "country"): [
        ("DE", 6100, 2700),
        ("AT", 1500, 720),
        ("CH", 1330, 610),
        ("US", 1100, 590),
        ("NL", 540, 260),
        ("GB", 410, 190),
        ("FR", 190, 99),
        ("Europe (others)", 84, 71),
    ],
    ("view", "language"): [("de-DE", 6100, 2700), ("en-US", 3300, 1500), ("nl", 430, 210)],
    ("view", "device"): [("desktop", 8100, 3420), ("mobile", 2900, 1690), ("tablet", 254, 190)],
    ("view", "previous"): [
        ("(none)", 5600, 4900),
        ("/", 2100, 1700),
        ("/pricing", 904, 700),
        ("/features", 410, 390),
        ("/blog/2026/* (others)", 120, 90),
    ],
    ("visit", "entry"): [("/", 2100, 2000), ("/pricing", 800, 760)],
    ("visit", "depth"): [("1", 2200, 2100), ("2", 900, 850), ("3", 610, 600), ("4", 350, 340), ("5-9", 240, 230)],
    ("visit", "duration"): [
        ("0-9 s", 1800, 1700),
        ("10-59 s", 900, 850),
        ("1-2 min", 700, 650),
        ("3-9 min", 400, 390),
        ("10-29 min", 100, 90),
    ],
    ("event", "name"): [("demo-request", 71, 66), ("video-play", 40, 31)],
    ("pixel", "name"): [("newsletter-46", 320, 300)],
    ("bot", "name"): [("Googlebot", 4100, 30), ("GPTBot", 2200, 12), ("bingbot", 1400, 20), ("AhrefsBot", 900, 9)],
    ("bot", "page"): [("/", 1900, 30), ("/robots.txt", 1200, 44), ("/old-pricing", 210, 12)],
    ("bot", "status"): [("200", 7300, 60), ("404", 900, 31)],
    ("consent", "purpose"): [("statistics", 1090, 1080), ("marketing", 930, 921), ("preferences", 1011, 1001)],
    ("consent", "surface"): [("banner", 2100, 2090), ("centre", 160, 155), ("signal", 93, 93)],
    ("error", "page"): [("/old-pricing", 61, 44), ("/wp-login.php", 33, 12), ("/blog/feed (others)", 12, 9)],
    ("error", "status"): [("404", 101, 60), ("502", 7, 6)],
    ("blocked", "service"): [
        ("google-tag-manager", 4210, 2701),
        ("google-analytics", 4103, 2688),
        ("meta-pixel", 3990, 2604),
        ("hotjar", 3904, 2590),
        ("linkedin-insight", 3720, 2504),
        ("hubspot", 2288, 1804),
        ("intercom", 1130, 870),
        ("youtube", 404, 377),
        ("unknown:cdn.stranger.example", 230, 180),
        ("google-fonts", 120, 99),
        ("cookie:rl_visitor", 101, 98),
    ],
    ("consent", "choice"): [("accept", 902, 902), ("reject", 1210, 1209), ("save", 241, 240), ("objection", 88, 88)],
}
DAILY = {"view": 1600, "blocked": 2100, "error": 15, "visit": 700, "asked": 9000, "consent": 4000}


@dataclass(slots=True)
class MemoryOffice:
    """``failing``: whether every method raises."""

    rows: dict[Table, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    failing: bool = False

    async def entries(self, table: Table, limit: int = 1000) -> Sequence[Mapping[str, Any]]:
        self._fail()
        return [{**row, "id": id_} for id_, row in reversed(self.rows.get(table, {}).items())][:limit]

    async def put(self, table: Table, id_: str, row: Mapping[str, Any]) -> None:
        self._fail()
        self.rows.setdefault(table, {})[id_] = dict(row)

    async def remove(self, table: Table, id_: str) -> bool:
        self._fail()
        return self.rows.get(table, {}).pop(id_, None) is not None

    async def days(self) -> Mapping[str, Any]:
        self._fail()
        return {"open": ["2026-11-22"], "closed": 702, "last": "2026-11-21"}

    def _fail(self) -> None:
        if self.failing:
            raise StoreError("the store does not answer")


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    password_hash: str
    role: str = "viewer"


@dataclass(slots=True)
class MemoryBackend:
    """``failing``: names of methods, or kinds of facts, that raise. ``asked``: what came in."""

    values: dict[tuple[str, str], Rows] = field(default_factory=lambda: dict(VALUES))
    daily: dict[str, int] = field(default_factory=lambda: dict(DAILY))
    rare: tuple[int, int] = (37, 21)
    failing: set[str] = field(default_factory=set)
    people: dict[str, Person] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    snapshot: int = SNAPSHOT

    async def breakdown(
        self,
        *,
        site: str,
        kind: str,
        by: str,
        start: date,
        end: date,
        where: tuple[str, str] | None = None,
        limit: int = 100,
        level: int | None = None,
    ) -> Mapping[str, Any]:
        self._note("breakdown", kind, site=site, by=by, start=start, end=end, where=where, limit=limit, level=level)
        share = (0.12 if where[0] == "page" else 0.31) if where else 1.0
        rows = [
            {"value": value, "count": math.ceil(count * share), "visitors": math.ceil(visitors * share)}
            for value, count, visitors in self.values.get((kind, by), [])
        ]
        rare = self.rare if (kind, by) in self.values else (0, 0)
        return {
            "rows": rows[:limit],
            "rare": {"count": rare[0], "visitors": rare[1]},
            "provisional": start <= NOW.date() <= end,
        }

    async def timeseries(
        self, *, site: str, kind: str, interval: str, start: date, end: date, where: tuple[str, str] | None = None
    ) -> Mapping[str, Any]:
        self._note("timeseries", kind, site=site, interval=interval, start=start, end=end, where=where)
        points: list[dict[str, Any]] = []
        step = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}[interval]
        at, now = datetime.combine(start, datetime.min.time()), NOW.replace(tzinfo=None)
        while at < datetime.combine(end, datetime.min.time()) + timedelta(days=1) and at <= now:
            count = _wave(at, interval, self.daily.get(kind, 0) * self._share(kind, where))
            text = at.date().isoformat() if interval == "day" else at.isoformat(timespec="minutes")
            if count:
                points.append({"time": text, "count": count})
                if interval == "day":
                    points[-1]["visitors"] = count // 3
            at += step
        return {"points": points}

    async def answers(self, asked: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any] | None]:
        found: list[Mapping[str, Any] | None] = []
        for each in asked:
            try:
                found.append(await (self.breakdown(**each) if "by" in each else self.timeseries(**each)))
            except StoreError:
                found.append(None)
        return found

    async def health(self) -> Mapping[str, Any]:
        if "health" in self.failing:
            raise StoreError("the store does not answer")
        spool = {"hashes": 12, "bytes": 4096, "shed": 0}
        found = {"store": "ok", "spool": spool, "facts": {"view": 9}, "dropped": 3, "snapshot": self.snapshot}
        return {**found, "config": self.config}

    async def consent_record(self, record: str) -> Mapping[str, Any] | None:
        self._fail("consent_record")
        return {"id": record, "site": SITE, "purposes": ["statistics"]} if record == "r1" else None

    async def user(self, name: str) -> Person | None:
        self._fail("user")
        return self.people.get(name)

    async def users(self) -> Sequence[Person]:
        self._fail("users")
        return list(self.people.values())

    async def add_user(self, name: str, password_hash: str, role: str) -> None:
        self._fail("add_user")
        self.people[name] = Person(name, password_hash, role)

    async def remove_user(self, name: str) -> bool:
        return self.people.pop(name, None) is not None

    def _share(self, kind: str, where: tuple[str, str] | None) -> float:
        """Of a consent what has a value, of anything else as much as has any."""
        if where is None or kind != "consent":
            return 0.3 if where else 1
        counts = {value: count for value, count, _ in self.values.get((kind, where[0]), [])}
        counts[RARE] = self.rare[0]
        return counts.get(where[1], 0) / sum(counts.values())

    def _note(self, method: str, kind: str, **asked: Any) -> None:
        self.asked.append({"method": method, "kind": kind, **asked})
        self._fail(method, kind)

    def _fail(self, *names: str) -> None:
        if self.failing.intersection(names):
            raise StoreError("the store does not answer")


def _wave(at: datetime, interval: str, daily: float) -> int:
    """A week's and a day's rhythm."""
    weekday = 0.45 if at.weekday() >= 5 else 1.0
    noise = 0.85 + 0.3 * ((at.toordinal() * 7919 + at.hour * 104729 + at.minute * 15485863) % 97) / 97
    if interval == "day":
        hours = (at + timedelta(hours=hour) for hour in range(24))
        return sum(_wave(hour, "hour", daily) for hour in hours if hour <= NOW.replace(tzinfo=None))
    day = max(0.05, math.sin((at.hour + at.minute / 60 - 5) / 24 * math.tau * 0.72)) if 5 <= at.hour < 23 else 0.06
    share = daily * weekday * noise * day / 12
    return round(share) if interval == "hour" else round(share / 60 * 1.4)


@dataclass(slots=True)
class Clock:
    now: float = NOW.timestamp()

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class Admin:
    """A served admin app. ``url`` has no slash at its end."""

    url: str
    app: Starlette
    backend: MemoryBackend
    clock: Clock
    office: MemoryOffice

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=10, verify=False, **options)

    @contextlib.contextmanager
    def signed_in(self, name: str = "ada", **options: Any) -> Iterator[httpx.Client]:
        with self.client(**options) as client:
            # Signing in itself takes a slow hash; that it works is a test of its own.
            known = settings()
            session = Session(name, fingerprint(self.backend.people[name].password_hash), "test", int(self.clock()))
            client.cookies.set("vestibule-admin", Sessions(known.secrets, known.site).dumps(session))
            yield client


_HASHES: dict[str, str] = {}


def settings(**changes: Any) -> Settings:
    return Settings(
        **{"site": SITE, "timezone": "Europe/Berlin", "secrets": ("secret-for-tests-only",), "remember": 0, **changes}
    )


def person(name: str = "ada", role: str = "viewer") -> Person:
    return Person(name, _HASHES.setdefault(PASSWORD, hash_password(PASSWORD)), role)


@contextlib.contextmanager
def admin(
    backend: MemoryBackend | None = None,
    *,
    office: MemoryOffice | None = None,
    desk: Desk | None = None,
    **changes: Any,
) -> Iterator[Admin]:
    """Serve an admin app at a fixed time, with the viewer ``ada`` unless the backend has people."""
    if backend is None:
        backend = MemoryBackend(people={"ada": person()})
    clock, office = Clock(), office or MemoryOffice()
    app = create_app(backend, settings(**changes), clock, office=office, desk=desk)
    with serve_asgi(app) as url:
        yield Admin(url, app, backend, clock, office)
