"""What is known of an answer, for counting."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Seen:
    """What is known of the answer, for counting."""

    status: int = 0
    content_type: str = ""
    size: int = 0
    count: bool = True
    cookies: dict[str, str] = field(default_factory=dict)
