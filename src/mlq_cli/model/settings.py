"""What can be set: every setting with its default, what it accepts, and one line that says what it means.

The line beside a field is the only place where it is said: `mlq.yaml.example`, `mlq config show` and the reference
take it from here. Where values come from is the matter of `profile`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple
from urllib.parse import quote

from mlq_cli.model.durations import parse_duration, parse_size
from mlq_cli.model.errors import Misuse, UnknownKey
from mlq_cli.model.job import check_name
from mlq_cli.model.options import MAX_RETRIES, METHODS, YEAR

MASK = "****"
DEFAULT = "default"  # the origin of a value that nobody set

_SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NOTHING = ("", "null", "none", "~")
_LARGEST = 512 * 2**20  # bytes; Redis takes no longer string


class Kind(NamedTuple):
    """What a setting accepts."""

    accepts: str  # for people
    read: Callable[[object], Any]  # raises ValueError


class Setting(NamedTuple):
    """One setting, by its dotted key."""

    key: str
    kind: Kind
    default: Any
    doc: str
    secret: bool  # never shown

    @property
    def variable(self) -> str:
        """The environment variable that sets it: MLQ_WORKER_LEASE for worker.lease."""
        return "MLQ_" + self.key.upper().replace(".", "_")

    def read(self, value: object, origin: str) -> Any:
        """Return a value as the program uses it. Text is read as well, since that is all an environment has."""
        nullable = self.default is None
        if nullable and (value is None or value == "" or (self.kind.read is not _text and value in _NOTHING)):
            return None
        try:
            return self.kind.read(value)
        except (ValueError, OverflowError):
            shown = "that value" if self.secret or self.kind is URL else repr(value)
            accepts = self.kind.accepts + (", or null" if nullable else "")
            raise Misuse(f"{self.key} in {origin} cannot be {shown}", hint=f"{self.key} takes {accepts}") from None


def _text(value: object) -> str:
    if isinstance(value, str) and value and "\0" not in value:
        return value
    raise ValueError


def _matching(pattern: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if re.fullmatch(pattern, _text(value)):
            return str(value)
        raise ValueError

    return read


def _switch(value: object) -> bool:
    if str(value).lower() in _SWITCH:
        return _SWITCH[str(value).lower()]
    raise ValueError


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value.strip(), re.ASCII):
        return int(value)
    raise ValueError


def _method(value: object) -> str:
    if str(value).upper() in METHODS:
        return str(value).upper()
    raise ValueError


def _callable(value: object) -> tuple[str, ...]:
    if value in ("", "[]", []):
        return ()
    from mlq_cli.model.callback_policy import read_allow  # it takes long to import, and hardly anybody needs it

    return read_allow(value)


def _within(read: Callable[[Any], Any], low: float, high: float) -> Callable[[object], Any]:
    def bounded(value: object) -> Any:
        number = read(value)
        if low <= number <= high:
            return number
        raise ValueError

    return bounded


def _whole(low: int, high: int = 10**9) -> Kind:
    return Kind(f"a whole number, {low} to {high}", _within(_count, low, high))


def _seconds(low: float) -> Kind:
    accepts = f"a duration such as 90, 90s, 5m, 2h or 1d, from {low:g} s to a year"
    return Kind(accepts, _within(parse_duration, low, YEAR))


def _names(pattern: str) -> Callable[[object], tuple[str, ...]]:
    """Read a list, or a text with commas between: that is all an environment has."""

    def read(value: object) -> tuple[str, ...]:
        given = value if isinstance(value, (list, tuple)) else [] if value is None else _words(value)
        names = tuple(str(each).strip().lower() for each in given)
        if all(re.fullmatch(pattern, name) for name in names):
            return names
        raise ValueError

    return read


def _words(value: object) -> list[str]:
    if isinstance(value, str):
        return [word for word in value.split(",") if word.strip()]
    raise ValueError


TEXT = Kind("text; in quotes if it looks like something else", _text)
URL = Kind(
    "a URL such as redis://host:6379/0, rediss://…, redis+sentinel://host,host2/service, redis+cluster://host,host2 "
    "or unix:///path",
    _matching(r"[a-z][a-z0-9+.-]*://\S+"),
)
HOST = Kind("a host name or address, without port", _matching(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(?:%\w+)?"))
PROGRAM = Kind("the path of a program, or its name on PATH", _text)
FOLDER = Kind("the path of a folder", _text)
FILE = Kind("the path of a file", _text)
HOSTS = Kind(
    "a list of host names, with the port where browsers send one: queue.example.org, queue.example.org:8443",
    _names(r"(?:[a-z0-9_-][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::\d{1,5})?"),
)
ORIGINS = Kind(
    "a list of origins, each whole: https://app.example.org or http://localhost:3000",
    _names(r"https?://(?:[a-z0-9_-][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::\d{1,5})?"),
)
NAMESPACE = Kind(
    "letters, digits, '.', '_' and '-', at most 64, beginning with a letter or a digit",
    lambda value: check_name(_text(value), "namespace"),
)
SWITCH = Kind("true or false", _switch)
SIZE = Kind("a size such as 1048576, 512KiB or 32MiB, at most 512MiB", _within(parse_size, 1, _LARGEST))
MEMORY = Kind("a size such as 512MiB or 4GiB", _within(parse_size, 1, 2**50))
METHOD = Kind(" or ".join(METHODS), _method)
CALLABLE = Kind(
    "a list of host names, *.domains, addresses and networks such as 10.1.0.0/16, or text with commas", _callable
)
RETRIES = _whole(0, MAX_RETRIES)
PORT = _whole(1, 65_535)


def _setting(default: Any, kind: Kind, doc: str, *, secret: bool = False) -> Any:
    hidden = secret or kind is URL
    return field(default=default, repr=not hidden, metadata={"kind": kind, "doc": doc, "secret": secret})


@dataclass(frozen=True, slots=True)
class Redis:
    """Where jobs live. With neither url nor host mlq runs a private server of its own."""

    url: str | None = _setting(
        None, URL, "Redis or Valkey by URL: redis://, redis+sentinel://, redis+cluster://, unix://; not beside host"
    )
    host: str | None = _setting(None, HOST, "host name, instead of a URL; neither: a private server on this machine")
    port: int = _setting(6379, PORT, "port, with host")
    db: int = _setting(0, _whole(0), "number of the database, with host")
    username: str | None = _setting(None, TEXT, "user name for Redis, with host or url")
    password: str | None = _setting(None, TEXT, "password for Redis, with host or url; best as ${NAME}", secret=True)
    tls: bool = _setting(False, SWITCH, "speak TLS, with host")
    server: str | None = _setting(None, PROGRAM, "program to run as private server; null: the one that came with mlq")
    data: str | None = _setting(None, FOLDER, "folder of the private server; null: in the user's data folder")


@dataclass(frozen=True, slots=True)
class Worker:
    """How workers run jobs."""

    executors: int = _setting(1, _whole(1, 1024), "processes that run listeners, per worker")
    lease: float = _setting(30.0, _seconds(0.1), "a worker that is silent for so long has lost its jobs")
    grace: float = _setting(30.0, _seconds(0), "time that running jobs get when a worker is asked to stop")
    retries: int = _setting(0, RETRIES, "reruns after an exception, for jobs that say nothing themselves")
    timeout: float | None = _setting(None, _seconds(0.001), "longest time for one attempt; null: no limit")
    memory_limit: int | None = _setting(None, MEMORY, "resident memory that kills a job's executor; null: no limit")
    max_crashes: int = _setting(2, RETRIES, "reruns after the executor died under the job")
    backoff: float = _setting(1.0, _seconds(0), "wait before the first rerun; doubled each time")


@dataclass(frozen=True, slots=True)
class Reaper:
    """How stalled jobs are given back."""

    interval: float = _setting(60.0, _seconds(0.001), "time between two looks for stalled jobs")
    retries: int = _setting(5, RETRIES, "how often a stalled job is given back before it is dead")
    timeout: float | None = _setting(None, _seconds(0.001), "give back whatever runs longer, its worker alive or not")


@dataclass(frozen=True, slots=True)
class Server:
    """Where `mlq serve` listens, and to whom."""

    host: str = _setting("127.0.0.1", HOST, "address to listen on; 0.0.0.0: all of them")
    port: int = _setting(5001, _whole(0, 65_535), "port to listen on; 0: a free one")
    socket: str | None = _setting(None, FILE, "unix socket to listen on instead")
    socket_group: str | None = _setting(None, TEXT, "group that may use the unix socket; null: only this user")
    processes: int = _setting(1, _whole(1, 256), "processes that share the address")
    hosts: tuple[str, ...] = _setting((), HOSTS, "names under which it is reached, beside this machine's own")
    origins: tuple[str, ...] = _setting(
        (), ORIGINS, "other web pages that may use it, each whole: https://app.example.org"
    )
    require_token: bool = _setting(False, SWITCH, "ask for a token on this machine too; elsewhere one is always needed")
    body: int = _setting(16 * 2**20, SIZE, "largest request")
    connections: int = _setting(1024, _whole(1, 100_000), "connections of one process at a time; more are turned away")
    grace: float = _setting(10.0, _seconds(0), "time that running requests get when the server is asked to stop")


@dataclass(frozen=True, slots=True)
class Callbacks:
    """How URLs are told of outcomes, and which may be."""

    method: str = _setting("GET", METHOD, "GET, the original's form, or POST: JSON signed with the secret")
    private: bool | None = _setting(
        None, SWITCH, "whether private addresses may be called; null: if Redis is on loopback or a unix socket"
    )
    allow: tuple[str, ...] = _setting((), CALLABLE, "hosts and networks that may be called besides, as a list")


@dataclass(frozen=True, slots=True)
class Keep:
    """How long ended jobs are kept."""

    age: float | None = _setting(None, _seconds(0), "time to keep succeeded and canceled jobs; null: for ever")
    count: int | None = _setting(None, _whole(0), "newest succeeded and canceled jobs to keep of each queue; null: all")
    dead_age: float | None = _setting(None, _seconds(0), "time to keep dead jobs; null: for ever")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large things may be."""

    message: int = _setting(32 * 2**20, SIZE, "largest message, packed")
    result: int = _setting(512 * 2**20, SIZE, "largest result, packed")
    chain: int | None = _setting(100, _whole(0), "jobs that post jobs that post jobs: so deep at most; null: no limit")

    @property
    def largest(self) -> int:
        """Bytes that the longest string may have."""
        return max(self.message, self.result)


