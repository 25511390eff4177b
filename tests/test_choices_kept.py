"""Every choice that was answered has its record, whatever happens to the recorder meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers import ROOT, wait_until
from tests.services import SECRET, Service, service
from vestibule import link
from vestibule.core.consent import ChoiceSigner
from vestibule.core.errors import LinkError

CLIENTS = 6
FORMS = ("choice=accept", "choice=reject", "choice=save&purpose=statistics", "choice=accept")
HEADERS = {
    "Host": "example.test",
    "Content-Type": "application/x-www-form-urlencoded",
    "Sec-Fetch-Site": "same-origin",
}
READ = """
import json, sys
from vestibule.store import open_store
store = open_store(sys.argv[1])
print(json.dumps(store._client.query("SELECT id FROM consent_records").result_columns[0]))
store.close()
"""


@dataclass
class Answered:
    """What came back: the ids of grants, how many refusals, and other statuses."""

    grants: list[str] = field(default_factory=list)
    refusals: int = 0
    others: Counter[int] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return len(self.grants) + self.refusals


class Client(threading.Thread):
    """Posts choices, one after the other, until ``share`` of them were answered."""

    def __init__(self, url: str, share: int) -> None:
        super().__init__()
        self.answered = Answered()
        self._netloc, self._share = urlsplit(url).netloc, share
        self._signer = ChoiceSigner([SECRET], "example.test", 180 * 86_400)

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._netloc, timeout=30)
        number = 0
        while self.answered.count < self._share:
            number += 1
            try:
                connection.request("POST", "/_privacy/consent", FORMS[number % len(FORMS)], HEADERS)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                continue
            self._note(answer)
        connection.close()

    def _note(self, answer: http.client.HTTPResponse) -> None:
        if answer.status != 303:
            self.answered.others[answer.status] += 1
            return
        token = (answer.getheader("set-cookie") or "").partition("=")[2].partition(";")[0]
        choice = self._signer.loads(token, int(time.time()))
        assert choice is not None
        if choice.record is None:
            self.answered.refusals += 1
        else:
            self.answered.grants.append(choice.record)


def kill_recorder(running: Service) -> None:
    def children() -> list[int]:
        return running.children("vestibule.counting")

    wait_until(lambda: bool(children()), "the recorder")
    (before,) = children()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: bool(children()) and children() != [before], "the recorder's next life")


def kept(store: Path) -> Counter[str]:
    """The ids in the store, by how often they are there. In a process of its own: chDB is opened by one at a time."""
    done = subprocess.run(
        [sys.executable, "-c", READ, f"chdb://{store}"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "proxy")},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return Counter(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param(1_500, id="some"),
        pytest.param(100_000, id="very many", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_every_answered_choice_has_its_record(tmp_path: Path, choices: int) -> None:
    store = tmp_path / "store"
    with service(tmp_path, "http://127.0.0.1:9", store=f"chdb://{store}") as running:
        clients = [Client(running.url, -(-choices // CLIENTS)) for _ in range(CLIENTS)]

        def answered() -> int:
            return sum(client.answered.count for client in clients)

        for client in clients:
            client.start()
        for until in (choices // 3, choices * 2 // 3):
            while answered() < until:
                time.sleep(0.05)
            kill_recorder(running)
        for client in clients:
            client.join(timeout=1800)
            assert not client.is_alive()
        # What waits in journals and in the spool is sent by and by; a flush does it now.
        socket = str(running.state / link.SOCKET)
        wait_until(lambda: journals(running.state) == 0, "the journals to be taken over", 300)
        for _ in range(3):
            wait_until(lambda: flushed(socket), "the recorder to send what it has", 120)
        assert answered() >= choices
    found = kept(store)
    lost = [record for client in clients for record in client.answered.grants if record not in found]
    assert lost == []
    assert found[""] >= sum(client.answered.refusals for client in clients)
    twice = sum(count - 1 for record, count in found.items() if record and count > 1)
    others = sum((client.answered.others for client in clients), Counter[int]())
    print(f"{answered()} answered, {len(found) - 1} records of grants, {twice} twice, other answers: {dict(others)}")


def flushed(socket: str) -> bool:
    """Whether the recorder is there, and has sent all that it had."""
    try:
        link.call(socket, "flush", timeout=120)
    except LinkError:
        return False
    return True


def journals(state: Path) -> int:
    """Bytes that wait in journals."""
    waiting = 0
    for path in (state / "journal").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            waiting += path.stat().st_size
    return waiting
