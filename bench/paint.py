"""What the banner costs the largest paint of a page: the demo's pages in Chromium, to one who is asked and to one who
has refused already, in turns. Both pages hold back the same; they differ by the banner alone."""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

from demo.site import create_app
from tests.servers import ROOT, serve_asgi
from tests.sites import Recording
from vestibule.config import load
from vestibule.middleware import ConsentMiddleware

ROUNDS = 8
PATHS = ("/", "/pricing")
SLOWED = 4
"""Times that the page's processor is slowed down: a paint waits for the next of 60 frames a second, which in a page
that is there at once would be more than what is measured."""
SETTLED = 250
"""Milliseconds after a page's load in which the largest paint may still change."""
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost")

PAINT = """(settled) => new Promise((resolve) => {
    const paints = [], shifts = [];
    const watch = (type, into) => new PerformanceObserver((list) => into.push(...list.getEntries()))
        .observe({ type, buffered: true });
    watch("largest-contentful-paint", paints);
    watch("layout-shift", shifts);
    setTimeout(() => {
        const { startTime, element } = paints.at(-1), shift = shifts.reduce((sum, { value }) => sum + value, 0);
        resolve([startTime, element.localName + "." + element.className, shift]);
    }, settled);
})"""


def painted(browser: Browser, url: str, path: str, *, asked: bool) -> tuple[float, str, float]:
    """Milliseconds to the largest paint, its element, and the layout's shift, in a browser that knows nothing yet."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        if not asked:
            context.request.post(
                f"{url}/_privacy/consent", form={"choice": "reject"}, headers={"origin": url}, max_redirects=0
            )
        page = context.new_page()
        context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWED})
        page.goto(url + path)
        if (page.query_selector("#vestibule") is not None) is not asked:
            raise SystemExit(f"bench: the banner is not where it should be on {path}")
        time, element, shift = page.evaluate(PAINT, SETTLED)
        return float(time), str(element), float(shift)
    finally:
        context.close()


def ratio(of: Callable[[list[float]], float], times: Mapping[bool, list[float]]) -> str:
    asked, refused = of(times[True]), of(times[False])
    return f"{asked / refused:.2f} times as late ({asked:.0f} ms to {refused:.0f} ms)"


def measure(playwright: Playwright, chromium: str, url: str) -> None:
    browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
    painted(browser, url, "/", asked=True)  # the first page of all warms up the servers
    for path in PATHS:
        times: dict[bool, list[float]] = {True: [], False: []}
        elements: set[str] = set()
        most = {True: 0.0, False: 0.0}
        for number in range(ROUNDS):
            for asked in (number % 2 == 0, number % 2 == 1):
                time, element, shift = painted(browser, url, path, asked=asked)
                times[asked].append(time)
                elements.add(element)
                most[asked] = max(most[asked], shift)
        same = "the same element" if len(elements) == 1 else f"elements: {', '.join(sorted(elements))}"
        sys.stdout.write(
            f"{path:>10}: {ratio(statistics.median, times)} in the median, {ratio(min, times)} at best; {same}; "
            f"layout shift at most {most[True]:.3f}, without the banner {most[False]:.3f}\n"
        )
    browser.close()


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stdout.write("left out: Chromium is not on the PATH (on Debian: the package chromium)\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        app = ConsentMiddleware(
            create_app(),
            load(ROOT / "demo" / "config", {}),
            secrets=["a secret for benches"],
            sender=Recording(),
            state=Path(folder),
            dev=True,
        )
        with serve_asgi(app, lifespan="on") as url, sync_playwright() as playwright:
            measure(playwright, chromium, url.replace("127.0.0.1", "localhost"))


if __name__ == "__main__":
    main()
