"""The recorders of one instance's sites: what workers send goes to the one whose site it is of.

Each further site (``sites/NAME/``) counts for itself, with keys and a spool of its own. All share the first one's
connection to the store, since an embedded one can be opened once only, and its list of revocations, whose marks are
keyed by the site.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vestibule.core.visit import Hit
from vestibule.link import Delivery
from vestibule.recorder.backend import Calls, RequestError
from vestibule.recorder.revoking import is_revocation
from vestibule.recorder.service import Recorder

FOLDER = "sites"
"""Folder in the state folder that holds a folder for each further site."""


def folder(state: Path, profile: str) -> Path:
    """Where the recorder of a site keeps its files, by the name of the site's folder; empty for the first one."""
    return state / FOLDER / profile if profile else state


class Sites:
    """The first site's recorder and those of further ones, by the names of their folders. ``start`` and ``run`` it, and
    ``stop`` it at the end."""

    def __init__(self, first: Recorder) -> None:
        self.first = first
        self._of: dict[str, Recorder] = {"": first}
        self._named = {first.plan.site: first}
        self._running = False

    def __iter__(self) -> Iterator[Recorder]:
        # As they are now: who goes through them waits between two, and meanwhile one may come or go.
        return iter(tuple(self._of.values()))

    def __contains__(self, profile: str) -> bool:
        return profile in self._of

    def __getitem__(self, profile: str) -> Recorder:
        return self._of[profile]

    def leave(self, there: Collection[str]) -> None:
        """Tell the recorders which sites there are: one that is gone begins no further day."""
        for profile, recorder in self._of.items():
            recorder.leaving = profile not in there
            recorder.left = recorder.left and recorder.leaving
        self._named = self._by_name()

    @property
    def left(self) -> list[str]:
        """The sites that are gone, and of which no day is open any more."""
        return [profile for profile, recorder in self._of.items() if recorder.leaving and recorder.left]

    async def add(self, profile: str, recorder: Recorder) -> None:
        """Take in another site's recorder, and start it. Raises SpoolError, and then it is not taken in."""
        await recorder.start()
        if self._running:
            recorder.run()
        self._of[profile] = recorder
        self._named = self._by_name()

    async def remove(self, profile: str) -> None:
        """Stop the recorder of a further site that is gone."""
        recorder = self._of.pop(profile)
        self._named = self._by_name()
        await recorder.stop()

    def run(self) -> None:
        """Start the loops of all."""
        self._running = True
        for recorder in self:
            recorder.run()

    async def stop(self) -> None:
        """Stop all; the first one last, for it holds the store."""
        first, *further = self
        for recorder in further:
            await recorder.stop()
        await first.stop()

    # - intake

    async def hits(
        self, hits: Sequence[Hit], dropped: int = 0, delivery: Delivery | None = None
    ) -> asyncio.Future[Any] | None:
        """Count what workers saw, each site its own; what is of no site known here the first one drops, and counts that
        it did. dropped: what they could not send. delivery: which message it was; what was counted of it before is not
        counted again. Returns, where there is one, what is done once this and all before it is on disk. Raises
        SpoolError where a recorder ends."""
        sorted_: dict[Recorder, list[Hit]] = {}
        for hit in hits:
            sorted_.setdefault(self._named.get(hit.site, self.first), []).append(hit)
        fresh = [await recorder.hits(theirs, 0, delivery) for recorder, theirs in sorted_.items()]
        if delivery is None or not hits or any(fresh):
            self.first.dropped += dropped
        if delivery is None:
            return None
        if delivery.last:
            # Their sender waits to end.
            for recorder in self:
                recorder.hurry()
        # All of them, though this message may be about one: it is said of those before it too, and of these some may
        # wait for another's disk.
        return asyncio.gather(*(recorder.kept() for recorder in self))

    async def record(self, record: Mapping[str, Any]) -> None:
        """See ``Recorder.record``."""
        await self._keeper(record).record(record)

    async def records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """See ``Recorder.records``."""
        theirs: dict[Recorder, list[Mapping[str, Any]]] = {}
        for record in records:
            theirs.setdefault(self._keeper(record), []).append(record)
        for recorder, some in theirs.items():
            await recorder.records(some)

    def _keeper(self, record: Mapping[str, Any]) -> Recorder:
        # Workers follow one list of what is revoked.
        return self.first if is_revocation(record) else self._named.get(str(record.get("site")), self.first)

    def _by_name(self) -> dict[str, Recorder]:
        """By what the sites are called. Where a site's folder was given another name there are two of one, until this
        process ends: it is the one's that stays."""
        return {each.plan.site: each for each in sorted(self._of.values(), key=lambda each: not each.leaving)}


class SiteCalls:
    """The calls of every site: ``site`` among what is given names its folder; without it the first site is asked."""

    def __init__(self) -> None:
        self._calls: dict[str, Calls] = {}

    def add(self, profile: str, calls: Calls) -> None:
        self._calls[profile] = calls

    def remove(self, profile: str) -> None:
        self._calls.pop(profile, None)

    async def __call__(self, name: str, given: Mapping[str, Any]) -> Any:
        """See ``Calls.__call__``."""
        calls = self._calls.get(str(given.get("site") or ""))
        if calls is None:
            raise RequestError(f"site: there is no site {given.get('site')} here")
        return await calls(name, given)
