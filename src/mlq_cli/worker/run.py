"""Put a worker or a reaper together and run it in the main thread, with signals."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlq_cli.model.callback_policy import policy_of
from mlq_cli.model.carried import carried
from mlq_cli.model.job import CALLBACKS
from mlq_cli.model.profile import Profile
from mlq_cli.model.rules import Rules, rules_of
from mlq_cli.model.signing import keys_of
from mlq_cli.worker.executor import HostMaker, ProcessHost
from mlq_cli.worker.lane import Lane
from mlq_cli.worker.memory import WATCHED, MemoryLimit
from mlq_cli.worker.options import WorkerOptions
from mlq_cli.worker.orphans import Orphans, adopt
from mlq_cli.worker.outbox import Outbox
from mlq_cli.worker.output import Output
from mlq_cli.worker.shelf import Shelf
from mlq_cli.worker.worker import Worker

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ

log = logging.getLogger("mlq.worker")


def run_worker(mlq: MLQ, options: WorkerOptions, rules: Rules) -> int:
    """Run a worker until it is told to stop; returns the exit code. Raises MlqError when it cannot start."""
    name = options.name or worker_name()
    outbox = Outbox()
    settings = executor_settings(name, options, mlq.profile.limits.result, mlq.profile)
    hosts, size = process_hosts(name, mlq.profile.secret), options.executors
    memory = MemoryLimit(options.memory_limit) if options.memory_limit and WATCHED else None
    shelf = shelf_of(mlq) if options.registered else None
    jobs = Lane(
        "jobs", options.queues, hosts, settings, outbox, size=size, timeout=options.timeout, memory=memory, shelf=shelf
    )
    lanes = [jobs, callback_lane(mlq, name, outbox)]
    orphans = Orphans(name, jobs, lanes) if adopt() else None
    chore = None if orphans is None else orphans.look
    about = about_this(options.queues, options.executors, (*options.functions, *options.calls))
    say_doubts(mlq)
    if options.memory_limit and not WATCHED:
        log.warning("the memory limit does nothing on this system: nobody tells what another process uses")
    burst, grace = options.burst, options.grace
    worker = Worker(
        mlq.store, name, rules, outbox, lanes, burst=burst, grace=grace, about=about, chore=chore, shelf=shelf
    )
    log.info("worker %s serves %s at %s", name, ", ".join(options.queues), mlq.store.address)
    try:
        with_signals(worker)
    finally:
        if orphans is not None:
            orphans.end()
    log.info("worker %s has stopped; jobs done: %d", name, jobs.done)
    return 0


def run_reaper(mlq: MLQ, *, interval: float, timeout: float | None, max_retries: int, once: bool) -> int:
    """Sweep every `interval` seconds, or once, and deliver callbacks; returns the exit code."""
    rules = rules_of(mlq.profile, max_retries=max_retries)
    say_doubts(mlq)
    if once:
        sweep_once(mlq, rules, timeout)
        with_signals(reaper_worker(mlq, rules, burst=True))  # the callbacks that wait
        return 0
    worker = reaper_worker(mlq, rules, chore=sweeping(mlq, rules, interval, timeout))
    log.info("this reaper sweeps every %g s at %s", interval, mlq.store.address)
    with_signals(worker)
    return 0


def reaper_worker(
    mlq: MLQ, rules: Rules, *, chore: Callable[[float], float] | None = None, burst: bool = False
) -> Worker:
    """Return a worker that runs no jobs: it delivers callbacks, and has the chore of sweeping."""
    name = f"reaper-{worker_name()}"
    outbox = Outbox()
    lanes = [callback_lane(mlq, name, outbox)]
    return Worker(mlq.store, name, rules, outbox, lanes, burst=burst, about=about_this((), 0, ()), chore=chore)


def sweeping(mlq: MLQ, rules: Rules, interval: float, timeout: float | None) -> Callable[[float], float]:
    """Return the chore of a reaper: sweep, and say how long until the next time."""

    def sweep(now: float) -> float:
        swept = mlq.sweep(timeout=timeout, max_retries=rules.max_retries)
        if swept.given_back or swept.forgotten:
            log.info("swept: %d given back, %d forgotten", swept.given_back, swept.forgotten)
        # During the grace after an outage nothing is given back: look again when it is over.
        return min(interval, swept.grace + 0.01) if swept.grace else interval

    return sweep


def sweep_once(mlq: MLQ, rules: Rules, timeout: float | None) -> None:
    """Sweep once, for cron. When nobody has been heard of for long, living workers first get a lease to speak up."""
    swept = total = mlq.sweep(timeout=timeout, max_retries=rules.max_retries)
    while swept.grace:
        time.sleep(min(swept.grace + 0.01, rules.lease / 4))
        swept = mlq.sweep(timeout=timeout, max_retries=rules.max_retries)
        total = total.plus(swept)
    log.info("swept: %d given back, %d promoted, %d forgotten", total.given_back, total.promoted, total.forgotten)


def say_doubts(mlq: MLQ) -> None:
    """Warn of what about Redis puts jobs at risk. Nothing to talk to is found out here too. Raises StoreUnavailable."""
    for doubt in mlq.store.server(mlq.profile.limits.largest).doubts:
        log.warning("%s", doubt)


def with_signals(worker: Worker) -> None:
    """Run a worker; SIGTERM and SIGINT stop it warmly, a second one at once. Handlers only set a flag.

    The process is about to end then. A signal that comes late must not make a failure of a clean stop: it is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        worker.run()
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    try:
        worker.run()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # a handler of Python's would be taken off before the very end


