"""Run one worker with settings from the command line: the tests start it as a process of its own."""

from __future__ import annotations

import json
import logging
import sys

from mlq_cli import MLQ, MlqError
from mlq_cli.model.rules import Rules
from mlq_cli.worker import shelf
from mlq_cli.worker.options import WorkerOptions
from mlq_cli.worker.run import run_worker

if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in given["options"].items()}
    if given.get("every") is not None:
        shelf.EVERY = given["every"]
    try:
        mlq = MLQ.from_profile(redis_url=given["url"], namespace=given["namespace"], limits_result=1_000_000)
        sys.exit(run_worker(mlq, WorkerOptions(**options), Rules(**given["rules"])))
    except MlqError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
