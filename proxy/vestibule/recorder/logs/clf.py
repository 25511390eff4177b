"""Common Log Format, and combined, as Apache and nginx write them."""

from __future__ import annotations

import re

from vestibule.core.agents import UNRECORDED
from vestibule.core.visit import Hit, is_asset
from vestibule.recorder.logs import fields
from vestibule.recorder.logs.fields import Clock, UnreadableError

_COMMON = (
    # A host is one only if three columns follow before the time, the first of them an address (and no name of a user
    # has blanks); what was taken is not given back, which costs most.
    r"(?:(?P<host>[\w.*-]++)(?::\d+)? (?=(?!- )\S+ \S+ [^\s\[]))?"
    r"(?P<address>[0-9A-Fa-f:.]+(?:%\w+)?|[\w.-]+|\[[0-9A-Fa-f:.]+\](?::\d+)?)"
    r" \S+ (?:[^\s\[]\S*(?: [^\[\s]\S*){0,3})"
    r' \[(?P<time>[^\]]{26})\] "(?P<request>[^"\\]*+(?:\\.[^"\\]*+)*+)" (?P<status>\d{3}) (?P<size>\d{1,18}|-)'
)
_QUOTED = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'


class Lines:
    """Common Log Format, and combined: the same with referrer and user agent. A virtual host may come first."""

    def __init__(self, site: str, combined: bool) -> None:
        self.name = "combined" if combined else "common"
        self._site = site
        self._pattern = re.compile(_COMMON + (f" {_QUOTED} {_QUOTED}" if combined else r"\s*$"))
        self._clock = Clock()

    def parse(self, line: str) -> Hit | None:
        match = self._pattern.match(line)
        if match is None:
            raise UnreadableError(f"not a line of the {self.name} format")
        host, address, time, request, status_text, size, *quoted = match.groups()
        method, _, rest = request.partition(" ")
        target, _, protocol = rest.rpartition(" ")
        if not protocol.startswith("HTTP/"):
            if not method.isalpha() or not rest.startswith("/"):
                raise UnreadableError("no HTTP request")
            target = rest
        named, path, query = fields.target(target)
        # Only what is told apart already, so that nothing escaped parts it anew.
        path, query = fields.unescape(path), fields.unescape(query)
        status = int(status_text)
        if is_asset(path, status):
            return None
        return Hit(
            site=self._site,
            time=self._clock(time),
            address=fields.address(address),
            method=method,
            host=named or fields.host(host) or self._site,
            path=path,
            query=query,
            status=status,
            size=int(size) if size != "-" else 0,
            agent=fields.field(quoted[1]) if quoted else UNRECORDED,
            referrer=fields.field(quoted[0]) if quoted else "",
        )
