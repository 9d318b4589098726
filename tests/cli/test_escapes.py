"""What jobs, errors and workers say never moves a cursor, rings a bell or sets a title: not on any terminal of ours."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlq_cli import MLQ
from mlq_cli.cli.jsonable import dumps
from mlq_cli.model.rules import Rules
from mlq_cli.model.values import pack
from mlq_cli.store.base import Progress

from .conftest import SOURCE, End

EVIL = "\x1b]0;PWNED\x07\x1b[2J\x9b31mred\x7f\r\u202egpj.exe\u2028line\x1b[31m"
#: rich colours its own tables; nothing of what was posted may look like this
RAW = re.compile("\x1b\\]0|\x1b\\[2J|\x9b|\x07|\x7f|\u202e|\u2028|\x1b\\[31m")


#: Runs several commands in one process: each by itself would take as long as all of them.
SEVERAL = """
import json, sys
from mlq_cli.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["mlq", *words]
    try:
        main()
    except SystemExit:
        pass
    sys.stderr.flush()
    print("=====", flush=True)
"""


def on_terminal(commands: list[tuple[str, ...]], *, url: str, namespace: str, folder: Path) -> list[str]:
    """Run commands with stdout and stderr on a terminal and return what that got from each."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLQ_")}
    environment |= {"PYTHONPATH": str(SOURCE), "MLQ_REDIS_URL": url, "MLQ_NAMESPACE": namespace, "HOME": str(folder)}
    environment |= {"COLUMNS": "400", "TERM": "xterm", "NO_COLOR": "1"}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", SEVERAL, json.dumps(commands)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment)
    os.close(theirs)
    got = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not data:
            break
        got += data
    os.close(ours)
    process.wait(30)
    return got.decode("utf-8", "replace").split("=====\r\n")[:-1]


@pytest.fixture
def evil_jobs(mlq: MLQ, end: End) -> dict[str, str]:
    """Jobs with escapes wherever somebody may put some."""
    ids = {
        "done": end({EVIL: [EVIL]}, short=EVIL),
        "text": end(EVIL),
        "dead": end(error=(f"Odd{EVIL}Error", EVIL)),
        "tuple": end([EVIL.encode()]),
        "waiting": mlq.post(EVIL),
    }
    mlq.post({"msg": EVIL}, queue="running")
    store, rules = mlq.store, Rules()
    (job,) = store.ask(store.claim(["running"], 1, worker="w", lane="l", token="t", rules=rules)).jobs
    store.ask(store.heartbeat("w", [], rules=rules, life=60, about={"host": EVIL, "functions": EVIL}))
    store.ask(store.progress([Progress(job.id, "t", pack(EVIL))]))
    ids["running"] = job.id
    return ids


def test_no_command_lets_an_escape_through_to_a_terminal(
    redis_url: str, namespace: str, tmp_path: Path, evil_jobs: dict[str, str]
) -> None:
    commands: list[tuple[str, ...]] = [("list",), ("list", "--json"), ("dlq", "list"), ("workers",), ("status",)]
    commands += [
        ("workers", "--json"),
        ("get", evil_jobs["done"], "--short"),
        ("get", evil_jobs["dead"], "--traceback"),
    ]
    commands += [("dlq", "show", evil_jobs["dead"]), ("dlq", "show", evil_jobs["dead"], "--json")]
    commands += [("get", evil_jobs["running"], "--progress"), ("get", evil_jobs["running"], "--progress", "--json")]
    commands += [("get", job_id) for job_id in evil_jobs.values()]
    commands += [("get", evil_jobs["done"], "--json"), ("wait", evil_jobs["running"], "--timeout", "200ms")]
    said = on_terminal(commands, url=redis_url, namespace=namespace, folder=tmp_path)
    assert len(said) == len(commands)
    for words, text in zip(commands, said, strict=True):
        assert not RAW.search(text.replace("\r\n", "\n")), (words, text)
    silent = [words for words, text in zip(commands, said, strict=True) if "PWNED" not in text]
    assert len(silent) == 4, "what nobody has said anything in, or only bytes; elsewhere the words themselves are shown"


def test_json_has_no_character_that_a_terminal_obeys_and_says_the_same() -> None:
    value: Any = {EVIL: [EVIL, "é 👩\u200d🔬"]}
    text = dumps(value)
    assert not RAW.search(text) and json.loads(text) == value and "é 👩\u200d🔬" in text
