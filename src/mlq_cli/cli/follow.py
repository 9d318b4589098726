"""`mlq get --follow`: what a job gives out while it runs, as it comes."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from mlq_cli.cli import jsonable
from mlq_cli.cli.output import Output, cell, complain, flush, harmless, is_terminal, line, write
from mlq_cli.cli.result import show_outcome
from mlq_cli.following import Event
from mlq_cli.model.job import result_of

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ


def follow(mlq: MLQ, job_id: str, timeout: float | None, output: Output) -> int:
    """Print parts as they come until the job has ended; its result instead when it gave out none.

    A person sees states and progress on stderr. With --json every event is a line. Returns the exit code of its
    outcome. Raises JobFailed, JobCanceled, JobNotFound, WaitTimeout.
    """
    teller = _Teller(job_id, output)
    try:
        for event in mlq.events(job_id, timeout=None if timeout is None or math.isinf(timeout) else timeout):
            teller.tell(event)
    except KeyboardInterrupt:
        teller.end_line()
        if output.talks_to_person:
            complain(f"hint: job {job_id} goes on; mlq cancel {job_id} stops it")
        raise
    teller.end_line()
    job = mlq.get_job(job_id)
    if output.as_json or teller.printed:
        result_of(job)
        return 0
    return show_outcome(mlq, job, output, job["result"])


class _Teller:
    """Prints events."""

    def __init__(self, job_id: str, output: Output) -> None:
        self._job = job_id
        self._output = output
        self._person = is_terminal(sys.stdout)
        self._in_line = False  # text was printed that no newline has ended
        self.printed = False

    def tell(self, event: Event) -> None:
        """Print one."""
        if self._output.as_json:
            line(jsonable.dumps({"id": event.id, "kind": event.kind, "value": event.value}))
            flush()
        elif event.kind == "part":
            self._part(event.value)
        elif event.kind == "reset" and self.printed:
            self._say("another attempt begins; what was printed so far does not count any more")
            self.printed = False
        elif self._output.talks_to_person and (words := _words(event)):
            self._say(words)

    def _part(self, value: Any) -> None:
        self.printed = True
        if isinstance(value, str):
            if value:
                text = harmless(value, keep="\n\t") if self._person else value
                write(text.encode("utf-8", "replace"))
                self._in_line = not value.endswith("\n")
        else:
            if self._in_line:
                line("")
            line(jsonable.dumps(value))
            self._in_line = False
        flush()

    def _say(self, words: str) -> None:
        self.end_line()
        self._output.say(f"job {self._job}: {words}")

    def end_line(self) -> None:
        """Begin a new line where a person reads; in a pipe the text stays as it was emitted."""
        if self._in_line and self._person:
            line("")
            flush()
            self._in_line = False


def _words(event: Event) -> str:
    value = event.value
    match event.kind:
        case "progress":
            return cell(value, for_person=True)
        case "position":
            return _place(value)
        case "state":
            again = f", attempt {value['attempt']}" if value["state"] == "running" and value["attempt"] > 1 else ""
            why = f": {value['error']}" if value["error"] and value["state"] == "scheduled" else ""
            return ", ".join(filter(None, [f"{value['state']}{again}{why}", _place(value)]))
    return ""


def _place(value: dict[str, Any]) -> str:
    position, wait = value["position"], value["estimated_wait"]
    if position is None:
        return ""
    before = "next in line" if position == 0 else f"{position:,} before it"
    return before if wait is None else f"{before}, about {cell(round(wait), for_person=True)} s to wait"
