"""Everybody who takes part: what to install, how its worker is started, and what its promise is.

The settings are those that each project's own documentation names for throughput; where it names none, what was fastest
of a few tries. `{bin}` is the environment's folder of programs, `{url}` the server.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HIREDIS = "redis[hiredis]==8.1.0"


@dataclass(frozen=True)
class Contestant:
    """One row of the report. Numbers of jobs are for a drain of two seconds or so; too few would flatter."""

    name: str
    module: str  # the adapter, see peers/client.py
    worker: str  # command of one worker with one place to run jobs
    jobs: int
    settings: str
    delivery: str
    crash_safe: str  # what becomes of a job whose worker is killed
    isolated: str  # what becomes of the worker when a job crashes its process
    results: str = "kept"
    pair: str = ""  # command, or number of workers, with two places to run jobs
    packages: tuple[str, ...] = ()
    python: str = ""  # the version it needs, when not this one
    environment: dict[str, str] = field(default_factory=dict)
    posts: int = 3000

    @property
    def venv(self) -> str:
        """The name of its environment: variants of one peer share it."""
        return self.packages[0].partition("==")[0].partition("[")[0] if self.packages else ""

    @property
    def keeps_jobs(self) -> bool:
        """Whether a job whose worker is killed is not lost: somebody runs it later."""
        return self.crash_safe not in ("lost", "stays in a processing list", "lease written, nobody looks")

    @property
    def isolates(self) -> bool:
        """Whether a job that crashes its process leaves the worker alive."""
        return self.isolated.startswith("yes")

    @property
    def version(self) -> str:
        """The versions that it is pinned to."""
        return ", ".join(package.replace("==", " ") for package in self.packages)


OURS = Contestant(
    "mlq", "peer_mlq", "{bin}/mlq worker --fn ticking:job --quiet", 120_000,
    "as it is", "at least once, one outcome", "given back when its lease ends", "yes: an executor is a process",
    pair="{bin}/mlq worker --fn ticking:job --quiet -x 2", posts=6000,
)  # fmt: skip

YARDSTICK = Contestant(
    "yardstick", "yardstick", "{bin}/python -m yardstick", 150_000,
    "100 jobs ahead of the executor", "as ours", "lease written, nobody looks", "yes: an executor is a process",
    posts=6000,
)  # fmt: skip

THROW_AWAY = Contestant(
    "throw-away", "throwaway", "{bin}/python -m throwaway", 150_000,
    "100 jobs ahead of the executor", "as ours", "lease written, nobody looks", "yes: an executor is a process",
    posts=6000,
)  # fmt: skip

PEERS = (
    Contestant(
        "mlq 0.2.2", "peer_mlq_0_2_2", "{bin}/python -m peer_mlq_0_2_2", 9_000,
        "one listener; no bulk call", "at least once with its reaper, which was not run",
        "stays in a processing list", "no: a thread",
        packages=("mlq==0.2.2",), python="3.8",
    ),
    Contestant(
        "rq", "peer_rq", "{bin}/rq worker -q -w rq.worker.SimpleWorker -u {url} bench", 1_100,
        "SimpleWorker (no process a job), bulk by enqueue_many of 500", "at least once",
        "found by registry cleaning", "no",
        packages=("rq==2.12.0", HIREDIS), posts=2000,
    ),
    Contestant(
        "rq (fork)", "peer_rq", "{bin}/rq worker -q -u {url} bench", 130,
        "its default: a process a job", "at least once", "found by registry cleaning", "yes: a process a job",
        packages=("rq==2.12.0", HIREDIS), posts=2000,
    ),
    Contestant(
        "celery (prefork)", "peer_celery",
        "{bin}/celery -A peer_celery worker -c 1 --without-gossip --without-mingle --without-heartbeat -l ERROR", 1_800,
        "prefetch multiplier 100, no gossip, mingle or heartbeat, bulk by one kept producer",
        "at most once (acknowledged when received, its default)", "lost", "yes: a process that runs many jobs",
        pair="{bin}/celery -A peer_celery worker -c 2 --without-gossip --without-mingle --without-heartbeat -l ERROR",
        packages=("celery[redis]==5.7.0", "redis[hiredis]"), posts=1500,
    ),
    Contestant(
        "celery (solo)", "peer_celery",
        "{bin}/celery -A peer_celery worker -P solo --without-gossip --without-mingle --without-heartbeat -l ERROR",
        1_900, "as prefork, in the worker's own thread",
        "at most once (acknowledged when received, its default)", "lost", "no",
        packages=("celery[redis]==5.7.0", "redis[hiredis]"), posts=1500,
    ),
    Contestant(
        "dramatiq", "peer_dramatiq", "{bin}/dramatiq peer_dramatiq -p 1 -t 8 --skip-logging", 5_500,
        "1 process, 8 threads, dramatiq_queue_prefetch=500; no bulk call", "at least once",
        "requeued by heartbeats", "no: threads",
        packages=("dramatiq[redis]==2.2.1", HIREDIS), environment={"dramatiq_queue_prefetch": "500"},
    ),
    Contestant(
        "huey", "peer_huey", "{bin}/huey_consumer peer_huey.huey -q -n -w 1", 8_500,
        "1 thread, no periodic tasks, notify_result where latency is measured; no bulk call",
        "at most once", "lost", "no: a thread", results="until read",
        packages=("huey[redis]==3.5.4", HIREDIS),
    ),
    Contestant(
        "arq", "peer_arq", "{bin}/python -m peer_arq", 4_500,
        "max_jobs 100, poll_delay 0.01, no log line a job; bulk by gather of 500", "at least once",
        "run again after its timeout", "no: one event loop",
        packages=("arq==0.28.0", "redis[hiredis]"),
    ),
    Contestant(
        "saq", "peer_saq", "{bin}/saq peer_saq.settings -q", 4_500,
        "concurrency 20, waiting with poll_interval 0.001; bulk by gather of 500", "at least once",
        "swept after its timeout", "no: one event loop",
        packages=("saq[redis,hiredis]==0.26.4", "typing_extensions"),
    ),
    Contestant(
        "taskiq (stream)", "peer_taskiq",
        "{bin}/taskiq worker peer_taskiq:broker -w 1 --max-async-tasks 100 --log-level ERROR", 4_200,
        "100 async tasks, 1 process; bulk by gather of 500", "at least once (acknowledged when the result is saved)",
        "claimed after its idle time", "no: one event loop",
        packages=("taskiq==0.13.0", "taskiq-redis==1.2.4", "redis[hiredis]"), environment={"BENCH_MODE": "stream"},
    ),
    Contestant(
        "taskiq (list)", "peer_taskiq",
        "{bin}/taskiq worker peer_taskiq:broker -w 1 --max-async-tasks 100 --log-level ERROR", 4_200,
        "100 async tasks, 1 process; bulk by gather of 500", "at most once", "lost", "no: one event loop",
        packages=("taskiq==0.13.0", "taskiq-redis==1.2.4", "redis[hiredis]"), environment={"BENCH_MODE": "list"},
    ),
    Contestant(
        "blitzq", "peer_blitzq", "{bin}/blitzq worker peer_blitzq:queue -c 200 --log-level WARNING", 20_000,
        "reliable mode, concurrency 200, bulk by enqueue_many of 500", "at least once", "redelivered after 60 s",
        "no: one event loop",
        packages=("blitzq==1.1.0",), python="3.12", environment={"BENCH_MODE": "reliable"},
    ),
    Contestant(
        "blitzq (fast)", "peer_blitzq", "{bin}/blitzq worker peer_blitzq:queue -c 200 --log-level WARNING", 38_000,
        "fast mode, concurrency 200, bulk by enqueue_many of 500", "at most once", "lost", "no: one event loop",
        packages=("blitzq==1.1.0",), python="3.12", environment={"BENCH_MODE": "fast"},
    ),
    Contestant(
        "ardiq", "peer_ardiq", "{bin}/ardiq run -q peer_ardiq:app", 27_000,
        "concurrency 100, bulk by enqueue_many of 500", "at least once", "claimed by another worker",
        "no: one event loop",
        packages=("ardiq==1.2.0",), python="3.12",
    ),
    Contestant(
        "mayu", "peer_mayu", "{bin}/mayu worker peer_mayu:app --mode process --processes 1 --log-level ERROR", 30_000,
        "process mode, 1 process; no bulk call: 4 client threads", "at least once", "claimed by another worker",
        "no: the process that talks to Redis",
        pair="{bin}/mayu worker peer_mayu:app --mode process --processes 2 --log-level ERROR",
        packages=("mayu==0.2.5",), python="3.13", posts=6000,
    ),
    Contestant(
        "mayu (threads)", "peer_mayu", "{bin}/mayu worker peer_mayu:app --mode thread --threads 8 --log-level ERROR",
        60_000, "8 threads in one process with a GIL; no bulk call: 4 client threads", "at least once",
        "claimed by another worker", "no: threads",
        packages=("mayu==0.2.5",), python="3.13", posts=6000,
    ),
)  # fmt: skip

#: Loops in the caller's own process: what runs the job also talks to the queue.
LOOPS = (
    Contestant(
        "mlq (consume)", "peer_mlq_consume", "{bin}/python -m peer_mlq_consume", 100_000,
        "`for msg in mlq.consume()`; bulk by post_many", "at least once, one outcome",
        "given back when its lease ends", "no", results="that it is done", posts=6000,
    ),
    Contestant(
        "mlq (poll)", "peer_mlq_poll", "{bin}/python -m peer_mlq_poll", 60_000,
        "partials; `mlq.poll(job)`; bulk by post_many", "at least once, one outcome",
        "given back when its lease ends", "no", posts=6000,
    ),
    Contestant(
        "hotqueue", "peer_hotqueue", "{bin}/python -m peer_hotqueue", 25_000,
        "`for msg in queue.consume()`, pickle; bulk by put of 500", "at most once", "lost", "no", results="none",
        packages=("hotqueue==0.2.8", HIREDIS), posts=6000,
    ),
    Contestant(
        "task-queue (file)", "peer_task_queue", "{bin}/python -m peer_task_queue", 1_500,
        "partials of a queueable; its file queue `fq://` in memory; `tq.poll()`; bulk by insert of a generator",
        "at least once", "leased again after its lease", "no", results="none",
        packages=("task-queue==2.14.3", "numpy"), posts=500,
    ),
)  # fmt: skip
