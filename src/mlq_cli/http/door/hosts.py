"""Under which names the server is reached. A page that points its own name at this machine is turned away (421).

That is DNS rebinding: the browser takes such a page and this server for the same origin, and only the Host header tells
them apart.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlq_cli.http.door.refusal import Refusal

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HTTP = 80


class Hosts:
    """The names that are right, each as a Host header has it."""

    def __init__(self, host: str | None, port: int | None, more: Iterable[str] = ()) -> None:
        """`host`: the address that was bound, None: a unix socket. `more`: `server.hosts`."""
        names = set(_LOOPBACK) | ({_bracketed(host)} if host else set())
        right = {f"{name}:{port}" for name in names} if port is not None else set(_LOOPBACK)
        right |= names if port == _HTTP else set()
        self._own = frozenset(name.encode() for name in right)
        for name in more:
            right.add(name.lower())
            if port is not None and ":" not in name.rpartition("]")[2]:
                right.add(f"{name.lower()}:{port}")
        self._right = frozenset(name.encode() for name in right)
        # A forwarded port of this machine is this machine too: localhost:8080 of an ssh -L.
        self._own |= {name for name in self._right if name.rpartition(b":")[0].decode() in _LOOPBACK}
        self._bound = port

    def means_this_machine(self, host: bytes) -> bool:
        """Whether a Host header that is right has one of the names that only this machine calls itself by."""
        return host.lower() in self._own

    def check(self, host: bytes | None, server: tuple[str, int | None] | None) -> None:
        """Raise Refusal unless a Host header is right. `server`: the address that this connection reached.

        That address as a number is always right: no name leads there, so no page can have pointed one at it.
        """
        if host is None or not host:
            raise Refusal(400, "no-host", "a request says in its Host header whom it is for", close=True)
        if host in self._right or host.lower() in self._right:
            return
        if server is not None and self._bound is not None and host == f"{_bracketed(server[0])}:{self._bound}".encode():
            return
        raise Refusal(
            421,
            "misdirected",
            "this server is not known by the name that the Host header has",
            hint="name it in server.hosts of the profile, with its port",
            close=True,
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()
