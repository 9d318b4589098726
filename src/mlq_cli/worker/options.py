"""Everything that can be said about a worker when it is started."""

from __future__ import annotations

from dataclasses import dataclass

from mlq_cli.model.errors import Misuse
from mlq_cli.model.job import check_name


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The options of one worker. Raises Misuse when they make no sense."""

    functions: tuple[str, ...]  # listeners as "package.module:function", run in this order
    queues: tuple[str, ...] = ("default",)  # served in this order
    executors: int = 1  # child processes
    burst: bool = False  # stop when the queues are empty
    timeout: float | None = None  # seconds an attempt may take, for jobs that say nothing
    grace: float = 30.0  # seconds a running job gets to finish when the worker is told to stop
    setup: str | None = None  # "package.module:function", called once in each executor before its first job
    paths: tuple[str, ...] = ()  # further folders to import from, before the current one
    max_jobs: int | None = None  # jobs after which an executor is replaced
    max_memory: int | None = None  # bytes of resident memory after which an executor is replaced, between two jobs
    memory_limit: int | None = None  # bytes of resident memory; an executor is killed when its job exceeds them
    calls: tuple[str, ...] = ()  # what messages may call: "package.module", or one "package.module:function" of it
    name: str | None = None  # of the worker; made from host and process id by default
    before_fn: str | None = None  # "package.module:function", called in the executor before each attempt
    after_fn: str | None = None  # called after each
    stop_fn: str | None = None  # asked after each whether the worker shall stop
    registered: bool = False  # also run functions that are registered at run time
    reload: bool = False  # replace executors when a file they imported changes (development)

    @property
    def hooks(self) -> dict[str, str]:
        """The hooks that there are, by the names that they have in `Hooks`."""
        named = {"before_fn": self.before_fn, "after_fn": self.after_fn, "stop_fn": self.stop_fn}
        return {name: path for name, path in named.items() if path is not None}

    def __post_init__(self) -> None:
        for queue in self.queues:
            check_name(queue, "queue")
        if not self.queues:
            raise Misuse("a worker needs a queue")
        if not (self.functions or self.calls or self.registered):
            raise Misuse(
                "a worker needs a function",
                hint="--fn package.module:function, --calls package.module for calls, or --registered",
            )
        if not 1 <= self.executors <= 1024:
            raise Misuse(f"{self.executors} executors are out of range", hint="1 to 1024")
        if self.max_jobs is not None and self.max_jobs < 1:
            raise Misuse("max_jobs has to be at least 1")
        if self.memory_limit is not None and self.memory_limit < 1:
            raise Misuse("memory_limit has to be at least 1 byte")
        if self.name is not None:
            check_name(self.name, "worker")
