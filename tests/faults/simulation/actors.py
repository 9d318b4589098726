"""Who takes part: workers by the rules of the real one, producers, a reaper, an operator."""

from __future__ import annotations

from typing import Any

from mlq_cli.model.job import CALLBACKS, State
from mlq_cli.model.options import PostOptions
from mlq_cli.model.outcome import Outcome
from mlq_cli.model.values import pack
from mlq_cli.store.base import Call, Claims, Held, Progress
from mlq_cli.worker.context import Job, jobs_in
from simulation.witness import Said
from simulation.world import QUEUES, RULES, SilenceError, World

ROOM = 3  # jobs that a worker runs at a time
BEAT_BUSY, BEAT_IDLE = 3.0, 10.0


class SimulatedWorker:
    """Claims, holds, renews, settles; keeps every word until it was answered; stops what it may no longer run."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self._world = world
        self._store = world.connect()
        self.awake_at = 0.0
        self.cut_until = 0.0  # its network is cut
        self._running: dict[Held, float] = {}  # and when each will be done
        self._outcomes: list[Outcome] = []
        self._releases: list[Held] = []
        self._token: str | None = None  # of a claim whose answer has not come
        self._claims = 0
        self._beat_at = 0.0
        self._renewed_at = world.time
        self._draft: tuple[list[Call[Any]], Said] | None = None  # about to be sent when it fell asleep

    # --- between its turns -----------------------------------------------------------------------------------------
    @property
    def asleep(self) -> bool:
        return self._world.time < self.awake_at

    def sleep(self, seconds: float) -> None:
        """It is stopped, or its machine sleeps: nothing runs until then."""
        self.awake_at = self._world.time + seconds
        for held in self._running:
            self._world.ends(self.name, held.id)
        self._world.note(f"{self.name} sleeps for {seconds:.0f} s")

    def fence(self) -> None:
        """End what runs when it could not renew in time; called whenever time has passed."""
        if self.asleep or self._world.time - self._renewed_at < RULES.lease * 0.8:
            return
        for held in list(self._running):
            self._drop(held)
        self._renewed_at = self._world.time

    def die(self) -> None:
        """Everything it knew is gone."""
        for held in list(self._running):
            self._drop(held)

    def _drop(self, held: Held) -> None:
        if self._running.pop(held, None) is not None:
            self._world.ends(self.name, held.id)

    # --- a turn ----------------------------------------------------------------------------------------------------
    def act(self) -> None:
        """Say all there is to say in one write, and act on the answers."""
        world = self._world
        if world.time < self.cut_until:
            return
        for held, done_at in list(self._running.items()):
            if done_at <= world.time:
                self._complete(held)
        calls, said = self._draft or self._turn()
        self._draft = None
        if world.chance(0.1 if said.finished else 0.03 if said.renewed or said.released else 0.005):
            self._draft = (calls, said)
            self.sleep(world.dice.uniform(5, 70))
            return
        sent_at = world.time
        try:
            answers = world.say(self.name, self._store, calls, said) if calls else []
        except SilenceError:
            return
        for call, answer in zip(calls, answers, strict=True):
            match call.verb:
                case "heartbeat":
                    self._renewed_at = sent_at
                    for held in answer:
                        self._drop(held)
                case "finish":
                    self._outcomes = [each for each in self._outcomes if Held(*each[:2]) not in said.finished]
                case "release":
                    self._releases = [held for held in self._releases if held not in said.released]
                case "claim":
                    self._claimed(answer)

    def _turn(self) -> tuple[list[Call[Any]], Said]:
        said, calls, dice = Said(0.0), [], self._world.dice
        if self._world.time >= self._beat_at:
            held = [*self._running, *(Held(*each[:2]) for each in self._outcomes), *self._releases]
            self._beat_at = self._world.time + (BEAT_BUSY if held else BEAT_IDLE)
            said.renewed = set(held)
            calls.append(self._store.heartbeat(self.name, held, rules=RULES, life=30.0, about={"pid": 1}))
        if self._outcomes:
            said.finished = {Held(*each[:2]): each.kind for each in self._outcomes}
            calls.append(self._store.finish(self._outcomes, rules=RULES))
        if self._releases:
            said.released = set(self._releases)
            calls.append(self._store.release(self._releases))
        if self._running and dice.random() < 0.2:
            held = dice.choice(list(self._running))
            said.progress = {held}
            calls.append(self._store.progress([Progress(*held, pack(dice.randrange(100)))]))
        if len(self._running) < ROOM and dice.random() < 0.8:
            if self._token is None:
                self._claims += 1
                self._token = f"{self.name}.{self._claims}"
            said.claims = {self._token}
            queues, lane = (*QUEUES, CALLBACKS), f"{self.name}:jobs"
            room = ROOM - len(self._running)
            calls.append(self._store.claim(queues, room, worker=self.name, lane=lane, token=self._token, rules=RULES))
        return calls, said

    def _claimed(self, claims: Claims) -> None:
        for job in claims.jobs:
            for older in [held for held in self._running if held.id == job.id]:
                self._drop(older)
            held = Held(job.id, Job(next(jobs_in(job.record))).token)
            self._running[held] = self._world.time + self._world.dice.choice([0.1, 0.1, 0.5, 0.5, 2.0, 2.0, 20.0, 60.0])
            self._world.begins(self.name, held)
            self._beat_at = min(self._beat_at, self._world.time + BEAT_BUSY)
        self._token = None

    def _complete(self, held: Held) -> None:
        self._drop(held)
        kind = self._world.dice.choices(["done", "error", "crash", "unknown", "release", "later"], [80, 8, 4, 2, 5, 1])[
            0
        ]
        if kind == "release":
            self._releases.append(held)
        elif kind == "done":  # the result says which attempt it is of
            self._outcomes.append(Outcome(*held, kind, 0.5, b"", pack(held.token)))
        else:
            self._outcomes.append(Outcome(*held, kind, 0.5, b"ValueError", b"no", b"Traceback ..."))


class Producer:
    """Posts; sends again what was not answered, or gives up on it."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self._world = world
        self._store = world.connect()
        self._unanswered: Call[Any] | None = None
        self._posts = 0
        self._messages = 0  # in the last of them
        self.acknowledged: set[str] = set()

    def act(self) -> None:
        dice = self._world.dice
        if self._unanswered is None and (len(self._world.witness.live) > 25 or not self._world.lossy):
            return
        call = self._unanswered or self._new()
        self._unanswered = call
        try:
            said = Said(0.0, post=f"{self.name}.{self._posts}", messages=self._messages)
            ((ids, _),) = self._world.say(self.name, self._store, [call], said)
        except SilenceError:
            if dice.random() < 0.1:
                self._unanswered = None  # it dies before it can ask again
            return
        self.acknowledged |= set(ids)
        self._unanswered = None

    def _new(self) -> Call[Any]:
        dice = self._world.dice
        self._posts += 1
        count = self._messages = dice.choice([1, 1, 3, 6])
        own = [f"{self.name}-{self._posts}-{i}" for i in range(count)] if dice.random() < 0.3 else None
        options = PostOptions(
            queue=dice.choice(QUEUES),
            priority=dice.choice([0, 0, 5]),
            delay=dice.choice([None, None, 3.0, 20.0]),
            retries=dice.choice([None, 0, 2]),
            callback="http://h/" if dice.random() < 0.3 else None,
        )
        return self._store.post([pack("m")] * count, options, own)


