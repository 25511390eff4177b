"""How fast pages are rewritten: the corpus, against lexbor's parse and serialise; growth with size and hostile input.

    python -m bench.rewrite

Every page is read as its own site's (by its canonical link), and everything from elsewhere is held back, by a gate that
costs next to nothing and by the product's own (the demo's rules). Rounds of all take turns, so that what else the
machine does strikes all alike. Figures of one run are comparable with each other only; so the ratios count.
"""

from __future__ import annotations

import gc
import os
import re
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from selectolax.lexbor import LexborHTMLParser

from tests.sites import SITE_YAML
from vestibule.config import load
from vestibule.core.html import gate as gates
from vestibule.core.html.gate import BY_URL, Gated
from vestibule.core.html.inject import Inject
from vestibule.core.html.rewriter import Rewriter
from vestibule.core.html.scanner import SCANNER
from vestibule.middleware.gate import Gate as RulesGate
from vestibule.middleware.gate import Origins
from vestibule.privacy.policy import SitePolicy
from vestibule.privacy.visitor import Visitor
from vestibule.worker.worker import YOUNG

PAGES = Path(os.environ.get("VESTIBULE_CORPUS", "../shared/corpus")) / "pages"
INJECT = Inject(b"<style></style>", b"<div>banner</div>", b"<script></script>")
ROUNDS = 5
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


class Pure(Rewriter):
    """Does without the compiled scanner."""

    _scanner = None


def rules_gate(hosts: list[str]) -> Callable[[str], gates.Gate]:
    """The gates of a visitor who has not chosen yet, where some hosts are the site's own."""
    with tempfile.TemporaryDirectory() as folder:
        site = SITE_YAML.replace("hosts: [relaso.com, www.relaso.com]", f"hosts: [{', '.join(hosts)}]")
        (Path(folder) / "site.yaml").write_text(site, encoding="utf-8")
        shutil.copy(Path(__file__).parent.parent / "demo" / "config" / "trackers.yaml", folder)
        policy = SitePolicy(load(Path(folder), {}), ["a secret for a benchmark"])
    origins = Origins(policy)

    def gate(page_url: str) -> gates.Gate:
        url = urlsplit(page_url)
        return RulesGate(policy, Visitor(url.scheme, url.hostname or "", url.netloc, (), None, "", "en", 0), origins)

    return gate


def rewrite(
    page: bytes, page_url: str, gate: Callable[[str], gates.Gate] = Gate, kind: type[Rewriter] = Rewriter
) -> int:
    rewriter = kind(page_url, gate(page_url), INJECT)
    size = 0
    for at in range(0, len(page), PIECE):
        size += len(rewriter.feed(page[at : at + PIECE]))
    return size + len(rewriter.close())


def address(page: bytes) -> str:
    match = _OWN_ADDRESS.search(page)
    found = next((group for group in match.groups() if group), b"") if match is not None else b""
    return found.decode("ascii", "replace") or "https://www.site.example/"


def medians(works: list[Callable[[], object]], rounds: int = ROUNDS) -> list[float]:
    """Seconds of processor time for each, the median of some rounds, in which they take turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, times, strict=True):
            begun = time.process_time()
            work()
            taken.append(time.process_time() - begun)
    return [statistics.median(taken) for taken in times]


def median(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    return medians([work], rounds)[0]


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
    # As a worker has it: what is loaded stays, and the collector looks as rarely.
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
    pages = [(path.read_bytes(), "") for path in sorted(PAGES.glob("*.html"))]
    pages = [(page, address(page)) for page, _ in pages]
    size = sum(len(page) for page, _ in pages)
    rules = rules_gate(sorted({urlsplit(url).hostname or "" for _, url in pages}))
    measured: dict[str, Callable[[], object]] = {
        "lexbor, parse and html": lambda: [LexborHTMLParser(page).html for page, _ in pages],
        "rewriter": lambda: [rewrite(page, url) for page, url in pages],
        "… by the demo's rules": lambda: [rewrite(page, url, rules) for page, url in pages],
        "… judging each path": lambda: [rewrite(page, url, PathGate) for page, url in pages],
        "… without the scanner": lambda: [rewrite(page, url, Gate, Pure) for page, url in pages],
    }
    taken = medians(list(measured.values()))
    print(f"rewrite: {len(pages)} pages, {size / 1e6:.1f} MB, {'with' if SCANNER else 'without'} the compiled scanner")
    for label, seconds in zip(measured, taken, strict=True):
        print(f"  {label:24s} {size / seconds / 1e6:7.1f} MB/s   {taken[0] / seconds:5.2f} x lexbor")
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
