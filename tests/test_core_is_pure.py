"""``core/`` decides and does nothing else: no sockets, files, clocks or randomness. Proved by reading its code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import vestibule.core

CORE = Path(vestibule.core.__file__).parent
MODULES = sorted(CORE.rglob("*.py"))

FORBIDDEN_IMPORTS = {
    "aiohttp", "asyncio", "clickhouse_connect", "chdb", "fcntl", "ftplib", "glob", "http", "httptools", "io", "logging",
    "mmap", "multiprocessing", "os", "pathlib", "random", "requests", "secrets", "select", "selectors", "shutil",
    "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "uuid",
    "urllib.request", "urllib3", "uvicorn", "uvloop", "watchfiles", "importlib.resources",
}  # fmt: skip
FORBIDDEN_CALLS = {"open", "input", "print", "exec", "eval", "__import__", "breakpoint"}
FORBIDDEN_ATTRIBUTES = {"now", "today", "utcnow", "urandom", "getenv", "environ", "default_rng"}


def test_there_is_a_core() -> None:
    assert len(MODULES) > 10


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(CORE)))
def test_module_is_pure(module: Path) -> None:
    assert list(impurities(module.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import socket",
        "import os.path",
        "from time import time",
        "from urllib.request import urlopen",
        "import urllib.request",
        "from importlib import resources",
        "open('x')",
        "datetime.now()",
        "date.today()",
        "numpy.random.default_rng()",
        "def f():\n    import random",
    ],
)
def test_impurities_are_found(code: str) -> None:
    assert list(impurities(code)) != []


def impurities(code: str) -> list[str]:
    """What in a module's code would reach outside."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if _forbidden(alias.name)]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [name for name in names if _forbidden(name)]
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
                found.append(node.func.id)
            elif isinstance(node.func, ast.Attribute) and node.func.attr in FORBIDDEN_ATTRIBUTES:
                found.append(node.func.attr)
    return found


def _forbidden(name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in FORBIDDEN_IMPORTS for length in range(1, len(parts) + 1))
