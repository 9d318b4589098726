"""What is installed here for Redis: the client, its parser, and the program of the private server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib.metadata import version

import redis.connection

from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.model.finding import INSTALLATION, Finding, Level
from mlq_cli.model.profile import Profile
from mlq_cli.store.redis.server_binary import find_binary

_ANSWER_SECONDS = 5.0  # for the program to say its version


def installed(profile: Profile) -> Iterator[Finding]:
    """Yield how it is."""
    parser = redis.connection.DefaultParser.__name__.strip("_")
    client = f"redis-py {version('redis')}, hiredis {version('hiredis')}"
    if "hiredis" in parser.lower():
        yield Finding(INSTALLATION, "client", Level.OK, f"{client}, and it is used")
    else:
        what = f"{client} do not go together: redis-py, which opens connections with TLS, has chosen {parser}"
        yield Finding(INSTALLATION, "client", Level.WARNING, what, "pip install --upgrade 'redis[hiredis]'")
    yield _private_server(profile)


def _private_server(profile: Profile) -> Finding:
    wanted = profile.redis_url() is None
    try:
        binary = find_binary(profile.redis.server)
        said = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=True
        ).stdout
    except (StoreUnavailable, OSError, subprocess.SubprocessError) as error:
        reason = error.message if isinstance(error, StoreUnavailable) else f"the private server cannot run: {error}"
        if not wanted:
            what = f"{reason}; the profile names another"
            return Finding(INSTALLATION, "private-server", Level.INFO, what)
        hint = getattr(error, "hint", None) or "name another program as redis.server in the profile"
        return Finding(INSTALLATION, "private-server", Level.ERROR, reason, hint)
    kind, _, rest = said.partition(" server v=")
    number = rest.split(" ")[0] or "of unknown version"
    use = "" if wanted else ", not used here"
    return Finding(
        INSTALLATION, "private-server", Level.OK, f"private server{use}: {kind} {number}", examples=(binary,)
    )
