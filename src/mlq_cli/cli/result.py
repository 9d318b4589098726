"""What became of a job, printed as it is: text as text, values as JSON, bytes as bytes."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from mlq_cli.cli import jsonable
from mlq_cli.cli.output import Output, Unwritable, cell, complain, harmless, is_terminal, line, write
from mlq_cli.model.durations import show_duration
from mlq_cli.model.errors import Misuse, WaitTimeout
from mlq_cli.model.job import Record, State, result_of

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ


def wait_for(mlq: MLQ, job_id: str, timeout: float | None, output: Output) -> None:
    """Return when a job has ended; a person sees how far it is. Raises WaitTimeout or JobNotFound."""
    limit = None if timeout is None or math.isinf(timeout) else timeout
    try:
        if not output.talks_to_person:
            mlq.wait_ended(job_id, limit)
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(f"waiting for job {job_id}")) as status:

            def moved() -> None:
                status.update(Text(harmless(f"job {job_id}: {cell(mlq.get_progress(job_id), for_person=True)}")))

            mlq.wait_ended(job_id, limit, moved)
    except KeyboardInterrupt:
        if output.talks_to_person:
            complain(f"hint: job {job_id} goes on; mlq cancel {job_id} stops it")
        raise


def show_outcome(mlq: MLQ, job: Record, output: Output, value: Any, file: str | None = None) -> int:
    """Print a value of a job that succeeded, or say why there is none. Returns the exit code of its outcome."""
    if output.as_json:
        output.document(value)
    result_of(job)
    if job["state"] is not State.SUCCEEDED:
        said = cell(mlq.get_progress(job["id"]), for_person=True)
        doing = f"is {job['state']}{_ahead(job)}"
        output.say(f"job {job['id']} {doing}: {said}" if job["state"] is State.RUNNING else f"job {job['id']} {doing}")
        return WaitTimeout.exit_code
    if not output.as_json:
        show(value, file=file)
    return 0


def _ahead(job: Record) -> str:
    """Say what a queued job has to wait for, as far as that is known."""
    if job["position"] is None:
        return ""
    place = f": position {job['position']:,}" if job["position"] else ": next in line"
    wait = job["estimated_wait"]
    if wait is None:
        return place
    return f"{place}, about {show_duration(wait) if wait >= 59.5 else f'{max(1, round(wait))} s'}"


def show(value: Any, *, file: str | None = None) -> None:
    """Print a value, or write it to a file; bytes go to no terminal. Raises Misuse."""
    person = is_terminal(sys.stdout) and file is None
    if isinstance(value, (bytes, bytearray)):
        if person:
            raise Misuse(
                f"the result is {len(value):,} bytes of binary, which a terminal cannot show",
                hint="-o FILE writes it to a file, and a pipe takes it as it is",
            )
        _put(bytes(value), file)
    elif isinstance(value, str):
        text = harmless(value, keep="\n\t") if person else value
        _put(text.encode("utf-8", "replace"), file, newline=file is None)
    elif isinstance(value, float) and not math.isfinite(value):
        _put({math.inf: b"Infinity", -math.inf: b"-Infinity"}.get(value, b"NaN"), file, newline=True)
    else:
        _put(jsonable.dumps(value, indent=2 if person else None).encode(), file, newline=True)


def _put(data: bytes, file: str | None, *, newline: bool = False) -> None:
    if file is None or file == "-":
        write(data + b"\n" if newline else data)
        return
    try:
        with open(file, "wb") as target:
            target.write(data + b"\n" if newline else data)
    except OSError as error:
        raise Unwritable(f"{file} cannot be written: {error.strerror}") from None


def show_text(text: str) -> None:
    """Print text of several lines, such as a traceback."""
    line(harmless(text.rstrip("\n"), keep="\n\t") if is_terminal(sys.stdout) else text.rstrip("\n"))
