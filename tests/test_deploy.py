"""What is in `deploy/`: the front server's configuration as it runs, units and manifests as far as they can be read
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
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from ruamel.yaml import YAML
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from tests.certificates import self_signed
from tests.servers import ROOT, free_port, serve_asgi, wait_until
from tests.services import SECRET, Service, service, write_config

DEPLOY = ROOT / "deploy"
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


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


SITE = Starlette(
    routes=[
        Route("/", page),
        Route("/told", told),
        Route("/upload", upload, methods=["POST"]),
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


# -- nginx -------------------------------------------------------------------------------------------------------------


@dataclass
class Front:
    """nginx with `deploy/nginx.conf`, on ports of its own."""

    plain: int
    secure: int
    trust: ssl.SSLContext

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.secure, timeout=10, context=self.trust)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, {"Host": "example.com", **named})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for example.com that is its own authority, and its key."""
    made, key = self_signed(x509.DNSName("example.com"))
    (folder / "fullchain.pem").write_bytes(made)
    (folder / "privkey.pem").write_bytes(key)
    return folder / "fullchain.pem", folder / "privkey.pem"


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def nginx(running: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    chain, _ = certificate(folder)
    plain, secure = free_port(), free_port()
    shipped = replaced(
        (DEPLOY / "nginx.conf").read_text(encoding="utf-8"),
        {
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ssl": f"listen 127.0.0.1:{secure} ssl",
            "/etc/ssl/example.com": str(folder),
            "server 127.0.0.1:8080;": f"server {running.url.removeprefix('http://')};",
        },
    )
    (folder / "vestibule.conf").write_text(shipped, encoding="utf-8")
    user = "user root;" if os.getuid() == 0 else ""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"{user} worker_processes 1; daemon off; pid {folder}/pid; events {{}} http {{ {temporary}"
        f" include {folder}/vestibule.conf; }}",
        encoding="utf-8",
    )
    command = ["nginx", "-e", str(folder / "log"), "-c", str(folder / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=20, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr or "http2" in checked.stderr  # newer ones would have it said otherwise
    trust = ssl.create_default_context(cafile=str(chain))
    trust.check_hostname = False
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    front = Front(plain, secure, trust)

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        with contextlib.suppress(OSError):
            return front.ask("GET", "/")[0] == 200
        return False

    try:
        wait_until(answers, "nginx")
        yield front
    finally:
        process.terminate()
        process.wait(10)


def test_nginx_passes_pages_with_the_banner_and_without_trackers(nginx: Front) -> None:
    status, headers, body = nginx.ask("GET", "/", Accept="text/html", Sec_Fetch_Dest="document")
    assert (status, headers["cache-control"]) == (200, "private, no-cache")
    assert b'id="vestibule"' in body
    assert b' src="https://www.googletagmanager.com' not in body
    assert "https://example.com" in headers["content-security-policy"]


def test_nginx_says_who_asked_and_how_and_no_client_can(nginx: Front) -> None:
    forged = {"X_Forwarded_For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X_Forwarded_Proto": "http"}
    _, _, body = nginx.ask("GET", "/told", b"", **forged)
    seen = json.loads(body)
    assert seen["host"] == "example.com"
    assert seen["x-forwarded-proto"] == "https"
    assert "203.0.113.9" not in body.decode()


def test_behind_nginx_cookies_are_bound_to_https(nginx: Front) -> None:
    status, headers, _ = nginx.ask(
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


def test_nginx_hands_long_bodies_on(nginx: Front) -> None:
    assert nginx.ask("POST", "/upload", bytes(3_000_000))[2] == b"3000000"


def test_nginx_passes_websockets(nginx: Front) -> None:
    async def talk() -> str | bytes:
        url = f"wss://example.com:{nginx.secure}/echo"
        async with connect(url, ssl=nginx.trust, host="127.0.0.1", proxy=None, open_timeout=10) as socket:
            await socket.send("hello")
            return await socket.recv()

    assert asyncio.run(talk()) == "hello"


def test_nginx_leads_from_http_to_https(nginx: Front) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", nginx.plain, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/a?b=c", headers={"Host": "www.example.com"})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Location")) == (301, "https://www.example.com/a?b=c")


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


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "kubernetes.yaml", "Caddyfile"])
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
