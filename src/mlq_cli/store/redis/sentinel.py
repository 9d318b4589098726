"""A primary that sentinels know: asked for at every new connection, so that a failover is followed."""

from __future__ import annotations

import time

from mlq_cli.model.errors import StoreUnavailable
from mlq_cli.store.redis.link import ANSWER_SECONDS, ErrorAnswer, Link
from mlq_cli.store.redis.nodes import NODE_SECONDS, Node, NodesUrl, Unsettled, ask, find, last, worst
from mlq_cli.store.redis.refusals import is_about_login, reason


class SentinelEndpoint:
    """The primary of a service: redis+sentinel://host:26379,host2:26379/service/0."""

    data = None
    moves = True

    def __init__(self, url: str) -> None:
        self._url = NodesUrl(url, "sentinel", port=26379)
        path = self._url.path
        if not path or len(path) > 2 or (len(path) == 2 and not (path[1].isascii() and path[1].isdigit())):
            raise self._url.wrong("behind the hosts stand the name of the service and, if not 0, a database")
        self._service = path[0]
        self._db = int(path[1]) if len(path) == 2 else 0
        self._sentinels = self._url.nodes
        self.address = self._url.address
        self.hint = "are its sentinels running? set redis.url in the profile, --redis-url or MLQ_REDIS_URL"

    def open(self) -> Link:
        """Ask the sentinels in turn who is the primary, and connect to it once it says so itself."""
        try:
            return find(self._look)
        except Unsettled as error:
            raise StoreUnavailable(
                f"Redis at {self.address} has no primary now: {error}", hint="if a failover is under way, try again"
            ) from error

    def leads_to(self, host: str, port: int) -> bool:
        """Whether a sentinel still names this primary. True when the one asked does not answer: the next is asked next.

        A primary that sentinels replace although it lives learns of it 8 s later, and what it takes until then is lost.
        """
        sentinel = self._sentinels[0]
        try:
            return self._primary_by(sentinel, time.monotonic() + NODE_SECONDS) in (None, Node(host, port))
        except (ErrorAnswer, OSError):
            self._sentinels = last(self._sentinels, sentinel)
            return True

    def _look(self, deadline: float) -> Link:
        failures: list[Exception] = []
        unfit: dict[Node, str] = {}
        answered = False
        for sentinel in list(self._sentinels):
            try:
                primary = self._primary_by(sentinel, deadline)
            except (ErrorAnswer, OSError) as error:
                failures.append(error)
                self._sentinels = last(self._sentinels, sentinel)
                continue
            answered = True
            if primary is None or primary in unfit:
                continue
            try:
                connection = self._connect(primary, deadline)
            except (ErrorAnswer, OSError) as error:
                if is_about_login(error):
                    raise
                unfit[primary] = f"{primary} does not answer: {reason(error)}"
                continue
            if connection is None:
                unfit[primary] = f"{primary} is named by a sentinel and says that it is none"
                continue
            return connection
        if unfit:
            raise Unsettled("; ".join(unfit.values()))
        if answered:
            raise StoreUnavailable(
                f"the sentinels at {self.address} know no service '{self._service}'",
                hint="SENTINEL MASTERS, sent to one of them, lists the names",
            )
        raise worst(failures)

    def _primary_by(self, sentinel: Node, deadline: float) -> Node | None:
        login = {"username": None, "password": None, **self._url.sentinel_login}
        connection = self._url.open(sentinel, deadline, socket_timeout=NODE_SECONDS, **login)
        try:
            (found,) = ask(connection, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service))
        finally:
            connection.disconnect()
        return None if found is None else Node(found[0].decode(), int(found[1]))

    def _connect(self, primary: Node, deadline: float) -> Link | None:
        """Return a connection to the primary; None if it says that it is none."""
        connection = self._url.open(primary, deadline, socket_timeout=ANSWER_SECONDS, db=self._db)
        try:
            (role,) = ask(connection, ("ROLE",))
        except BaseException:
            connection.disconnect()
            raise
        if role[0] in (b"master", b"primary"):
            return connection
        connection.disconnect()
        return None
