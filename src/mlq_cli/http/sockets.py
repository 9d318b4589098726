"""Where the server listens: TCP or a unix socket, opened before anything else so that a mistake is told at once."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mlq_cli.model.errors import Misuse, NotAllowed, Refused

BACKLOG = 2048


class Listening(NamedTuple):
    """Sockets that are listened on."""

    sockets: list[socket.socket]
    host: str | None  # None: a unix socket
    port: int | None
    path: Path | None
    local: bool  # only this machine reaches it
    inode: int = 0  # of the file of a unix socket

    @property
    def where(self) -> str:
        """Where that is, for people."""
        if self.path is not None:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if self.host and ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def close(self) -> None:
        """Stop listening; the file of a unix socket goes when it is still ours."""
        if self.path is not None:
            with suppress(OSError):
                if self.path.stat().st_ino == self.inode:
                    self.path.unlink()
        for each in self.sockets:
            each.close()


def listen_tcp(host: str, port: int) -> Listening:
    """Listen on all addresses of a host name. Raises Refused when the port is taken, Misuse, NotAllowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise Misuse(f"{host!r} is no address of this machine", hint="127.0.0.1 is this machine, 0.0.0.0 all") from None
    sockets: list[socket.socket] = []
    local = True
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            opened = socket.create_server((str(address[0]), port), family=family, backlog=BACKLOG)
        except OSError as error:
            if sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue  # a machine that has no IPv6 names it all the same
            for each in sockets:
                each.close()
            raise _explained(error, host, port) from None
        port = opened.getsockname()[1]  # of 0: the same one for all of them
        local = local and _is_loopback(str(address[0]))
        sockets.append(opened)
    return Listening(sockets, host, port, None, local)


def listen_unix(path: Path, group: str | None = None) -> Listening:
    """Listen on a unix socket for this user, or a group as well; a stale one is replaced. Raises Refused, Misuse."""
    _make_way(path)
    number = -1 if group is None else _group(group)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with suppress(FileNotFoundError):
            before.unlink()
        masked = os.umask(0o177)  # nobody else connects before it is known who may
        try:
            opened.bind(str(before))
        finally:
            os.umask(masked)
        if group is not None:
            os.chown(before, -1, number)
            os.chmod(before, 0o660)
        opened.listen(BACKLOG)
        inode = before.stat().st_ino
        before.rename(path)
    except OSError as error:
        opened.close()
        with suppress(OSError):
            before.unlink()
        said = "its path is too long" if "too long" in str(error) else error.strerror
        raise Misuse(f"{path} cannot be listened on: {said}") from None
    return Listening([opened], None, None, path, True, inode)


def _make_way(path: Path) -> None:
    """See that nothing is there that anybody uses."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise Misuse(f"{path} cannot be listened on: {error.strerror}") from None
    if not stat.S_ISSOCK(kind):
        raise Refused(f"{path} is there already and is no socket", hint="choose another path, or take it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except PermissionError:
            raise NotAllowed(f"{path} belongs to somebody else") from None
        except OSError:
            pass  # a full backlog is somebody's too
    raise Refused(f"somebody listens on {path} already", hint="stop that server first, or choose another path")


def _group(name: str) -> int:
    import grp

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise Misuse(f"there is no group {name!r}") from None


def _explained(error: OSError, host: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        hint = f"--port takes another one; 'ss -ltnp sport = :{port}' shows who has it"
        return Refused(f"port {port} of {host} is taken", hint=hint)
    if error.errno == errno.EACCES:
        return NotAllowed(f"this user may not listen on port {port}", hint="ports from 1024 on are for everybody")
    return Misuse(f"{host} cannot be listened on: {error.strerror}", hint="127.0.0.1 is this machine, 0.0.0.0 all")


def _is_loopback(address: str) -> bool:
    import ipaddress

    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
