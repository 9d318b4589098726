"""Listeners that do what no job should: each name is a job of `test_hostile.py`."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import locale
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from mlq_cli import MLQ

KEPT: list[Any] = []


def hostile(msg: Any, ctx: Any) -> Any:
    """Do what the message names; a pair carries an argument."""
    name, argument = msg if isinstance(msg, list) else (msg, None)
    function: Callable[..., Any] = globals()[name]
    time.sleep(0.001)  # what ran for less than a tenth of that is not looked after
    return function(argument) if function.__code__.co_argcount == 1 else function(argument, ctx)


def fine(_: Any) -> str:
    return "fine"


# --- J-1, J-2, J-3: ends --------------------------------------------------------------------------------------------
def segfault(_: Any) -> None:
    ctypes.string_at(0)


def segfault_with_words(_: Any) -> None:
    sys.stderr.write("x" * 10_000 + "\nthe last words\n")
    ctypes.string_at(0)


def exit_0(_: Any) -> None:
    os._exit(0)


def exit_3(_: Any) -> None:
    os._exit(3)


def abort(_: Any) -> None:
    os.abort()


def sys_exit(_: Any) -> None:
    sys.exit()


def interrupt(_: Any) -> None:
    raise KeyboardInterrupt


def base_exception(_: Any) -> None:
    raise BaseException("bare")


def kill_group(_: Any) -> None:
    os.killpg(0, signal.SIGKILL)


def stop_self(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def kill_parent(path: str) -> str:
    """Kill the worker the first time."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return "ran again"


