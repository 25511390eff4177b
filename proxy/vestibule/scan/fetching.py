"""Reads pages of a site over HTTP, politely: one at a time, at a pace, in bounds, and only the site's own."""

from __future__ import annotations

import http.client
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from vestibule import __version__
from vestibule.core.errors import VestibuleError

USER_AGENT = f"Vestibule/{__version__} (looks at which third parties a site loads)"
MAX_BYTES = 4 << 20
"""Bytes that are read of an answer; what comes after is not looked at."""
MAX_REDIRECTS = 5
TIMEOUT = 10.0
"""Seconds of silence after which an answer is given up."""
WHOLE = 30.0
"""Seconds for the whole of an answer; what has come by then is what there is."""
_PIECE = 65536
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Header = tuple[str, str]


class FetchError(VestibuleError):
    """A page could not be read: the site does not answer, or not in HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. url: where it came from, after redirects. headers: in order, names in lower case. body: at most
    ``MAX_BYTES``, without its content coding."""

    url: str
    status: int
    headers: tuple[Header, ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    @property
    def type(self) -> str:
        """The media type, in lower case, without parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()


class Fetcher:
    """Fetches one address after the other.

    delay: seconds between two requests. deadline: on ``clock``, after which nothing is fetched any more. own: tells
    whether an address is the site's own; redirects to any other are not followed, but handed over as they are.
    """

    def __init__(
        self,
        *,
        delay: float,
        deadline: float,
        own: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.delay = delay
        self.requests = 0
        self._deadline = deadline
        self._own = own
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0
        self._opener = OpenerDirector()
        for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
            self._opener.add_handler(handler)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self._clock() >= self._deadline

    def get(self, url: str) -> tuple[Answer, ...]:
        """Fetch an address: the answer comes last, before it those that led there. Raises FetchError."""
        answers: list[Answer] = []
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._one(url)
            answers.append(answer)
            target = urljoin(url, answer.header("location")) if answer.status in _REDIRECTS else ""
            if not target or not self._own(target):
                return tuple(answers)
            url = target
        raise FetchError(f"{answers[0].url} leads from one redirect to the next")

    def _one(self, url: str) -> Answer:
        if urlsplit(url).scheme not in ("http", "https"):
            raise FetchError(f"{url} is no address of the web")
        if self.over:
            raise FetchError("the time is up")
        pause = self._next - self._clock()
        if pause > 0:
            self._sleep(pause)
        self._next = self._clock() + self.delay
        self.requests += 1
        headers = {"User-Agent": USER_AGENT, "Accept": "text/html,*/*;q=0.5", "Accept-Encoding": "identity"}
        try:
            with self._opener.open(Request(url, headers=headers), timeout=TIMEOUT) as answer:  # noqa: S310 - checked
                found = tuple((name.lower(), value) for name, value in answer.headers.items())
                body = self._body(answer)
                status = int(answer.status)
        except (OSError, http.client.HTTPException, URLError, ValueError, UnicodeError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise FetchError(f"{url} cannot be read: {str(words).lower()}") from None
        coding = next((value for name, value in found if name == "content-encoding"), "")
        return Answer(url, status, found, _decoded(body, coding.strip().lower()))

    def _body(self, answer: http.client.HTTPResponse) -> bytes:
        end = self._clock() + WHOLE
        pieces: list[bytes] = []
        left = MAX_BYTES
        while left > 0 and self._clock() < end:
            piece = answer.read1(min(left, _PIECE))
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


def _decoded(body: bytes, coding: str) -> bytes:
    """Some servers compress without being asked to. What cannot be read is nothing."""
    if coding not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(47).decompress(body, MAX_BYTES)
    except zlib.error:
        return b""
