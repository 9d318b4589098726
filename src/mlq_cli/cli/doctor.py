"""`mlq doctor`: what is wrong, and what to do."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from mlq_cli.cli.command import command
from mlq_cli.cli.options import Common
from mlq_cli.cli.output import Output, flush, harmless, line
from mlq_cli.model.finding import NAMESPACE, Finding, Level
from mlq_cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mlq_cli.mlq import MLQ

app = typer.Typer()

_MARKS = {Level.OK: "✓", Level.INFO: "·", Level.WARNING: "!", Level.ERROR: "✗"}


@command(
    app,
    "doctor",
    examples="""
      mlq doctor
      mlq doctor --repair
      mlq doctor --json | jq -r '.findings[] | select(.level == "error").what'

      It exits with 0 when all is well, with 1 when something is not.
    """,
)
def doctor(
    common: Common,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what needs no guess.")] = False,
) -> int:
    """Say what is wrong with installation, server and jobs, and what to do."""
    found: list[Finding] = []
    whole = False
    # What the profile warns of is among the findings; nobody needs to read it twice.
    with dataclasses.replace(common, quiet=True).mlq() as mlq:
        try:
            with progress_bar(common.output.talks_to_person, None, "looking") as looked:
                found.extend(mlq.doctor(repair=repair, looked=looked))  # keeps what there is when Redis goes away
            whole = True
        finally:
            _show(mlq, found, common.output, well=whole and all(finding.well for finding in found))
            flush()  # before the error, when there is one
    common.output.say(_summary(found))
    return 0 if all(finding.well for finding in found) else 1


def _show(mlq: MLQ, found: Sequence[Finding], output: Output, *, well: bool) -> None:
    if output.as_json:
        documents = [dataclasses.asdict(finding) for finding in found]
        about = {"well": well, "namespace": mlq.namespace, "redis": mlq.store.address}
        output.document({**about, "findings": documents})
        return
    width = min(shutil.get_terminal_size().columns, 120) if output.terminal else None
    for section, findings in groupby(found, key=lambda finding: finding.section):
        line(f"{section} {mlq.namespace}" if section == NAMESPACE else section)
        for finding in findings:
            for text in _lines(finding, width):
                line(text)


def _lines(finding: Finding, width: int | None) -> Iterator[str]:
    """Yield a finding as lines no longer than the terminal is wide: a pipe has no width."""
    mark = _MARKS[Level.OK if finding.repaired else finding.level]
    yield from _wrapped(finding.what, width, f"  {mark} ", "    ")
    if finding.examples:
        yield from _wrapped(", ".join(finding.examples), width, "      ", "      ")
    if finding.advice:
        yield from _wrapped(finding.advice, width, "    → ", "      ")


def _wrapped(text: str, width: int | None, first: str, next_ones: str) -> list[str]:
    text = harmless(text)
    if width is None:
        return [first + text]
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=next_ones, break_long_words=False, break_on_hyphens=False
    )


def _summary(found: Sequence[Finding]) -> str:
    wrong = sum(not finding.well for finding in found)
    repaired = sum(finding.repaired for finding in found)
    said = "all is well" if not wrong else f"{wrong} {'thing is' if wrong == 1 else 'things are'} not well"
    return f"{repaired} repaired, {said}" if repaired else said
