"""One who moves a queue, with failpoints on both sides: `python -m harness.mover '{…}'`. It says how far it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from harness.failpoints import FailingStore, Failpoints
from mlq_cli import MlqError, moving
from mlq_cli.store.redis.connect import UrlEndpoint


def main(given: dict[str, Any]) -> int:
    """Move until all is moved; returns the exit code."""
    moving.BATCH = given["batch"]
    points = Failpoints(given["spec"], Path(given["hits"]))
    source, to = (FailingStore(UrlEndpoint(url), name, points) for url, name in (given["source"], given["to"]))
    try:
        moving.move_queue(source, "default", to, "default", lambda done: print(done, flush=True))
    except MlqError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
