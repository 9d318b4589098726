"""Sweep one queue page by page until nothing is left to give back, and say so; a reaper that can be killed mid-pass.

python -m harness.sweeper URL NAMESPACE LEASE      # waits for a line on its standard input
"""

from __future__ import annotations

import os
import signal
import sys
import time

from mlq_cli.model.rules import Rules
from mlq_cli.store.redis.connect import UrlEndpoint
from mlq_cli.store.redis.store import RedisStore

PAGE = 20


def main(url: str, namespace: str, lease: str, pages: str = "") -> None:
    store, rules = RedisStore(UrlEndpoint(url), namespace), Rules(lease=float(lease))
    print("ready", flush=True)
    sys.stdin.readline()
    given = 0
    while True:
        last = pages != "" and given == int(pages)
        (swept,) = store.run(store.sweep("default", rules=rules, limit=PAGE), meanwhile=die if last else None)
        if swept.given_back:
            given += 1
            print(swept.given_back, flush=True)
        elif not swept.grace:
            break
        time.sleep(0.01)  # or one of them is done before the others have begun
    print("end", flush=True)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
