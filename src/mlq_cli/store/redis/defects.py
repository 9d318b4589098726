"""What can be wrong with what is stored in a namespace: how bad it is, how to say it, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mlq_cli.model.finding import NAMESPACE, Finding, Level


class Defect(NamedTuple):
    """One kind of defect."""

    level: Level
    one: str  # the sentence for one of it
    many: str  # and for several; {} is the number
    advice: str  # what to do, unless --repair does it
    repair: str = ""  # what --repair does; empty: nothing, that would be a guess


DEFECTS: Mapping[str, Defect] = {
    "unlisted": Defect(
        Level.ERROR,
        "1 job is missing in the set of its state, so nobody would ever look at it",
        "{} jobs are missing in the set of their state, so nobody would ever look at them",
        "mlq doctor --repair enters what is missing",
        "entered there again",
    ),
    "misplaced": Defect(
        Level.ERROR,
        "1 entry stands in a set that the job's record does not name",
        "{} entries stand in sets that their jobs' records do not name",
        "mlq doctor --repair takes out what does not belong",
        "taken out",
    ),
    "ghost": Defect(
        Level.ERROR,
        "1 entry stands in a set and has no record",
        "{} entries stand in sets and have no record",
        "mlq doctor --repair takes out what has no record; such jobs are lost: was Redis told to evict?",
        "taken out; the jobs are lost: was Redis told to evict?",
    ),
    "orphan": Defect(
        Level.WARNING,
        "1 message, result or stream has no job any more",
        "{} messages, results or streams have no job any more",
        "mlq doctor --repair deletes what has no job; such jobs are lost: was Redis told to evict?",
        "deleted; the jobs are lost: was Redis told to evict?",
    ),
    "far-lease": Defect(
        Level.ERROR,
        "1 running job has a lease so long that it would not be given back: a clock has jumped",
        "{} running jobs have leases so long that they would not be given back: a clock has jumped",
        "see that the server's clock is right; mlq doctor --repair lets such leases end one lease from now",
        "such leases end one lease from now; see that the server's clock is right",
    ),
    "expires": Defect(
        Level.ERROR,
        "1 key has a time to live, and jobs would go with it",
        "{} keys have a time to live, and jobs would go with them",
        "mlq sets none there: find out who does; mlq doctor --repair takes such times off",
        "taken off; mlq sets none there: find out who does",
    ),
    "unknown-queue": Defect(
        Level.ERROR,
        "1 queue has jobs and is in no list, so no reaper looks after it",
        "{} queues have jobs and are in no list, so no reaper looks after them",
        "mlq doctor --repair enters what is missing",
        "entered",
    ),
    "corrupt": Defect(
        Level.ERROR,
        "1 job's record lacks something or holds what is no number; workers may trip over it",
        "{} jobs' records lack something or hold what is no number; workers may trip over them",
        "look with HGETALL; write with HSET what belongs there (docs/internals/wire-format.md), or DEL the key",
    ),
    "no-message": Defect(
        Level.ERROR,
        "1 job has lost its message",
        "{} jobs have lost their messages",
        "post what is still wanted again, and mlq cancel those; was Redis told to evict?",
    ),
    "no-result": Defect(
        Level.ERROR,
        "1 job succeeded and has lost its result",
        "{} jobs succeeded and have lost their results",
        "post what is still wanted again; was Redis told to evict?",
    ),
    "wrong-type": Defect(
        Level.ERROR,
        "1 key is not of the type that mlq gives it, and every use of it fails",
        "{} keys are not of the type that mlq gives them, and every use of them fails",
        "find out who wrote there; then RENAME such keys to names outside of the namespace",
    ),
    "foreign": Defect(
        Level.WARNING,
        "1 key in the namespace is not one of mlq's",
        "{} keys in the namespace are not mlq's",
        "find out who wrote there: a newer mlq, or somebody who should use a prefix of their own",
    ),
    "stalled": Defect(
        Level.ERROR,
        "1 running job lost its lease long ago, and nobody gives it back",
        "{} running jobs lost their leases long ago, and nobody gives them back",
        "no worker and no reaper looks there: start one, or mlq reaper --once",
    ),
    "overdue": Defect(
        Level.ERROR,
        "1 scheduled job is due long since, and nobody looks",
        "{} scheduled jobs are due long since, and nobody looks",
        "no worker and no reaper looks there: start one, or mlq reaper --once",
    ),
}


def finding_of(name: str, count: int, examples: tuple[str, ...], *, repaired: bool) -> Finding:
    """Return what to say of so many defects of one kind."""
    defect = DEFECTS[name]
    what = defect.one if count == 1 else defect.many.format(f"{count:,}")
    done = repaired and bool(defect.repair)
    advice = f"repaired: {defect.repair}" if done else defect.advice
    return Finding(NAMESPACE, name, defect.level, what, advice, count, examples, bool(defect.repair), done)
