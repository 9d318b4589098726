"""Attempts: call the listeners that a job asks for, and say how that ended."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from mlq_cli.model.call import Call
from mlq_cli.model.errors import TooLarge
from mlq_cli.model.generation import enter
from mlq_cli.model.outcome import Final, Kind, PutOff
from mlq_cli.model.values import pack, unpack
from mlq_cli.worker.context import Context, Job, Voice
from mlq_cli.worker.failure import described, user_frames
from mlq_cli.worker.generators import Gathered, drain, drain_async
from mlq_cli.worker.hooks import Ended, Hooks, print_hook_error
from mlq_cli.worker.recycling import out_of_descriptors
from mlq_cli.worker.repertoire import PLAIN, Repertoire

MANY = 10  # functions that are named when another one was asked for
Answer = tuple[str, str, str, float, bytes, bytes, bytes]  # kind, job, token, seconds, and what `Outcome` has


class Attempts:
    """Runs attempts of one executor."""

    def __init__(self, worker: str, limit: int | None, voice: Voice) -> None:
        """`limit`: bytes of a result."""
        self._worker = worker
        self._limit = limit
        self._voice = voice
        self._pid = os.getpid()
        self.repertoire = Repertoire()
        self.hooks: Hooks | None = None
        self.on_error: Callable[[BaseException], None] = lambda error: None  # told what an attempt has raised
        self.on_hook_error: Callable[[BaseException], None] = print_hook_error
        self.spent: str | None = None  # why this process has to be replaced before the next job

    def run(self, values: list[Any], began: float) -> Answer:
        """Run one attempt and say how it ended."""
        job, context, raised = Job(values), None, None
        enter(job.generation + 1)
        try:
            msg = unpack(job.packed_msg)
            chosen = self.repertoire.choose(msg, job.functions)
            if not chosen:
                return self._unknown(job, msg)
            context = Context(job, msg, self._worker, self._voice, began)
            if self.hooks is not None:
                self.hooks.before(context)
            for listener in chosen:
                value = listener.call(msg, context)
                if type(value) is GeneratorType:
                    value = drain(value, context, self._limit)
                elif listener.is_async:  # it came when this executor had already begun to run one job at a time
                    value = _complete(self._awaited(value, context))
            self._end_if_forked()
            answer = self._done(job, value, began)
        except BaseException as error:  # also SystemExit and KeyboardInterrupt: they end the attempt, not the executor
            self._end_if_forked(error)
            answer = self._failed(job, error, began)
            raised = error if self.hooks is not None else None
        if self.hooks is not None and context is not None:
            self._call_after(self.hooks, context, answer, raised)
        return answer

    async def run_async(self, values: list[Any], began: float) -> Answer:
        """The same on an event loop, which runs others meanwhile."""
        job, context, raised = Job(values), None, None
        enter(job.generation + 1)
        try:
            msg = unpack(job.packed_msg)
            chosen = self.repertoire.choose(msg, job.functions)
            if not chosen:
                return self._unknown(job, msg)
            context = Context(job, msg, self._worker, self._voice, began)
            if self.hooks is not None:
                self.hooks.before(context)
            value = None
            for listener in chosen:
                value = listener.call(msg, context)
                if type(value) is GeneratorType:
                    value = drain(value, context, self._limit)
                elif listener.is_async:
                    value = await self._awaited(value, context)
            self._end_if_forked()
            answer = self._done(job, value, began)
        except BaseException as error:
            self._end_if_forked(error)
            answer = self._failed(job, error, began)
            raised = error if self.hooks is not None else None
        if self.hooks is not None and context is not None:
            self._call_after(self.hooks, context, answer, raised)
        return answer

    def _call_after(self, hooks: Hooks, context: Context, answer: Answer, raised: BaseException | None) -> None:
        """Call the hook after an attempt. Whatever it does, the outcome stands."""
        try:
            hooks.after(context, Ended(answer[0] == Kind.DONE.value, answer[3], raised))
        except BaseException as error:
            self.on_hook_error(error)

    async def _awaited(self, value: Any, context: Context) -> Any:
        """Return what an async listener gives in the end."""
        if isinstance(value, AsyncGeneratorType):
            return await drain_async(value, context, self._limit)
        return await value

    def _end_if_forked(self, error: BaseException | None = None) -> None:
        """End this process when it is a copy that the listener has forked and that came out of it too.

        It has neither the attempt nor the executor's sockets: what it would say is the original's to say, and it would
        take the next job away from it.
        """
        if os.getpid() == self._pid:
            return
        code = 0
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            traceback.print_exception(type(error), error, user_frames(error))
            code = 1
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code & 0xFF)

    def _done(self, job: Job, value: Any, began: float) -> Answer:
        short = b""
        if type(value) is tuple and len(value) == 2 and (value[0] is None or isinstance(value[0], str)):
            if value[0] is not None:
                short = b"=" + value[0].encode()
                if self._limit is not None and len(short) > self._limit:
                    raise TooLarge(f"the short result is {len(short):,} bytes, over the limit of {self._limit:,}")
            value = value[1]
        result = value.packed() if type(value) is Gathered else pack(value, limit=self._limit, what="result")
        return (Kind.DONE.value, job.id, job.token, time.monotonic() - began, short, result, b"")

    def _failed(self, job: Job, error: BaseException, began: float) -> Answer:
        seconds = time.monotonic() - began
        self.on_error(error)
        if out_of_descriptors(error):
            self.spent = "a job has used up the descriptors"
        if isinstance(error, PutOff):
            return (Kind.LATER.value, job.id, job.token, seconds, b"%.3f" % error.seconds, b"", b"")
        kind = Kind.FINAL if isinstance(error, Final) else Kind.ERROR
        return (kind.value, job.id, job.token, seconds, *described(error))

    def _unknown(self, job: Job, msg: Any) -> Answer:
        asked = msg.path if type(msg) is Call else ", ".join(job.functions or [])
        known = [name for name in self.repertoire.names if name != PLAIN]
        has = f"{', '.join(known[:MANY])}{' and more' if len(known) > MANY else ''}" or "none"
        message = f"no worker has {f'the function {asked}' if asked else 'a listener'}; the last one asked has {has}"
        return (Kind.UNKNOWN.value, job.id, job.token, 0.0, b"UnknownFunction", message.encode(), b"")


def _complete(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    return asyncio.run(coroutine)
