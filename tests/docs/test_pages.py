"""Everything that README.md and docs/ show to type is typed here, and has to answer what the page says.

* A `console` block is run in bash on a terminal of 100 columns, a page's blocks one after the other in one session, in
  a fresh copy of the repository's docs/ with a private server of its own. Lines that begin with `$ ` are typed; the
  lines below them are what stdout and stderr have to show. `…` in a line stands for any text, a line `…` for any lines.
* A `python` block is run as a program of its own. Behind a `print(…)` stands what it prints: `print(6 * 3)  # 18`.
* A `yaml` block is read as a profile.

Blocks of other kinds (`sh`, `text`, …) are for reading only.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from typing import NamedTuple

import pytest

from mlq_cli.model.profile import load

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(p for p in sorted((ROOT / "docs").rglob("*.md")) if "examples" not in p.parts)]
COLUMNS = 100
PATIENCE = 60.0  # seconds for one command
DONE = "\x1edone\x1e"


class Block(NamedTuple):
    """One block of code of a page."""

    kind: str
    line: int
    text: str


def blocks(page: Path, kind: str) -> list[Block]:
    """Return the blocks of one kind, in order."""
    text = page.read_text()
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(m[1], text.count("\n", 0, m.start()) + 2, m[2]) for m in found if m[1] == kind]


def with_blocks(kind: str) -> list[object]:
    """Return the pages that have such blocks, as parameters of a test."""
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if blocks(page, kind)]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder as a newcomer has it after the clone: docs/ in it, a private server that ends with the test."""
    folder = Path(tempfile.mkdtemp(prefix="mlq", dir="/tmp"))
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mlq.yaml.example", folder)
    yield folder
    subprocess.run([sys.executable, "-m", "mlq_cli", "redis", "stop", "--quiet"], env=environment(folder), check=True)
    shutil.rmtree(folder)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a newcomer: none of our settings, and mlq on PATH."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLQ_")}
    return {
        **clean,
        "PATH": f"{Path(sys.executable).parent}:{clean['PATH']}",
        "MLQ_REDIS_DATA": str(folder / "server"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "TERM": "xterm",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",  # what a listener prints comes before what its worker says next
    }


class Shell:
    """A bash whose output goes to a terminal."""

    def __init__(self, folder: Path) -> None:
        self._screen, screen = pty.openpty()
        ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        words = ["bash", "--norc", "--noprofile"]
        self._bash = subprocess.Popen(
            words, cwd=folder, env=environment(folder), stdin=subprocess.PIPE, stdout=screen, stderr=screen
        )
        os.close(screen)

    def type(self, command: str) -> list[str]:
        """Run one command and return the lines that it leaves on the screen."""
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{{ {command}\n}} < /dev/null; printf '{DONE}'\n".encode())
        self._bash.stdin.flush()
        shown, deadline = b"", time.monotonic() + PATIENCE
        while DONE.encode() not in shown:
            ready, _, _ = select.select([self._screen], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{command!r} takes too long; so far it has shown:\n{shown.decode()}"
            shown += os.read(self._screen, 65_536)
        return as_left(shown.decode().removesuffix(DONE))

    def close(self) -> None:
        """End the session and what it left in the background."""
        assert self._bash.stdin is not None
        self._bash.stdin.write(b"kill $(jobs -p) 2> /dev/null; wait; exit\n")
        self._bash.stdin.close()
        self._bash.wait(PATIENCE)
        os.close(self._screen)


def as_left(written: str) -> list[str]:
    """Return the lines that stand on the screen in the end: without colours, and without bars that were erased."""
    text = written.replace("\r\n", "\n")
    text = re.sub(r"[^\n]*\n(\x1b\[\?25h)?\r?\x1b\[1A\x1b\[2K", "", text)  # up one line, and erase it
    text = re.sub(r"[^\n]*\r(\x1b\[2K)?", "", text)
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()]


def pattern(expected: list[str]) -> str:
    """Return the regular expression for lines in which `…` stands for anything."""
    parts = [
        r"(?:.*\n)*?" if line.strip() == "…" else ".*?".join(map(re.escape, line.rstrip().split("…"))) + r"\n"
        for line in expected
    ]
    return "".join(parts)


def dialogue(block: Block) -> Iterator[tuple[int, str, list[str]]]:
    """Yield each command of a block: the number of its line, the command, the lines that are to follow."""
    lines = block.text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"line {block.line}: a console block begins with '$ '"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield block.line + start, lines[start][2:], [line for line in lines[start + 1 : end] if line]


@pytest.mark.parametrize("page", with_blocks("console"))
def test_what_a_page_shows_to_type_answers_what_it_says(page: Path, place: Path) -> None:
    shell = Shell(place)
    try:
        for block in blocks(page, "console"):
            for number, command, expected in dialogue(block):
                shown = [line for line in shell.type(command) if line]
                text = "".join(f"{line}\n" for line in shown)
                assert re.fullmatch(pattern(expected), text), (
                    f"{page.name}:{number}: $ {command}\nis to show:\n  " + "\n  ".join(expected)
                    + "\nbut shows:\n  " + "\n  ".join(shown)
                )  # fmt: skip
    finally:
        shell.close()


@pytest.mark.parametrize("page", with_blocks("python"))
def test_the_programs_of_a_page_run_and_print_what_it_says(page: Path, place: Path) -> None:
    for block in blocks(page, "python"):
        wanted = re.findall(r"^\s*print\(.*\)  # (.*)$", block.text, re.MULTILINE)
        ran = subprocess.run(
            [sys.executable, "-c", block.text], cwd=place, env=environment(place), capture_output=True, text=True,
            timeout=PATIENCE,
        )  # fmt: skip
        assert ran.returncode == 0, f"{page.name}:{block.line}\n{ran.stderr}"
        assert re.fullmatch(pattern(wanted), ran.stdout), f"{page.name}:{block.line} prints\n{ran.stdout}"


@pytest.mark.parametrize("page", with_blocks("yaml"))
def test_the_profiles_of_a_page_are_profiles(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "yaml"):
        file = tmp_path / "mlq.yaml"
        file.write_text(block.text)
        file.chmod(0o600)
        assert load(str(file), environ={}).warnings == ()


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$|`[^`]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", prose)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing, f"{page.name} leads to {missing}"
