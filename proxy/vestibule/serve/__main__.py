"""``python -m vestibule.serve PLAN``, PLAN being JSON: what ``vestibule serve`` becomes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from vestibule.core.errors import VestibuleError
from vestibule.serve import Plan, run


def main(arguments: Sequence[str]) -> int:
    """Supervise; returns the exit status."""
    try:
        run(Plan(**json.loads(arguments[0])), os.environ)
    except VestibuleError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
