"""python-task-queue's listings, rewritten with our names, do what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

LISTINGS = Path(__file__).parents[2] / "docs" / "examples" / "task_queue"
TASKS = 40

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """Run a program in a copy of the folder, with a private server that starts by itself."""
    folder = Path(tempfile.mkdtemp(prefix="mlq", dir="/tmp"))
    shutil.copytree(LISTINGS, folder / "listings", ignore=shutil.ignore_patterns("__pycache__"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLQ_")}
    environment = {**clean, "MLQ_REDIS_DATA": str(folder / "server"), "XDG_CONFIG_HOME": str(folder)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *words], cwd=folder / "listings", env=environment, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done

    yield run
    run("-m", "mlq_cli", "redis", "stop", "--quiet")
    shutil.rmtree(folder)


def work(program: Program) -> list[str]:
    """Run what waits, and return what was printed, sorted."""
    return sorted(program("-m", "mlq_cli", "worker", "--calls", "tasks", "--burst", "--quiet").stdout.split(), key=int)


@pytest.mark.parametrize("listing", ["listing1", "listing2", "listing3", "listing4", "listing5", "listing7"])
def test_each_listing_posts_all_its_tasks_and_a_worker_runs_them(program: Program, listing: str) -> None:
    done = program(f"{listing}.py", str(TASKS))
    assert done.stdout == "" and ("of 40" in done.stderr) == (listing == "listing4")
    assert work(program) == [str(number) for number in range(TASKS)]


def test_tasks_run_in_processes_of_this_machine_without_a_queue(program: Program) -> None:
    printed = program("local.py", str(TASKS)).stdout.split()
    assert sorted(map(int, printed)) == sorted([*range(TASKS), *range(10)])


def test_a_queue_is_filled_looked_at_and_polled(program: Program) -> None:
    program("-c", "from mlq_cli import MLQ; MLQ().rezero()")
    lines = program("cluster.py", str(TASKS)).stdout.splitlines()
    assert lines[0] == "40 wait, 40 came in"
    assert lines[1:-1] == [str(number) for number in range(TASKS)]
    assert lines[-1] == "40 executed, 40 completed, 0 leased"


def test_there_is_a_file_for_each_row_of_the_page() -> None:
    page = (LISTINGS / "README.md").read_text()
    assert all(f"[{file.name}]({file.name})" in page for file in LISTINGS.glob("*.py"))
