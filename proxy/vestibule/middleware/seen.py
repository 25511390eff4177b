"""What is known of an answer, for counting."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class Seen:
    """What is known of the answer, for counting. size: of its body in bytes, as it was sent. count: the site does not
    ask us to leave it out. cookies: purposes of those that were held back, by service.

    (No dataclass: of most answers little is known, and this costs nothing for what stays as it is.)
    """

    status: int = 0
    content_type: str = ""
    size: int = 0
    count: bool = True
    cookies: Mapping[str, str] = MappingProxyType({})
