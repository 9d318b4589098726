"""What a store has to do, in plain Python: the specification that the real one is compared with, verb by verb."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlq_cli.model.job import CALLBACKS, State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.rules import Rules
from mlq_cli.store.base import Held, Posted, Swept

SOME = 100  # jobs of a queue and state that one claim looks after
LATER = 12.0  # seconds for which a job is put off
ENDED = (State.SUCCEEDED, State.CANCELED, State.DEAD)


@dataclass
class ModelJob:
    """One job. `score`: its place in the set of its state, as `layout.SCORES` says."""

    id: str
    number: int
    queue: str
    msg: Any
    timestamp: float
    state: State
    score: float
    priority: int = 0
    retries_allowed: int | None = None
    timeout: float | None = None
    callback: str | None = None
    callback_method: str | None = None
    callback_public: bool = False
    functions: list[str] | None = None
    token: str | None = None
    worker: str | None = None
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    retries: int = 0
    processing_started: float | None = None
    processing_finished: float | None = None
    said: Any = None  # what its listener said last
    short_result: str | None = None
    result: Any = None
    error_type: str | None = None
    error: str | None = None
    traceback: str | None = None
    ended: int = 0  # how many had ended when it did
    queued_at: float | None = None  # since when it waits, when not since it was posted
    emitted: int | None = None  # parts of the present attempt, once there is a stream
    told: list[str] = field(default_factory=list)  # what its stream holds

    def tell(self) -> None:
        """It is in another state; its stream says so, if it has one."""
        if self.emitted is not None:
            self.told.append(self.state.value)

    def say(self, kind: str) -> None:
        """Its listener says something; the first time a stream is made."""
        if self.emitted is None:
            self.emitted = 0
            self.tell()
        self.told.append(kind)

    def begin(self) -> None:
        """Another attempt begins."""
        if self.emitted:
            self.told.append("reset")
            self.emitted = 0
        self.tell()

    @property
    def place(self) -> float:
        """Higher priority first, then in the order of posting."""
        return -self.priority * 2.0**41 + self.number

    @property
    def progress(self) -> Any:
        """As people see it."""
        said = 0 if self.said is None else self.said
        return {State.SUCCEEDED: 100, State.DEAD: -1, State.RUNNING: said}.get(self.state)


@dataclass(frozen=True)
class Ending:
    """How an attempt ended: `done` with a result, `later` for another time, or otherwise with what went wrong."""

    held: Held
    kind: str
    seconds: float
    short: str | None = None
    result: Any = None


@dataclass(frozen=True)
class Handed:
    """What a worker learns of a job that it is handed."""

    id: str
    token: str
    attempt: int
    msg: Any
    timeout: float | None
    queue: str
    retries: int


@dataclass
class StoreModel:
    """All jobs of a namespace on a clock that the test moves."""

    now: float
    jitter: float
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    number: int = 0
    ends: int = 0
    paused: set[str] = field(default_factory=set)
    stats: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    gone: Counter[str] = field(default_factory=Counter)  # jobs of each queue that were purged or forgotten
    late: dict[str, str] = field(default_factory=dict)  # of a job, the attempt that was refused last
    receipts: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    heard_at: float | None = None
    grace_until: float = 0.0
    able: dict[str, float] = field(default_factory=dict)  # until when a function counts as one that somebody has

    # --- what several verbs have in common -------------------------------------------------------------------------
    def all_in(self, queue: str, state: State) -> list[ModelJob]:
        """The jobs of one set, in its order."""
        found = [job for job in self.jobs.values() if (job.queue, job.state) == (queue, state)]
        if state is State.SUCCEEDED:  # a list, in the order of ending
            return sorted(found, key=lambda job: job.ended)
        return sorted(found, key=lambda job: (job.score, job.id))

    def states(self) -> dict[str, State]:
        """The states of all jobs."""
        return {job.id: job.state for job in self.jobs.values()}

    def _held(self, held: Held) -> ModelJob | None:
        """The job, if this is the pair that its holder has."""
        job = self.jobs.get(held.id)
        return job if job and job.state is State.RUNNING and job.token == held.token else None

    def _pulse(self, lease: float) -> float:
        """Somebody speaks. After half a lease of silence nothing is given back for a lease; returns what is left."""
        if self.heard_at is None or self.now - self.heard_at > lease / 2:
            self.heard_at, self.grace_until = self.now, self.now + lease
        elif self.now - self.heard_at > lease / 64:
            self.heard_at = self.now
        return max(0.0, self.grace_until - self.now)

    def _enqueue(self, job: ModelJob, since: float | None = None) -> None:
        job.queued_at = self.now if since is None else since
        job.state, job.score, job.token, job.said = State.QUEUED, job.place, None, None
        job.tell()

    def _end(self, job: ModelJob, state: State) -> None:
        job.state, job.score, job.processing_finished = state, self.now, self.now
        self.ends += 1
        job.ended = self.ends
        job.tell()
        self.stats[job.queue][state.value] += 1
        if job.callback:  # told by a job of its own, posted together with the end
            self.number += 1
            msg = {
                "url": job.callback,
                "job_id": job.id,
                "short_result": job.short_result if state is State.SUCCEEDED else None,
                "success": int(state is State.SUCCEEDED),
            }
            if msg["short_result"] is None:
                del msg["short_result"]
            if job.callback_public:
                msg["public"] = 1
            if job.callback_method == "POST":
                msg |= {"method": "POST", "state": state.value, "queue": job.queue, "attempt": job.attempt}
                msg |= {"error_type": job.error_type, "error": job.error} if job.error_type else {}
            place, name = float(self.number), str(self.number)
            told = ModelJob(name, self.number, CALLBACKS, msg, self.now, State.QUEUED, place)
            told.retries_allowed, told.timeout = 2, 20.0
            self.jobs[name] = told
            self.stats[CALLBACKS]["posted"] += 1

    def _due(self, queue: str, state: State, limit: int) -> list[ModelJob]:
        return [job for job in self.all_in(queue, state) if job.score <= self.now][:limit]

    def _promote(self, queue: str, limit: int) -> int:
        due = self._due(queue, State.SCHEDULED, limit)
        for job in due:
            self._enqueue(job, since=job.score)
        return len(due)

    def _give_back(self, jobs: Sequence[ModelJob], kind: str, error: str, rules: Rules) -> int:
        """Take jobs from whoever holds them: an attempt was spent, and one of the job's `retries`."""
        for job in jobs:
            self.stats[job.queue]["lost"] += 1
            job.token = job.said = None
            job.retries += 1
            job.error_type, job.error, job.traceback = kind, error, None
            if job.retries > rules.max_retries:
                self._end(job, State.DEAD)
            else:
                self._enqueue(job)
        return len(jobs)

    def _give_back_lost(self, queue: str, limit: int, rules: Rules) -> int:
        lost = self._due(queue, State.RUNNING, limit)
        return self._give_back(lost, "WorkerLost", "its worker vanished", rules)

    def _is_for_others(self, job: ModelJob, can: Sequence[str] | None) -> bool:
        """Whether this lane passes a job over: only others can run it, and one of them lives."""
        if can is None:
            return False
        if job.functions is None:
            return "*" not in can
        asked = {name for function in job.functions for name in (function, module_of(function))}
        return asked.isdisjoint(can) and any(self.able.get(name, 0.0) > self.now for name in asked)

    def _forget(self, jobs: Sequence[ModelJob]) -> int:
        for job in jobs:
            del self.jobs[job.id]
            self.gone[job.queue] += 1
        return len(jobs)

    def _trim(self, queue: str, state: State, limit: int, rules: Rules) -> int:
        kept = rules.retention
        age, most = (kept.dead_age, None) if state is State.DEAD else (kept.age, kept.count)
        gone = 0
        if age is not None:
            old = [job for job in self.all_in(queue, state) if job.score <= self.now - age]
            gone = self._forget(old[:limit])
        if most is not None:
            jobs = self.all_in(queue, state)
            gone += self._forget(jobs[: max(0, min(len(jobs) - most, limit))])
        return gone

    # --- the life of a job -----------------------------------------------------------------------------------------
    def post(self, messages: Sequence[Any], options: PostOptions, ids: Sequence[str] | None) -> Posted:
        """An id that exists is left as it is; its number is used up all the same."""
        due_at = options.at if options.at is not None else options.delay and self.now + options.delay
        answer = []
        created = 0
        for place, message in enumerate(messages):
            self.number += 1
            job_id = ids[place] if ids else str(self.number)
            answer.append(job_id)
            if job_id in self.jobs:
                continue
            job = ModelJob(job_id, self.number, options.queue, message, self.now, State.QUEUED, 0.0)
            job.priority, job.timeout, job.callback = options.priority, options.timeout, options.callback
            if options.callback:
                job.callback_method, job.callback_public = options.callback_method, options.callback_public
            job.retries_allowed = options.retries
            job.functions = list(options.functions) if options.functions else None
            self._enqueue(job)
            if due_at and due_at > self.now:
                job.state, job.score = State.SCHEDULED, due_at
            self.jobs[job_id] = job
            created += 1
        self.stats[options.queue]["posted"] += created
        return Posted(answer, created)

    def claim(
        self,
        queues: Sequence[str],
        count: int,
        worker: str,
        lane: str,
        token: str,
        rules: Rules,
        functions: Sequence[str] | None = None,
    ) -> tuple[list[Handed], bool, float | None, float | None, bool]:
        """The token of this lane's last claim that got jobs answers those of them that it still holds."""
        last_token, last_ids = self.receipts.get(lane, ("", []))
        if last_token == token:
            still = [job for job_id in last_ids if (job := self._held(Held(job_id, token)))]
            for job in still:
                job.score = self.now + rules.lease
            return [handed(job) for job in still], False, None, None, False
        grace, withheld, taken, next_due = self._pulse(rules.lease), None, [], []
        passed = False
        for queue in queues:
            self._promote(queue, SOME)
            if grace == 0:
                self._give_back_lost(queue, SOME, rules)
            elif self._due(queue, State.RUNNING, 1):
                withheld = grace
            if queue in self.paused:
                continue
            line, room = self.all_in(queue, State.QUEUED), count - len(taken)
            passed = passed or any(self._is_for_others(job, functions) for job in line[:room])
            for job in [job for job in line if not self._is_for_others(job, functions)][:room]:
                job.state, job.score, job.token, job.worker = State.RUNNING, self.now + rules.lease, token, worker
                job.attempt += 1
                job.processing_started = self.now
                job.begin()
                self.stats[queue]["claimed"] += 1
                self.stats[queue]["wait_seconds"] += self.now - (job.queued_at or job.timestamp)  # type: ignore[assignment]
                taken.append(job)
            next_due += [job.score - self.now for job in self.all_in(queue, State.SCHEDULED)[:1]]
        if taken:
            self.receipts[lane] = (token, [job.id for job in taken])
        return [handed(job) for job in taken], len(taken) < count, min(next_due, default=None), withheld, passed

    def heartbeat(self, held: Sequence[Held], rules: Rules, functions: Sequence[str] = ()) -> dict[Held, str]:
        """Renews what is still held, even late. Says nothing of a job that ended by this very attempt."""
        self.able |= dict.fromkeys(functions, self.now + 120.0)
        answer = {}
        for each in held:
            job = self.jobs.get(each.id)
            if mine := self._held(each):
                mine.score = self.now + rules.lease
            elif job is None:
                answer[each] = "missing"
            elif job.state is State.CANCELED:
                answer[each] = "canceled"
            elif job.token != each.token:
                answer[each] = "lost"
        self._pulse(rules.lease)
        return answer

    def finish(self, endings: Sequence[Ending], rules: Rules) -> dict[str, str]:
        """Only the holder's outcome counts, and only once. A late one is refused and changes nothing."""
        refused, accepted, ended = {}, {}, Counter[str]()
        for ending in endings:
            job = self.jobs.get(ending.held.id)
            if self._held(ending.held):
                accepted.setdefault(ending.held, ending)
            elif job is None or job.token != ending.held.token or job.state is State.CANCELED:
                refused[ending.held.id] = job.state.value if job else "missing"
                if job and job.state is not State.CANCELED and self.late.get(job.id) != ending.held.token:
                    self.late[job.id] = ending.held.token
                    self.stats[job.queue]["refused"] += 1
        for ending in accepted.values():
            job = self.jobs[ending.held.id]
            if ending.kind != "later":  # which is no run
                ended[job.queue] += 1
                self.stats[job.queue]["run_seconds"] += ending.seconds  # type: ignore[assignment]
            self._finish(job, ending, rules)
        for queue, jobs in ended.items():
            for state in ENDED:
                self._trim(queue, state, jobs + 10, rules)
        return refused

    def _finish(self, job: ModelJob, ending: Ending, rules: Rules) -> None:
        if ending.kind == "done":
            job.error_type = job.error = job.traceback = None
            job.processing_started = self.now - ending.seconds
            job.result, job.short_result = ending.result, ending.short
            self._end(job, State.SUCCEEDED)
            return
        if ending.kind == "later":
            job.state, job.score, job.said = State.SCHEDULED, self.now + LATER, None
            job.attempt -= 1
            job.tell()
            self.stats[job.queue]["released"] += 1
            return
        counter, limit = {
            "final": ("failures", 0),
            "error": ("failures", rules.retries if job.retries_allowed is None else job.retries_allowed),
            "crash": ("crashes", rules.max_crashes),
            "unknown": ("retries", rules.max_retries),
        }[ending.kind]
        if ending.kind != "unknown":
            self.stats[job.queue]["crashed" if ending.kind == "crash" else "failed"] += 1
        tries = getattr(job, counter) + 1
        setattr(job, counter, tries)
        job.error_type, job.error, job.traceback = "ValueError", "no", "Traceback ..."
        if tries > limit:
            self._end(job, State.DEAD)
            return
        wait = min(rules.backoff * 2 ** (tries - 1), rules.backoff_max)
        job.state, job.score, job.said = State.SCHEDULED, self.now + wait + wait * 0.2 * self.jitter, None
        job.tell()
        self.stats[job.queue]["retried"] += 1

    def _release(self, jobs: Sequence[ModelJob]) -> int:
        for job in jobs:
            self._enqueue(job)
            job.attempt -= 1
            self.stats[job.queue]["released"] += 1
        return len(jobs)

    def release(self, held: Sequence[Held]) -> int:
        """Gives back with no attempt spent."""
        return self._release([job for each in dict.fromkeys(held) if (job := self._held(each))])

    def release_queue(self, queue: str, limit: int) -> int:
        """The same, by an operator."""
        return self._release(self.all_in(queue, State.RUNNING)[:limit])

    def progress(self, values: Sequence[tuple[Held, Any]]) -> int:
        """Keeps what the holder says; returns how many were refused."""
        refused = 0
        for held, value in values:
            if job := self._held(held):
                if job.said != value:
                    job.say("progress")
                job.said = value
            else:
                refused += 1
        return refused

    def emit(self, parts: Sequence[tuple[Held, int]]) -> int:
        """Keeps what the holder emits, each part once; returns how many were refused."""
        refused = 0
        for held, serial in parts:
            job = self._held(held)
            if job is None:
                refused += 1
            elif serial > (job.emitted or 0):
                job.say("part")
                job.emitted = serial
        return refused

    def sweep(self, queue: str, rules: Rules, timeout: float | None, limit: int, offset: int) -> Swept:
        """What runs too long is given back though its worker lives; what is lost only when there is no grace."""
        grace, offsets, given = self._pulse(rules.lease), [], 0
        if timeout is not None:
            page = self.all_in(queue, State.RUNNING)[offset : offset + limit]
            late = [job for job in page if self.now - (job.processing_started or self.now) > timeout]
            given = self._give_back(late, "JobTimeout", "it ran longer than the reaper allows", rules)
            offsets += [offset + len(page) - given] * (len(page) == limit)
        withheld = 0.0
        if grace == 0:
            lost = self._give_back_lost(queue, limit, rules)
            given += lost
            offsets += [0] * (lost == limit)
        elif self._due(queue, State.RUNNING, 1):
            withheld = grace
        promoted = self._promote(queue, limit)
        forgotten = sum(self._trim(queue, state, limit, rules) for state in ENDED)
        offsets += [0] * (promoted == limit or forgotten >= limit)
        return Swept(given, promoted, forgotten, withheld, max(offsets, default=None))

    # --- what people do to jobs ------------------------------------------------------------------------------------
    def _each(self, ids: Sequence[str], able: Sequence[State], act: Callable[[ModelJob], None]) -> list[str]:
        words = [
            "missing" if (job := self.jobs.get(job_id)) is None else "ok" if job.state in able else job.state.value
            for job_id in ids
        ]
        for job_id, word in dict(zip(ids, words, strict=True)).items():
            if word == "ok":
                act(self.jobs[job_id])
        return words

    def cancel(self, ids: Sequence[str]) -> list[str]:
        """A canceled job keeps its token, so that its worker is told why."""

        def act(job: ModelJob) -> None:
            if job.state is not State.CANCELED:
                self._end(job, State.CANCELED)

        return self._each(ids, (State.SCHEDULED, State.QUEUED, State.RUNNING, State.CANCELED), act)

    def requeue(self, ids: Sequence[str]) -> list[str]:
        """All attempts are given back, and what went wrong is forgotten."""

        def act(job: ModelJob) -> None:
            job.attempt = job.failures = job.crashes = job.retries = 0
            job.error_type = job.error = job.traceback = None
            job.worker = job.processing_started = job.processing_finished = None
            self._enqueue(job)
            self.stats[job.queue]["requeued"] += 1

        return self._each(ids, (State.DEAD, State.CANCELED), act)

    def purge(self, queue: str, state: State, limit: int) -> tuple[int, int]:
        """Whatever state: whoever still runs one finds it missing."""
        gone = self._forget(self.all_in(queue, state)[:limit])
        return gone, len(self.all_in(queue, state))

    def pause(self, queue: str, paused: bool) -> int:
        """Returns how many wait."""
        (self.paused.add if paused else self.paused.discard)(queue)
        return len(self.all_in(queue, State.QUEUED))


def module_of(function: str) -> str:
    """Return what stands for all functions of its module."""
    return f"{function.partition(':')[0]}:" if ":" in function else function


def handed(job: ModelJob) -> Handed:
    """Return what its worker learns of a job."""
    return Handed(job.id, job.token or "", job.attempt, job.msg, job.timeout, job.queue, job.retries)
