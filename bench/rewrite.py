"""How fast pages are rewritten: the corpus, against lexbor's parse and serialise; growth with size and hostile input.

    python -m bench.rewrite

Every page is read as its own site's (by its canonical link), and everything from elsewhere is held back. Figures of one
run are comparable with each other only; so the ratios count.
"""

from __future__ import annotations

import os
import re
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser

from vestibule.core.html.rewriter import BY_URL, Gated, Inject, Rewriter

PAGES = Path(os.environ.get("VESTIBULE_CORPUS", "../shared/corpus")) / "pages"
INJECT = Inject(b"<style></style>", b"<div>banner</div>", b"<script></script>")
ROUNDS = 7
PIECE = 65536

_OWN_ADDRESS = re.compile(
    rb"""<link[^>]*rel=["']?canonical["']?[^>]*href=["']?(https?://[^"' >]+)"""
    rb"""|<link[^>]*href=["']?(https?://[^"' >]+)["']?[^>]*rel=["']?canonical"""
    rb"""|<meta[^>]*og:url["'][^>]*content=["'](https?://[^"' >]+)""",
    re.IGNORECASE,
)


class Gate:
    """Holds back all but one registrable domain (two labels do for a benchmark)."""

    def __init__(self, page_url: str) -> None:
        self._own = ".".join(page_url.split("/")[2].split(":")[0].split(".")[-2:])

    def origin(self, origin: str, kind: str) -> Gated | None:  # noqa: ARG002
        host = origin.partition("//")[2]
        return None if host.endswith(self._own) else Gated(f"unknown:{host}", host, "marketing")

    def url(self, url: str, kind: str) -> Gated | None:
        return self.origin("/".join(url.split("/", 3)[:3]), kind)

    def inline(self, text: bytes) -> Gated | None:  # noqa: ARG002
        return None


class PathGate(Gate):
    """The same, deciding by the whole address each time."""

    def origin(self, origin: str, kind: str) -> Gated | None:  # noqa: ARG002
        return BY_URL if kind else None  # type: ignore[return-value]

    def url(self, url: str, kind: str) -> Gated | None:
        return Gate.origin(self, "/".join(url.split("/", 3)[:3]), kind)


def rewrite(page: bytes, page_url: str, gate: type[Gate] = Gate) -> int:
    rewriter = Rewriter(page_url, gate(page_url), INJECT)
    size = 0
    for at in range(0, len(page), PIECE):
        size += len(rewriter.feed(page[at : at + PIECE]))
    return size + len(rewriter.close())


def address(page: bytes) -> str:
    match = _OWN_ADDRESS.search(page)
    found = next((group for group in match.groups() if group), b"") if match is not None else b""
    return found.decode("ascii", "replace") or "https://www.site.example/"


def median(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds of processor time, the median of some rounds."""
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return statistics.median(times)


HOSTILE = {
    "<": b"<",
    "<a ": b"<a ",
    "attributes": b"x=1 ",
    "<!--": b"<!--",
    "<script>": b"<script>",
    "<script><!--<script>": b"<script><!--<script>",
    "<svg><desc>": b"<svg><desc>",
    "<noscript>": b"<noscript>",
    '<img src="': b'<img src="',
    "<svg></p></div>": b"<svg></p></div>",
}


def main() -> None:
    if not PAGES.is_dir():
        print(f"rewrite: no corpus at {PAGES}")
        return
    pages = [(path.read_bytes(), "") for path in sorted(PAGES.glob("*.html"))]
    pages = [(page, address(page)) for page, _ in pages]
    size = sum(len(page) for page, _ in pages)
    ours = median(lambda: [rewrite(page, url) for page, url in pages])
    by_path = median(lambda: [rewrite(page, url, PathGate) for page, url in pages])
    lexbor = median(lambda: [LexborHTMLParser(page).html for page, _ in pages])
    print(f"rewrite: {len(pages)} pages, {size / 1e6:.1f} MB")
    print(f"  rewriter               {size / ours / 1e6:7.1f} MB/s   {lexbor / ours:5.2f} x lexbor")
    print(f"  … judging each path    {size / by_path / 1e6:7.1f} MB/s   {lexbor / by_path:5.2f} x lexbor")
    print(f"  lexbor, parse and html {size / lexbor / 1e6:7.1f} MB/s")
    body = b"".join(page for page, _ in pages)
    for megabytes in (1, 10, 50):
        page = (body * 3)[: megabytes * 1_000_000]
        seconds = median(lambda page=page: rewrite(page, "https://www.site.example/"), 3)  # type: ignore[misc]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"  {megabytes:3d} MB page            {megabytes / seconds:7.1f} MB/s   ({memory:.0f} MB resident at most)"
        )
    for label, unit in HOSTILE.items():
        times = []
        for count in (250_000, 1_000_000):
            page = (b"<p " if label == "attributes" else b"") + unit * (count // len(unit))
            times.append(median(lambda page=page: rewrite(page, "https://www.site.example/"), 3))  # type: ignore[misc]
        print(f"  1 MB of {label:24s} {1 / times[1]:8.1f} MB/s, {times[1] / times[0]:4.1f} x the time of 0.25 MB")


if __name__ == "__main__":
    main()
