"""Runs every measurement, or those that are named: `python -m bench middleware`."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import bench


def main() -> None:
    known = sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_"))
    wanted = sys.argv[1:] or known
    for name in wanted:
        if name not in known:
            raise SystemExit(f"bench: nothing is named {name}; there are: {', '.join(known)}")
    for name in wanted:
        sys.stdout.write(f"\n== {name}\n")
        sys.stdout.flush()
        importlib.import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main()
