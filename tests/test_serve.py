"""The supervisor, and the whole of it: real processes that are killed, stopped and misconfigured."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ROOT, serve_asgi, vestibule_process, wait_until
from tests.services import SECRET, Service, service, write_config
from vestibule import link, serve
from vestibule.cli.serving import number_of_workers
from vestibule.core.errors import LinkError
from vestibule.serve.listeners import bind, leave, socket_file
from vestibule.serve.supervisor import DELAY_MAX, STABLE, Child

# -- parts -------------------------------------------------------------------------------------------------------------


class TestSecret:
    def test_is_taken_from_the_environment(self, tmp_path: Path) -> None:
        assert serve.secret({"VESTIBULE_SECRET": SECRET}, tmp_path, dev=True) == SECRET
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("", "VESTIBULE_SECRET is not set"),
            ("  ", "VESTIBULE_SECRET is not set"),
            ("short", "VESTIBULE_SECRET is too short"),
            (f"{SECRET},short", "VESTIBULE_SECRET is too short"),
            (f"{SECRET},", "VESTIBULE_SECRET is too short"),
        ],
    )
    def test_refuses_what_guards_nothing(self, value: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(serve.ServeError) as caught:
            serve.secret({"VESTIBULE_SECRET": value}, tmp_path, dev=False)
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)

    def test_of_dev_is_made_once_and_for_the_owner_only(self, tmp_path: Path) -> None:
        state = tmp_path / "new" / "state"
        made = serve.secret({}, state, dev=True)
        assert len(made) == 64
        assert serve.secret({}, state, dev=True) == made
        assert (state / "secret").stat().st_mode & 0o777 == 0o600
        assert state.stat().st_mode & 0o777 == 0o700

    def test_of_dev_that_was_emptied_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("")
        with pytest.raises(serve.ServeError, match="holds no secret"):
            serve.secret({}, tmp_path, dev=True)


def test_a_state_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    first = serve.lock(tmp_path)
    with pytest.raises(serve.ServeError, match=rf"is in use by another vestibule \(process {os.getpid()}\)"):
        serve.lock(tmp_path)
    os.close(first)
    os.close(serve.lock(tmp_path))


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(serve.ServeError, match=r"state: .*/file/state cannot be made: Not a directory"):
        serve.lock(tmp_path / "file" / "state")


class TestBind:
    def bind(self, listen: str) -> list[socket.socket]:
        return bind("listen", "site.yaml", "VESTIBULE_LISTEN", listen)

    def test_a_taken_port_is_one_clear_line(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            listen = f"127.0.0.1:{other.getsockname()[1]}"
            with pytest.raises(serve.ServeError) as caught:
                self.bind(listen)
        assert str(caught.value) == (
            f"listen: {listen} is taken by another program; change listen in site.yaml or VESTIBULE_LISTEN"
        )

    @pytest.mark.parametrize("listen", ["192.0.2.1:0", "no-such-host.invalid:80"])
    def test_a_foreign_address_is_one_clear_line(self, listen: str) -> None:
        with pytest.raises(
            serve.ServeError, match=f"^listen: {listen} is no address of this machine.*VESTIBULE_LISTEN$"
        ):
            self.bind(listen)

    @pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0"])
    def test_listens(self, listen: str) -> None:
        sockets = self.bind(listen)
        try:
            for listener in sockets:
                socket.create_connection(listener.getsockname()[:2], timeout=5).close()
        finally:
            for listener in sockets:
                listener.close()


class TestBindUnix:
    def bind(self, path: Path | str) -> list[socket.socket]:
        return bind("listen", "site.yaml", "VESTIBULE_LISTEN", f"unix:{path}")

    def test_whoever_may_enter_the_folder_may_connect(self, tmp_path: Path) -> None:
        path = tmp_path / "site.sock"
        (listener,) = self.bind(path)
        assert path.stat().st_mode & 0o777 == 0o666
        with listener, socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))

    def test_a_socket_that_nobody_listens_at_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "site.sock"
        for _ in range(2):
            (listener,) = self.bind(path)
            listener.close()
            assert path.is_socket()

    def test_one_that_somebody_listens_at_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "site.sock"
        (listener,) = self.bind(path)
        with listener, pytest.raises(serve.ServeError) as caught:
            self.bind(path)
        assert str(caught.value) == (
            f"listen: unix:{path} is taken by another program; change listen in site.yaml or VESTIBULE_LISTEN"
        )

    @pytest.mark.parametrize(
        ("name", "words"), [("file", "is there already and is no socket"), ("missing/x", "No such file or directory")]
    )
    def test_what_is_in_the_way_is_one_clear_line(self, name: str, words: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("kept")
        with pytest.raises(serve.ServeError) as caught:
            self.bind(tmp_path / name)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
        assert (tmp_path / "file").read_text() == "kept"

    def test_only_ones_own_is_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "site.sock"
        listen = f"unix:{path}"
        (listener,) = self.bind(path)
        ours = socket_file(listen)
        listener.close()
        path.rename(tmp_path / "kept")  # so that the next file is another one for sure
        (other,) = self.bind(path)
        leave(listen, ours)
        assert path.is_socket()
        leave(listen, socket_file(listen))
        assert not path.exists()
        other.close()
        assert socket_file("127.0.0.1:1") is None
        leave("127.0.0.1:1", None)


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("256", 256), ("auto", min(serve.cores(), 256))])
def test_a_number_of_workers(text: str, number: int) -> None:
    assert number_of_workers(text) == number
    assert 1 <= serve.cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("text", ["0", "257", "-1", "1.5", "Auto", "", "many"])
def test_what_is_no_number_of_workers(text: str) -> None:
    with pytest.raises(serve.ServeError, match="must be a number from 1 to 256, or auto"):
        number_of_workers(text)


def test_back_off_doubles_up_to_a_bound_and_forgets_after_a_stable_time() -> None:
    child = Child("worker 1", (), {}, ())
    delays = [child.delay(now) for now in (1.0, 1.1, 1.2, 1.3)]
    assert delays == [0.1, 0.2, 0.4, 0.8]
    assert max(child.delay(2.0) for _ in range(100)) == DELAY_MAX
    child.started = 100.0
    assert child.delay(100.0 + STABLE) == 0.0
    assert child.delay(100.1) == 0.1


def test_the_supervisor_loads_nothing_heavy() -> None:
    code = "import sys, vestibule.serve.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"chdb", "clickhouse_connect", "numpy", "pydantic", "ruamel", "starlette", "uvicorn", "vestibule.config"}
    assert not heavy & set(loaded)
    assert not [name for name in loaded if name.startswith("vestibule.store")]


# -- the whole ---------------------------------------------------------------------------------------------------------


class Upstream:
    """The site: answers at once, but for ``/slow``, which ends when ``go`` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.reached = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = scope["path"].encode()
        kind = b"text/html" if scope["path"].endswith(".html") else b"text/plain"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        if scope["path"] == "/slow":
            await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
            self.reached.set()
            await asyncio.to_thread(self.go.wait, 30)
        await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[Upstream, str]]:
    app = Upstream()
    with serve_asgi(app) as url:
        yield app, url


