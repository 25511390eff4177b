"""A browser's cookie jar (RFC 6265bis, sections 5.7.3 and 5.8.3), for tests that need no browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from vestibule.core.cookies import Pair, SetCookie, serialize_cookie
from vestibule.core.jar import Stored, store


@dataclass
class Jar:
    """now: seconds since the epoch; tests move it. is_suffix: which domains are public suffixes."""

    now: int
    is_suffix: Callable[[str], bool] = lambda domain: "." not in domain
    stored: list[Stored] = field(default_factory=list)

    def receive(self, header: str, host: str, path: str = "/", *, secure: bool = False) -> None:
        """Take a ``Set-Cookie``."""
        cookie = SetCookie.parse(header)
        new = (
            None if cookie is None else store(cookie, host, path, secure=secure, now=self.now, is_suffix=self.is_suffix)
        )
        if new is None:
            return
        for index, old in enumerate(self.stored):
            if (old.name, old.domain, old.host_only, old.path) == (new.name, new.domain, new.host_only, new.path):
                # The place of the old one stays: it counts as created when that was.
                self.stored[index] = new
                break
        else:
            self.stored.append(new)
        self._forget()

    def _forget(self) -> None:
        self.stored = [each for each in self.stored if each.ends is None or each.ends > self.now]

    def pairs(self, host: str, path: str = "/", *, secure: bool = False) -> list[Pair]:
        """What is sent: longer paths first, then what was created earlier."""
        self._forget()
        going = [each for each in self.stored if each.goes_to(host, path, secure=secure)]
        return [Pair(each.name, each.value) for each in sorted(going, key=lambda each: -len(each.path))]

    def header(self, host: str, path: str = "/", *, secure: bool = False) -> str:
        """The ``Cookie`` header, empty where there is none."""
        return serialize_cookie(self.pairs(host, path, secure=secure))

    def close(self) -> None:
        """The browser is closed: what is temporary goes."""
        self.stored = [each for each in self.stored if each.ends is not None]

    def value(self, name: str) -> str | None:
        return next((each.value for each in self.stored if each.name == name), None)

    def change(self, name: str, value: str) -> None:
        """Tamper with a cookie."""
        self.stored = [replace(each, value=value) if each.name == name else each for each in self.stored]
