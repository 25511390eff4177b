"""Takes the screenshots of this folder from the running demo: `make screenshots`.

Made-up traffic of two months is imported first, so that the dashboard has something to show and to compare with.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from demo.site import create_app
from demo.traffic import AGENTS, PAGES
from tests.servers import free_port, serve_asgi
from tests.sites import Recording, in_arabic
from vestibule.config import load
from vestibule.middleware import ConsentMiddleware

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
PATIENCE = 90.0
DAYS = 60
VISITORS = 90
RELEASED = 15.0
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)


ARTICLE = "/blog/2026/handing-over-a-customer"
LOOKS: dict[str, dict[str, Any]] = {
    "": {"viewport": {"width": 1280, "height": 800}},
    "-dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "-small": {"viewport": {"width": 320, "height": 640}},
    "-zoomed": {"viewport": {"width": 320, "height": 256}},
    "-arabic": {"viewport": {"width": 1280, "height": 800}, "locale": "ar"},
    "-phone-dark": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"},
}
"""How each of our parts is shown; 1280 by 1024 points at 400 % are 320 by 256."""


class Demo:
    """The running demo: where it answers and how the dashboard is entered for the first time."""

    def __init__(self, site: str, dashboard: str, setup: str) -> None:
        self.site = site
        self.dashboard = dashboard
        self.setup = setup


@contextmanager
def demo(folder: Path) -> Iterator[Demo]:
    """Import traffic, then start the demo on free ports with its state in ``folder``."""
    listen, dashboard = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    environ = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'proxy'}{os.pathsep}{ROOT}",
        "DEMO_PORT": str(free_port()),
        "VESTIBULE_LISTEN": listen,
        "VESTIBULE_DASHBOARD__LISTEN": dashboard,
        "VESTIBULE_SECRET": "for these pictures only",
    }
    import_traffic(folder, environ)
    log = folder / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo"],
            cwd=folder,
            env=environ,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        setup = _wait_for(log, r"http://\S+/setup\?token=\S+", process)
        port = listen.rpartition(":")[2]
        yield Demo(f"http://localhost:{port}", f"http://{dashboard}", setup)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def import_traffic(folder: Path, environ: dict[str, str]) -> None:
    """Count made-up traffic."""
    log = folder / "access.log"
    with log.open("wb") as output:
        subprocess.run(
            [sys.executable, "-m", "demo.traffic", "--days", str(DAYS)],
            cwd=folder,
            env=environ,
            stdout=output,
            check=True,
            timeout=PATIENCE,
        )
    command = [sys.executable, "-m", "vestibule", "import", str(log), "--config", str(ROOT / "demo" / "config")]
    subprocess.run([*command, "--state", ".vestibule"], cwd=folder, env=environ, check=True, timeout=600)


def _wait_for(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        text = log.read_text(encoding="utf-8", errors="replace")
        found = re.search(pattern, text)
        if found:
            return found[0]
        if process.poll() is not None:
            raise SystemExit(f"the demo ended by itself:\n{text}")
        time.sleep(0.2)
    raise SystemExit(f"waited {PATIENCE:.0f} s in vain for the demo; its log: {log}")


def visit(running: Demo) -> None:
    """A morning's visitors, each from an address of their own, who look around and answer the banner."""
    source = random.Random(2)
    port = int(running.site.rpartition(":")[2])
    agent = AGENTS[0][0].format(c=142)
    for number in range(VISITORS):
        headers = {
            "Host": f"localhost:{port}",
            "X-Forwarded-For": f"{source.choice((91, 84, 79, 62))}.{source.randrange(256)}.9.{number + 1}",
            "User-Agent": agent,
            "Accept": "text/html",
            "Accept-Language": source.choice(("de-DE", "en-GB", "en-US")),
            "Sec-Fetch-Dest": "document",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Site": "same-origin",
        }
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for page in source.choices([path for path, _ in PAGES[:8]], k=source.randrange(2, 5)):
            connection.request("GET", page, headers=headers)
            connection.getresponse().read()
        answer = f"choice={source.choice(('accept', 'accept', 'reject', 'reject', 'save&purpose=statistics'))}"
        form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/_privacy/consent", body=answer, headers=form)
        connection.getresponse().read()
        connection.close()
    # Facts are shipped every few seconds, and the open day's numbers released every two.
    time.sleep(RELEASED)


