"""The access log: what was asked and answered, without who asked.

Off unless the operator wants it, since all else that is kept are counts. A line holds no cookie, no query, no agent, no
referrer; the address is cut as everywhere (IPv4 /24, IPv6 /48), and e-mail addresses, numbers and tokens in the path
are folded as for counting.
"""

from __future__ import annotations

from vestibule.access.app import ENTRY, SITE, AccessLog, timed
from vestibule.access.sink import OFF, Sink

__all__ = ["ENTRY", "OFF", "SITE", "AccessLog", "Sink", "timed"]
