"""What is in `deploy/`: the front servers' configurations as they run, units and manifests as far as they can be read
here, and that dashboards and alerts ask only for what `/metrics` tells."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from tests.fronts import FRONTS, Front
from tests.servers import ROOT, free_port, serve_asgi, wait_until
from tests.services import SECRET, Service, service, write_config

DEPLOY = ROOT / "deploy"
DOWNLOAD = bytes(range(256)) * 8192
LEFT = threading.Event()
"""That whoever asked for events has left."""
PAGE = '<!doctype html><title>Page</title><script src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>'


async def page(_: Request) -> Response:
    return HTMLResponse(PAGE)


async def told(request: Request) -> Response:
    return JSONResponse(dict(request.headers))


async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return PlainTextResponse(str(size))


async def download(request: Request) -> Response:
    wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
    if wanted is None:
        return Response(DOWNLOAD, media_type="application/octet-stream")
    first, last = int(wanted[1]), int(wanted[2])
    said = {"Content-Range": f"bytes {first}-{last}/{len(DOWNLOAD)}"}
    return Response(DOWNLOAD[first : last + 1], 206, said, "application/octet-stream")


async def events(_: Request) -> Response:
    async def one_and_no_more() -> AsyncIterator[bytes]:
        try:
            yield b"data: 1\n\n"
            await asyncio.Event().wait()
        finally:
            LEFT.set()

    return StreamingResponse(one_and_no_more(), media_type="text/event-stream")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


SITE = Starlette(
    routes=[
        Route("/", page),
        Route("/told", told),
        Route("/upload", upload, methods=["POST"]),
        Route("/download", download),
        Route("/events", events),
        WebSocketRoute("/echo", echo),
    ]
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Vestibule as it stands behind a front server on this machine."""
    with serve_asgi(SITE) as upstream:
        site = f"{{name: example.com, hosts: [example.com, www.example.com], upstream: '{upstream}'}}"
        with service(tmp_path_factory.mktemp("deploy"), upstream, site=site) as started:
            wait_until(lambda: started.status("/", "example.com") == 200, "the site")
            yield started


