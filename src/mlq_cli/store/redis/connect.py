"""Connections to one Redis: opened on need, kept for reuse, sent again where that is harmless and helps.

A verb is one packed write and one read, and several verbs leave in one write.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mlq_cli.model.errors import MlqError
from mlq_cli.store.redis.link import Command, ErrorAnswer, Link
from mlq_cli.store.redis.refusals import SEND_AGAIN, translated, word_of
from mlq_cli.store.redis.url import read_url

if TYPE_CHECKING:
    from mlq_cli.store.redis.server_folder import ServerFolder

LOADING_SECONDS = 4.0  # to wait for a server that is reading its data
WATCH_SECONDS = 1.0  # between two looks whether an endpoint still leads where it did
REMEMBERED = 30.0  # for which an answer is safely remembered (lib/once.lua); later, to send again could post again
MOVING_SECONDS = 2.0  # to look for the node that jobs have moved to
ONCE_MORE = 0.01  # seconds in which a node that nobody looks for is tried again: its name may mean another one by now


class Endpoint(Protocol):
    """Somewhere to connect to."""

    address: str  # for people; holds no password
    hint: str  # what to do when it cannot be reached
    moves: bool  # whether it may lead to another node a moment later

    @property
    def data(self) -> ServerFolder | None:
        """The folder of the private server; None for a server that is not ours."""

    def open(self) -> Link:
        """Return a connection. Raises OSError, ErrorAnswer or MlqError."""


@runtime_checkable
class WatchedEndpoint(Endpoint, Protocol):
    """One that can lead elsewhere while the node that it led to goes on answering, and loses what it is told."""

    def leads_to(self, host: str, port: int) -> bool:
        """Whether it still leads there, as far as can be learned quickly. Raises nothing."""


class UrlEndpoint:
    """A Redis named by a URL: redis://, rediss:// or unix://."""

    data = None
    moves = False

    def __init__(self, url: str) -> None:
        plain = read_url(url)
        if plain is not None:
            place, self.address = plain
            self._open: Callable[[], Link] = place.open
        else:
            from mlq_cli.store.redis.redis_py import read_other_url  # importing it takes longer than all the rest

            self._open, self.address = read_other_url(url)
        self.hint = "is it running? set redis.url in the profile, --redis-url or MLQ_REDIS_URL"

    def open(self) -> Link:
        """Connect, log in, choose the database."""
        return self._open()


class Wire:
    """A pool of connections to one endpoint, for threads to share."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._watched = endpoint if isinstance(endpoint, WatchedEndpoint) else None
        self._idle: list[Link] = []
        self._pid = os.getpid()
        self._node: tuple[Any, Any] = (None, None)  # that the newest connection leads to
        self._looked_at = 0.0  # whether the endpoint still leads there

    @property
    def address(self) -> str:
        """Where this leads, for people."""
        return self.endpoint.address

    def exchange(self, commands: Sequence[Command], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """Send commands in one write and return their answers; an error answer stands in its place as an ErrorAnswer.

        Whatever is sent here is harmless to send again. What a node refused because it is the wrong one, a demoted
        primary or one that gave a slot away, is sent again, with all behind it, where it belongs: some of that may have
        been carried out, and the order holds. Raises StoreUnavailable or NotAllowed.
        """
        answers = self._attempt(commands, meanwhile)
        for answer in answers:
            if type(answer) is ErrorAnswer:
                return self._try_elsewhere(commands, answers)
        return answers

    def _try_elsewhere(self, commands: Sequence[Command], answers: list[Any]) -> list[Any]:
        """Send again what was refused for now, as far as it may help."""
        patience = MOVING_SECONDS if self.endpoint.moves else ONCE_MORE
        deadline, pause = time.monotonic() + patience, 0.0
        loaded_by = time.monotonic() + LOADING_SECONDS
        while words := {i: word for i, answer in enumerate(answers) if (word := word_of(answer))}:
            self._forget_all()  # also for the others: a primary that was cut off says such things too
            first = next((i for i, word in words.items() if word in SEND_AGAIN), None)
            if first is None:
                break
            if words[first] == "LOADING":
                if time.monotonic() > loaded_by:
                    raise self.translate(answers[first])
                time.sleep(0.05)
            else:
                if time.monotonic() + pause > deadline:
                    break
                time.sleep(pause)
                pause = pause * 2 or 0.05
            answers = answers[:first] + self._attempt(commands[first:])
        return answers

    def _attempt(self, commands: Sequence[Command], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """Send and receive once. A connection that breaks is replaced once.

        Silence is not answered with a second try: it has taken long enough. Nor is one made after a `meanwhile` of so
        long that the answer to the first may be forgotten.
        """
        broken = False
        while True:
            link = self.borrow()
            try:
                link.send(commands)
                if meanwhile is not None:
                    began = time.monotonic()
                    meanwhile()
                    meanwhile = None
                    broken = broken or time.monotonic() - began > REMEMBERED
                answers = link.receive(len(commands))
            except OSError as error:
                link.disconnect()
                self._forget_all()  # what broke this one broke them all
                if broken or isinstance(error, TimeoutError):
                    raise self.translate(error) from error
                broken = True
                continue
            except BaseException:
                link.disconnect()  # half an answer may be on its way: nobody may read it as another's
                raise
            self.give_back(link)
            return answers

    def open(self) -> Link:
        """Return a connection of one's own, for waiting on. Raises StoreUnavailable or NotAllowed."""
        try:
            link = self.endpoint.open()
        except (ErrorAnswer, OSError) as error:
            raise self.translate(error) from error
        self._node, self._looked_at = (link.host, link.port), time.monotonic()
        return link

    def has_left(self, link: Link) -> bool:
        """Whether newer connections lead to another node than this one."""
        return (link.host, link.port) != self._node

    def translate(self, error: Exception) -> MlqError:
        """Return the error of ours that an error answer, or a failure of the connection, stands for."""
        return translated(error, self.address, self.endpoint.hint)

    def close(self) -> None:
        """Close the idle connections."""
        self._forget_all()

    def _forget_all(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.disconnect()

    def give_back(self, link: Link) -> None:
        """Keep a connection on which no answer is due, for whoever needs one next."""
        if self.endpoint.moves and self.has_left(link):
            link.disconnect()  # another thread has learned meanwhile that this is not the place any more
        else:
            self._idle.append(link)

    def borrow(self) -> Link:
        """Return a connection, perhaps one that was kept, to be given back. Raises StoreUnavailable or NotAllowed."""
        if self._pid != os.getpid():  # a fork must not share its parent's sockets
            self._forget_all()
            self._pid = os.getpid()
        if self._watched and self._idle and time.monotonic() - self._looked_at > WATCH_SECONDS:
            self._looked_at = time.monotonic()
            if not self._watched.leads_to(*self._node):
                self._forget_all()
        try:
            return self._idle.pop()
        except IndexError:
            pass  # and no longer the context of what may be raised now
        return self.open()
