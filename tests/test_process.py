"""How our processes speak: a line each, without what a visitor sent, and not again and again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from textwrap import dedent

import pytest

from tests.servers import ROOT
from vestibule import process


def said(code: str) -> list[str]:
    """The lines that a process of ours writes which runs ``code``."""
    ended = subprocess.run(
        [sys.executable, "-c", f"import logging\nfrom vestibule import process\nprocess.start_log('worker 7')\n{code}"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "proxy")},
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
