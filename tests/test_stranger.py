"""A stranger's path: an empty folder, the wheel, `init` against a site that runs, `serve --dev`; and no file edited."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.conftest import ARGUMENTS, chromium
from tests.browser.foreign import CHROMIUMS_OWN, foreign_listener
from tests.servers import ROOT, free_port, serve_asgi, wait_until

pytestmark = pytest.mark.slow
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
VISITORS = 6


@pytest.fixture(scope="module")
def vestibule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed by pip from the wheel into an environment of its own."""
    pytest.importorskip("chdb", reason='the extra "embedded" is not installed')
    folder = tmp_path_factory.mktemp("stranger")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=120)
    install = [str(folder / "venv" / "bin" / "pip"), "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    # The dependencies are those of this environment, so that nothing is downloaded.
    paths = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    purelib = Path(sysconfig.get_path("purelib", vars=paths))
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "venv" / "bin" / "vestibule"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    empty = tmp_path / "home"
    empty.mkdir()
    return empty


def environ(**more: str) -> dict[str, str]:
    """A stranger's: nothing of Vestibule's, and no checkout on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VESTIBULE_", "PYTHON"))}
    return {**kept, "NO_COLOR": "1", **more}


def run(command: Path, home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(command), *arguments],
        cwd=home,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def serving(command: Path, home: Path, public: int, admin: int) -> Iterator[Path]:
    log = home.parent / "log"
    ports = {"VESTIBULE_LISTEN": f"127.0.0.1:{public}", "VESTIBULE_DASHBOARD__LISTEN": f"127.0.0.1:{admin}"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(command), "serve", "--dev"], cwd=home, env=environ(**ports), stdout=output, stderr=output
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait(60)


def page(port: int, visitor: int = 0) -> str:
    """The front page as a browser gets it; empty while nobody answers."""
    headers = {
        "User-Agent": AGENT.replace("145", str(145 - visitor)),
        "Accept": "text/html",
        "Host": f"localhost:{port}",
    }
    headers |= {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
    headers |= {"Accept-Language": "en", "Accept-Encoding": "identity"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/", headers=headers)) as answer:
            body: bytes = answer.read()
            return body.decode()
    except OSError:
        return ""


def ready(admin: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=10):
            return True
    except OSError:
        return False


def metrics(admin: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:
        body: bytes = answer.read()
        return body.decode()


def test_from_an_empty_folder_to_counts(vestibule: Path, home: Path) -> None:
    from demo.site import app

    public, admin = free_port(), free_port()
    with serve_asgi(app) as site:
        said = run(vestibule, home, "init", site)
        assert "wrote config/site.yaml" in said
        run(vestibule, home, "check")
        with serving(vestibule, home, public, admin) as log:
            wait_until(lambda: 'id="vestibule"' in page(public), "the banner", 60)
            assert foreign(page(public)) == []
            assert contacted(f"http://localhost:{public}/", home.parent / "behind", banner=True) == set()
            assert contacted(site, home.parent / "before", banner=False) or chromium() is None
            wait_until(lambda: ready(admin), "the recorder and its store", 60)
            for visitor in range(VISITORS):
                page(public, visitor)

            def counted() -> bool:
                given = run(vestibule, home, "stats", "timeseries", "--kind", "view", "--interval", "day")
                return bool(sum(point["count"] for point in json.loads(given)["points"]) >= VISITORS)

            wait_until(counted, "the counts", 60)
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/healthz", timeout=10) as answer:
                assert json.load(answer)["status"] == "ok", log.read_text()
            # Today; and tomorrow where that is near, or yesterday where it has just ended.
            wait_until(lambda: bool(re.search(r'vestibule_days\{name="open"\} [12]\.0', metrics(admin))), "the day", 30)
            assert 'vestibule_days{name="closed"} 0.0' in metrics(admin)


def contacted(url: str, folder: Path, *, banner: bool) -> set[str]:
    """The foreign hosts that Chromium contacts for a page, to which nobody has agreed yet; none are found where there
    is no Chromium."""
    if chromium() is None:
        return set()
    folder.mkdir()
    with foreign_listener(folder) as listener, sync_playwright() as playwright:
        own = "".join(f"MAP {host} ~NOTFOUND, " for host in sorted(CHROMIUMS_OWN))
        resolve = f"--host-resolver-rules={own}MAP * 127.0.0.1:{listener.port}, EXCLUDE localhost, EXCLUDE 127.0.0.1"
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        context = playwright.chromium.launch_persistent_context(
            folder / "profile", executable_path=chromium(), args=[*ARGUMENTS, *sandbox, resolve]
        )
        with contextlib.closing(context):
            shown = context.new_page()
            shown.goto(url, wait_until="networkidle")
            assert shown.locator("#vestibule").is_visible() == banner
            shown.mouse.wheel(0, 20_000)
            shown.wait_for_timeout(1000)
        return listener.hosts


def foreign(text: str) -> list[str]:
    """What a browser would load from elsewhere by this markup."""
    loads = r'<(?:script|iframe|img|link)\b[^>]*?\s(?:src|href)="(https?://[^"]+)"[^>]*>'
    return [
        found.group(1)
        for found in re.finditer(loads, text)
        if "localhost" not in found.group(1) and not re.search(r'rel="(canonical|alternate)"', found.group())
    ]
