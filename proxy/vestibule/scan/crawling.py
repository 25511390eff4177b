"""Chooses the pages of a site and reads them: the start, then what its sitemap and its links name.

Pages of a folder mostly load the same, so that each next page is one of the folder that was visited least.
"""

from __future__ import annotations

import re
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import SplitResult, urljoin, urlsplit

from vestibule.core.cookies import SetCookie as Header
from vestibule.core.trackers import Rules
from vestibule.scan import robots
from vestibule.scan.fetching import Answer, Fetcher, FetchError
from vestibule.scan.reading import Outline, read, read_headers, read_script, read_style, text_of
from vestibule.scan.robots import Robots
from vestibule.scan.sightings import SetCookie, Sightings

PAGES = 20
DELAY = 1.0
"""Seconds between requests; none where the site is on this machine."""
SECONDS = 300.0
MAX_WAITING = 2000
"""Addresses that wait to be visited; further links are not remembered."""
MAX_SITEMAPS = 5
FILES_A_PAGE = 3
"""Scripts and style sheets of the site that are read, for each page that may be."""

_HTML = frozenset({"text/html", "application/xhtml+xml", ""})
_LOC = re.compile(r"<loc>\s*([^<\s]{1,2000})\s*</loc>", re.IGNORECASE)
_FILE = re.compile(
    r"\.(?:pdf|zip|gz|tgz|rar|7z|exe|dmg|docx?|xlsx?|pptx?|csv|json|xml|rss|atom|txt|ics|png|jpe?g|gif|webp|avif|svg|"
    r"ico|mp[34]|webm|ogg|wav|mov|avi|woff2?|ttf|otf|css|js|mjs|map)$",
    re.IGNORECASE,
)
_LEAVING = re.compile(r"log-?out|sign-?out|abmelden|delete|remove|unsubscribe", re.IGNORECASE)

Progress = Callable[[int, int, str], None]
"""Told how many of how many pages are done, and what is being read."""


def no_progress(_done: int, _total: int, _what: str) -> None:
    """For those who do not look."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be asked of a site."""

    pages: int = PAGES
    delay: float = DELAY
    seconds: float = SECONDS


@dataclass(slots=True)
class Crawl:
    """What came of it. pages: addresses that were read, in order. notes: what whoever asked should know."""

    start: str
    pages: list[str] = field(default_factory=list)
    outlines: list[Outline] = field(default_factory=list)
    sightings: Sightings = field(default_factory=Sightings)
    notes: list[str] = field(default_factory=list)

    @property
    def home(self) -> SplitResult:
        """The address of the first page, behind all redirects."""
        return urlsplit(self.pages[0] if self.pages else self.start)


def crawl(start: str, rules: Rules, bounds: Bounds, progress: Progress = no_progress) -> Crawl:
    """Read a site. Raises FetchError where not even the start can be read, or ``robots.txt`` keeps us out of it."""
    return _Crawler(start, rules, bounds, progress).run()


def is_local(host: str) -> bool:
    """Whether a host is this machine, to which nobody need be polite."""
    return host in ("localhost", "::1") or host.endswith(".localhost") or host.startswith("127.")


