"""RedisStore: the verbs of `store/base.py` as Lua scripts, and plain reads for people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mlq_cli.model.errors import Misuse, MlqError
from mlq_cli.model.job import Record, State
from mlq_cli.model.rules import Rules
from mlq_cli.store.base import (
    Call,
    Entry,
    Place,
    QueueCounts,
    ServerInfo,
)
from mlq_cli.store.redis import layout
from mlq_cli.store.redis.answers import (
    read_entry,
    read_state,
)
from mlq_cli.store.redis.codec import read_record
from mlq_cli.store.redis.connect import Endpoint, Wire
from mlq_cli.store.redis.counting import counts_of, oldest_waiting, set_to_zero
from mlq_cli.store.redis.link import Command, ErrorAnswer
from mlq_cli.store.redis.living import living
from mlq_cli.store.redis.outlook import Outlook
from mlq_cli.store.redis.pages import Pages
from mlq_cli.store.redis.scripts import script
from mlq_cli.store.redis.talk import RedisTalk
from mlq_cli.store.redis.verbs import Verbs
from mlq_cli.store.redis.waiting import RedisBell, RedisNews, RedisWatch

if TYPE_CHECKING:
    from mlq_cli.model.finding import Finding
    from mlq_cli.store.redis.access import RedisAccess
    from mlq_cli.store.redis.data import RedisData
    from mlq_cli.store.redis.functions import RedisFunctions
    from mlq_cli.store.redis.moving import RedisMoving
    from mlq_cli.store.redis.waits import RedisWaits

T = TypeVar("T")

PAGE = 500  # records read in one exchange
_ENTRY = re.compile(r"\d{1,19}-\d{1,19}", re.ASCII)


class RedisStore(Verbs):
    """Jobs in Redis or Valkey, one namespace of it. Threads may share one."""

    def __init__(self, endpoint: Endpoint, namespace: str) -> None:
        super().__init__()
        self.namespace = namespace
        self._wire = Wire(endpoint)
        self._prefix = layout.prefix(namespace)
        self._outlook = Outlook(self._read, self.workers, namespace)

    @property
    def address(self) -> str:
        """Where Redis is, for people; holds no password."""
        return self._wire.address

    # --- sending ---------------------------------------------------------------------------------------------------
    def ask(self, call: Call[T]) -> T:
        """Send one call and return its answer. Raises MlqError."""
        (answer,) = self.run(call)
        if isinstance(answer, MlqError):
            raise answer
        result: T = answer
        return result

    def run(self, *calls: Call[Any], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """Send calls in one write, in this order; an MlqError of one stands in its place. Raises StoreUnavailable."""
        answers = self._wire.exchange([self._command(call) for call in calls], meanwhile)
        for answer in answers:
            if type(answer) is ErrorAnswer:
                answers = self._teach(calls, answers)
                break
        return [
            self._wire.translate(answer) if type(answer) is ErrorAnswer else call.read(answer)
            for call, answer in zip(calls, answers, strict=True)
        ]

    def _command(self, call: Call[Any], *, whole: bool = False) -> Command:
        known = script(call.verb)
        name = ("EVAL", known.body) if whole else ("EVALSHA", known.sha)
        return (*name, 1, self._prefix, *call.args)

    def _teach(self, calls: Sequence[Call[Any]], answers: list[Any]) -> list[Any]:
        """Send again, with their bodies, what Redis did not know: after its restart, say.

        All from the first of them on, so that the order holds; what did run before is harmless to run again.
        """
        first = next((i for i, answer in enumerate(answers) if _unknown(answer)), None)
        if first is None:
            return answers
        return answers[:first] + self._wire.exchange([self._command(call, whole=True) for call in calls[first:]])

    def talk(self) -> RedisTalk:
        """Return a way to send calls before those before them are answered."""
        return RedisTalk(self._wire, self._command, self.run)

    # --- looking ---------------------------------------------------------------------------------------------------
    def records(self, ids: Sequence[str], *, values: bool = True) -> list[Record | None]:
        """Return the records of jobs, None for those that do not exist; `values`: with long messages and results."""
        found: list[Record | None] = []
        for first in range(0, len(ids), PAGE):
            found += self._page(ids[first : first + PAGE], values=values)
        return found

    def _page(self, ids: Sequence[str], *, values: bool) -> list[Record | None]:
        answers = self._read([("HGETALL", layout.JOB(self.namespace, job_id)) for job_id in ids])
        hashes = [layout.record_of(flat) for flat in answers]
        # What is not in the hash: long values beside it, until when a job runs or waits, its place in the queue.
        wanted: list[tuple[dict[str, bytes], str, Command]] = []
        for job_id, fields in zip(ids, hashes, strict=True):
            if not fields:
                continue
            state = layout.state_of(fields.get("state", b""))
            if values and "msg" not in fields:
                wanted.append((fields, "msg", ("GET", layout.MSG(self.namespace, job_id))))
            if values and state is State.SUCCEEDED and "result" not in fields:
                wanted.append((fields, "result", ("GET", layout.RESULT(self.namespace, job_id))))
            if state in (State.RUNNING, State.SCHEDULED, State.QUEUED):
                name, command = ("rank", "ZRANK") if state is State.QUEUED else ("score", "ZSCORE")
                queue = fields.get("queue", b"default").decode()
                wanted.append((fields, name, (command, layout.STATE(self.namespace, queue, state), job_id)))
        for (fields, name, _), value in zip(wanted, self._read([command for *_, command in wanted]), strict=True):
            if value is not None:
                fields[name] = value
        found = [read_record(job_id, fields) if fields else None for job_id, fields in zip(ids, hashes, strict=True)]
        self._outlook.estimate(record for record in found if record is not None)
        return found

    def sizes(self, ids: Sequence[str]) -> list[int]:
        """Return how many bytes the long messages and results of jobs have, which `records` reads; 0: none."""
        keys = [(layout.MSG(self.namespace, job_id), layout.RESULT(self.namespace, job_id)) for job_id in ids]
        found = self._read([("STRLEN", key) for pair in keys for key in pair])
        return [int(msg) + int(result) for msg, result in zip(found[::2], found[1::2], strict=True)]

    def entries(self, job_id: str, after: str | None, most: int) -> list[Entry]:
        """Return what is kept for those who follow a job, the oldest first, at most so many, all behind `after`."""
        if after is not None and not _ENTRY.fullmatch(after):
            raise Misuse(f"{after!r} is no id of an event", hint="take the id of one that was received")
        first = "-" if after is None else f"({after}"
        (found,) = self._read([("XRANGE", layout.STREAM(self.namespace, job_id), first, "+", "COUNT", most)])
        return [read_entry(*entry) for entry in found]

    def states(self, ids: Sequence[str]) -> list[State | None]:
        """Return only the states."""
        return [read_state(answer) for answer in self._field(ids, "state")]

    def posted_at(self, ids: Sequence[str]) -> list[float | None]:
        """Return only when jobs were posted."""
        return [None if answer is None else int(answer) / 1e6 for answer in self._field(ids, "timestamp")]

    def _field(self, ids: Sequence[str], name: str) -> Iterator[Any]:
        for first in range(0, len(ids), PAGE):
            page = ids[first : first + PAGE]
            yield from self._read([self._ask_field(job_id, name) for job_id in page])

    def _ask_field(self, job_id: str, name: str) -> Command:
        return ("HGET", layout.JOB(self.namespace, job_id), layout.field(name))

    def ids(self, queues: Iterable[str] | None, states: Iterable[State], limit: int | None) -> list[str]:
        """Return ids by queue and state; None means all queues, or no limit."""
        return Pages(self.namespace, self._read).newest(self.queues() if queues is None else queues, states, limit)

    def page(
        self, queues: Sequence[str] | None, states: Sequence[State], after: Place | None, most: int
    ) -> tuple[list[str], Place | None]:
        """Return ids behind a place, and the place to go on from; None when these were the last."""
        return Pages(self.namespace, self._read).page(sorted(queues or self.queues()), states, after, most)

    def queues(self) -> list[str]:
        """Return the names of all queues that ever got a job, ours last."""
        (names,) = self._read([("SMEMBERS", layout.QUEUES(self.namespace))])
        return sorted((name.decode() for name in names), key=lambda name: (name.startswith("_"), name))

    def counts(self) -> list[QueueCounts]:
        """Return every queue with its numbers, ours last."""
        return counts_of(self._read, self.namespace, self.queues())

    def oldest_waiting(self) -> dict[str, float]:
        """Return for how many seconds the job that waits longest does so, of each queue in which one waits."""
        return oldest_waiting(self._read, self.namespace, self.queues())

    def unable(self) -> dict[str, Counter[str]]:
        """Return how many queued jobs ask for functions that no living worker has, by queue and function."""
        from mlq_cli.store.redis.asked import unable

        return unable(self._read, self.namespace, self.queues())

    def workers(self) -> list[dict[str, str]]:
        """Return what living workers say of themselves."""
        return living(self.namespace, self._read)

    def bell(self, queues: Sequence[str]) -> RedisBell:
        """Return a bell that rings when jobs come into these queues."""
        return RedisBell(self._wire, [layout.BELL(self.namespace, queue) for queue in queues])

    def watch(self, job_id: str) -> tuple[State | None, RedisWatch]:
        """Return the state of a job, and a watch that hears of it from then on."""
        watch = RedisWatch(self._wire, layout.EVENTS(self.namespace), job_id, self._ask_field(job_id, "state"))
        return read_state(watch.answer), watch

    def news(self) -> RedisNews:
        """Return what hears of all jobs from now on."""
        return RedisNews(self._wire, layout.EVENTS(self.namespace))

    def server(self, largest: int = 0) -> ServerInfo:
        """Return what keeps the jobs, and what about it puts them at risk."""
        from mlq_cli.store.redis.server_info import ask_settings, read_info  # rarely wanted, as below

        return read_info(ask_settings(self._wire), largest)

    def examine(self, largest: int) -> Iterator[Finding]:
        """Yield how what keeps the jobs is, and what to do about it."""
        from mlq_cli.store.redis.examination import examine

        return examine(self._wire, largest)

    def audit(self, *, rules: Rules, repair: bool, looked: Callable[[int], None]) -> Iterator[Finding]:
        """Look at all that is kept and yield what does not fit together."""
        from mlq_cli.store.redis.audit import Audit

        return Audit(self.namespace, self._read, self.ask, rules, repair=repair, looked=looked).findings()

    def functions(self) -> RedisFunctions:
        """Return what keeps the functions that are registered at run time."""
        from mlq_cli.store.redis.functions import RedisFunctions

        return RedisFunctions(self.namespace, self._read, self.ask)

    def access(self) -> RedisAccess:
        """Return what keeps the access tokens of the HTTP server."""
        from mlq_cli.store.redis.access import RedisAccess

        return RedisAccess(self.namespace, self._read)

    def data(self) -> RedisData:
        """Return what keeps the values that jobs store for each other."""
        from mlq_cli.store.redis.data import RedisData

        return RedisData(self.namespace, self._read)

    def waits(self) -> RedisWaits:
        """Return what knows which running jobs block on which."""
        from mlq_cli.store.redis.waits import RedisWaits

        return RedisWaits(self.ask)

    def moving(self) -> RedisMoving:
        """Return what takes waiting jobs elsewhere and brings them in."""
        from mlq_cli.store.redis.moving import RedisMoving

        return RedisMoving(self.namespace, self.ask, self._read)

    def rezero(self, queue: str) -> None:
        """Let the tally of a queue begin anew; counters go on as they are."""
        set_to_zero(self._read, self.namespace, queue)

    def forget(self) -> None:
        """Delete what the namespace keeps beside its jobs: for one that is not used any more."""
        self.data().forget()
        names = [worker["name"] for worker in self.workers()]
        self._read([("DEL", *layout.beside_jobs(self.namespace, self.queues(), names))])

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()

    def _read(self, commands: Sequence[Command]) -> list[Any]:
        """Send plain commands in one write; the first error answer is raised."""
        if not commands:
            return []
        answers = self._wire.exchange(commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise self._wire.translate(answer)
        return answers


def _unknown(answer: Any) -> bool:
    """Whether Redis does not know the script."""
    return isinstance(answer, ErrorAnswer) and answer.word == "NOSCRIPT"
