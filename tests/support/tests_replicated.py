"""Servers that copy each other, for tests of failovers: a primary watched by sentinels, and a cluster of six."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import redis.exceptions as rx
from redis.connection import Connection

from mlq_cli.store.redis.cluster import SLOTS, slot_of
from mlq_cli.store.redis.server_binary import find_binary
from tests_support import wait_until

SERVICE = "jobs"
FAST = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", "--save", "", "--appendonly", "no")


class Node:
    """One server process on a port of loopback, with a folder of its own."""

    def __init__(self, folder: Path, port: int, *options: str, password: str | None = None) -> None:
        self.port = port
        self._password = password
        self._folder = folder / str(port)
        self._folder.mkdir()
        self._options = [*options, *(["--requirepass", password, "--masterauth", password] if password else [])]
        if "--sentinel" in options and password:
            self._options = [*options, "--requirepass", password]

    def start(self) -> None:
        """Start it and wait until it answers."""
        binary = os.environ.get("MLQ_TEST_SERVER") or str(find_binary(None))
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        config = self._folder / "conf"
        config.touch()
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen([binary, str(config), *place, *self._options], stdout=log, stderr=log)
        wait_until(lambda: self.command("PING") == b"PONG")

    def kill(self) -> None:
        """End it as if the power were cut."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words: Any) -> Any:
        """Send one command and return its answer; an error answer is raised."""
        where: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "password": self._password}
        connection = Connection(**where, protocol=2, socket_timeout=5, socket_connect_timeout=2, driver_info=None)
        try:
            connection.send_command(*words)
            return connection.read_response()
        finally:
            connection.disconnect()

    def role(self) -> str:
        """Return `master` or `slave`."""
        kind: bytes = self.command("ROLE")[0]
        return kind.decode()


class Group:
    """Nodes that are started together and end together."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def by_port(self, port: int) -> Node:
        (node,) = (node for node in self.nodes if node.port == port)
        return node

    def start(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for node in self.nodes:
            if hasattr(node, "process"):
                node.kill()


class Sentinels(Group):
    """A primary, a replica, and three sentinels that watch them."""

    def __init__(self, folder: Path, *options: str, down_after: int = 1000, passwords: bool = False) -> None:
        """`passwords`: one for the servers, another for the sentinels."""
        super().__init__()
        self._down_after = down_after
        self._password, own = ("jobs@pw", "sentinel&pw") if passwords else (None, None)
        first, second, *others = free_ports(5)
        copy = ("--replicaof", "127.0.0.1", str(first))
        self.servers = [
            Node(folder, first, *FAST, *options, password=self._password),
            Node(folder, second, *FAST, *options, *copy, password=self._password),
        ]
        self.sentinels = [Node(folder, port, "--sentinel", password=own) for port in others]
        self.nodes = [*self.servers, *self.sentinels]
        hosts = ",".join(f"127.0.0.1:{port}" for port in others)
        login = f":{quote(self._password)}@" if self._password else ""
        self.url = f"redis+sentinel://{login}{hosts}/{SERVICE}/0"
        if own:
            self.url += f"?sentinel_password={quote(own)}"

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        for node in self.sentinels:
            node.command("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", self.servers[0].port, 2)
            node.command("SENTINEL", "SET", SERVICE, "down-after-milliseconds", self._down_after)
            node.command("SENTINEL", "SET", SERVICE, "failover-timeout", 5000)
            if self._password:
                node.command("SENTINEL", "SET", SERVICE, "auth-pass", self._password)
        wait_until(lambda: all(self._settled(node) for node in self.sentinels), seconds=60)
        wait_until(lambda: self.replica().command("ROLE")[3] == b"connected", seconds=30)

    def primary(self) -> Node:
        """Return the server that a majority of sentinels names and that says so itself."""
        names = []
        for node in self.sentinels:
            _, port = node.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
            names.append(int(port))
        port = max(names, key=names.count)
        assert names.count(port) >= 2 and self.by_port(port).role() == "master"
        return self.by_port(port)

    def replica(self) -> Node:
        """Return the other server."""
        (other,) = (node for node in self.servers if node is not self.primary())
        return other

    def _settled(self, node: Node) -> bool:
        told = pairs(node.command("SENTINEL", "MASTER", SERVICE))
        return (told["num-other-sentinels"], told["num-slaves"], told["flags"]) == ("2", "1", "master")


class Cluster(Group):
    """Three primaries with a replica each."""

    def __init__(self, folder: Path, *options: str, timeout: int = 1500) -> None:
        super().__init__()
        cluster = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(timeout))
        validity = ("--cluster-replica-validity-factor", "0")
        self.nodes = [Node(folder, port, *FAST, *cluster, *validity, *options) for port in free_ports(6, bus=True)]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        first, *others = self.nodes
        for number, node in enumerate(self.nodes):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in others:
            first.command("CLUSTER", "MEET", "127.0.0.1", node.port)
        primaries, replicas = self.nodes[:3], self.nodes[3:]
        for number, node in enumerate(primaries):
            slots = range(number * SLOTS // 3, (number + 1) * SLOTS // 3)
            node.command("CLUSTER", "ADDSLOTS", *slots)
        wait_until(lambda: all(self._knows(node) >= len(self.nodes) for node in self.nodes), seconds=60)
        for primary, replica in zip(primaries, replicas, strict=True):
            replica.command("CLUSTER", "REPLICATE", self.id_of(primary))
        wait_until(lambda: all(self._settled(node) for node in self.nodes), seconds=60)
        wait_until(lambda: all(node.command("ROLE")[3] == b"connected" for node in replicas), seconds=30)

    def id_of(self, node: Node) -> str:
        """Return a node's name in the cluster."""
        name: bytes = node.command("CLUSTER", "MYID")
        return name.decode()

    def owner(self, namespace: str) -> Node:
        """Return the node that serves a namespace, in the eyes of those that live."""
        slot = slot_of(namespace)
        named = []
        for node in self.nodes:
            if node.process.poll() is None:
                for begin, end, primary, *_ in node.command("CLUSTER", "SLOTS"):
                    if begin <= slot <= end:
                        named.append(primary[1])
        (port,) = set(named)
        return self.by_port(port)

    def replica_of(self, primary: Node) -> Node:
        """Return a replica of a primary."""
        (copy, *_) = (
            node
            for node in self.nodes
            if node.process.poll() is None
            and node.command("ROLE")[0] == b"slave"
            and node.command("ROLE")[2] == primary.port
        )
        return copy

    def _knows(self, node: Node) -> int:
        return len(node.command("CLUSTER", "NODES").splitlines())

    def _settled(self, node: Node) -> bool:
        covered = node.command("CLUSTER", "SLOTS")
        return b"cluster_state:ok" in node.command("CLUSTER", "INFO") and all(len(each) >= 4 for each in covered)


def pairs(flat: Sequence[bytes]) -> dict[str, str]:
    """Return a flat list of names and values as a mapping."""
    return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}


def free_ports(count: int, *, bus: bool = False) -> list[int]:
    """Return ports that nobody listens on, below those that the kernel gives out; with `bus` also port + 10000."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(11_000, 21_000)
        if port not in found and all(_free(each) for each in ((port, port + 10_000) if bus else (port,))):
            found.append(port)
    return found


def _free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def slot_keys(node: Node, slot: int) -> list[bytes]:
    """Return all keys of a slot on a node."""
    try:
        keys: list[bytes] = node.command("CLUSTER", "GETKEYSINSLOT", slot, 100_000)
    except rx.ResponseError:
        return []
    return keys
