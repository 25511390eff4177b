"""The store: ClickHouse, or chDB inside this process, behind one set of methods."""

from __future__ import annotations

from vestibule.store.store import DayClosedError, Store, User, open_store

__all__ = ["DayClosedError", "Store", "User", "open_store"]
