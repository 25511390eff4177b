"""The demo behind Vestibule, every other host on loopback, and Debian's Chromium in front of it all.

Fixtures are of module scope: a running Playwright leaves an event loop in its thread, which must be gone before the
next module calls `asyncio.run`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Playwright, sync_playwright

from demo.site import create_app
from tests.browser.foreign import CHROMIUMS_OWN, Foreign, foreign_listener
from tests.servers import ROOT, free_port, serve_asgi, vestibule_process
from vestibule.scan import browsing

ARGUMENTS = (*browsing.ARGUMENTS, "--ignore-certificate-errors")

PATIENCE = 10_000
"""Milliseconds that Playwright waits for an element or a page."""

NewContext = Callable[..., BrowserContext]


def chromium() -> str | None:
    """The system's Chromium, where there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with foreign_listener(tmp_path_factory.mktemp("foreign")) as listener:
        yield listener


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    if chromium() is None:
        pytest.skip("browser tests need Chromium, and there is none on the PATH (on Debian: the package chromium)")
    with sync_playwright() as running:
        yield running


@pytest.fixture
def new_context(playwright: Playwright, foreign: Foreign, tmp_path: Path) -> Iterator[NewContext]:
    """Starts Chromium with a profile of its own on disk, to which every name but localhost is the foreign listener.

    A profile on disk, since in a private window Chromium ignores preconnect and would hide it from the tests.
    Takes Playwright's options, such as ``java_script_enabled``; the same ``profile`` again is the same browser later.
    """
    # Its own hosts are nowhere: a spare connection to one of them, which says nothing, could be a page's.
    own = "".join(f"MAP {host} ~NOTFOUND, " for host in sorted(CHROMIUMS_OWN))
    resolve = f"--host-resolver-rules={own}MAP * 127.0.0.1:{foreign.port}, EXCLUDE localhost, EXCLUDE 127.0.0.1"
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    foreign.clear()
    with ExitStack() as stack:

        def start(profile: str = "profile", **options: Any) -> BrowserContext:
            context = playwright.chromium.launch_persistent_context(
                tmp_path / profile,
                executable_path=chromium(),
                args=[*ARGUMENTS, *sandbox, resolve],
                **{"locale": "en-GB"} | options,
            )
            stack.callback(context.close)
            context.set_default_timeout(PATIENCE)
            return context

        yield start


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The demo site alone, as it is without Vestibule."""
    with serve_asgi(create_app()) as url:
        yield url.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def front(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Vestibule in front of the demo site, with the demo's configuration and all its processes."""
    state: Path = tmp_path_factory.mktemp("state")
    port = free_port()
    environ = {
        "VESTIBULE_LISTEN": f"127.0.0.1:{port}",
        "VESTIBULE_DASHBOARD__LISTEN": f"127.0.0.1:{free_port()}",
        "VESTIBULE_SITE__UPSTREAM": site.replace("localhost", "127.0.0.1"),
        "VESTIBULE_STORE": f"chdb://{state}/store",
    }
    arguments = ["serve", "--config", str(ROOT / "demo" / "config"), "--state", str(state), "--dev"]
    with vestibule_process(arguments, environ, ready=f"http://localhost:{port}/"):
        yield f"http://localhost:{port}"