class Keeper:
    """The reaper and the operator: sweeps, and now and then takes matters into their own hands."""

    def __init__(self, world: World) -> None:
        self.name = "keeper"
        self._world = world
        self._store = world.connect()

    def sweep(self) -> None:
        dice = self._world.dice
        timeout = 50.0 if self._world.chance(0.1) else None
        queue = dice.choice([*QUEUES, CALLBACKS])
        self._say(self._store.sweep(queue, rules=RULES, timeout=timeout, limit=dice.choice([3, 500])), allowed=timeout)

    def meddle(self) -> None:
        dice, witness = self._world.dice, self._world.witness
        ids = sorted(witness.live | {job_id for job_id, job in witness.jobs.items() if job.state is State.DEAD})
        some = dice.sample(ids, min(len(ids), 2))
        match dice.choice(["cancel", "requeue", "requeue", "release", "pause", "resume"]):
            case "cancel" if some:
                self._say(self._store.cancel(some), asked_for=set(some))
            case "requeue" if some:
                self._say(self._store.requeue(some), asked_for=set(some))
            case "release":
                self._say(self._store.release_queue(dice.choice(QUEUES), limit=2), release_all=True)
            case "pause":
                self._say(self._store.pause(dice.choice(QUEUES), paused=True))
            case _:
                self.resume()

    def resume(self) -> None:
        for queue in QUEUES:
            self._say(self._store.pause(queue, paused=False))

    def _say(self, call: Call[Any], **how: Any) -> None:
        try:
            self._world.say(self.name, self._store, [call], Said(0.0, **how))
        except SilenceError:
            pass
