"""`make bench-promise`: what each part of the promise costs, by taking it out of a scratch copy.

Each part of `parts.py` is taken out of a copy of src/ of its own. In each round each copy is measured beside the whole;
what counts is how much less than that it needs. A copy with nothing taken out shows how much of that is noise.
A part whose text is not found any more ends the run: put in how it is written now.
"""

from __future__ import annotations

import argparse
import compileall
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from arena import Arena, Stuck, temporary_folder
from contestants import OURS
from cpu import drained, posted
from parts import ALL, PARTS, SOURCE, Part, make
from rounds import say, stop_like_ctrl_c
from server import Server

#: So many jobs of each load: a second or so.
JOBS = {"drain": 30_000, "bulk": 30_000, "post": 3_000, "brief": 5_000, "prints": 20_000}
LOADS = {
    "drain": "drain",
    "bulk": "post in bulk",
    "post": "post one at a time",
    "brief": "drain of jobs of 0.2 ms",
    "prints": "drain of jobs that print a line",
}
LISTENER = {"brief": "ticking:brief", "prints": "ticking:prints"}
WHOLE = Part("nothing (noise)", "nothing")


@dataclass
class Cost:
    """What one part costs, in percent of what the whole needs, of each round."""

    part: Part
    cpu: list[float] = field(default_factory=list)  # of the processor time a job, all processes together
    wall: list[float] = field(default_factory=list)  # of the time a job


def make_copies(folder: Path, parts: Sequence[Part] = (*PARTS, ALL)) -> dict[Part, Path]:
    """Make a copy without each part. Raises ValueError for a part whose text is not found."""
    copies = {}
    for number, part in enumerate(parts):
        source = folder / f"without-{number}"
        shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            make(source, part.changes)
        except ValueError as error:
            raise ValueError(f"{part.name}: {error}; put into tests/bench/parts.py how it is written now") from None
        copies[part] = source
    return copies


def measure(server: Server, folder: Path, copies: dict[Part, Path], *, rounds: int, scale: float) -> list[Cost]:
    """Return what each part costs. Raises Stuck."""
    sources = {WHOLE: SOURCE, **copies}
    for part, source in copies.items():
        compileall.compile_dir(source, quiet=1)
        if not (found := whose(folder, source)).startswith(str(source)):
            raise RuntimeError(f"{found} would be measured without {part.name}")
    costs = [Cost(part) for part in sources]
    for number in range(1, rounds + 1):
        for cost in costs:
            part = cost.part
            say(f"round {number} of {rounds}  without {part.name}")
            pair = {}
            # One right after the other, and in turns which is first: a machine's speed may change within a minute.
            for whole in (True, False) if number % 2 else (False, True):
                source, inside = (SOURCE, False) if whole else (sources[part], part.inside)
                pair[whole] = _time(server, folder, source, part.load, scale, inside=inside)
            cost.cpu.append((1 - pair[False][0] / pair[True][0]) * 100)
            cost.wall.append((1 - pair[False][1] / pair[True][1]) * 100)
    return costs


def _time(
    server: Server, folder: Path, source: Path, load: str, scale: float, *, inside: bool = False
) -> tuple[float, float]:
    """Return the seconds that one job takes of processors, and on the wall."""
    arena = Arena(server, OURS, folder, source)
    jobs = max(100, int(JOBS[load] * scale))
    if load in ("post", "bulk"):
        numbers = posted(arena, load, jobs)
        return numbers[f"{load}: client"] + numbers[f"{load}: redis"], 1 / numbers[f"{load}/s"]
    command = (
        "{bin}/python -m inside" if inside else OURS.worker.replace("ticking:job", LISTENER.get(load, "ticking:job"))
    )
    numbers = drained(arena, jobs, command)
    return numbers["all together"], 1 / numbers["drain/s"]


def whose(folder: Path, source: Path) -> str:
    """Return what a copy's processes import as mlq_cli: the copy itself, or nothing that is measured is true."""
    command = [sys.executable, "-c", "import mlq_cli; print(mlq_cli.__file__)"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(source)}, cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def table(costs: Sequence[Cost]) -> str:
    """Return the costs for a terminal."""
    lines = [f"{'without':<32}{'load':<8}{'processor time':>24}{'time':>24}"]
    for cost in costs:
        cells = "".join(f"{percent(values):>24}" for values in (cost.cpu, cost.wall))
        lines.append(f"{cost.part.name:<32}{cost.part.load:<8}{cells}")
    return "\n".join(lines)


def percent(values: list[float]) -> str:
    """Return the median, with the spread of the rounds."""
    if len(values) == 1:
        return f"{values[0]:.0f} %"
    return f"{statistics.median(values):.0f} % ({min(values):.0f}…{max(values):.0f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1: smaller loads, to see that it runs")
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="repeat it for several")
    asked = parser.parse_args()
    stop_like_ctrl_c()
    every = (*PARTS, ALL)
    if unknown := set(asked.only) - {each.name for each in every}:
        parser.error(
            f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(each.name for each in every)}"
        )
    parts = [each for each in every if not asked.only or each.name in asked.only]
    try:
        with Server() as server, temporary_folder() as folder:
            copies = make_copies(folder, parts)
            costs = measure(server, folder, copies, rounds=asked.rounds, scale=asked.scale)
    except (ValueError, Stuck) as error:
        sys.exit(str(error))
    print("what each part costs, in percent of what a job takes with all of them\n")
    print(table(costs))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