# -- in front ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=FRONTS)
def kind(request: pytest.FixtureRequest) -> str:
    """The name of a front server."""
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture(scope="module")
def front(kind: str, running: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Each front server, before a running Vestibule."""
    with FRONTS[kind](running.url.removeprefix("http://"), tmp_path_factory.mktemp(kind)) as found:
        yield found


def test_a_front_passes_pages_with_the_banner_and_without_trackers(front: Front) -> None:
    status, headers, body = front.ask("GET", "/", Accept="text/html", Sec_Fetch_Dest="document")
    assert (status, headers["cache-control"]) == (200, "private, no-cache")
    assert b'id="vestibule"' in body
    assert b' src="https://www.googletagmanager.com' not in body
    assert "https://example.com" in headers["content-security-policy"]


def test_a_front_says_who_asked_and_how_and_no_client_can(front: Front) -> None:
    forged = {"X_Forwarded_For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X_Forwarded_Proto": "http"}
    forged |= {"X_Forwarded_Host": "evil.example"}
    with front.asked("GET", "/told", b"", "127.0.0.7", **forged) as answer:
        body = answer.read().decode()
    seen = json.loads(body)
    assert (seen["host"], seen["x-forwarded-host"]) == ("example.com", "example.com")
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-for"].split(", ")[0] == "127.0.0.7"
    assert "203.0.113.9" not in body
    assert "evil" not in body


def test_behind_a_front_cookies_are_bound_to_https(front: Front) -> None:
    status, headers, _ = front.ask(
        "POST",
        "/_privacy/consent",
        b"choice=reject&next=/",
        Content_Type="application/x-www-form-urlencoded",
        Sec_Fetch_Site="same-origin",
        Origin="https://example.com",
    )
    assert status == 303
    assert headers["set-cookie"].startswith("__Host-vestibule=")
    assert "Secure" in headers["set-cookie"]


def test_a_front_hands_long_bodies_on(front: Front) -> None:
    assert front.ask("POST", "/upload", bytes(3_000_000))[2] == b"3000000"
    status, headers, body = front.ask("GET", "/download")
    assert (status, headers["content-length"], body) == (200, str(len(DOWNLOAD)), DOWNLOAD)
    status, headers, body = front.ask("GET", "/download", Range="bytes=256-260")
    assert (status, headers["content-range"]) == (206, f"bytes 256-260/{len(DOWNLOAD)}")
    assert body == DOWNLOAD[256:261]


def test_a_front_asks_for_no_compression_in_anyones_name(front: Front) -> None:
    seen = json.loads(front.ask("GET", "/told", Accept_Encoding="br")[2])
    assert seen["accept-encoding"] == "br"
    with contextlib.closing(front.connection()) as connection:
        connection.putrequest("GET", "/told", skip_accept_encoding=True)
        connection.endheaders()
        assert "gzip" not in connection.getresponse().read().decode()


def test_a_front_passes_on_what_comes_and_tells_when_a_visitor_left(front: Front) -> None:
    LEFT.clear()
    with front.asked("GET", "/events") as answer:
        assert answer.readline() == b"data: 1\n"  # while the site has not ended
    assert LEFT.wait(10)


def test_a_front_passes_websockets(front: Front) -> None:
    async def talk() -> str | bytes:
        url = f"wss://example.com:{front.secure}/echo"
        async with connect(url, ssl=front.trust, host="127.0.0.1", proxy=None, open_timeout=10) as socket:
            await socket.send("hello")
            return await socket.recv()

    assert asyncio.run(talk()) == "hello"


def test_a_front_leads_from_http_to_https(front: Front) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.plain, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/a?b=c", headers={"Host": "www.example.com"})
        answer = connection.getresponse()
        assert answer.status in (301, 308)
        assert answer.getheader("Location") == "https://www.example.com/a?b=c"


def test_a_front_speaks_http_2(front: Front) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", front.secure), 10) as plain,
        context.wrap_socket(plain, server_hostname="example.com") as sock,
    ):
        assert sock.selected_alpn_protocol() == "h2"


def test_a_front_reaches_vestibule_by_a_unix_socket(kind: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert "upstream vestibule { server unix:/run/vestibule/site.sock; keepalive 64; }" in page
    assert "`reverse_proxy unix//run/vestibule/site.sock`" in page
    with (
        serve_asgi(SITE) as upstream,
        tempfile.TemporaryDirectory() as short,
    ):  # of fewer bytes than a socket's path has
        settings = {
            "site": f"{{name: example.com, hosts: [example.com], upstream: '{upstream}'}}",
            "listen": f"unix:{short}/site.sock",
            "trusted_proxies": "['unix:']",
        }
        with service(tmp_path, upstream, **settings), FRONTS[kind](f"unix:{short}/site.sock", tmp_path) as front:
            wait_until(lambda: front.ask("GET", "/")[0] == 200, "the site")
            with front.asked("GET", "/told", client="127.0.0.7") as answer:
                seen = json.loads(answer.read())
            assert (seen["x-forwarded-proto"], seen["x-forwarded-for"].split(", ")[0]) == ("https", "127.0.0.7")


def test_a_front_keeps_nothing_of_visitors_whatever_goes_wrong(kind: str, tmp_path: Path) -> None:
    with FRONTS[kind](f"127.0.0.1:{free_port()}", tmp_path) as front:
        with front.asked("GET", "/private-path?mail=someone", client="127.0.0.7", Cookie="who=someone") as answer:
            assert answer.status == 502
        connection = http.client.HTTPConnection("127.0.0.1", front.plain, timeout=10, source_address=("127.0.0.7", 0))
        with contextlib.closing(connection):
            connection.request("GET", "/private-path", headers={"Host": "example.com"})
            assert connection.getresponse().status in (301, 308)
    said = "".join(path.read_text(encoding="utf-8") for path in {front.log, *tmp_path.glob("*.log")})
    assert not re.search(r"127\.0\.0\.7|private-path|someone", said), said


# -- metrics -----------------------------------------------------------------------------------------------------------

FUNCTIONS = {
    "time",
    "rate",
    "histogram_quantile",
    "increase",
    "sum",
    "min",
    "max",
    "count",
    "by",
    "ignoring",
    "or",
    "and",
}
NAMED_LATER = {"facts", "drops", "refusals"}
"""Groups that have no number before the first of each is counted."""


def expressions() -> list[str]:
    board = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
    rules = YAML(typ="safe").load(DEPLOY / "alerts.yaml")
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return found + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def test_dashboards_and_alerts_ask_only_for_metrics_that_there_are(running: Service) -> None:
    wait_until(lambda: b"vestibule_facts{name=" in metrics(running), "the first fact")
    text = metrics(running).decode()
    there = set(re.findall(r'^(vestibule_\w+)(?:\{name="([^"]*)"\})? ', text, re.MULTILINE))
    names = set(re.findall(r"^(vestibule_\w+)", text, re.MULTILINE))
    asked = expressions()
    assert len(asked) >= 20
    for expression in asked:
        for name, labels in re.findall(r"(vestibule_\w+)(\{[^}]*\})?", expression):
            group = name.removeprefix("vestibule_")
            assert name in names or group in NAMED_LATER, expression
            for label, value in re.findall(r'\b(kind|status)="([^"]*)"', labels):
                assert re.search(rf'^{name}\{{[^}}]*\b{label}="{value}"', text, re.MULTILINE), expression
            wanted = re.search(r'\bname="([^"]*)"', labels)
            if wanted and group not in NAMED_LATER:
                assert (name, wanted.group(1)) in there, expression
        words = set(re.findall(r"\b([a-z_]+)\b(?=\s*\()", expression))
        assert words <= FUNCTIONS, words - FUNCTIONS


def metrics(running: Service) -> bytes:
    running.get("/", "example.com")
    with urllib.request.urlopen(f"{running.dashboard}/metrics", timeout=10) as answer:
        body: bytes = answer.read()
        return body


def test_metrics_tell_of_the_store_that_is_away_and_of_the_configuration(running: Service) -> None:
    wait_until(lambda: number(running, "vestibule_store_errors") > 0, "the store's first error")
    wait_until(lambda: number(running, 'vestibule_spool{name="age"}') > 0, "something to wait")
    text = metrics(running).decode()
    assert re.search(r'^vestibule_config_info\{revision="\w+"\} 1\.0$', text, re.MULTILINE)
    assert number(running, "vestibule_config_refused") == 0
    site = running.folder / "site.yaml"
    whole = site.read_text()
    try:
        site.write_text("nonsense")
        wait_until(lambda: number(running, "vestibule_config_refused") == 1, "the refusal")
    finally:
        site.write_text(whole)
    wait_until(lambda: number(running, "vestibule_config_refused") == 0, "the end of it")


def number(running: Service, name: str) -> float:
    lines = [line for line in metrics(running).decode().splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].rpartition(" ")[2]) if lines else -1.0


# -- files that could not be run ---------------------------------------------------------------------------------------


def documents(name: str) -> list[Any]:
    return [document for document in YAML(typ="safe").load_all(DEPLOY / name) if document]


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "kubernetes.yaml"])
def test_what_was_not_run_says_so(name: str) -> None:
    assert "Not run where this was written" in (DEPLOY / name).read_text(encoding="utf-8")


def test_the_units_are_ones_that_systemd_understands(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    paths = []
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text(encoding="utf-8").replace("/opt/vestibule/bin/vestibule", sys.executable)
        paths.append(tmp_path / unit.name)
        paths[-1].write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    own = [line for line in done.stderr.splitlines() if "vestibule." in line]
    assert own == [], own


def test_containers_write_nothing_and_are_nobody() -> None:
    (compose,) = documents("compose.yaml")
    ours = compose["services"]["vestibule"]
    assert ours["read_only"] is True
    assert ours["cap_drop"] == ["ALL"]
    assert all(published.startswith("127.0.0.1:") for published in ours["ports"])
    assert "ports" not in compose["services"]["clickhouse"]
    (pod,) = [
        document["spec"]["template"]["spec"]
        for document in documents("kubernetes.yaml")
        if "template" in document["spec"]
    ]
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    # With service links a Service named vestibule would put VESTIBULE_PORT and more into the environment.
    assert pod["enableServiceLinks"] is False
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert "\nUSER 10001\n" in dockerfile


def test_the_image_is_made_of_what_is_there() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for kept in (line.removeprefix("!") for line in ignored if line.startswith("!")):
        assert (ROOT / kept).exists(), kept
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"sed -E '([^']*)' requirements\.lock", dockerfile)
    assert found is not None
    done = subprocess.run(
        ["sed", "-E", found.group(1), str(ROOT / "requirements.lock")], capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        assert re.fullmatch(r"[\w.-]+==[\w.+!-]+( ; .*)?", line), line


def test_the_variables_in_manifests_are_settings(tmp_path: Path) -> None:
    from vestibule.config import load

    names = {name for file in DEPLOY.glob("*") if file.is_file() for name in variables(file)}
    assert {"VESTIBULE_SECRET", "VESTIBULE_STORE", "VESTIBULE_LISTEN", "VESTIBULE_DASHBOARD__LISTEN"} <= names
    values = {
        "VESTIBULE_LISTEN": "0.0.0.0:8080",
        "VESTIBULE_DASHBOARD__LISTEN": "0.0.0.0:8081",
        "VESTIBULE_LOG": "json",
        "VESTIBULE_STORE": "clickhouse://vestibule:x@clickhouse:8123/vestibule",
    }
    shutil.copytree(ROOT / "config", tmp_path / "config")
    loaded = load(tmp_path / "config", {name: values.get(name, "a secret that is long enough") for name in names})
    assert loaded.listen == values["VESTIBULE_LISTEN"]


def variables(file: Path) -> set[str]:
    return set(re.findall(r"\bVESTIBULE_[A-Z]\w*", file.read_text(encoding="utf-8")))


# -- backup ------------------------------------------------------------------------------------------------------------


def vestibule(folder: Path, *arguments: str) -> str:
    command = [
        sys.executable,
        "-m",
        "vestibule",
        *arguments,
        "--config",
        f"{folder}/config",
        "--state",
        f"{folder}/state",
    ]
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "proxy"),
        "VESTIBULE_SECRET": SECRET,
        "VESTIBULE_STORE": f"chdb://{folder}/store",
    }
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def backup(folder: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [str(DEPLOY / "backup.sh"), f"{folder}/state", f"{folder}/store", str(target)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_a_backup_restores_into_an_empty_folder(tmp_path: Path) -> None:
    pytest.importorskip("chdb", reason='the extra "embedded" is not installed')
    if shutil.which("flock") is None:
        pytest.skip("flock is not installed")
    house, copy = tmp_path / "house", tmp_path / "copy"
    house.mkdir()
    write_config(house / "config", "http://127.0.0.1:9")
    day = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=3)
    log = house / "access.log"
    log.write_text("".join(combined(f"198.51.{n}.7", day) for n in range(9)), encoding="utf-8")
    vestibule(house, "import", str(log))
    asked = ("stats", "breakdown", "--by", "page", "--from", day.date().isoformat())
    before = vestibule(house, *asked)
    assert '"/pricing"' in before
    target = tmp_path / "backup.tar"
    assert backup(house, target).returncode == 0
    assert target.stat().st_mode & 0o077 == 0
    shutil.copytree(house / "config", copy / "config")
    subprocess.run(["tar", "--extract", "--file", str(target), "--directory", str(copy)], check=True, timeout=60)
    shutil.rmtree(house)
    assert vestibule(copy, *asked) == before


def combined(address: str, when: datetime.datetime) -> str:
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
    return f'{address} - - [{when:%d/%b/%Y:%H:%M:%S} +0000] "GET /pricing HTTP/1.1" 200 900 "-" "{agent}"\n'


def test_what_runs_is_not_copied(running: Service, tmp_path: Path) -> None:
    if shutil.which("flock") is None:
        pytest.skip("flock is not installed")
    (running.state.parent / "store").mkdir()
    done = backup(running.state.parent, tmp_path / "backup.tar")
    assert (done.returncode, "stop it first" in done.stderr) == (1, True)
    assert not list(tmp_path.glob("backup*"))
