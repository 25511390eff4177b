"""Builds the compiled scanner (`proxy/vestibule/core/html/_scanner.c`, `_words.c`) into the wheel, or for an editable
install into the checkout.

Without a compiler, or with ``VESTIBULE_PURE=1``, the wheel is pure: it comes to the same, but rewrites pages slower.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = "proxy/vestibule/core/html"
SOURCES = ("_scanner.c", "_words.c")
BUILT = "_scanner.abi3.so"


class PureError(Exception):
    """Why there is no compiled scanner, in a few words."""


def command(sources: list[Path], target: Path) -> list[str]:
    """How the platform's C compiler makes the extension."""
    if os.environ.get("VESTIBULE_PURE", "") not in ("", "0"):
        raise PureError("VESTIBULE_PURE asks for that")
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise PureError("this Python has no stable ABI")
    usual = shlex.split(sysconfig.get_config_var("CC") or "cc")
    compiler = shlex.split(os.environ.get("CC", "")) or usual
    if shutil.which(compiler[0]) is None:
        raise PureError(f"no C compiler: {compiler[0]}")
    linking = shlex.split(sysconfig.get_config_var("LDSHARED") or "")
    shared = linking[len(usual) :] if linking[: len(usual)] == usual else ["-shared"]
    include = sysconfig.get_path("include")
    paths = [f"-I{include}", *map(str, sources), "-o", str(target)]
    return [*compiler, *shared, "-fPIC", "-O2", "-Wall", "-Wextra", *paths]


def compile_scanner(sources: list[Path], target: Path) -> None:
    """Make the extension; the target only comes to be, or changes, as a whole."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / BUILT
        done = subprocess.run(command(sources, made), capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0 or not made.is_file():
            raise PureError(f"the C compiler failed: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}")
        made.replace(target)


def tag() -> str:
    """The wheel's: any CPython from 3.11 on, on this platform."""
    return f"cp311-abi3-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


class ScannerHook(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls."""

    _folder: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before a wheel is put together. version: ``standard`` or ``editable``."""
        sources = Path(self.root) / FOLDER
        self._folder = None if version == "editable" else Path(tempfile.mkdtemp())
        target = (self._folder or sources) / BUILT
        target.unlink(missing_ok=True)
        try:
            compile_scanner([sources / name for name in SOURCES], target)
        except (PureError, OSError, subprocess.TimeoutExpired) as reason:
            self.app.display_warning(f"vestibule: built without the compiled scanner: {reason}")
            return
        if self._folder is not None:
            build_data["pure_python"] = False
            build_data["tag"] = tag()
            build_data["force_include"][str(target)] = f"{FOLDER.removeprefix('proxy/')}/{BUILT}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """After it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
