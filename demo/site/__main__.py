"""`python -m demo.site --port 3000`: the demo site alone, as it is without Vestibule."""

from __future__ import annotations

import argparse

import uvicorn


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.site", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    options = parser.parse_args()
    uvicorn.run("demo.site:app", host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
