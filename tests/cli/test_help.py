"""How the help reads."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from mlq_cli import __version__
from mlq_cli.cli.main import app

from .conftest import SOURCE


def _paths() -> Iterator[tuple[str, ...]]:
    root = typer.main.get_command(app)
    for name in root.list_commands(None):
        found = root.get_command(None, name)
        yield (name,)
        for inner in getattr(found, "commands", ()):
            yield name, inner


def _on_a_terminal(*words: str) -> str:
    """Return what `mlq` prints on a terminal of 80 columns without colors."""
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "COLUMNS": "80", "NO_COLOR": "1", "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-m", "mlq_cli", *words], env=environment, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # how a terminal says that the last writer has gone
            break
        if not data:
            break
        shown += data
    os.close(master)
    assert process.wait() == 0
    text = shown.decode().replace("\r\n", "\n")
    assert not re.search("\x1b\\[[0-9;]*3[0-7]m", text)
    return re.sub("\x1b\\[[0-9;]*m", "", text)  # bold and dim are no colors


def test_the_version_is_shown() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"mlq {__version__}\n")


def test_all_commands_are_shown_in_groups() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    for title in ("Jobs:", "Running:", "Operating:", "Setting up:", "Examples:"):
        assert f"\n{title}\n" in shown


@pytest.mark.parametrize("path", list(_paths()), ids=" ".join)
def test_the_help_of_each_command_is_plain_in_a_pipe_and_ends_with_examples(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    assert done.stdout.isascii()
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    if len(path) == 2 or path[0] not in ("dlq", "queue", "token", "config", "redis", "fn"):
        assert f"\nExamples:\n  mlq {' '.join(path)}" in done.stdout
        assert "MLQ_NAMESPACE" in done.stdout


@pytest.mark.parametrize("path", [(), ("post",), ("worker",), ("dlq", "retry")], ids=" ".join)
def test_help_on_a_terminal_of_80_columns_fits_and_keeps_its_brackets(path: tuple[str, ...]) -> None:
    shown = _on_a_terminal(*path, "--help")
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "\n   mlq " in shown
    if path:
        assert "[env var: MLQ_PROFILE]" in shown


def test_a_noun_without_a_verb_shows_its_help_and_is_no_success() -> None:
    done = CliRunner().invoke(app, ["dlq"])
    assert done.exit_code == 2
    assert "retry" in done.output
