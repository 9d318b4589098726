"""What Redis says instead of an answer, or the system instead of Redis, as an error that says what to do."""

from __future__ import annotations

import re
import socket

from mlq_cli.model.errors import MlqError, NotAllowed, StoreFull, StoreUnavailable
from mlq_cli.store.redis.link import ErrorAnswer

# Words of answers that mean «not now, not here»: an unready server, or the wrong one. They are looked for in the text,
# for Redis 6.2 wraps what a command inside a script answers into an error of its own.
_PASSING = re.compile(
    r"\b(LOADING|READONLY|MASTERDOWN|TRYAGAIN|CLUSTERDOWN|MISCONF|NOREPLICAS|BUSY|UNBLOCKED"
    r"|max number of clients reached)\b"
)
_MOVING = ("MOVED", "ASK")  # first words only: they come from the server, never from a command inside a script
_LOGIN = re.compile(
    r"NOAUTH|WRONGPASS|NOPERM|ERR (AUTH|Client sent AUTH|invalid password|wrong .* for '(?i:auth)'"
    r"|The user executing the script can't |Error running script .* The user executing the script can't )"
)
_ADVICE = {
    "MISCONF": "Redis cannot write to its disk: free space there; until then nothing new is safe",
    "READONLY": "this is a replica: name the primary, or wait until the failover is over",
    "NOREPLICAS": "Redis wants replicas that are not there: start them, or change min-replicas-to-write",
    "MOVED": "this is one node of a cluster: name the cluster, redis+cluster://host:port; or wait for the failover",
    "ASK": "the slot of this namespace is on its way to another node; try again when it has arrived",
}
_ADVICE["TRYAGAIN"] = _ADVICE["ASK"]
#: Those of nothing that was carried out: the right node is somewhere else, or still reads its data.
SEND_AGAIN = ("MOVED", "READONLY", "MASTERDOWN", "LOADING")


def translated(error: Exception, address: str, hint: str) -> MlqError:
    """Return the error of ours that an error answer or an OSError stands for. `hint`: when it is out of reach."""
    if isinstance(error, MlqError):
        return error
    text = str(error)
    if is_about_login(error):
        why = text.partition(" ")[2]
        return NotAllowed(f"Redis at {address} refuses us: {why}", hint="check the user name and password of the URL")
    if isinstance(error, OSError):
        return StoreUnavailable(f"Redis at {address} is out of reach: {reason(error)}", hint=hint)
    if text.startswith("OOM ") or "OOM command not allowed" in text:
        return StoreFull(
            f"Redis at {address} has no memory left; nothing was stored",
            hint="let workers drain it, purge what nobody needs, or raise maxmemory; then try again",
        )
    if word := word_of(error):
        return StoreUnavailable(
            f"Redis at {address} cannot serve us now: {text}", hint=_ADVICE.get(word, "try again shortly")
        )
    return MlqError(
        f"Redis at {address} answered: {text.removeprefix('ERR ')}",
        hint="mlq does not know this answer; please report it",
    )


def is_about_login(error: Exception) -> bool:
    """Whether Redis does not let us in, or not do this."""
    return isinstance(error, ErrorAnswer) and _LOGIN.match(str(error)) is not None


def word_of(answer: object) -> str | None:
    """Return the word of an answer that means «not now» or «not here», None for all others."""
    if not isinstance(answer, ErrorAnswer):
        return None
    if answer.word in _MOVING:
        return answer.word
    found = _PASSING.search(str(answer))
    return found[1] if found else None


def reason(error: Exception) -> str:
    """Return in a few words why a node could not be reached."""
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case FileNotFoundError():
            return "no such socket"
        case socket.gaierror():
            return "the host name is not known"
        case TimeoutError():
            return "no answer in time"
    return (str(error) or type(error).__name__).rstrip(".")
