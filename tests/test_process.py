"""How our processes speak: a line each, without what a visitor sent, and not again and again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from textwrap import dedent

import pytest

from tests.servers import ROOT, free_port, vestibule_process, wait_until
from tests.services import SECRET, write_config
from vestibule import process


def said(code: str, **more: str) -> list[str]:
    """The lines that a process of ours writes which runs ``code``. more: of its environment."""
    ended = subprocess.run(
        [sys.executable, "-c", f"import logging\nfrom vestibule import process\nprocess.start_log('worker 7')\n{code}"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "proxy"), **more},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return ended.stderr.splitlines()


def test_of_what_fails_again_and_again_the_kind_and_place_are_said_once() -> None:
    lines = said(
        dedent("""\
            for _ in range(3):
                try:
                    raise ValueError("anna@example.test")
                except ValueError:
                    logging.getLogger("vestibule.recorder").exception("it failed")
        """)
    )
    assert lines == ["vestibule: worker 7: it failed: ValueError at <string>:6"]


def test_of_a_store_that_is_away_nobody_else_speaks() -> None:
    lines = said(
        dedent(f"""\
            import clickhouse_connect
            from clickhouse_connect.driver.exceptions import OperationalError
            try:
                clickhouse_connect.get_client(host="127.0.0.1", port={free_port()})
            except OperationalError:
                logging.getLogger("vestibule.recorder").warning("the store is away")
        """)
    )
    assert lines == ["vestibule: worker 7: the store is away"]


@pytest.mark.parametrize("machine", ["", "unheard-of"], ids=["here", "where slices cannot be asked for"])
def test_a_process_that_steps_back_gets_less_at_a_time_where_the_system_knows_how(machine: str) -> None:
    """Threads that it starts later, too."""
    code = dedent(f"""\
        import os, threading
        from pathlib import Path
        from vestibule import process
        if {machine!r}:
            process._SCHED_SETATTR = {{}}
        def tell():
            sched = Path(f"/proc/self/task/{{threading.get_native_id()}}/sched")
            lines = sched.read_text().splitlines() if sched.exists() else []
            slices = [line.split()[-1] for line in lines if line.startswith("se.slice")]
            print(os.getpriority(os.PRIO_PROCESS, 0), *slices)
        tell()
        process.step_back(7)
        thread = threading.Thread(target=tell)
        tell()
        thread.start()
        thread.join()
        process.step_back(3)
        tell()
    """)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    before, *after = told.splitlines()
    assert before.split()[0] == "0"
    assert [line.split()[0] for line in after] == ["7"] * 3
    default = before.split()[1:]
    major, minor = map(int, os.uname().release.split(".")[:2])
    if default and (major, minor) >= (6, 12):
        asked = default[0] if machine else str(process.LONGEST_SLICE)
        assert [line.split()[1] for line in after] == [asked] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
@pytest.mark.parametrize("policy", ["SCHED_BATCH", "SCHED_IDLE"])
def test_a_process_that_steps_back_keeps_the_policy_that_somebody_gave_it(policy: str) -> None:
    code = dedent(f"""\
        import os
        from vestibule import process
        os.sched_setscheduler(0, os.{policy}, os.sched_param(0))
        process.step_back(7)
        print(os.sched_getscheduler(0) == os.{policy}, os.getpriority(os.PRIO_PROCESS, 0))
    """)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.split() == ["True", "7"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vestibule.live", ["vestibule: worker 7: the same", "and more"] * 2),
        ("vestibule.recorder", ["vestibule: worker 7: the same", "and more"] * 2),
        ("vestibule.middleware", ["vestibule: worker 7: the same", "and more"]),
        ("elsewhere", ["vestibule: worker 7: the same"]),
        ("uvicorn.error", []),
        ("clickhouse_connect.driver", []),
        ("urllib3.connectionpool", []),
    ],
)
def test_who_is_heard_how_often(name: str, expected: list[str]) -> None:
    assert said(f"for _ in range(2): logging.getLogger({name!r}).warning('the same\\nand more')") == expected


def test_as_json_each_line_is_an_object_and_says_no_more() -> None:
    lines = said(
        dedent("""\
            process.say("serving ü", "supervisor")
            logging.getLogger("vestibule.live").warning("two\\nlines")
            logging.getLogger("elsewhere").error("first\\nanna@example.test")
            try:
                raise ValueError("anna@example.test")
            except ValueError:
                logging.getLogger("vestibule.recorder").exception("it failed")
        """),
        VESTIBULE_LOG="json",
    )
    found = [json.loads(line) for line in lines]
    for line in found:
        assert abs(datetime.fromisoformat(line.pop("time")).timestamp() - time.time()) < 600
    worker = "worker 7"
    assert found == [
        {"level": "info", "process": "supervisor", "message": "serving ü"},
        {"level": "warning", "process": worker, "message": "two\nlines"},
        {"level": "error", "process": worker, "message": "first"},
        {"level": "error", "process": worker, "message": "it failed: ValueError at <string>:8"},
    ]


def test_every_line_of_a_whole_instance_is_json(tmp_path: Path) -> None:
    port = free_port()
    folder = write_config(tmp_path / "config", "http://127.0.0.1:9", listen=f"127.0.0.1:{port}")
    command = ["serve", "--config", str(folder), "--state", str(tmp_path / "state"), "--workers", "1"]
    with vestibule_process(command, {"VESTIBULE_SECRET": SECRET, "VESTIBULE_LOG": "json"}) as running:
        wait_until(lambda: '"serving http://' in running.output(), "it to begin")
        (folder / "site.yaml").write_text("nonsense\n")
        wait_until(lambda: "site.yaml:1: " in running.output(), "the refusal")
        running.process.terminate()
        running.process.wait(30)
        lines = [json.loads(line) for line in running.output().splitlines()]
    assert all(line.keys() == {"time", "level", "process", "message"} for line in lines)
    assert {"supervisor", "worker 1"} <= {line["process"] for line in lines}
    assert [line["level"] for line in lines if line["message"].startswith("config: not taken up")] == ["warning"]


def test_ready_is_one_byte_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    monkeypatch.setenv(process.READY, str(write))
    process.ready()
    process.ready()
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"1"  # to the end: the other side is closed


@pytest.mark.parametrize(
    ("family", "host", "shown"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
)
def test_an_address_is_as_one_types_it(family: socket.AddressFamily, host: str, shown: str) -> None:
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"{host} is no address of this machine")
    with listener:
        assert process.address(listener) == f"http://{shown}:{listener.getsockname()[1]}"
