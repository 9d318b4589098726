"""Virtual environments: each peer in one of its own under .venv/peers, made when it is first needed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from contestants import Contestant

FOLDER = Path(__file__).parents[2] / ".venv" / "peers"


class NotInstalled(Exception):
    """A peer cannot take part; the text says why."""


def programs(contestant: Contestant) -> Path:
    """Return the folder of programs of a contestant's environment; ours is the one that runs this."""
    return FOLDER / contestant.venv / "bin" if contestant.packages else Path(sys.executable).parent


def install(contestant: Contestant) -> None:
    """Make a contestant's environment unless it is there already. Raises NotInstalled."""
    if not contestant.packages:
        return
    folder = FOLDER / contestant.venv
    wanted = "\n".join(contestant.packages)
    mark = folder / "installed"
    if mark.exists() and mark.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    python = interpreter(contestant.python) if contestant.python else sys.executable
    _run([python, "-m", "venv", str(folder)], "no virtual environment could be made")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    try:
        _run([*pip, "install", *contestant.packages], "it could not be installed")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    mark.write_text(wanted)


def interpreter(version: str) -> str:
    """Return a Python of some version: on PATH, or one that pyenv has. Raises NotInstalled."""
    found = [shutil.which(f"python{version}")]
    if pyenv := shutil.which("pyenv"):
        root = Path(subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip())
        found += [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)]
    for python in found:
        if python and _works(python):
            return python
    raise NotInstalled(f"it needs Python {version}, which is not here")


def _works(python: str) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def _run(command: list[str], complaint: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith(("ERROR", "error"))]
        reason = re.sub(r"\S+://\S+|(?<!\w)/\S+", "…", said[-1] if said else "no reason given")
        raise NotInstalled(f"{complaint}: {reason[:200]}")
