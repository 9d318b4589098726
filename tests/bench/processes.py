"""What a tree of processes costs, read from /proc; and ending one that we started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has just ended
            parents.setdefault(parent, []).append(int(entry.name))
    found, new = [pid], [pid]
    while new:
        new = [child for each in new for child in parents.get(each, [])]
        found += new
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor time of processes, all their threads together."""
    total = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(path.read_text().split()[0])
            except OSError:
                pass
    return total / 1e9


def resident_megabytes(pids: list[int]) -> float:
    """Return the resident memory of processes; what they share counts for each, as in `ps`."""
    pages = 0
    for pid in pids:
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            pass
    return pages * PAGE / 2**20


def end(*processes: subprocess.Popen[bytes], patience: float = 2.0) -> None:
    """End processes of ours: warmly, and after some seconds with all their descendants."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + patience
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            for pid in reversed(tree(process.pid)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            process.wait()


def machine() -> str:
    """Return what the measurements were made on."""
    model = "an unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * PAGE / 2**30
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GB, {os.uname().sysname} {os.uname().release}"


def load() -> float:
    """Return how many processes want to run, of the last minute: beside us nobody should."""
    return os.getloadavg()[0]


def wait_for(condition, seconds: float, pause: float = 0.02) -> bool:
    """Wait until something is so; whether it came to that in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(pause)
    return True
