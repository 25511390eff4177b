"""What the dashboard feels like: in Chromium, the time from a click or a key to the next paint, and how far the page
jumps meanwhile.

Run: ``python -m bench dashboard_interaction``. Every interaction is made some times at each width, on a page of twelve
months, which is the heaviest. Times are those of the Event Timing API, which are rounded to 8 ms and count up to the
frame in which something is seen to happen; longest: the longest time that the page did nothing else, up to the last of
what follows (the new numbers being there). Both at the processor's speed and slowed down by ``SLOWED``. The aim is
100 ms, and no layout shift, those within half a second of the interaction included.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable

from playwright.sync_api import Browser, Page, sync_playwright

from tests.admin import PASSWORD, MemoryBackend, MemoryOffice, admin, person

ROUNDS = 3
SLOWED = 4
"""Times that the page's processor is slowed down, as a cheap telephone's is."""
AIM = 100
"""Milliseconds, at the processor's own speed."""
SETTLED = 900
"""Milliseconds after an interaction in which what follows from it may happen."""
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")

WATCH = """
window.seen = { events: [], tasks: [], shift: 0 };
const watch = (type, options, take) => new PerformanceObserver((list) => list.getEntries().forEach(take))
  .observe({ type, buffered: true, ...options });
watch("event", { durationThreshold: 16 }, (entry) => { if (entry.interactionId) seen.events.push(entry.duration); });
watch("longtask", {}, (entry) => seen.tasks.push(entry.duration));
watch("layout-shift", {}, (entry) => { seen.shift += entry.value; });
"""

INTERACTIONS: tuple[tuple[str, Callable[[Page], None]], ...] = (
    ("a row", lambda page: page.locator("#places tbody a").nth(1).click()),
    ("the filter removed by Esc", lambda page: page.keyboard.press("Escape")),
    ("a tile", lambda page: page.click("#tile-blocked")),
    ("a tab of a panel", lambda page: page.click("#pages .tabs a >> nth=1")),
    ("details", lambda page: page.click("#sources a.details")),
    ("sorted", lambda page: page.click("dialog .sort >> nth=2")),
    ("searched", lambda page: page.keyboard.type("go")),
    ("details closed", lambda page: page.keyboard.press("Escape")),
    ("help", lambda page: page.keyboard.press("?")),
    ("help closed", lambda page: page.keyboard.press("Escape")),
    ("the key of a period", lambda page: page.keyboard.press("4")),
    ("the key of a view", lambda page: page.keyboard.press("c")),
    ("back to the overview", lambda page: page.keyboard.press("o")),
    ("twelve months", lambda page: page.keyboard.press("8")),
)


def measure(page: Page) -> dict[str, tuple[float, float, float]]:
    """Of each interaction the time to the next paint, the longest task, both in milliseconds, and the layout shift."""
    found = {}
    for name, act in INTERACTIONS:
        page.evaluate("Object.assign(seen, { events: [], tasks: [], shift: 0 })")
        act(page)
        page.wait_for_timeout(SETTLED)
        seen = page.evaluate("seen")
        found[name] = (max(seen["events"], default=0), max(seen["tasks"], default=0), seen["shift"])
    return found


def report(browser: Browser, url: str, width: int, slowed: int) -> None:
    times: defaultdict[str, list[tuple[float, float, float]]] = defaultdict(list)
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(url)
    page.fill("[name=name]", "ada")
    page.fill("[name=password]", PASSWORD)
    page.click("button")
    page.wait_for_selector(".panels")
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slowed})
    page.goto(f"{url}/?period=12m")
    page.wait_for_timeout(SETTLED)
    for _ in range(ROUNDS):
        for name, found in measure(page).items():
            times[name].append(found)
    context.close()
    sys.stdout.write(f"{width} px, processor slowed down {slowed} times (aim at 1: {AIM} ms)\n")
    for name, all_ in times.items():
        paints, tasks, shifts = zip(*all_, strict=True)
        sys.stdout.write(
            f"  {name:<26} {statistics.median(paints):4.0f} ms, at most {max(paints):4.0f};"
            f" longest task {max(tasks):4.0f} ms; shift {max(shifts):.3f}\n"
        )


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stdout.write("left out: Chromium is not on the PATH (on Debian: the package chromium)\n")
        return
    backend = MemoryBackend(people={"ada": person()})
    with admin(backend, office=MemoryOffice()) as house, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for width in (1280, 360):
            for slowed in (1, SLOWED):
                report(browser, house.url, width, slowed)
        browser.close()


if __name__ == "__main__":
    main()
