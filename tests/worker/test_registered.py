"""Functions registered at run time, with real workers: from afar, at once, without a restart, and refused if forged."""

from __future__ import annotations

import os
import pickle
import re
import statistics
import subprocess
import sys
import textwrap
import time
import venv
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import mlq_cli
from mlq_cli import MLQ, JobFailed
from mlq_cli.model.call import Call
from mlq_cli.model.envelope import seal
from mlq_cli.model.signing import keys_of, new_secret
from mlq_cli.shipping import python_version
from mlq_cli.store.redis import layout
from mlq_cli.worker.own import BY_VALUE
from tests_support import wait_until

SECRET = new_secret()
OPEN: Any = {"registered": True, "secret": SECRET, "every": 0.2}
SOURCE = Path(mlq_cli.__file__).parents[1]


@pytest.fixture
def mlq(redis_url: str, namespace: str) -> Any:
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace, secret=SECRET) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that no worker can import from, with a package and a module beside it."""
    made = tmp_path / "elsewhere"
    (made / "afar").mkdir(parents=True)
    (made / "beside.py").write_text(
        "FACTOR = 7\n\n\nclass Scaled:\n    def __call__(self, x):\n        return x * FACTOR\n"
    )
    (made / "afar" / "__init__.py").write_text("BASE = 1000\n")
    (made / "afar" / "inner.py").write_text("def plus(x):\n    return x + 1\n")
    work = """
        import json
        import os

        import afar
        import beside
        from afar import inner


        def work(msg, ctx):
            ctx.update_progress(50)
            scaled = beside.Scaled()
            return {"pid": os.getpid(), "value": json.loads(str(scaled(inner.plus(msg)) + afar.BASE))}
    """
    (made / "afar" / "tasks.py").write_text(textwrap.dedent(work))
    return made


def script(folder: Path, mlq: MLQ, code: str, *, python: str = sys.executable, **more: str) -> str:
    """Run a script in a folder as a process of its own, and return what it prints."""
    path = folder / "script.py"
    path.write_text("from mlq_cli import MLQ\n\nmlq = MLQ()\n" + textwrap.dedent(code))
    url = mlq.profile.redis.url or ""
    mine = {"MLQ_REDIS_URL": url, "MLQ_NAMESPACE": mlq.namespace, "MLQ_SECRET": SECRET, **more}
    environment = {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **mine}
    done = subprocess.run([python, str(path)], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def taken(worker: Any, name: str, *, seconds: float = 10.0) -> None:
    wait_until(lambda: f"the function {name} is taken up" in worker.log(), seconds=seconds)


def call(mlq: MLQ, name: str, msg: Any = 1) -> Any:
    return mlq.wait(mlq.post(msg, functions=[name]), 20)


def put(mlq: MLQ, name: str, envelope: bytes) -> None:
    """Put an envelope past all checks, as somebody with the password of Redis could."""
    store: Any = mlq.store
    space = mlq.namespace
    at = mlq.store.functions().clock()
    store._read([("HSET", layout.FUNCTIONS(space), name, envelope), ("ZADD", layout.CHANGES(space), at, name)])


def test_a_function_from_another_folder_runs_at_once_in_a_worker_that_runs_already(
    mlq: MLQ, start_worker: Any, folder: Path
) -> None:
    start_worker("jobs:pid", "jobs:loads", setup="jobs:load", registered=True, secret=SECRET)
    before = call(mlq, "pid")
    seconds = []
    for attempt in range(3):
        name = script(folder, mlq, f"import afar.tasks\nprint(mlq.register_function(afar.tasks.work, 'work{attempt}'))")
        began = time.monotonic()
        assert call(mlq, name, 2) == {"pid": before, "value": 1021}
        seconds.append(time.monotonic() - began)
    assert statistics.median(seconds) < 2.0
    assert call(mlq, "pid") == before and call(mlq, "loads") == [before], "the same executor, what it had loaded too"


def test_lambdas_closures_and_functions_of_a_script_run_there(mlq: MLQ, start_worker: Any, folder: Path) -> None:
    worker = start_worker(**OPEN)
    said = script(
        folder,
        mlq,
        """
        import beside

        FACTOR = 3

        def inner(x):
            return beside.Scaled()(x) * FACTOR

        def of_main(msg):
            return inner(msg)

        def made(by):
            def closure(msg):
                return msg + by

            return closure, lambda msg: msg - by

        class Callable:
            def __call__(self, msg):
                return -msg

        for each in (of_main, *made(100), Callable()):
            print(mlq.register_function(each))
        """,
    )
    names = said.split()
    assert names[:2] == ["of_main", "closure"] and re.fullmatch(r"lambda-[0-9a-f]{8}", names[2])
    assert names[3] == "Callable"
    for name in names:
        taken(worker, name)
    assert [call(mlq, name, 2) for name in names] == [42, 102, -98, -2]


def test_a_function_that_is_removed_or_replaced_is_so_in_the_worker(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("jobs:echo", **OPEN)
    mlq.register_function(lambda msg: "one", "f")
    taken(worker, "f")
    assert call(mlq, "f") == "one"
    mlq.register_function(lambda msg: "two", "f")
    wait_until(lambda: call(mlq, "f") == "two")
    assert mlq.remove_function("f")
    wait_until(lambda: "the function f was removed" in worker.log())
    with pytest.raises(JobFailed, match="no worker has the function f; the last one asked has echo"):
        call(mlq, "f")
    assert mlq.wait(mlq.post("hello"), 20) == "hello"


def test_a_worker_with_registered_functions_only_runs_all_of_them_and_waits_for_the_first(
    mlq: MLQ, start_worker: Any
) -> None:
    early = mlq.post("early")
    worker = start_worker(**OPEN)
    wait_until(lambda: mlq.workers())
    assert mlq.get_job(early)["state"] == "queued"
    mlq.register_function(lambda msg: f"{msg} one", "one")
    assert mlq.wait(early, 20) == "early one"
    mlq.register_function(lambda msg: f"{msg} two", "two")
    mlq.register_call(lambda a, b: "never for a message")
    taken(worker, "two")
    wait_until(lambda: mlq.wait(mlq.post("late"), 20) == "late two")


def test_a_burst_without_any_function_ends(mlq: MLQ, start_worker: Any) -> None:
    job_id = mlq.post("nobody's")
    worker = start_worker(**OPEN, burst=True)
    assert worker.wait(20) == 0 and mlq.get_job(job_id)["state"] == "queued"
    mlq.register_function(lambda msg: "somebody's", "f")
    assert start_worker(**OPEN, burst=True).wait(20) == 0
    assert mlq.get_result(job_id) == "somebody's"


def test_what_is_forged_in_redis_is_refused_and_everything_else_goes_on(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("jobs:echo", **OPEN)
    mlq.register_function(lambda msg: "good", "good")
    first = mlq.store.functions()
    mlq.register_function(lambda msg: "old", "rolled")
    old = first.get_all()["rolled"]
    mlq.register_function(lambda msg: "new", "rolled")
    mlq.register_function(lambda msg: "gone", "gone")
    gone = first.get_all()["gone"]
    for name in ("good", "rolled", "gone"):
        taken(worker, name)
    mlq.remove_function("gone")
    wait_until(lambda: "the function gone was removed" in worker.log())
    bomb = cloudpickle.dumps(lambda msg: "forged")

    def forged(key: bytes, namespace: str, name: str, python: str = python_version()) -> bytes:
        at = mlq.store.functions().clock()
        return seal(key, namespace, name, at, bomb, python=python, cloudpickle="3.1.2", created_at=1.0)

    (ours,) = keys_of(SECRET)
    wrong_python = forged(ours, mlq.namespace, "python", "2.7")
    attacks = {
        "unsigned": (bomb, "it is not signed"),
        "foreign": (forged(b"x" * 32, mlq.namespace, "foreign"), "it is signed with a foreign key"),
        "elsewhere": (forged(ours, "production", "elsewhere"), "it was made for the namespace production"),
        "good": (forged(ours, mlq.namespace, "other"), "it holds the function 'other' under the name 'good'"),
        "gone": (gone, "it is not newer than one that was here"),
        "rolled": (old, "it is not newer than one that was here"),
        "damaged": (forged(ours, mlq.namespace, "damaged")[:-1] + b"\0", "damaged or forged"),
        "huge": (forged(ours, mlq.namespace, "huge") + bytes(9 << 20), "and no envelope has more than"),
        "python": (wrong_python, f"made by Python 2.7 and this is Python {python_version()}"),
    }
    for name, (envelope, _) in attacks.items():
        put(mlq, name, envelope)
    log = wait_until(lambda: text if "Python 2.7" in (text := worker.log()) else "")
    for name, (_, said) in attacks.items():
        refused = [line for line in log.splitlines() if f"the function {name} is refused: " in line.replace("'", "")]
        assert len(refused) == 1 and said in refused[0], name
    assert (call(mlq, "good"), call(mlq, "rolled")) == ("good", "new")
    assert mlq.wait(mlq.post("hello"), 20) == "hello" and "forged" not in log.replace("damaged or forged", "")
    sound = {one.name: one.sound for one in mlq.functions()}
    assert sound["python"] and not any(sound[name] for name in ("unsigned", "foreign", "elsewhere", "good", "damaged"))


def test_a_message_with_a_pickle_in_it_is_never_unpickled(mlq: MLQ, start_worker: Any, tmp_path: Path) -> None:
    """Local runs send functions to their own children as such calls; what comes by Redis may hold no code."""
    trace = tmp_path / "unpickled"

    class Bomb:
        def __reduce__(self) -> Any:
            return open, (str(trace), "w")

    bomb = pickle.dumps(Bomb())
    start_worker("jobs:echo", **OPEN, calls=["jobs"])
    with pytest.raises(JobFailed, match="no worker has the function"):
        mlq.wait(mlq.post(Call(BY_VALUE, (bomb,), {})), 30)
    assert mlq.wait(mlq.post(bomb), 20) == bomb and not trace.exists()
    with pytest.raises(JobFailed, match="no worker has the function"):
        mlq.wait(mlq.post(Call("os:system", (f"touch {trace}",), {})), 30)
    assert not trace.exists()


def test_a_function_whose_module_is_missing_is_told_of_and_the_executor_lives(
    mlq: MLQ, start_worker: Any, folder: Path
) -> None:
    """It names a module that is installed where it was registered, and not at the worker."""
    worker = start_worker("jobs:pid", **OPEN)
    pid = call(mlq, "pid")
    installed = folder / "site-packages"
    installed.mkdir()
    (installed / "only_there.py").write_text("def f(msg):\n    return msg\n")
    code = """
        import sys

        sys.path.insert(0, "site-packages")
        import only_there

        mlq.register_function(lambda msg: only_there.f(msg), "far")
        mlq.register_function(lambda msg: msg * 2, "near")
    """
    script(folder, mlq, code)
    line = "the function far cannot be taken up by executors here: it needs the module 'only_there'"
    wait_until(lambda: line in worker.log())
    assert call(mlq, "near", 4) == 8
    left = mlq.post(5, functions=["far"])
    assert call(mlq, "pid") == pid and call(mlq, "pid") == pid and worker.log().count(line) == 1
    assert mlq.get_job(left)["state"] == "queued", "it is left to a worker that can run it"
    start_worker(**OPEN, paths=[str(installed)])
    assert mlq.wait(left, 20) == 5


def test_a_function_that_kills_whoever_unpickles_it_is_left_out(mlq: MLQ, start_worker: Any) -> None:
    class Killer:
        def __reduce__(self) -> Any:
            return exec, ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)",)

    mlq.register_pickled(cloudpickle.dumps(Killer()), "killer")
    mlq.register_function(lambda msg: "good", "good")
    worker = start_worker(**OPEN)  # it is there from the beginning
    assert call(mlq, "good") == "good"
    assert "an executor was killed by signal 9 (SIGKILL) when it took up the function killer" in worker.log()
    mlq.register_pickled(cloudpickle.dumps(Killer()), "killer")  # and comes once more, while it runs
    wait_until(lambda: worker.log().count("when it took up the function killer") == 2)
    assert call(mlq, "good") == "good"
    mlq.register_function(lambda msg: "mended", "killer")
    wait_until(lambda: worker.log().count("the function killer is taken up") == 3)
    assert call(mlq, "killer") == "mended"


class SlowToCome:
    """A function that takes long to unpickle, as one does that imports much."""

    def __reduce__(self) -> Any:
        return time.sleep, (60,)


def test_no_job_waits_for_an_executor_that_is_long_at_taking_up_a_function(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("jobs:pid", **OPEN)
    slow = call(mlq, "pid")
    mlq.register_pickled(cloudpickle.dumps(SlowToCome()), "slow")
    taken(worker, "slow")
    job_ids = mlq.post_many(range(3))
    start_worker("jobs:pid")
    pids = {mlq.wait(job_id, 20) for job_id in job_ids}
    assert slow not in pids and [mlq.get_job(job_id)["attempt"] for job_id in job_ids] == [1, 1, 1]


def test_an_executor_of_async_functions_takes_functions_up_beside_its_jobs(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("jobs:nap", **OPEN)
    long = mlq.post(1.5, functions=["nap"])
    wait_until(lambda: mlq.get_job(long)["state"] == "running")

    async def shipped(msg: Any) -> Any:
        import asyncio

        await asyncio.sleep(0)
        return f"{msg} async"

    mlq.register_function(shipped)
    taken(worker, "shipped")
    assert call(mlq, "shipped", "an") == "an async" and mlq.wait(long, 20) == 1.5


def test_a_registered_function_that_waits_for_itself_has_stand_ins_that_know_it(mlq: MLQ, start_worker: Any) -> None:
    def nested(msg: Any, ctx: Any) -> Any:
        return ctx.block_until_result(ctx.post(msg - 1, functions=["nested"]), 30) + 1 if msg else 0

    start_worker(**OPEN)
    mlq.register_function(nested)
    assert call(mlq, "nested", 4) == 4


def test_a_new_executor_has_every_function_before_its_first_job(mlq: MLQ, start_worker: Any) -> None:
    mlq.register_function(lambda msg: os.getpid(), "pid")
    start_worker(**OPEN, max_jobs=1)
    ids = [mlq.post(1, functions=["pid"]) for _ in range(4)]
    assert len({mlq.wait(job_id, 30) for job_id in ids}) == 4
    assert [record["attempt"] for record in mlq.get_jobs(ids) if record] == [1, 1, 1, 1]


def test_with_reload_functions_are_taken_up_too(mlq: MLQ, start_worker: Any) -> None:
    worker = start_worker("jobs:pid", **OPEN, reload=True)
    call(mlq, "pid")
    mlq.register_function(lambda msg: "there", "f")
    taken(worker, "f")
    assert call(mlq, "f") == "there"


def test_the_secret_is_nowhere_in_an_executor(mlq: MLQ, start_worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = keys_of(SECRET)
    monkeypatch.setenv("FUNCTIONS_SECRET", SECRET)  # as a profile may name it: ${FUNCTIONS_SECRET}
    worker = start_worker("jobs:environment", **OPEN)

    def searched(msg: Any) -> Any:
        """Look through the environment, the command line and all memory that can be read."""
        found = []
        wanted = [bytes.fromhex(text)[::-1] for text in msg]  # turned round, not to find itself
        for name in ("environ", "cmdline"):
            with open(f"/proc/self/{name}", "rb") as file:
                content = file.read()
            found += [name for each in wanted if each in content]
        with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
            for line in maps:
                area, rights, *_, path = (
                    [*line.split(maxsplit=5), ""][:6] if len(line.split()) > 5 else [*line.split(), ""]
                )
                begin, end = (int(number, 16) for number in area.split("-"))
                if rights.startswith("rw") and path.strip() not in ("[vvar]", "[vsyscall]"):
                    memory.seek(begin)
                    try:
                        content = memory.read(end - begin)
                    except OSError:
                        continue
                    found += [path.strip() or area for each in wanted if content.count(each) > 1]
        return found

    mlq.register_function(searched)
    taken(worker, "searched")
    turned = [each[::-1].hex() for each in (key, SECRET.removeprefix("whsec_").encode())]
    assert call(mlq, "searched", turned) == []
    assert call(mlq, "environment", ["MLQ_SECRET"])["MLQ_SECRET"] in (None, "")


def test_a_secret_is_changed_without_a_pause(redis_url: str, namespace: str, start_worker: Any) -> None:
    new = new_secret()
    of = {secret: MLQ.from_profile(redis_url=redis_url, namespace=namespace, secret=secret) for secret in (SECRET, new)}
    both = start_worker(registered=True, every=0.2, secret=f"{new} {SECRET}")
    of[SECRET].register_function(lambda msg: "old key", "old")
    of[new].register_function(lambda msg: "new key", "new")
    for name in ("old", "new"):
        taken(both, name)
    assert [call(of[new], name) for name in ("old", "new")] == ["old key", "new key"]
    with MLQ.from_profile(redis_url=redis_url, namespace=namespace, secret=f"{new} {SECRET}") as changing:
        changing.register_function(lambda msg: "the first signs", "which")
        assert [one.sound for one in changing.functions()] == [True, True, True]
    assert [one.sound for one in of[new].functions()] == [False, True, True]
    for each in of.values():
        each.close()


def test_without_a_secret_a_worker_says_so_and_does_not_start(start_worker: Any) -> None:
    worker = start_worker(registered=True)
    assert worker.wait(20) == 2 and "there is no secret" in worker.log()


@pytest.mark.minutes
def test_a_function_comes_from_another_virtual_environment(
    mlq: MLQ, start_worker: Any, folder: Path, tmp_path: Path
) -> None:
    """One of its own, into which mlq and what it needs are linked, and a module that is installed in both."""
    other = tmp_path / "other"
    venv.create(other, with_pip=False, symlinks=True)
    (packages,) = other.glob("lib/python*/site-packages")
    here = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "linked.pth").write_text("\n".join([str(SOURCE), *here]) + "\n")
    python = str(other / "bin" / "python")
    worker = start_worker("jobs:pid", **OPEN)
    pid = call(mlq, "pid")
    began = time.monotonic()
    code = "import sys, afar.tasks\nassert 'other' in sys.prefix\nprint(mlq.register_function(afar.tasks.work))"
    name = script(folder, mlq, code, python=python)
    taken(worker, name)
    assert call(mlq, name, 2) == {"pid": pid, "value": 1021}
    assert time.monotonic() - began < 6.0, "with the start of Python"
