"""`python -m demo` (what `make run` calls): the demo site, Vestibule in front of it, and the dashboard."""

from __future__ import annotations

import asyncio
import os
import sys

from demo.running import Demo, Places, check_free, places
from vestibule.core.errors import VestibuleError


def main() -> int:
    try:
        where = places(os.environ)
        check_free((where.site, where.public, where.dashboard))
    except VestibuleError as error:
        print(error, file=sys.stderr)
        return 1
    return asyncio.run(_run(where))


async def _run(where: Places) -> int:
    return await Demo(where, os.environ, lambda line: print(line, file=sys.stderr, flush=True)).run()


if __name__ == "__main__":
    sys.exit(main())