def worker_name() -> str:
    """Return a name that no other worker has: host, process, and a few random letters."""
    host = "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname().split(".")[0])[:32] or "host"
    return f"{host.strip('-') or 'host'}-{os.getpid()}-{os.urandom(2).hex()}"


def process_hosts(name: str, secret: str | None = None) -> HostMaker:
    """Return what makes child processes; each finds its worker and its number in its environment, but not the secret.

    A profile may have the secret from a variable of any name. Such a one is emptied, not taken away, as MLQ_SECRET is.
    """
    output = Output()
    told = set() if secret is None else {secret, *secret.split()}
    untold = {variable: "" for variable, value in os.environ.items() if value.strip() in told}
    return lambda number: ProcessHost({**untold, "MLQ_WORKER": name, "MLQ_EXECUTOR": str(number)}, output)


def executor_settings(
    name: str, options: WorkerOptions, limit: int | None, profile: Profile | None = None
) -> dict[str, Any]:
    """Return the first frame of an executor. `profile`: of the namespace that its jobs reach; its secret stays here."""
    here = os.getcwd()
    return {
        "worker": name,
        "functions": list(options.functions),
        "calls": list(options.calls),
        "setup": options.setup,
        "hooks": options.hooks,
        "paths": [*(os.path.abspath(path) for path in options.paths), here],
        "max_jobs": options.max_jobs,
        "max_memory": options.max_memory,
        "reload": options.reload,
        "limit": limit,
        "profile": None if profile is None else carried(_led(profile)),
        "registered": options.registered,
    }


def _led(profile: Profile) -> Profile:
    """Return a profile with the address of the private server, if it means that: its key is not for executors."""
    if profile.redis_url() is not None:
        return profile
    from mlq_cli.store.redis import endpoint_of

    path = endpoint_of(profile).address.removeprefix("unix://")
    return replace(profile, redis=replace(profile.redis, url=f"unix://{quote(path)}"))


def callback_lane(mlq: MLQ, name: str, outbox: Outbox) -> Lane:
    """Return the lane that delivers callbacks; its executor is started when there are any. Raises MlqError."""
    from mlq_cli.store.redis import signing_secret

    options = WorkerOptions(("mlq_cli.worker.callbacks:Delivery",))
    secret = signing_secret(mlq.profile)
    # By its socket, where no other executor can read along: not by its environment, nor by its command line.
    delivery = {
        **asdict(policy_of(mlq.profile)),
        "keys": [] if secret is None else keys_of(secret),
        "namespace": mlq.namespace,
    }
    delivery["shut"] = sorted(delivery["shut"])
    settings = {**executor_settings(name, options, None), "delivery": delivery}
    return Lane("callbacks", (CALLBACKS,), process_hosts(name, secret), settings, outbox, size=1, on_demand=True)


def shelf_of(mlq: MLQ) -> Shelf:
    """Return the shelf of a worker that takes up registered functions. Raises Misuse without a secret."""
    return Shelf(mlq.signing_keys(), mlq.namespace, f"{sys.version_info.major}.{sys.version_info.minor}")


def about_this(queues: tuple[str, ...], executors: int, functions: tuple[str, ...]) -> dict[str, str | float]:
    """Return what a worker says of itself in `mlq workers`."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": time.time(),
        "queues": " ".join(queues),
        "executors": executors,
        "functions": " ".join(functions),
    }
