"""What `mlq doctor` looks at on this machine: versions, the profile, what the system allows."""

from __future__ import annotations

import platform
import resource
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from mlq_cli.model.finding import INSTALLATION, Finding, Level
from mlq_cli.model.profile import Profile

PACKAGES = ("msgpack", "cloudpickle", "typer", "rich", "pyyaml", "platformdirs")
_FILES, _FILES_EACH = 128, 8  # descriptors that a worker needs, and those for each executor


def examine_installation(profile: Profile) -> Iterator[Finding]:
    """Yield how mlq is installed here, and whether the profile is sound."""
    from mlq_cli.store.redis.installed import installed  # `import redis` takes longer than all the rest

    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield Finding(INSTALLATION, "mlq", Level.OK, f"mlq {_version('mlq-cli') or 'of unknown version'} on {python}")
    yield _packages()
    yield from installed(profile)
    yield _files(profile.worker.executors)
    for warning in profile.warnings:
        what, _, advice = warning.partition(": ")
        yield Finding(INSTALLATION, "profile", Level.WARNING, what, advice)
    if not profile.warnings:
        files = sorted({origin for origin in profile.origins.values() if "/" in origin})
        yield Finding(INSTALLATION, "profile", Level.OK, f"the profile is sound: {', '.join(files) or 'no file'}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _packages() -> Finding:
    found = {name: _version(name) for name in PACKAGES}
    missing = [name for name, number in found.items() if number is None]
    if missing:
        what = f"these packages are not installed: {', '.join(missing)}"
        return Finding(INSTALLATION, "packages", Level.ERROR, what, f"pip install {' '.join(missing)}")
    return Finding(INSTALLATION, "packages", Level.OK, ", ".join(f"{name} {number}" for name, number in found.items()))


def _files(executors: int) -> Finding:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _FILES + _FILES_EACH * executors
    if allowed in (resource.RLIM_INFINITY, -1):
        return Finding(INSTALLATION, "open-files", Level.OK, "a process may open as many files as it likes")
    what = f"a process may open {allowed:,} files"
    if allowed >= needed:
        return Finding(INSTALLATION, "open-files", Level.OK, what)
    what += f", and a worker with {executors:,} executors needs about {needed:,}"
    advice = f"ulimit -n {needed}, or LimitNOFILE={needed} in its unit of systemd"
    return Finding(INSTALLATION, "open-files", Level.WARNING, what, advice)