# --- J-4, J-5, J-6: too much ----------------------------------------------------------------------------------------
def grow(megabytes: int) -> str:
    grown = []
    for _ in range(megabytes // 10):
        grown.append(bytearray(os.urandom(1) * (10 << 20)))
        time.sleep(0.005)
    time.sleep(60)
    return f"{len(grown)} pieces"


def spin(_: Any) -> None:
    while True:
        pass


def hold_the_lock(_: Any) -> None:
    ctypes.PyDLL(None).sleep(60)


def bad_pattern(_: Any) -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


def recurse(_: Any) -> int:
    return recurse(_) + 1


def recurse_in_c(_: Any) -> Any:
    sys.setrecursionlimit(10**9)

    def deeper(_: Any) -> Any:
        return max([0], key=deeper)

    return deeper(0)


def pause(seconds: float) -> None:
    time.sleep(seconds)


# --- a fork that comes out of the listener too ----------------------------------------------------------------------
def fork_and(how: str) -> int:
    """Fork; the child leaves the listener as `how` says, the parent a moment later, with the child's exit code."""
    if (child := os.fork()) == 0:
        if how == "raise":
            raise ValueError("the child's own")
        if how == "exit":
            sys.exit(3)
        return -1
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


async def fork_and_return(msg: str) -> int:
    return fork_and(msg)


def signal_group(_: Any) -> str:
    """End what this job may have started, as shells teach it: by a signal to the group, which oneself ignores."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
        os.killpg(0, number)
    return "still here"


# --- J-7, J-8: what is left -----------------------------------------------------------------------------------------
def daemon(path: str) -> str:
    """Leave a daemon as the book says: fork, setsid, fork. It keeps all descriptors, this executor's pipes too."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(path).write_text(str(os.getpid()))
            time.sleep(300)
        os._exit(0)
    os.wait()
    while not Path(path).exists() or not Path(path).read_text():
        time.sleep(0.01)
    return "left"


def daemon_and_stay(msg: Any) -> str:
    daemon(msg["daemon"])
    while not Path(msg["go"]).exists():
        time.sleep(0.02)
    return "stayed"


def daemon_that_shouts(path: str) -> str:
    daemon_of = ["sh", "-c", f"echo $$ > {path}; while :; do echo still here; done"]
    subprocess.Popen(["setsid", "-f", *daemon_of], close_fds=False)
    while not Path(path).exists() or not Path(path).read_text():
        time.sleep(0.01)
    return "left"


def daemon_then_crash(path: str) -> None:
    daemon(path)
    os._exit(1)


def background(path: str) -> str:
    """A shell's `&`: in the executor's own group."""
    subprocess.run(["sh", "-c", f"sleep 300 & echo $! > {path}"], check=True)
    return "left"


def start_helper() -> None:
    """The setup: a helper that is to live as long as its executor."""
    subprocess.run(["setsid", "-f", "sh", "-c", "echo $$ > helper; exec sleep 300"], check=True)


def close_all(_: Any) -> str:
    os.closerange(0, 256)
    return "done"


def close_foreign(_: Any) -> str:
    """Close what prints, and what lies beyond the first numbers, but not what leads to the worker."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.close(int(name))
        except OSError:
            pass
    return "closed"


def leak_descriptors(_: Any) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    while True:
        KEPT.append(os.open(os.devnull, os.O_RDONLY))


async def leak_descriptors_async(_: Any) -> int:
    if _ == "pid":
        return os.getpid()
    raise RuntimeError("no file") from OSError(errno.EMFILE, "too many")


def garbage(data: bytes) -> str:
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.write(int(name), data)
        except OSError:
            pass
    time.sleep(60)
    return "lived"


def forge(frame: Any, ctx: Any) -> str:
    """Say something of our own job that no honest executor says."""
    ours = {"ID": ctx.id, "TOKEN": ctx.token}
    ctx._voice.tell(tuple(ours.get(word, word) if isinstance(word, str) else word for word in frame))
    time.sleep(60)
    return "lived"


# --- J-9: prints ----------------------------------------------------------------------------------------------------
def shout(megabytes: int) -> str:
    line = "x" * 999 + "\n"
    for _ in range(megabytes * 1000):
        sys.stdout.write(line)
    return "shouted"


def log_lines(count: int) -> str:
    log = logging.getLogger("hostile")
    handler = logging.StreamHandler()
    log.addHandler(handler)
    for number in range(count):
        log.error("line %d of what nobody will ever read, long enough to matter", number)
    log.removeHandler(handler)
    return "logged"


def say(words: Any) -> str:
    print(words)
    sys.stderr.write(f"{words} on stderr\n")
    return "said"


def say_in_pieces(letter: str) -> str:
    for _ in range(200):
        for _ in range(10):
            sys.stdout.write(letter * 10)
            sys.stdout.flush()
        sys.stdout.write("\n")
    return "said"


def prompt(_: Any) -> str:
    sys.stdout.write("50 % …")
    sys.stdout.flush()
    time.sleep(60)
    return ""


def crash_at_import() -> None:
    sys.stderr.write("the card is on fire\n")
    ctypes.string_at(0)


# --- J-10, J-13: values and errors ----------------------------------------------------------------------------------
class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise RuntimeError("no")


class Loud(Exception):
    def __str__(self) -> str:
        return "x" * 100_000_000


class Deep(Exception):
    def __str__(self) -> str:
        return str(self)


class OddText(str):
    def __str__(self) -> str:
        return self

    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError("no")

    def encode(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no")


class Worded(Exception):
    def __str__(self) -> str:
        return OddText("odd words")


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__qualname__", "__name__"):
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=Meta):
    pass


def give(what: str) -> Any:
    match what:
        case "lambda":
            return lambda: None
        case "iterator":
            return iter(range(3))
        case "odd":
            return Odd()
        case "long name":
            return type("N" * 100_000_000, (), {})()
        case "deep":
            nested: list[Any] = []
            for _ in range(100_000):
                nested = [nested]
            return nested
        case "surrogate":
            return {"text": "\ud800"}
        case "long short result":
            return "x" * 2_000_000, None
        case _:
            raise ValueError(what)


def fail(what: str) -> None:
    match what:
        case "loud":
            raise Loud
        case "deep":
            raise Deep
        case "worded":
            raise Worded
        case "nameless":
            raise Nameless("no words")
        case "long name":
            raise type("N" * 100_000_000, (Exception,), {})
        case "cycle":
            first, second = ValueError("first"), ValueError("second")
            first.__cause__, second.__cause__ = second, first
            raise first
        case "control":
            raise ValueError("\0\ud800\u2028\u202e\x1b[31m")


def echo(value: Any) -> Any:
    return value


def big_number(_: Any) -> int:
    return 10**5000


# --- J-14: what a job changes ---------------------------------------------------------------------------------------
def change_everything(folder: str) -> str:
    os.chdir(folder)
    os.umask(0)
    os.environ["LEFT"] = "behind"
    os.environ.pop("HOME", None)
    sys.setrecursionlimit(12_345)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: None)
    sys.stdout = None  # type: ignore[assignment]
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    return "changed"


def state(_: Any) -> Any:
    umask = os.umask(0o022)
    os.umask(umask)
    print("this one prints")
    inherited = subprocess.run(["sh", "-c", "echo $LEFT-$HOME"], capture_output=True, text=True, check=True).stdout
    return {
        "pid": os.getpid(),
        "cwd": os.getcwd(),
        "umask": umask,
        "variables": [os.environ.get("LEFT"), os.environ.get("HOME"), inherited],
        "depth": sys.getrecursionlimit(),
        "handlers": [repr(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGALRM)],
    }


async def state_async(msg: Any) -> Any:
    if msg == "wait":
        await asyncio.sleep(0.5)
    elif msg != "state":
        change_everything(msg)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    return state(None)


def close_stdout(_: Any) -> str:
    sys.stdout.close()
    return "closed"


def change_modules(_: Any) -> int:
    import json

    json.dumps = lambda *_, **__: "hacked"
    locale.setlocale(locale.LC_ALL, "C")
    threading.Thread(target=time.sleep, args=(0.01,)).start()
    return os.getpid()


def modules(_: Any) -> Any:
    import json

    return [os.getpid(), json.dumps(1)]


# --- J-15 -----------------------------------------------------------------------------------------------------------
def long(msg: Any) -> str:
    with open(msg["file"], "a") as file:
        file.write("ran\n")
    time.sleep(msg["seconds"])
    return "ran"


# --- J-16: a job that posts itself ------------------------------------------------------------------------------------
def breed(where: list[str]) -> str:
    url, namespace = where
    with MLQ.from_profile(redis_url=url, namespace=namespace, limits_chain=5) as mlq:
        return mlq.post(["breed", where], id=f"child-{uuid4().hex}")


# --- J-11: results of every size --------------------------------------------------------------------------------------
def result_of(size: int) -> bytes:
    return b"x" * size