def take(page: Page, name: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    page.mouse.move(1, 1)  # so that nothing looks as it does under it
    page.wait_for_timeout(400)
    page.screenshot(path=IMAGES / f"{name}.png")
    sys.stdout.write(f"docs/images/{name}.png\n")


@contextmanager
def announcing(folder: Path) -> Iterator[str]:
    """The demo's site behind the middleware alone, with a change of its policy announced; all its hosts are absent."""
    for name in ("site.yaml", "trackers.yaml"):
        shutil.copy(ROOT / "demo" / "config" / name, folder)
    today = datetime.now(UTC).date()
    text = "{en: We will say more precisely how long each thing is kept. Nothing you chose changes.}"
    notice = f"{{announced: {today - timedelta(days=1)}, effective: {today + timedelta(days=40)}, text: {text}}}"
    config = folder / "site.yaml"
    config.write_text(
        config.read_text(encoding="utf-8").replace("policy:\n", f"policy:\n  notice: {notice}\n"), "utf-8"
    )
    app = ConsentMiddleware(
        in_arabic(create_app()),
        load(folder, {}),
        secrets=["for these pictures only"],
        sender=Recording(),
        state=folder,
        dev=True,
    )
    with serve_asgi(app, lifespan="on") as url:
        yield url.replace("127.0.0.1", "localhost")


def privacy_pages(browser: Browser, site: str) -> None:
    """Both layers of the banner, an announcement, a placeholder, the privacy centre: each in each look."""
    for suffix, options in LOOKS.items():
        context = browser.new_context(**options, reduced_motion="reduce")
        page = context.new_page()
        page.goto(f"{site}/")
        page.locator("#vestibule-notice").scroll_into_view_if_needed()
        take(page, f"notice{suffix}")
        page.click("#vestibule-notice button")
        page.wait_for_load_state("load")
        take(page, f"banner{suffix}")
        page.click("#vestibule summary")
        take(page, f"banner-choose{suffix}")
        page.click("#vestibule [value=reject]")
        page.wait_for_selector("#vestibule", state="hidden")
        page.goto(f"{site}{ARTICLE}")
        page.locator(".vestibule-placeholder").first.evaluate("(each) => each.scrollIntoView({ block: 'center' })")
        take(page, f"placeholder{suffix}")
        page.goto(f"{site}/_privacy/")
        take(page, f"centre{suffix}")
        if not suffix:
            for part in ("services", "rights"):
                page.goto(f"{site}/_privacy/#{part}")
                take(page, f"centre-{part}")
        context.close()


def dashboard_pages(browser: Browser, running: Demo) -> None:
    """The dashboard of the last 28 days: light, dark, its other views, on a phone."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.goto(running.setup)
    page.fill("input[name=name]", "officer")
    for field in page.query_selector_all("input[type=password]"):
        field.fill("a long enough passphrase")
    page.click("form button")
    page.wait_for_load_state()
    page.goto(f"{running.dashboard}/?period=28d")
    take(page, "dashboard")
    page.emulate_media(color_scheme="dark")
    take(page, "dashboard-dark")
    page.emulate_media(color_scheme="light")
    for view in ("consent", "trackers", "privacy"):
        page.goto(f"{running.dashboard}/{view}?period=28d")
        take(page, f"dashboard-{view}")
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{running.dashboard}/?period=28d")
    take(page, "dashboard-phone")
    context.close()


def main() -> None:
    """Take those that are named, ``privacy`` or ``dashboard``, or all."""
    wanted = sys.argv[1:] or ["privacy", "dashboard"]
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("docs: Chromium is not on the PATH; install Debian's package chromium")
    with ExitStack() as stack:
        site = stack.enter_context(announcing(_folder(stack))) if "privacy" in wanted else ""
        running = stack.enter_context(demo(_folder(stack))) if "dashboard" in wanted else None
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=chromium, args=FLAGS)
        if site:
            privacy_pages(browser, site)
        if running is not None:
            visit(running)
            dashboard_pages(browser, running)
        browser.close()


def _folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory()))


if __name__ == "__main__":
    main()
