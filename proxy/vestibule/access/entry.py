"""One request in the access log, and how it is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime

SWITCHED = 101
FORBIDDEN = 403
FAILED = 500
UNREACHED = 502
LEFT = 499
"""The client left before there was an answer. No status of HTTP's, but what others write, too."""


class Entry:
    """What is known of an exchange so far.

    status: 0 until the answer begins. size: bytes of body handed to the connection. whole: the answer came to its end.
    first_byte: seconds until the site's answer began, None where it was not asked.
    """

    __slots__ = ("first_byte", "size", "status", "whole")

    def __init__(self) -> None:
        self.status = 0
        self.size = 0
        self.whole = False
        self.first_byte: float | None = None


class Writer:
    """Writes lines. It remembers the last second, as most lines are of the same."""

    def __init__(self) -> None:
        self._second = -1
        self._time = ""

    def line(
        self,
        time: float,
        network: str,
        method: str,
        path: str | None,
        entry: Entry,
        seconds: float,
        site: str = "",
    ) -> bytes:
        """A JSON object and a line end.

        time: seconds since the epoch, UTC. network: the truncated address, or an empty text. path: folded; None where
        the request was refused before it had one. seconds: that the exchange took. site: its name, where there are
        several.
        """
        parts = [
            f'{{"time":"{self._stamp(time)}","address":{json.dumps(network or None)},"method":{json.dumps(method)},'
            f'"path":{json.dumps(path)},"status":{entry.status},"bytes":{entry.size},"seconds":{seconds:.4f}'
        ]
        if entry.first_byte is not None:
            parts.append(f',"upstream_seconds":{entry.first_byte:.4f}')
        if site:
            parts.append(f',"site":{json.dumps(site)}')
        parts.append("}\n" if entry.whole else ',"cut":true}\n')
        return "".join(parts).encode("ascii")

    def _stamp(self, time: float) -> str:
        second = int(time)
        if second != self._second:
            self._second = second
            self._time = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._time
