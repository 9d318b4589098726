"""The bar that moves while something takes long, for those who ask for it. rich is imported when they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    wanted: bool | Callable[[int], None], total: int | None, what: str = "posting"
) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with how many are done; it moves a bar on a terminal, or is the caller's own."""
    if callable(wanted):
        yield wanted
        return
    if not wanted:
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
