"""One request to our own addresses, and where what it brings goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from vestibule.privacy import answers
from vestibule.privacy.answers import Header
from vestibule.privacy.origin import local_path
from vestibule.privacy.texts import choose
from vestibule.privacy.visitor import Visitor

PREFIX = "/_privacy/"


class Counter(Protocol):
    """Counts what happens here."""

    def event(self, kind: str, event: Iterable[tuple[str, str]]) -> None:
        """A fact of its own: its kind and dimensions."""

    def blocked(self, service: str, purpose: str, reason: str) -> None:
        """Something that the policy held back."""


class Records(Protocol):
    """Keeps consent records durably."""

    async def keep(self, record: Mapping[str, object]) -> None:
        """Return once the record is on disk. Raises LinkError where it cannot be kept."""


class Exchange:
    """One request to our own addresses."""

    def __init__(self, visitor: Visitor, scope: Scope, receive: Receive, send: Send, counter: Counter) -> None:
        self.visitor = visitor
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope.get("query_string", b"").decode("latin-1")
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.receive = receive
        self.send = send
        self.counter = counter

    @property
    def asked_language(self) -> str:
        """The language that the address asks for, as links from a page do that is in another than the browser's."""
        return parse_qs(self.query[:500], max_num_fields=20).get("lang", [""])[0] if "lang=" in self.query else ""

    @property
    def content_type(self) -> str:
        """Of the body, as it was sent; '' where nothing was said."""
        return self.headers.get(b"content-type", b"").decode("latin-1")

    @property
    def wants_json(self) -> bool:
        """Whether our script asks, rather than a form."""
        return (
            b"application/json" in self.headers.get(b"accept", b"")
            or self.content_type.partition(";")[0].strip() == "application/json"
        )

    @property
    def language(self) -> str:
        """The language that we answer in."""
        return choose(self.visitor.language, self.asked_language)

    async def lead_back(self, target: str, headers: Iterable[Header]) -> None:
        """Answer a form: lead to a page of this site, whatever ``target`` says."""
        location = local_path(target).encode()
        await answers.answer(self.send, 303, b"", "", [(b"location", location), *answers.PRIVATE, *headers])


Handler = Callable[[Exchange], Awaitable[None]]
Routes = Mapping[str, Mapping[str, Handler]]
"""Path → method → what answers it."""
