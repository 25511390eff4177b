"""The words of the configuration: what something is loaded or stored for, and whether it may be.

By themselves, so that whoever reads the configuration need not load what signs and reads choices.
"""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """Why something is loaded or stored (the four purposes that consent is asked by)."""

    NECESSARY = "necessary"
    PREFERENCES = "preferences"
    STATISTICS = "statistics"
    MARKETING = "marketing"


ASKED: tuple[Purpose, ...] = (Purpose.PREFERENCES, Purpose.STATISTICS, Purpose.MARKETING)
"""The purposes that need consent, in the order in which they are shown."""


class State(StrEnum):
    """What the configuration says of a service."""

    ALLOW = "allow"
    ASK = "ask"
    BLOCK = "block"
