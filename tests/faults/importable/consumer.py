"""A program that consumes: it notes each message that it gets in a file, takes as long as that says, and goes on."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path

from mlq_cli import MLQ


def main() -> None:
    given = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with MLQ.from_profile(redis_url=given["url"], namespace=given["namespace"]) as mlq:
        for msg in mlq.consume(timeout=given["timeout"], lease=given["lease"]):
            with Path(given["file"]).open("a") as file:
                file.write(f"{msg['n']} {os.getpid()}\n")
            until = time.monotonic() + msg.get("seconds", 0.0)
            while time.monotonic() < until:
                time.sleep(0.01)


if __name__ == "__main__":
    main()