@dataclass(frozen=True, slots=True)
class Profile:
    """Where Redis is and how mlq behaves."""

    redis: Redis = field(default_factory=Redis)
    namespace: str = _setting("mlq_default", NAMESPACE, "jobs of different namespaces never meet")
    secret: str | None = _setting(None, TEXT, "signs registered functions and callbacks; best as ${NAME}", secret=True)
    worker: Worker = field(default_factory=Worker)
    reaper: Reaper = field(default_factory=Reaper)
    server: Server = field(default_factory=Server)
    callbacks: Callbacks = field(default_factory=Callbacks)
    retention: Keep = field(default_factory=Keep)
    limits: Limits = field(default_factory=Limits)
    warnings: tuple[str, ...] = ()  # what is odd about how it was said, for people
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def origin(self, key: str) -> str:
        """Return where a setting came from: `default`, a variable, the path of a file, or `flag`."""
        if key not in SETTINGS:
            raise UnknownKey(key, SETTINGS, where="the profile")
        return self.origins.get(key, DEFAULT)

    def settings(self) -> list[tuple[str, Any, str]]:
        """Return key, value and origin of every setting in the order of the file, with secrets masked."""
        return [(key, self._shown(setting), self.origin(key)) for key, setting in SETTINGS.items()]

    def redis_url(self) -> str | None:
        """Return the URL to connect to; None: the private server."""
        redis = self.redis
        if redis.url is None and redis.host is None:
            return None
        if redis.url is not None:
            if redis.username is None and redis.password is None:
                return redis.url
            # Not by urllib, which knows no URL with several hosts.
            scheme, _, rest = redis.url.partition("://")
            authority = re.split("[/?#]", rest, maxsplit=1)[0]
            given, _, hosts = authority.rpartition("@")
            user, _, password = given.partition(":")
            where = hosts + rest[len(authority) :]
        else:
            host = f"[{redis.host}]" if redis.host and ":" in redis.host else redis.host
            scheme, user, password = "rediss" if redis.tls else "redis", "", ""
            where = f"{host}:{redis.port}/{redis.db}"
        user = user if redis.username is None else quote(redis.username, safe="")
        password = password if redis.password is None else quote(redis.password, safe="")
        login = f"{user}:{password}@" if password else f"{user}@" if user else ""
        return f"{scheme}://{login}{where}"

    def _shown(self, setting: Setting) -> Any:
        value: Any = self
        for name in setting.key.split("."):
            value = getattr(value, name)
        if value is None:
            return None
        return MASK if setting.secret else mask_url(value) if setting.kind is URL else value


def mask_url(url: str) -> str:
    """Return a URL without the passwords in it; rather too much is masked than too little."""
    url = re.sub(r"(://[^:@/?]*:).+@", rf"\1{MASK}@", url)
    return re.sub(r"([?&][^=&]*password=)[^&]+", rf"\1{MASK}", url, flags=re.IGNORECASE)


def _table() -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for top in fields(Profile):
        inner: Any = top.default_factory
        if "kind" in top.metadata:
            found[top.name] = Setting(top.name, default=top.default, **top.metadata)
        elif top.name in SECTIONS:
            for each in fields(inner):
                key = f"{top.name}.{each.name}"
                found[key] = Setting(key, default=each.default, **each.metadata)
    return found


SECTIONS: dict[str, type[Any]] = {
    "redis": Redis, "worker": Worker, "reaper": Reaper, "server": Server, "callbacks": Callbacks, "retention": Keep,
    "limits": Limits,
}  # fmt: skip
#: Every setting by its dotted key, in the order of the file.
SETTINGS: Mapping[str, Setting] = _table()
