"""The command line, ``vestibule``.

What the commands are called and take stands in ``app``; what they do stands in a module each, imported when the command
runs. So ``--help`` and ``check`` answer at once, and no command loads the store that does not need it.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vestibule.core.errors import VestibuleError

_BRIEF = frozenset({"", "-h", "--help", "--version", "check"})


def main() -> None:
    """Run the command that ``sys.argv`` names. An error is its message on stderr and exit status 1, no traceback; an
    interrupt is status 130."""
    # Nothing of ours is a plug-in of pydantic; to look for some would read the metadata of all that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    arguments = sys.argv[1:]
    name = arguments[0] if arguments else ""
    if name in _BRIEF:
        # It loads code and ends: to look for garbage in that, while it does and at its end, takes a fifth of the time.
        gc.disable()
        atexit.register(gc.freeze)
    try:
        _run(name, arguments)
    except KeyboardInterrupt:  # as the other commands end, which Typer runs
        sys.exit(130)
    except VestibuleError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    finally:
        gc.enable()


def _run(name: str, arguments: Sequence[str]) -> None:
    folder = plain_check(arguments)
    if folder is not None:
        from vestibule.cli import checking

        checking.check(folder)
    else:
        from vestibule.cli.app import with_command

        with_command(name)(prog_name="vestibule")


def plain_check(arguments: Sequence[str]) -> Path | None:
    """The folder of a ``check`` with no more than folders in its arguments, as editors, hooks and pipelines call it;
    None for all else, which Typer reads. To load that takes as long as a third of the check."""
    if arguments[:1] != ["check"]:
        return None
    folders = {"--config": "config", "--state": ""}
    left = list(arguments[1:])
    while left:
        option, equals, value = left.pop(0).partition("=")
        if not equals and left:
            value = left.pop(0)
        if option not in folders or not value or value.startswith("-"):
            return None
        folders[option] = value
    return Path(folders["--config"])
