"""The graph that is drawn without JavaScript: an arcade of bars as one SVG path, a dashed line for what it is compared
with, and the words along its axes.

Coordinates are those of a view box of ``WIDTH`` × ``HEIGHT`` that the browser stretches; no text is inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from vestibule.dashboard.periods import Period

WIDTH = 1000
HEIGHT = 200


@dataclass(frozen=True, slots=True)
class Point:
    """time: local ISO text as the API gives it. label: for people. open: still being counted. before: the value at
    the same place of the period that is compared with, if any. notes: what was noted on the day. told: whether there
    is a number at all; it counts as 0 where there is none."""

    time: str
    label: str
    count: float
    open: bool = False
    before: float | None = None
    notes: tuple[str, ...] = ()
    told: bool = True


@dataclass(frozen=True, slots=True)
class Chart:
    """path, path_open: outlines of the bars (closed intervals; the current one). line: of what is compared with. top:
    the y axis' end. ticks: where words stand along the x axis, as per cent of its width, and the words.
    marks: the same for noted days."""

    points: tuple[Point, ...]
    path: str
    path_open: str
    line: str
    top: float
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[tuple[float, str], ...]

    @property
    def total(self) -> float:
        return sum(point.count for point in self.points)

    @property
    def compared(self) -> bool:
        return any(point.before is not None for point in self.points)


def draw(points: Sequence[Point], ticks: int = 7) -> Chart:
    top = nice_top(max((max(point.count, point.before or 0) for point in points), default=0))
    return Chart(
        points=tuple(points),
        path=bars(points, top, current=False),
        path_open=bars(points, top, current=True),
        line=line(points, top),
        top=top,
        ticks=pick_ticks(points, ticks),
        marks=tuple(
            (_middle(index, len(points)), " · ".join(point.notes)) for index, point in enumerate(points) if point.notes
        ),
    )


def nice_top(largest: float) -> float:
    """Return the even number of 4, 6, 8, 10, 12, 16, 20 … at or above ``largest``, at least 4; for shares of one and
    other small numbers with a fraction, a round one above."""
    if largest and largest != int(largest):
        return next((top for top in (0.1, 0.2, 0.5, 1, 2, 4, 6, 8, 10, 20, 50) if top >= largest), largest)
    scale = 1
    while True:
        for step in (4, 6, 8, 10, 12, 16, 20, 30):
            if step * scale >= largest:
                return step * scale
        scale *= 10


def bars(points: Sequence[Point], top: float, *, current: bool) -> str:
    """Return SVG path data: each bar stands on the floor; its height is the count's share of ``top``."""
    if not points:
        return ""
    slot = WIDTH / len(points)
    gap = min(slot * 0.3, 14)
    parts = []
    for index, point in enumerate(points):
        if point.open is not current or point.count <= 0:
            continue
        height = max(point.count / top * HEIGHT, 1.5)
        left, width = index * slot + gap / 2, slot - gap
        parts.append(f"M{left:.1f} {HEIGHT}v{-height:.1f}h{width:.1f}v{height:.1f}z")
    return "".join(parts)


def line(points: Sequence[Point], top: float) -> str:
    """Return SVG path data of what the points are compared with."""
    known = [(index, point.before) for index, point in enumerate(points) if point.before is not None]
    return "".join(
        f"{'L' if place else 'M'}{(index + 0.5) / len(points) * WIDTH:.1f} {HEIGHT - before / top * HEIGHT:.1f}"
        for place, (index, before) in enumerate(known)
    )


def pick_ticks(points: Sequence[Point], wanted: int) -> tuple[tuple[float, str], ...]:
    """Return at most ``wanted`` evenly spaced labels, the first point's among them, each below its bar."""
    if not points:
        return ()
    step = -(-len(points) // wanted)
    return tuple((_middle(index, len(points)), points[index].label) for index in range(0, len(points), step))


def _middle(index: int, number: int) -> float:
    return round((index + 0.5) / number * 100, 2)


def _short(day: date) -> str:
    return f"{day.day} {day:%b}"


def by_day(
    counts: Mapping[str, float],
    period: Period,
    today: date,
    name: Callable[[date], str] = _short,
    *,
    gaps: bool = False,
) -> list[Point]:
    """Return a point for each day of the period; ``counts`` by ISO date. gaps: a day without a count has none; else it
    counts nothing."""
    points = []
    for offset in range(period.days):
        day = period.start + timedelta(days=offset)
        text = day.isoformat()
        told = text in counts or not gaps
        points.append(Point(text, name(day), counts.get(text, 0), day == today, told=told))
    return points


def by_hour(
    counts: Mapping[str, float], period: Period, now: datetime, name: Callable[[date], str] = _short
) -> list[Point]:
    """Return a point for each hour of the period's days; ``counts`` by ``2026-11-22T10:00``."""
    points = []
    for offset in range(period.days * 24):
        hour = datetime.combine(period.start, datetime.min.time()) + timedelta(hours=offset)
        text = hour.strftime("%Y-%m-%dT%H:00")
        label = f"{hour:%H}:00" if period.days == 1 else f"{name(hour)} {hour:%H}:00"
        points.append(Point(text, label, counts.get(text, 0), text == now.strftime("%Y-%m-%dT%H:00")))
    return points


def by_minute(counts: Mapping[str, float], now: datetime, minutes: int) -> list[Point]:
    """Return the last ``minutes`` minutes, the current one included; ``counts`` by ``2026-11-22T10:05``."""
    points = []
    for back in range(minutes - 1, -1, -1):
        minute = now - timedelta(minutes=back)
        text = minute.strftime("%Y-%m-%dT%H:%M")
        points.append(Point(text, f"{minute:%H:%M}", counts.get(text, 0), back == 0))
    return points


def compared(points: Sequence[Point], before: Sequence[Point]) -> list[Point]:
    """Return points with the values of the period before at the same places."""
    return [
        replace(point, before=before[index].count if index < len(before) and before[index].told else None)
        for index, point in enumerate(points)
    ]


def noted(points: Sequence[Point], notes: Mapping[str, Sequence[str]]) -> list[Point]:
    """Return points with the notes of their days (ISO dates); of an hourly graph the day's first hour has them."""
    seen: set[str] = set()
    found = []
    for point in points:
        day = point.time[:10]
        found.append(point if day in seen or day not in notes else replace(point, notes=tuple(notes[day])))
        seen.add(day)
    return found


def counts_of(points: Sequence[Mapping[str, object]], length: int) -> dict[str, int]:
    """Return the API's points by time, cut to ``length`` characters; those of one time (an hour that comes twice at
    the end of summer time) add up."""
    counts: dict[str, int] = {}
    for point in points:
        time = str(point["time"])[:length]
        counts[time] = counts.get(time, 0) + int(str(point["count"]))
    return counts