class _Crawler:
    def __init__(self, start: str, rules: Rules, bounds: Bounds, progress: Progress) -> None:
        self._crawl = Crawl(start)
        self._rules = rules
        self._bounds = bounds
        self._progress = progress
        parts = urlsplit(start)
        self._hosts = {parts.netloc.lower()}
        delay = 0.0 if is_local(parts.hostname or "") and bounds.delay == DELAY else bounds.delay
        self._fetcher = Fetcher(delay=delay, deadline=time.monotonic() + bounds.seconds, own=self._own)
        self._robots: Robots = robots.EVERYTHING
        self._waiting: dict[str, None] = {}
        self._met: set[str] = set()
        self._folders: Counter[str] = Counter()

    def run(self) -> Crawl:
        self._progress(0, self._bounds.pages, "robots.txt")
        self._read_robots()
        first = self._visit(self._crawl.start, must=True)
        assert first is not None
        self._wait_for(self._sitemap())
        self._wait_for(first)
        while self._waiting and len(self._crawl.pages) < self._bounds.pages:
            if self._fetcher.over:
                self._crawl.notes.append(f"stopped after {self._bounds.seconds:g} s: not all pages were read")
                break
            self._wait_for(self._visit(self._next()) or [])
        else:
            if self._waiting:
                count = len(self._waiting)
                self._crawl.notes.append(f"{count} more addresses were found and not visited; --pages raises the bound")
        self._read_files()
        if any(outline.vestibule for outline in self._crawl.outlines):
            self._crawl.notes.append(
                "this site is behind Vestibule already: what it holds back was not seen; scan what is behind it"
            )
        return self._crawl

    # What may be read

    def _own(self, url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and (
            parts.netloc.lower() in self._hosts or (not self._crawl.pages and self._is_sibling(parts.netloc.lower()))
        )

    def _is_sibling(self, netloc: str) -> bool:
        """The start may lead to the same name with or without ``www.``."""
        bare = netloc.removeprefix("www.")
        return any(host.removeprefix("www.") == bare for host in self._hosts)

    def _read_robots(self) -> None:
        url = urljoin(self._crawl.start, "/robots.txt")
        answer = self._fetcher.get(url)[-1]
        if 200 <= answer.status < 300:
            self._robots = robots.parse(answer.body.decode("utf-8", "replace"))
        elif answer.status >= 500:
            raise FetchError(f"{url} answers {answer.status}: nothing may be read until it says what may (RFC 9309)")
        self._fetcher.delay = max(self._fetcher.delay, self._robots.delay)

    def _allowed(self, url: str) -> bool:
        parts = urlsplit(url)
        return self._robots.allows((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))

    # What comes next

    def _sitemap(self) -> list[str]:
        waiting = [urljoin(self._crawl.start, url) for url in self._robots.sitemaps]
        waiting = waiting or [urljoin(self._crawl.start, "/sitemap.xml")]
        found: list[str] = []
        for _ in range(MAX_SITEMAPS):
            if not waiting or self._fetcher.over:
                break
            url = waiting.pop(0)
            if not self._own(url) or not self._allowed(url):
                continue
            try:
                answer = self._fetcher.get(url)[-1]
            except FetchError:
                continue
            text = _sitemap_text(answer)
            named = [unescape(each) for each in _LOC.findall(text)[:MAX_WAITING]]
            if "<sitemapindex" in text[:2000].lower():
                waiting.extend(named)
            else:
                found.extend(named)
        return found

    def _wait_for(self, urls: list[str]) -> None:
        for url in urls:
            try:
                parts = urlsplit(url)
            except ValueError:
                continue
            plain = parts._replace(query="", fragment="", path=parts.path or "/").geturl()
            if plain in self._met or len(self._waiting) >= MAX_WAITING or not self._own(plain):
                continue
            self._met.add(plain)
            if not _FILE.search(parts.path) and not _LEAVING.search(parts.path) and self._allowed(plain):
                self._waiting[plain] = None

    def _next(self) -> str:
        url = min(self._waiting, key=lambda each: self._folders[_folder(each)])
        del self._waiting[url]
        return url

    # Reading

    def _visit(self, url: str, *, must: bool = False) -> list[str] | None:
        """Read a page and return its links; None where it is none."""
        self._met.add(url)
        self._folders[_folder(url)] += 1
        self._progress(len(self._crawl.pages), self._bounds.pages, url)
        if not self._allowed(url):
            if must:
                raise FetchError(f"robots.txt lets nobody read {url}")
            return None
        try:
            answers = self._fetcher.get(url)
        except FetchError as error:
            if must:
                raise
            self._crawl.notes.append(str(error))
            return None
        answer = answers[-1]
        self._hosts.add(urlsplit(answer.url).netloc.lower())
        for each in answers:
            self._cookies(each)
            read_headers(each, self._crawl.sightings)
        if must and 300 <= answer.status < 400:
            raise FetchError(f"{answer.url} leads to {answer.header('location')}: give that address")
        if must and answer.type not in _HTML:
            raise FetchError(f"{answer.url} is no page but {answer.type}")
        if answer.type not in _HTML or 300 <= answer.status < 400 or answer.url in self._crawl.pages:
            return None
        if must and answer.status >= 500:
            raise FetchError(f"{answer.url} answers {answer.status}")
        outline = read(answer, self._rules, self._crawl.sightings)
        self._crawl.pages.append(answer.url)
        self._crawl.outlines.append(outline)
        self._met.add(answer.url)
        return outline.links

    def _cookies(self, answer: Answer) -> None:
        now = int(time.time())
        for value in answer.all("set-cookie"):
            cookie = Header.parse(value)
            if cookie is None or cookie.removes(now):
                continue
            host = (cookie.get("domain") or urlsplit(answer.url).hostname or "").lower().removeprefix(".")
            ends = cookie.ends(now)
            scripts = cookie.get("httponly") is None
            self._crawl.sightings.add(
                SetCookie(cookie.name, host, scripts, max(ends - now, 0) if ends is not None else 0), answer.url
            )

    def _read_files(self) -> None:
        """Scripts and styles of the site's own, by how many pages use them."""
        used: Counter[tuple[str, str]] = Counter()
        for outline in self._crawl.outlines:
            used.update({("script", url) for url in outline.scripts} | {("style", url) for url in outline.styles})
        own = [(kind, url) for (kind, url), _ in used.most_common() if url and self._own(url) and self._allowed(url)]
        for kind, url in own[: FILES_A_PAGE * self._bounds.pages]:
            if self._fetcher.over:
                break
            self._progress(len(self._crawl.pages), len(self._crawl.pages), url)
            try:
                answer = self._fetcher.get(url)[-1]
            except FetchError:
                continue
            if answer.status != 200:
                continue
            self._cookies(answer)
            if kind == "style":
                read_style(text_of(answer), answer.url, answer.url, self._crawl.sightings)
            else:
                read_script(text_of(answer), answer.url, self._rules, self._crawl.sightings)


def _folder(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[0]


def _sitemap_text(answer: Answer) -> str:
    if answer.status != 200:
        return ""
    body = answer.body
    if body[:2] == b"\x1f\x8b":
        try:
            body = zlib.decompressobj(47).decompress(body, len(body) * 20)
        except zlib.error:
            return ""
    return body.decode("utf-8", "replace")