@pytest.fixture(scope="module")
def running(upstream: tuple[Upstream, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("serve")
    with service(folder, upstream[1], store=f"chdb://{folder}/store") as started:
        yield started


def memory(pid: int) -> float:
    """Resident megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


class TestRunning:
    """Changes to one running service, each of which leaves it as it was."""

    def test_serves_the_site_and_nothing_else(self, running: Service) -> None:
        assert running.get("/hello") == b"/hello"
        assert running.status(host="elsewhere.test") == 421
        assert running.status(host="localhost") == 421

    def test_an_idle_worker_is_small_and_never_loads_chdb(self, running: Service) -> None:
        running.get()
        (worker,) = running.children("vestibule.worker")
        assert memory(worker) <= 80
        assert memory(running.running.pid) <= 40
        assert "chdb" not in Path(f"/proc/{worker}/maps").read_text()

    def test_a_killed_worker_is_started_again(self, running: Service) -> None:
        (before,) = running.children("vestibule.worker")
        os.kill(before, signal.SIGKILL)
        # The listener is the supervisor's: a request that comes meanwhile waits for the next worker.
        assert running.get("/after") == b"/after"
        assert running.children("vestibule.worker") != [before]
        assert running.said("worker 1 ended (signal KILL)") == 1

    def test_a_killed_recorder_is_started_again_and_pages_go_on(self, running: Service) -> None:
        wait_until(lambda: bool(running.children("vestibule.counting")), "the recorder")
        (before,) = running.children("vestibule.counting")
        os.kill(before, signal.SIGKILL)
        assert running.get("/meanwhile") == b"/meanwhile"
        wait_until(lambda: running.children("vestibule.counting") not in ([], [before]), "a new recorder")
        assert running.get("/after") == b"/after"

    def test_a_changed_configuration_is_live_without_a_new_process(self, running: Service) -> None:
        workers = running.children("vestibule.worker")
        assert running.status(host="new.test") == 421
        site = running.folder / "site.yaml"
        before = site.read_text()
        site.write_text(before.replace("[example.test]", "[example.test, new.test]"))
        wait_until(lambda: running.status(host="new.test") == 200, "the new host")
        site.write_text(before)
        wait_until(lambda: running.status(host="new.test") == 421, "the host to be gone")
        assert running.children("vestibule.worker") == workers

    def test_a_broken_configuration_is_refused_whole_and_said_once(self, running: Service) -> None:
        site = running.folder / "site.yaml"
        before = site.read_text()
        said = running.said("not taken up")
        site.write_text(before.replace("[example.test]", "[example.test, new.test]") + "mode: sometimes\n")
        wait_until(lambda: running.said("not taken up") > said, "the complaint")
        assert running.said(f"{site}:6: mode: must be one of enforce, observe; is 'sometimes'") == 1
        assert running.status(host="new.test") == 421
        # A process that dies meanwhile begins with the last good files.
        (worker,) = running.children("vestibule.worker")
        os.kill(worker, signal.SIGKILL)
        assert running.get("/still") == b"/still"
        assert running.said("not taken up") == said + 1
        said = running.said("config: in order again")
        site.write_text(before)
        wait_until(lambda: running.said("config: in order again") > said, "the mended configuration")
        assert running.get() == b"/"

        def mended() -> bool:
            with urllib.request.urlopen(running.dashboard + "/healthz", timeout=10) as answer:
                return "error" not in json.load(answer)["config"]

        wait_until(mended, "the recorder, which reads the folder for itself")

    def test_settings_for_a_new_start_are_named_and_stay_in_every_process(self, running: Service) -> None:
        site = running.folder / "site.yaml"
        before = site.read_text()
        said = running.said("config: taken up")
        changed = before.replace("name: example.test", "name: other.test").replace("[example.test]", "[new.test]")
        site.write_text(changed + "limits: {spool: 2GiB, url_bytes: 64}\n")
        wait_until(lambda: running.said("config: taken up") > said, "the new configuration")
        for setting in ("site.name", "limits.spool"):
            assert running.said(f"config: {setting} has changed; it takes effect when vestibule is started anew") == 1
        assert running.said("has changed") == 2
        assert running.status(host="new.test") == 200
        assert running.status("/" + "a" * 64, host="new.test") == 414
        # One that dies meanwhile begins as the others did.
        (worker,) = running.children("vestibule.worker")
        os.kill(worker, signal.SIGKILL)
        receipt = json.loads(running.get("/_privacy/data", host="new.test"))
        assert receipt["site"] == "example.test"
        site.write_text(before)
        wait_until(lambda: running.status() == 200, "the former configuration")
        assert running.status("/" + "a" * 64) == 200
        assert running.said("has changed") == 2

    def test_sighup_reads_the_configuration_and_ends_nothing(self, running: Service) -> None:
        children = running.children("vestibule.worker")
        running.running.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert running.get() == b"/"
        assert running.children("vestibule.worker") == children

    def test_what_was_visited_can_be_asked_for(self, running: Service) -> None:
        for number in range(7):
            headers = {
                "Host": "example.test",
                "X-Forwarded-For": f"198.51.{number}.9",
                "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
                "Accept": "text/html",
                "Accept-Language": "en",
                "Sec-Fetch-Dest": "document",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Site": "none",
            }
            for page in ("/often.html", "/also.html", "/seldom.html")[: 3 if number < 2 else 2 if number < 6 else 1]:
                request = urllib.request.Request(running.url + page, headers=headers)
                with urllib.request.urlopen(request, timeout=10) as answer:
                    assert b'name="choice"' in answer.read()

        def released() -> bool:
            with contextlib.suppress(LinkError):  # the recorder may still be starting; what was seen waits for it
                return bool(link.call(str(running.state / "recorder.sock"), "breakdown", by="page")["rows"])
            return False

        wait_until(released, "the first snapshot", 60)
        command = [sys.executable, "-m", "vestibule", "stats", "breakdown", "--kind", "view", "--by", "page"]
        ended = subprocess.run(
            [*command, "--config", str(running.folder), "--state", str(running.state)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "proxy"), "VESTIBULE_SECRET": ""},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        found = json.loads(ended.stdout)
        assert [(row["value"], row["count"], row["visitors"]) for row in found["rows"]] == [("/often.html", 5, 5)]
        assert found["provisional"] is True  # and so rounded down to multiples of k

    def test_the_dashboard_follows_the_configuration_and_keeps_who_is_signed_in(self, running: Service) -> None:
        site = running.folder / "site.yaml"
        before = site.read_text()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

        def reload(text: str) -> None:
            said = running.said("config: taken up")
            site.write_text(text)
            wait_until(lambda: running.said("config: taken up") > said, "the new configuration")

        def shown(words: bytes) -> bool:
            with opener.open(running.dashboard + "/", timeout=10) as answer:
                return words in answer.read()

        def opens() -> bool:
            with contextlib.suppress(OSError, ValueError), opener.open(running.login, timeout=10) as answer:
                return bool(answer.status == 200)
            return False

        # The link of the first login outlives a reload, too.
        wait_until(opens, "the link of the first login")
        login = running.login
        assert login.startswith(running.dashboard + "/setup?token=")
        reload(before.replace("live_every: 2s", "live_every: 2s, k: 7"))
        form = {"token": login.partition("token=")[2], "name": "anna", "password": "correct horse battery"}
        request = urllib.request.Request(
            running.dashboard + "/setup", urllib.parse.urlencode(form).encode(), {"Sec-Fetch-Site": "same-origin"}
        )
        with opener.open(request, timeout=30) as answer:
            assert answer.url == running.dashboard + "/"
        wait_until(lambda: shown(b"fewer than 7"), "the new bound")
        reload(before)
        wait_until(lambda: shown(b"fewer than 5"), "the former bound")

    def test_the_dashboard_answers(self, running: Service) -> None:
        with urllib.request.urlopen(running.dashboard + "/healthz", timeout=10) as answer:
            assert answer.status == 200


def test_sigterm_lets_running_requests_end(upstream: tuple[Upstream, str], tmp_path: Path) -> None:
    app, address = upstream
    app.go.clear()
    app.reached.clear()
    got: list[bytes] = []
    with service(tmp_path, address, "--workers", "2") as started:
        url = started.url
        thread = threading.Thread(target=lambda: got.append(started.get("/slow")))
        thread.start()
        assert app.reached.wait(10)
        started.running.process.terminate()

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=1).close()
            except OSError:
                return True
            return False

        wait_until(refused, "the listener to close")
        assert started.running.process.poll() is None
        app.go.set()
        thread.join(10)
        assert got == [b"begun /slow"]
        assert started.running.process.wait(20) == 0


def test_a_second_signal_ends_it_at_once(upstream: tuple[Upstream, str], tmp_path: Path) -> None:
    app, address = upstream
    app.go.clear()
    app.reached.clear()
    with service(tmp_path, address) as started:

        def cut_off() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                started.get("/slow")

        thread = threading.Thread(target=cut_off)
        thread.start()
        assert app.reached.wait(10)
        started.running.process.send_signal(signal.SIGINT)
        wait_until(lambda: started.said("once more to stop now") == 1, "the drain")
        started.running.process.send_signal(signal.SIGINT)
        assert started.running.process.wait(10) == 0
        app.go.set()
        thread.join(10)


def test_children_end_with_a_killed_supervisor(upstream: tuple[Upstream, str], tmp_path: Path) -> None:
    with service(tmp_path, upstream[1], "--workers", "2") as started:
        children = started.children("vestibule.worker") + started.children("vestibule.counting")
        assert len(children) == 3
        started.running.process.kill()
        started.running.process.wait(10)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "the children to end")


def test_dev_answers_for_localhost_with_a_secret_of_its_own(upstream: tuple[Upstream, str], tmp_path: Path) -> None:
    folder = write_config(tmp_path / "config", upstream[1])
    command = ["serve", "--config", str(folder), "--state", str(tmp_path / "state"), "--dev"]
    with vestibule_process(command, {"VESTIBULE_SECRET": ""}) as process:
        started = Service(process, folder, tmp_path / "state")
        assert started.get("/here", host="localhost:8080") == b"/here"
        assert (tmp_path / "state" / "secret").is_file()


def ask_at(path: Path | str, target: str, *fields: str) -> bytes:
    """All that comes of a request at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        lines = (f"GET {target} HTTP/1.1", "Host: example.test", "Connection: close", *fields, "", "")
        sock.sendall("\r\n".join(lines).encode())
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
        return received


def test_a_front_server_may_connect_by_a_unix_socket(upstream: tuple[Upstream, str], tmp_path: Path) -> None:
    path, log = tmp_path / "site.sock", tmp_path / "access.jsonl"
    settings = {"listen": f"unix:{path}", "trusted_proxies": "['unix:']", "access_log": str(log)}
    with service(tmp_path, upstream[1], "--workers", "2", **settings) as started:
        assert started.url == f"unix:{path}"
        for _ in range(8):
            assert ask_at(path, "/here", "X-Forwarded-For: 198.51.100.7").endswith(b"/here\r\n0\r\n\r\n")
        workers = started.children("vestibule.worker")
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        assert b"/again" in ask_at(path, "/again"), "the listener is the supervisor's"
        wait_until(lambda: len(started.children("vestibule.worker")) == 2, "both workers")
        wait_until(lambda: log.exists() and log.read_text().count("/again") == 1, "the line")
        assert log.read_text().count('"198.51.100.0/24"') <= 8
        started.running.process.terminate()
        assert started.running.process.wait(20) == 0
        assert not path.exists()


def test_requests_are_logged_if_the_operator_wants_it(upstream: tuple[Upstream, str], tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"

    def logged() -> list[dict[str, Any]]:
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    with service(tmp_path, upstream[1], access_log="stdout") as started:
        site = started.folder / "site.yaml"
        before = site.read_text()

        def switch(to: str) -> None:
            said = started.said("config: taken up")
            site.write_text(before.replace("access_log: stdout", f"access_log: {to}"))
            wait_until(lambda: started.said("config: taken up") > said, "the new configuration")

        started.get("/one?q=secret")
        wait_until(lambda: started.said('"path":"/one"') == 1, "the line")
        switch(str(log))
        started.get("/two/anna@example.com")
        assert started.status(host="elsewhere.test") == 421
        port = int(started.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"nonsense\r\n\r\n")
            assert b" 400 " in sock.recv(65536)
        wait_until(lambda: len(logged()) == 3, "the lines")
        found = [(line["method"], line["path"], line["status"]) for line in logged()]
        assert found == [("GET", "/two/:email", 200), ("GET", "/", 421), ("", None, 400)]
        assert [line["address"] for line in logged()] == ["127.0.0.0/24"] * 3
        assert [line.get("upstream_seconds") is not None for line in logged()] == [True, False, False]
        switch("off")
        started.get("/three")
        time.sleep(0.5)
        assert len(logged()) == 3
        assert "secret" not in started.running.output() + log.read_text()

        def refusals() -> dict[str, int]:
            with urllib.request.urlopen(started.dashboard + "/healthz", timeout=10) as answer:
                found: dict[str, int] = json.load(answer)["refusals"]
                return found

        wait_until(lambda: refusals() == {"400": 1, "421": 1}, "the count of it")


def test_listeners_may_come_from_systemd(upstream: tuple[Upstream, str], tmp_path: Path) -> None:
    folder = write_config(tmp_path / "config", upstream[1], listen="192.0.2.1:1")
    launcher = """if True:
        import os, socket, sys
        public, admin = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
        path = socket.socket(socket.AF_UNIX)
        path.bind(sys.argv.pop(1))
        path.listen()
        print(public.getsockname()[1], flush=True)
        for number, listener in ((20, public), (21, admin), (22, path)):
            os.dup2(listener.fileno(), number)
        os.dup2(20, 3), os.dup2(21, 4), os.dup2(22, 5)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3", "LISTEN_FDNAMES": "web:dashboard:web"}
        os.execve(sys.executable, [sys.executable, "-m", "vestibule", *sys.argv[1:]], {**os.environ, **environ})
    """
    process = subprocess.Popen(
        [sys.executable, "-c", launcher, tmp_path / "sock", "serve", "--config", folder, "--state", tmp_path / "state"],
        env={**os.environ, "VESTIBULE_SECRET": SECRET, "PYTHONPATH": str(ROOT / "proxy")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        request = urllib.request.Request(f"http://127.0.0.1:{port}/handed", headers={"Host": "example.test"})
        with urllib.request.urlopen(request, timeout=15) as answer:
            assert answer.read() == b"/handed"
        assert b"/handed-too" in ask_at(tmp_path / "sock", "/handed-too")
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_a_recorder_alone_speaks_for_itself(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "config", "http://127.0.0.1:9", store=f"chdb://{tmp_path}/store")
    site, state = folder / "site.yaml", tmp_path / "state"
    command = ["recorder", "--config", str(folder), "--state", str(state)]
    with vestibule_process(command, {"VESTIBULE_SECRET": SECRET}) as running:
        started = Service(running, folder, state)
        wait_until(lambda: bool(started.login), "the link of the first login")
        # Of the port that it got, where the configuration leaves it to the system.
        with urllib.request.urlopen(started.login, timeout=10) as answer:
            assert answer.status == 200
        before = site.read_text()
        site.write_text(before + "mode: sometimes\n")
        wait_until(lambda: started.said("config: not taken up") == 1, "the complaint")
        site.write_text(before)
        wait_until(lambda: started.said("config: in order again") == 1, "the end of it")


class TestRefusals:
    """What keeps ``vestibule serve`` from starting is one line, and exit status 1."""

    def run(self, *arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vestibule", "serve", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT / "proxy"), "VESTIBULE_SECRET": SECRET, **environ},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def test_a_taken_port(self, tmp_path: Path) -> None:
        folder = write_config(tmp_path / "config", "http://127.0.0.1:9")
        with socket.create_server(("127.0.0.1", 0)) as other:
            listen = f"127.0.0.1:{other.getsockname()[1]}"
            ended = self.run("--config", folder, "--state", tmp_path / "state", VESTIBULE_DASHBOARD__LISTEN=listen)
        assert ended.returncode == 1
        assert ended.stderr == (
            f"dashboard.listen: {listen} is taken by another program;"
            " change dashboard.listen in site.yaml or VESTIBULE_DASHBOARD__LISTEN\n"
        )

    def test_no_secret(self, tmp_path: Path) -> None:
        folder = write_config(tmp_path / "config", "http://127.0.0.1:9")
        ended = self.run("--config", folder, "--state", tmp_path / "state", VESTIBULE_SECRET="")
        assert ended.returncode == 1
        assert ended.stderr.startswith("VESTIBULE_SECRET is not set")
        assert ended.stderr.count("\n") == 1

    def test_a_broken_configuration(self, tmp_path: Path) -> None:
        folder = write_config(tmp_path / "config", "ftp://nowhere", mode="sometimes")
        ended = self.run("--config", folder, "--state", tmp_path / "state")
        assert ended.returncode == 1
        lines = ended.stderr.splitlines()
        assert len(lines) == 2
        assert lines[0].startswith(f"{folder}/site.yaml:1: site.upstream: ")
        assert lines[1].startswith(f"{folder}/site.yaml:6: mode: ")

    def test_an_odd_number_of_workers(self, tmp_path: Path) -> None:
        folder = write_config(tmp_path / "config", "http://127.0.0.1:9")
        ended = self.run("--config", folder, "--state", tmp_path / "state", "--workers", "many")
        assert (ended.returncode, ended.stderr) == (
            1,
            "--workers: must be a number from 1 to 256, or auto; is 'many'\n",
        )

    def test_workers_that_never_answer(self, tmp_path: Path) -> None:
        folder = write_config(tmp_path / "config", "http://127.0.0.1:9")
        plan = serve.Plan(str(folder), str(tmp_path / "state"), "127.0.0.1:0", "127.0.0.1:0", dev=True)
        (folder / "site.yaml").write_text("broken: true\n")  # as by someone who saves it just after the check
        ended = subprocess.run(
            [sys.executable, "-m", "vestibule.serve", json.dumps(asdict(plan))],
            env={**os.environ, "PYTHONPATH": str(ROOT / "proxy")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].startswith("a worker ended 5 times without ever having answered")
        assert "Traceback" not in ended.stderr

    def test_a_state_folder_in_use(self, tmp_path: Path) -> None:
        folder = write_config(tmp_path / "config", "http://127.0.0.1:9")
        held = serve.lock(tmp_path / "state")
        ended = self.run("--config", folder, "--state", tmp_path / "state")
        os.close(held)
        assert ended.returncode == 1
        assert f"is in use by another vestibule (process {os.getpid()})" in ended.stderr
