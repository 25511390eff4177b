"""The store: ClickHouse, or chDB inside this process, behind one set of methods."""

from __future__ import annotations

from vestibule.store.questions import Breakdown, Question, TimeSeries
from vestibule.store.store import Closing, DayClosedError, Store, User, open_store

__all__ = ["Breakdown", "Closing", "DayClosedError", "Question", "Store", "TimeSeries", "User", "open_store"]
