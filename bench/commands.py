"""What a command costs before it has done anything: processor time of `--help` and `check`, beside a Python that does
nothing and beside the libraries that both are made with."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.services import write_config

ROUNDS = 8
NOTHING = "python -c pass"
IMPORTS = (
    "import atexit, gc, os\ngc.disable()\natexit.register(gc.freeze)\n"
    "os.environ['PYDANTIC_DISABLE_PLUGINS'] = '__all__'\n"
    "import vestibule.cli\nimport vestibule.cli.checking\n"
)
"""All that a check imports, as ``vestibule.cli.main`` has it done."""


def milliseconds(arguments: Sequence[str]) -> float:
    """The processor's time that Python takes with these arguments, with that of the kernel."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([sys.executable, *arguments], env=environ, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def asked(config: Path) -> dict[str, list[str]]:
    """What Python is run with, by the names under which it is told. config: the folder that is checked."""
    return {
        NOTHING: ["-c", "pass"],
        "import typer": ["-c", "import typer"],
        "pydantic, one model": ["-c", "from pydantic import BaseModel\nclass A(BaseModel):\n    a: int\n"],
        "import ruamel.yaml": ["-c", "import ruamel.yaml"],
        "imports of check": ["-c", IMPORTS],
        "vestibule --help": ["-m", "vestibule", "--help"],
        "vestibule check": ["-m", "vestibule", "check", "--config", str(config)],
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(Path(folder) / "config", "http://127.0.0.1:3000")
        best: dict[str, float] = {}
        # In turn, so that others who are at work beside it disturb all alike.
        for _ in range(ROUNDS):
            for name, arguments in asked(config).items():
                best[name] = min(best.get(name, float("inf")), milliseconds(arguments))
    for name, cost in best.items():
        sys.stdout.write(f"{name:>20}: {cost:4.0f} ms, {cost / best[NOTHING]:4.1f} × {NOTHING}\n")


if __name__ == "__main__":
    main()
