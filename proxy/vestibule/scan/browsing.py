"""Visits pages in a real browser, without any choice, and writes down what it contacts, sets and stores.

Needs Playwright (the extra ``vestibule[browser]``) and a Chromium on this machine; nothing is downloaded. Requests go
out as a visitor's would: whoever the site loads learns of the visit.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vestibule.core.errors import VestibuleError
from vestibule.scan.crawling import Progress, no_progress
from vestibule.scan.sightings import Contact, How, SetCookie, Sightings, Stored

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Frame, Page, Request

CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 20_000
"""Milliseconds for a page to load; what has come by then is what there is."""
SETTLING = 1_500
"""Milliseconds after a page has loaded and was scrolled through, in which late things come."""

_KINDS = {
    "document": "frame",
    "stylesheet": "style",
    "image": "image",
    "media": "media",
    "font": "style",
    "script": "script",
    "texttrack": "media",
    "manifest": "manifest",
    "ping": "ping",
}
"""Playwright's types of resources; all others (fetch, WebSocket, …) are what scripts do."""

_SCROLL = """async () => {
  for (let y = 0; y < Math.min(document.documentElement.scrollHeight, 30000); y += 700) {
    scrollTo(0, y);
    await new Promise(resolve => setTimeout(resolve, 30));
  }
  scrollTo(0, 0);
}"""
_STORAGE = """async () => {
  const found = [];
  for (const [area, storage] of [['local', () => localStorage], ['session', () => sessionStorage]]) {
    try { for (const key of Object.keys(storage())) found.push([area, key]); } catch {}
  }
  try { for (const each of await indexedDB.databases()) found.push(['indexeddb', each.name]); } catch {}
  try { for (const name of await caches.keys()) found.push(['cache', name]); } catch {}
  return found.slice(0, 500);
}"""


class BrowserError(VestibuleError):
    """There is no browser to be had: the message says what is missing."""


def browse(
    pages: Sequence[str],
    sightings: Sightings,
    *,
    seconds: float,
    progress: Progress = no_progress,
    arguments: Sequence[str] = (),
    settling: int = SETTLING,
) -> list[str]:
    """Visit pages one after the other, in one profile, into ``sightings``; returns what went wrong, in words.

    seconds: after which no further page is visited. arguments: more of them for Chromium. Raises BrowserError.
    """
    notes: list[str] = []
    end = time.monotonic() + seconds
    with _context(arguments) as context:
        visit = _Visit(sightings, pages)
        context.on("request", visit.requested)
        context.on("page", visit.opened)
        for done, url in enumerate(pages):
            if time.monotonic() >= end:
                notes.append(f"stopped after {seconds:g} s: {len(pages) - done} pages were not seen in the browser")
                break
            progress(done, len(pages), url)
            visit.go(context, url, settling, notes)
        for cookie in context.cookies():
            visit.cookie(cookie)
    return notes


@contextmanager
def _context(arguments: Sequence[str]) -> Iterator[BrowserContext]:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise BrowserError('--browser needs the extra "browser": pip install "vestibule[browser]"') from None
    executable = next(filter(None, map(shutil.which, CANDIDATES)), None)
    if executable is None:
        raise BrowserError("--browser needs Chromium, and there is none on the PATH (on Debian: the package chromium)")
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as running:
        try:
            browser = running.chromium.launch(executable_path=executable, args=[*ARGUMENTS, *sandbox, *arguments])
        except Error as error:
            raise BrowserError(f"Chromium does not start: {error.message.partition(chr(10))[0]}") from None
        try:
            with browser.new_context(accept_downloads=False) as context:
                context.set_default_timeout(PATIENCE)
                yield context
        finally:
            browser.close()


class _Visit:
    """Turns what the browser tells into sightings."""

    def __init__(self, sightings: Sightings, pages: Sequence[str]) -> None:
        self._sightings = sightings
        self._own = {urlsplit(page).netloc.lower() for page in pages}
        self._page = ""
        self._main: Page | None = None

    def go(self, context: BrowserContext, url: str, settling: int, notes: list[str]) -> None:
        from playwright.sync_api import Error

        self._page = url
        page = self._main = context.new_page()
        page.on("websocket", lambda socket: self._contact(socket.url, "script", ""))
        try:
            page.goto(url, wait_until="load", timeout=PATIENCE)
        except Error as error:
            notes.append(f"{url}: {error.message.partition(chr(10))[0]}")
        with suppress(Error):
            page.evaluate(_SCROLL)
            page.wait_for_timeout(settling)
        for frame in page.frames:
            with suppress(Error):
                self._stored(frame)
        page.close()

    def opened(self, page: Page) -> None:
        """Windows that pages open are closed at once: they are not the site's."""
        if self._main is not None and page is not self._main and not self._main.is_closed():
            with suppress(Exception):
                page.close()

    def requested(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("http", "https", "ws", "wss"):
            return
        kind = _KINDS.get(request.resource_type, "script")
        inside = self._inside(request)
        if kind == "frame" and inside is None:
            return  # the page itself
        self._contact(request.url, kind, inside or "")

    def _contact(self, url: str, kind: str, inside: str) -> None:
        self._sightings.add(Contact(url[:2000], kind, How.BROWSER, inside), self._page)

    def _inside(self, request: Request) -> str | None:
        """The foreign frame that asks; '' for the site's own pages, None for a page itself."""
        from playwright.sync_api import Error

        try:
            frame = request.frame
        except Error:
            return ""  # a worker, or a navigation that has just begun
        navigates = request.is_navigation_request()
        if navigates and frame.parent_frame is None:
            return None
        asking = frame.parent_frame if navigates else frame
        while asking is not None and asking.parent_frame is not None:
            netloc = urlsplit(asking.url).netloc.lower()
            if netloc and netloc not in self._own:
                return netloc
            asking = asking.parent_frame
        return ""

    def _stored(self, frame: Frame) -> None:
        host = (urlsplit(frame.url).hostname or "").lower()
        for area, key in frame.evaluate(_STORAGE) if host else ():
            self._sightings.add(Stored(str(area), str(key)[:200], host), self._page)

    def cookie(self, cookie: Any) -> None:
        """A cookie as Playwright gives it, at the end of all visits."""
        ends = float(cookie.get("expires", -1))
        lasts = max(int(ends - time.time()), 0) if ends > 0 else 0
        host = str(cookie["domain"]).lower().removeprefix(".")
        scripts = not cookie.get("httpOnly", False)
        self._sightings.add(SetCookie(str(cookie["name"]), host, scripts, lasts), self._page)
