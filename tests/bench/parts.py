"""The parts of the promise that can be taken out of a scratch copy, each by a few changes of text: for promise.py.

A text that no longer fits, because the code has changed, is an error: put in how that part is written now. The changes
are small on purpose, and leave code that runs no-op jobs; what else the part is needed for does not matter here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from guards import LUA, Change

SOURCE = Path(__file__).parents[2] / "src"

WORKER = "mlq_cli/worker"


@dataclass(frozen=True)
class Part:
    """One part that can be taken out, and the load that shows what it costs."""

    name: str
    gives: str  # what is lost without it
    changes: tuple[Change, ...] = ()
    load: str = "drain"  # or `post`, `bulk`; or `brief`, `prints`: a drain of jobs that do so (peers/ticking.py)
    inside: bool = False  # run by a listener in one process, which is no change of text


def part(name: str, gives: str, *changes: tuple[str, str, str], load: str = "drain", inside: bool = False) -> Part:
    return Part(name, gives, tuple(Change(*change) for change in changes), load, inside)


ONCE = (
    (f"{LUA}/lib/once.lua", "function remembered()\n", "function remembered()\n  do return false end\n"),
    (f"{LUA}/lib/once.lua", "function remember(answer)\n", "function remember(answer)\n  do return answer end\n"),
)

PARTS = (
    part(
        "fence",
        "a late outcome overwrites a newer one",
        (f"{LUA}/finish.lua", "job.state == 'running' and job.token == ARGV[i + 1]", "job.queue"),
        (f"{LUA}/claim.lua", "'token', args.token, ", ""),
        (
            f"{LUA}/lib/settle.lua",
            "'state', 'token', 'queue', 'callback', 'error_type')",
            "'queue', 'callback', 'error_type')\n  table.insert(values, 1, 'running')\n"
            "  table.insert(values, 2, false)",
        ),
    ),
    part(
        "leases and heartbeats",
        "a job of a worker that vanished is lost",
        (f"{LUA}/lib/move.lua", "local function send(command, lists)\n", "local function send(command, lists)\n"
         "  lists.running = nil\n"),
        (f"{WORKER}/worker.py", "BEAT_BUSY = 3.0", "BEAT_BUSY = 3600.0"),
        (f"{WORKER}/fence.py", "return boot_time() - since >= self._span", "return False"),
        (f"{LUA}/claim.lua", "  if grace_left == 0 then", "  if false then"),
        (f"{LUA}/claim.lua", "#due_ids(queue, 'running', 1) > 0", "false"),
    ),
    part(
        "receipts of claims",
        "a claim whose answer was lost leaves its jobs to the end of their lease",
        (f"{LUA}/claim.lua", "local kept = redis.call('GET', receipt)", "local kept = false"),
        (f"{LUA}/claim.lua", "if #ids > 0 then\n  redis.call('SET', receipt", "if false then\n  redis.call('SET', ''"),
    ),
    part(
        "results",
        "nobody learns what a job returned",
        (f"{LUA}/finish.lua", "  result = keep_result(job.id, result)\n", "  result = nil\n"),
        (f"{WORKER}/child.py", "result = pack(value, limit=self._limit, what=\"result\")", "result = b\"\""),
    ),
    part(
        "statistics",
        "no counters, no mean times",
        (f"{LUA}/lib/stats.lua", "local function count(queue, name, amount)\n",
         "local function count(queue, name, amount)\n  do return end\n"),
    ),
    part(
        "events",
        "who waits for a result has to poll",
        (f"{LUA}/lib/move.lua", "    news[#news + 1] = id .. ' ' .. state\n", ""),
    ),
    part(
        "priorities, delays, retention",
        "jobs that are due or kept long enough are seen to by a reaper only",
        (f"{LUA}/claim.lua", "moves = moves - promote(queue, math.min(100, moves))", ""),
        (f"{LUA}/finish.lua", "    trim(queue, state, jobs + 10)\n", ""),
    ),
    part(
        "times of a run",
        "no `processing_started`, no `processing_finished`, no worker in the record",
        (f"{LUA}/claim.lua", "'worker', args.worker, ", ""),
        (f"{LUA}/claim.lua", ", 'processing_started', stamp)", ")"),
        (f"{LUA}/finish.lua", "{'processing_started', started}", "{'executed', '1'}"),
        (f"{LUA}/lib/settle.lua", "'processing_finished', stamp, ...", "..."),
    ),
    part(
        "isolation",
        "a job that crashes takes the worker with it, and shares its interpreter's lock",
        inside=True,
    ),
    part(
        "capture of output",
        "what jobs print is torn, without limit, and not told after a crash",
        (f"{WORKER}/executor.py", "                stdout=stdout,\n                stderr=stderr,\n", ""),
        load="prints",
    ),
    part(
        "surroundings put back",
        "what a job changes of folder, environment or signals stays for the next",
        (f"{WORKER}/child.py", "(reason := restore() or self._spent)", "(reason := self._spent)"),
        load="brief",
    ),
    part(
        "post once",
        "a post whose answer was lost makes a second job",
        *ONCE,
        load="post",
    ),
    part(
        "post once, in bulk",
        "as above",
        *ONCE,
        load="bulk",
    ),
)  # fmt: skip

#: The changes of all parts that a plain drain shows, at once.
ALL = Part(
    "all of these at once",
    "a list of jobs",
    tuple(change for each in PARTS if each.load == "drain" for change in each.changes),
)


def make(source: Path, changes: tuple[Change, ...]) -> None:
    """Change a copy of src/. Raises ValueError for a text that does not stand there exactly once."""
    for change in changes:
        change.apply(source)
        if change.file.endswith(".py"):
            compile((source / change.file).read_text(), change.file, "exec")
