"""The node of a cluster that has a namespace: all of it, for a namespace is one hash tag and so one slot."""

from __future__ import annotations

import binascii
from typing import Any

from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.store.redis.link import ANSWER_SECONDS, ErrorAnswer, Link
from mlq_cli.store.redis.nodes import NODE_SECONDS, Node, NodesUrl, Unsettled, ask, find, last, worst
from mlq_cli.store.redis.refusals import is_about_login, reason

SLOTS = 16384


class ClusterEndpoint:
    """The primary that serves the slot of a namespace: redis+cluster://host:7000,host2:7001."""

    data = None
    moves = True

    def __init__(self, url: str, namespace: str) -> None:
        self._url = NodesUrl(url, "cluster", port=6379)
        if self._url.path not in ([], ["0"]):
            raise self._url.wrong("a cluster has no database but 0")
        self._slot = slot_of(namespace)
        self._known = self._url.nodes  # whom to ask, the likeliest first
        self.address = self._url.address
        self.hint = "are its nodes running? set redis.url in the profile, --redis-url or MLQ_REDIS_URL"

    def open(self) -> Link:
        """Ask one node after the other who serves the slot, and connect there."""
        try:
            return find(self._look)
        except Unsettled as error:
            raise StoreUnavailable(
                f"Redis at {self.address} does not serve slot {self._slot} now: {error}",
                hint="if a failover is under way, try again; nodes have to be reachable by the names they announce",
            ) from error

    def _look(self, deadline: float) -> Link:
        failures: list[Exception] = []
        doubts: dict[Node, str] = {}
        for node in list(self._known):
            if node in doubts:  # named as owner already, and out of reach
                continue
            try:
                info, slots = self._asked(node, deadline)
            except (ErrorAnswer, OSError) as error:
                failures.append(error)
                self._known = last(self._known, node)
                continue
            owner = self._owner(slots, node.host)
            if b"cluster_state:ok" not in info:  # cut off from the others, it would still name the owner that was
                doubts[node] = f"{node} says that the cluster is down"
            elif owner is None:
                doubts[node] = f"{node} knows of nobody who does"
            elif owner not in doubts:
                try:
                    connection = self._url.open(owner, deadline, socket_timeout=ANSWER_SECONDS)
                except (ErrorAnswer, OSError) as error:
                    if is_about_login(error):
                        raise
                    doubts[owner] = f"{owner} does not answer: {reason(error)}"
                    continue
                self._remember(owner, slots)
                return connection
            self._known = last(self._known, node)
        if doubts:
            raise Unsettled("; ".join(doubts.values()))
        for failure in failures:
            if "cluster support disabled" in str(failure):
                raise StoreUnavailable(
                    f"Redis at {self.address} is no cluster", hint="name it redis://host:port/0 instead"
                ) from failure
        raise worst(failures)

    def _asked(self, node: Node, deadline: float) -> tuple[bytes, list[Any]]:
        connection = self._url.open(node, deadline, socket_timeout=NODE_SECONDS)
        try:
            info, slots = ask(connection, ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS"))
        finally:
            connection.disconnect()
        return info, slots

    def _owner(self, slots: list[Any], asked: str) -> Node | None:
        for begin, end, primary, *_ in slots:
            if begin <= self._slot <= end:
                return _read_node(primary, asked)
        return None

    def _remember(self, owner: Node, slots: list[Any]) -> None:
        """Note whom to ask next time: the owner, who knows best where a slot went, then all others."""
        nodes = [_read_node(each, owner.host) for _, _, *every in slots for each in every]
        self._known = list(dict.fromkeys([owner, *nodes, *self._url.nodes]))


def slot_of(namespace: str) -> int:
    """Return the slot of all keys that have this hash tag."""
    return binascii.crc_hqx(namespace.encode(), 0) % SLOTS


def _read_node(told: list[Any], asked: str) -> Node:
    """Return where a node is. One that does not know its own name is where it was asked."""
    host = (told[0] or b"").decode()
    return Node(asked if host in ("", "?") else host, int(told[1]))
