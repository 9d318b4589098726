"""What `mlq doctor` makes of queues and workers: jobs that wait for nobody, and jobs that wait for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from mlq_cli.model.finding import NAMESPACE, Finding, Level
from mlq_cli.model.job import CALLBACKS, State
from mlq_cli.store.base import QueueCounts

EXAMPLES = 3


class _Case(NamedTuple):
    level: Level
    one: str
    many: str  # {} is the number
    advice: str


CASES: Mapping[str, _Case] = {
    "unserved": _Case(
        Level.WARNING,
        "1 job waits in a queue that no living worker serves",
        "{} jobs wait in queues that no living worker serves",
        "mlq worker --queue NAME --fn pkg.mod:func serves one; mlq workers shows who is alive",
    ),
    "unable": _Case(
        Level.WARNING,
        "1 job asks for a function that no living worker has",
        "{} jobs ask for functions that no living worker has",
        "mlq worker --fn pkg.mod:func, or --calls pkg.mod, has one; after some tries such a job is dead",
    ),
    "paused": _Case(
        Level.WARNING,
        "1 job waits in a paused queue",
        "{} jobs wait in paused queues",
        "mlq queue resume NAME hands them out again",
    ),
    "leaving": _Case(
        Level.WARNING,
        "1 job is on its way to another queue, and runs in neither until it has arrived",
        "{} jobs are on their way to another queue, and run in neither until they have arrived",
        "unless a move goes on right now it was cut off: the same mlq queue move again sees them off",
    ),
    "dead-callbacks": _Case(
        Level.WARNING,
        "1 callback could not be delivered",
        "{} callbacks could not be delivered",
        "mlq dlq list -q _callbacks says why; mlq dlq retry --all -q _callbacks tries again, mlq dlq purge gives up",
    ),
    "dead": _Case(
        Level.INFO,
        "1 job gave up and waits for a person",
        "{} jobs gave up and wait for a person",
        "mlq dlq list shows them; mlq dlq retry runs them again",
    ),
    "refused": _Case(
        Level.INFO,
        "1 outcome was refused since the namespace began: its attempt had lost its lease",
        "{} outcomes were refused since the namespace began: their attempts had lost their leases",
        "if it becomes more: is --lease too short, or a machine overloaded?",
    ),
}


def examine_operation(
    counts: Sequence[QueueCounts],
    workers: Sequence[Mapping[str, str]],
    unable: Mapping[str, Mapping[str, int]],
) -> Iterator[Finding]:
    """Yield who is alive, and what waits.

    `workers`: what the living ones say of themselves; `unable`: by queue, the functions that jobs ask for and none has.
    """
    if workers:
        yield Finding(NAMESPACE, "workers", Level.OK, f"{len(workers)} worker{'s' * (len(workers) > 1)} alive")
    else:
        yield Finding(NAMESPACE, "workers", Level.INFO, "no worker is alive")
    served = {queue for worker in workers for queue in worker.get("queues", "").split()}
    if workers:
        served.add(CALLBACKS)  # whoever lives delivers callbacks, a reaper too
    queued = {each.queue: each.states[State.QUEUED] for each in counts}
    paused = {each.queue for each in counts if each.paused}
    dead = {each.queue: each.states[State.DEAD] for each in counts}
    numbers: dict[str, Mapping[str, int]] = {
        "unserved": {queue: jobs for queue, jobs in queued.items() if queue not in served | paused},
        "unable": _functions(unable, served - paused),
        "paused": {queue: jobs for queue, jobs in queued.items() if queue in paused},
        "leaving": {each.queue: each.states[State.BLOCKED] for each in counts},
        "dead-callbacks": {CALLBACKS: dead.pop(CALLBACKS, 0)},
        "dead": dead,
        "refused": {each.queue: int(each.stats.get("refused", 0)) for each in counts},
    }
    for name, case in CASES.items():
        total = sum(numbers[name].values())
        if total:
            what = case.one if total == 1 else case.many.format(f"{total:,}")
            yield Finding(NAMESPACE, name, case.level, what, case.advice, total, _most(numbers[name]))


def _functions(unable: Mapping[str, Mapping[str, int]], served: Set[str]) -> dict[str, int]:
    """Return how many jobs ask for each function, in queues that are served."""
    total: Counter[str] = Counter()
    for queue in served & unable.keys():
        for name, jobs in unable[queue].items():
            total["any listener" if name == "*" else name] += jobs
    return total


def _most(numbers: Mapping[str, int]) -> tuple[str, ...]:
    """Return the queues with the most of them."""
    queues = sorted((queue for queue in numbers if numbers[queue]), key=lambda queue: -numbers[queue])[:EXAMPLES]
    return tuple(f"{queue} ({numbers[queue]:,})" for queue in queues)
