"""The socket between workers and the recorder: both ends, and a plain client for commands.

A Unix stream socket, mode 0600. Messages are JSON behind four bytes of length, big-endian, at most ``MAX_FRAME`` bytes:

    {"hits": [[…], …], "from": "…", "number": 17, "last": false}
    {"kept": 17}                             what was seen; answered once this and all before it of that sender is on
                                             disk
    {"hits": [], "dropped": 3, "refusals": {"400": 2}, "meter": {…}}
                                             what was dropped, what was not even read, and, once a second, what was
                                             measured since the last time; no answer
    {"id": 7, "record": {…}}                 a consent record or a revocation; answered once it is on disk
    {"id": 8, "call": "breakdown", "with": {…}}
    {"id": 8, "result": …}                   or  {"id": 8, "error": "one line"}
    {"id": 9, "call": "revocations", "with": {"epoch": "…", "after": 0}}

Nobody waits for hits: a worker keeps at most ``capacity`` of them while the recorder is away, then drops the newest
and counts what it dropped; rows that are no hits to the recorder, as of a worker of another version, count as dropped.
A worker holds what it handed over until the recorder says that it is on disk, and hands it to the next one where that
dies before; ``from`` (a name that each sender makes up) and ``number`` say what the spool has already. So what is lost
with a recorder are the visits that go on, which it has in memory only; with a worker what it had not handed over; with
both, where they are killed together, what the worker held. Both ends are of one version: a worker that heard nothing of
what is kept would hold it for ever.
Consent records and calls have their own connection, so that they never wait behind hits; so have the
revocations, for which every worker asks each second.
"""

from __future__ import annotations

from vestibule.link.asking import call
from vestibule.link.frames import MAX_FRAME
from vestibule.link.mirror import ASK_EVERY, STALE, Mirror
from vestibule.link.receiving import Receiver
from vestibule.link.sending import FLUSH_EVERY, METER_EVERY, TRY_AGAIN, Sender
from vestibule.link.unkept import Delivery

__all__ = [
    "ASK_EVERY",
    "FLUSH_EVERY",
    "MAX_FRAME",
    "METER_EVERY",
    "SOCKET",
    "STALE",
    "TRY_AGAIN",
    "Delivery",
    "Mirror",
    "Receiver",
    "Sender",
    "call",
]

SOCKET = "recorder.sock"
"""The socket's name in the state folder."""
