"""The command line, ``vestibule``.

What the commands are called and take stands in ``app``; what they do stands in a module each, imported when the command
runs. So ``--help`` and ``check`` answer at once, and no command loads the store that does not need it.
"""

from __future__ import annotations

import os
import sys

from vestibule.core.errors import VestibuleError


def main() -> None:
    """Run the command that ``sys.argv`` names. An error is its message on stderr and exit status 1, no traceback."""
    # Nothing of ours is a plug-in of pydantic; to look for some would read the metadata of all that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from vestibule.cli.app import with_command

    try:
        with_command(sys.argv[1] if len(sys.argv) > 1 else "")(prog_name="vestibule")
    except VestibuleError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
