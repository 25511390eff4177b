"""The front servers in `deploy/` as a browser meets them: by HTTP/2, and by HTTP/3 where they speak it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import socket
import ssl
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.browser.conftest import PATIENCE, chromium
from tests.fronts import FRONTS, Front
from tests.servers import serve_asgi
from tests.services import Service, service
from vestibule.scan import browsing

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

BY = "performance.getEntriesByType('navigation')[0].nextHopProtocol"
ECHO = """new Promise((done, failed) => {
  const socket = new WebSocket(`wss://${location.host}/echo`);
  socket.onopen = () => socket.send("hello");
  socket.onmessage = event => done(event.data);
  socket.onerror = failed;
})"""


async def page(_: Request) -> Response:
    return HTMLResponse("<!doctype html><title>Page</title><p>A page.")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serve_asgi(Starlette(routes=[Route("/", page), WebSocketRoute("/echo", echo)])) as upstream:
        site = f"{{name: example.com, hosts: [example.com], upstream: '{upstream}'}}"
        with service(tmp_path_factory.mktemp("fronts"), upstream, site=site) as started:
            yield started


@pytest.fixture(scope="module", params=FRONTS)
def front(
    request: pytest.FixtureRequest, running: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    with FRONTS[request.param](running.url.removeprefix("http://"), folder) as found:
        yield found


@pytest.mark.parametrize("protocol", ["h2", "h3"])
def test_a_visitor_chooses_and_talks_by(protocol: str, front: Front, playwright: Playwright) -> None:
    arguments = [
        *(argument for argument in browsing.ARGUMENTS if argument != "--disable-quic"),
        *(("--no-sandbox",) if os.geteuid() == 0 else ()),
        "--host-resolver-rules=MAP example.com 127.0.0.1",
        f"--ignore-certificate-errors-spki-list={key_of(front)}",
    ]
    if protocol == "h3":
        if not front.quic:
            pytest.skip("does not speak HTTP/3 as it is set up")
        arguments += ["--enable-quic", f"--origin-to-force-quic-on=example.com:{front.secure}"]
    browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
    with contextlib.closing(browser):
        page = browser.new_page(base_url=f"https://example.com:{front.secure}")
        page.set_default_timeout(PATIENCE)
        page.goto("/")
        assert page.evaluate(BY) == protocol
        with page.expect_response("**/_privacy/consent"):
            page.get_by_role("button", name="Reject all").click()
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["secure"]) == ("__Host-vestibule", True)
        page.reload()
        assert page.evaluate(BY) == protocol
        assert page.locator("#vestibule").count() == 0
        assert page.evaluate(ECHO) == "hello"


def key_of(front: Front) -> str:
    """The front server's key in the form in which Chromium is told to trust it, by QUIC as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", front.secure), 10) as plain,
        context.wrap_socket(plain, server_hostname="example.com") as sock,
    ):
        shown = sock.getpeercert(binary_form=True)
    assert shown is not None
    key = x509.load_der_x509_certificate(shown).public_key()
    named = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(named).digest()).decode()
