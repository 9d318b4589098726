"""Functions that are registered at run time: workers started with `--registered` take them up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from mlq_cli.api.connected import Connected
from mlq_cli.model.errors import Misuse, MlqError, Refused

if TYPE_CHECKING:
    from mlq_cli.shipping import Shipped

CROWDED = 900  # functions of a namespace, from which on it may be for their number that one more is refused
OLD = 86_400.0  # seconds; whatever jobs call a function for has begun by then, unless it waits for very long
AT_ONCE = 100
_TRIES = 5  # to be the newest where others register the same name at the same time


class Registered(NamedTuple):
    """A function that is registered. What `sound` is False of no worker takes up; `why` says why."""

    name: str
    version: int  # microseconds of Redis' clock
    created_at: float  # Unix seconds
    python: str
    cloudpickle: str
    size: int  # bytes of its pickle
    use: str  # listener, or call: it runs only where a job calls it by name
    sound: bool
    why: str


class Registering(Connected):
    """Registers functions, lists them, removes them."""

    def register_function(self, function: Callable[..., Any], name: str | None = None) -> str:
        """Ship a function to every worker started with `--registered`, and return its name. It has it within 2 s.

        Lambdas, closures and functions of `__main__` or of a notebook may travel too; the worker need not be able to
        import where they come from, only what is installed and named by them. Without a `name` it has its own, a
        lambda `lambda-` and eight letters. The same name again replaces what was there.

        Raises:
            Misuse: it cannot be pickled, or there is no secret to sign it with.
            TooLarge: its pickle has more than 8 MiB.
            Refused: a thousand functions are registered already.
            StoreUnavailable, StoreFull, NotAllowed: Redis says no.
        """
        from mlq_cli.shipping import ship

        return self._register(ship(function, name), "listener")[0]

    def register_call(self, function: Callable[..., Any]) -> str:
        """Ship a function that jobs call by the name returned, which comes from its content; no message runs it.

        What is there already is not sent again. When there is no room, those that were shipped for calls a day ago and
        more make some. Raises as `register_function` does.
        """
        from mlq_cli.shipping import ship

        shipped = ship(function)
        named = shipped._replace(name=_content_name(shipped))
        (there,) = self.store.functions().have([named.name])
        if there:
            return named.name
        try:
            return self._register(named, "call")[0]
        except Refused:
            if not self._forget_old_calls():
                raise
            return self._register(named, "call")[0]

    def _forget_old_calls(self) -> int:
        """Forget functions that were shipped for calls long ago: nobody gave them a name to remove them by."""
        kept = self.functions()
        if len(kept) < CROWDED:
            return 0
        before = self.store.functions().clock() / 1e6 - OLD
        old = [each.name for each in kept if each.use == "call" and each.created_at < before][:AT_ONCE]
        return sum(map(self.remove_function, old))

    def seal_function(self, function: Callable[..., Any], name: str | None = None) -> bytes:
        """Return a function signed, in its envelope, for `POST /consumer` or `register_envelope`; nothing is sent.

        It counts as made now, by this machine's clock. Raises Misuse and TooLarge as `register_function` does.
        """
        import time

        from mlq_cli.model.envelope import LISTENER
        from mlq_cli.shipping import ship

        return self._seal(ship(function, name), int(time.time() * 1e6), LISTENER)

    def register_envelope(self, envelope: bytes) -> tuple[str, int]:
        """Keep a function that somebody else has signed with our secret; returns its name and version.

        Nothing is unpickled. Raises EnvelopeRefused, Misuse without a secret, and Refused when one as new is or was
        there.
        """
        from mlq_cli.model.envelope import verify

        head = verify(envelope, self.signing_keys(), self.namespace).head
        if not self.store.functions().register(head.name, head.version, envelope):
            raise Refused(f"a function {head.name} as new as this is, or was, registered", hint="sign it again")
        return head.name, head.version

    def register_pickled(self, blob: bytes, name: str) -> tuple[str, int]:
        """Sign and keep a function that comes as its pickle, which is not looked into; returns its name and version.

        Whoever may call this may run code on the workers. Raises as the others do.
        """
        from importlib.metadata import version

        from mlq_cli.shipping import Shipped, python_version

        return self._register(Shipped(name, blob, python_version(), version("cloudpickle")), "listener")

    def _register(self, shipped: Shipped, use: str) -> tuple[str, int]:
        kept = self.store.functions()
        for _ in range(_TRIES):
            now = kept.clock()
            envelope = self._seal(shipped, now, use)
            if kept.register(shipped.name, now, envelope):
                return shipped.name, now
        raise Refused(f"the function {shipped.name} is being registered by somebody else", hint="try again")

    def _seal(self, shipped: Shipped, version: int, use: str) -> bytes:
        from mlq_cli.model.envelope import seal

        return seal(
            self.signing_keys()[0],
            self.namespace,
            shipped.name,
            version,
            shipped.blob,
            python=shipped.python,
            cloudpickle=shipped.cloudpickle,
            created_at=version / 1e6,
            use=use,
        )

    def remove_function(self, name: str) -> bool:
        """Forget a registered function: workers drop it within 2 s. Returns whether it was there."""
        return self.store.functions().remove(name)

    def functions(self) -> list[Registered]:
        """Return what is registered, in the order in which that was done. Nothing is unpickled."""
        try:
            keys = self.signing_keys()
        except Misuse:
            keys = []
        kept = self.store.functions().get_all()
        return [registered_as(self.namespace, name, envelope, keys) for name, envelope in kept.items()]

    def signing_keys(self) -> list[bytes]:
        """Return the keys that sign functions: the first one signs, all are valid. Raises Misuse."""
        from mlq_cli.model.signing import keys_of
        from mlq_cli.store.redis import signing_secret

        secret = signing_secret(self.profile)
        if secret is None:
            raise Misuse("functions travel signed, and there is no secret to sign with", hint="mlq config secret --new")
        return keys_of(secret)


def _content_name(shipped: Shipped) -> str:
    import hashlib

    word = shipped.name.partition("-")[0] if shipped.name.startswith("lambda-") else shipped.name
    return f"{word}-{hashlib.sha256(shipped.blob).hexdigest()[:16]}"


def registered_as(namespace: str, name: str, envelope: bytes, keys: list[bytes]) -> Registered:
    """Return what there is to say of an envelope; nothing is unpickled."""
    from mlq_cli.model.envelope import read_head, verify

    why = ""
    try:
        head = read_head(envelope)
    except MlqError as error:
        return Registered(name, 0, 0.0, "", "", len(envelope), "", False, error.message)
    try:
        if keys:
            verify(envelope, keys, namespace, name)
        else:
            why = "there is no secret here to verify it with"
    except MlqError as error:
        why = error.message
    at = (head.python, head.cloudpickle, head.size, head.use)
    return Registered(name, head.version, head.created_at, *at, not why, why)
