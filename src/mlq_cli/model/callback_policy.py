"""Which URLs may be called: what a callback URL is, and whether the rules of a profile allow where it leads.

Asked when a job is posted, as far as that needs no look-up, and again with all addresses when its callback is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from mlq_cli.model.addresses import Address, Network, Reach, reach_of, read_address
from mlq_cli.model.errors import Misuse

if TYPE_CHECKING:
    from mlq_cli.model.settings import Profile

LONGEST_URL = 2048  # characters
HINT = "a whole one: http://host:port/path or https://…, at most 2,048 characters, without name and password"
#: Ports at which a request of HTTP does harm, or is most likely meant to.
SHUT = frozenset(
    (1719, 1720, 1723, 2049, 2375, 2376, 2379, 2380, 3659, 4045, 4190, 5060, 5061, 6000, 6379, 6380, 6566, 6665, 6666,
     6667, 6668, 6669, 6679, 6697, 10080, 10250, 10255, 11211, 16379, 26379)
)  # fmt: skip
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_SAFE = "/?&=%:@!$'()*+,;~-._[]"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a callback URL leads, read by the one parser that there is for it."""

    scheme: str  # http or https
    host: str  # lower case, ASCII, without the dot at its end; an address as it is usually written
    port: int
    address: Address | None  # when the host is one
    authority: str  # for the Host header
    path: str  # percent-encoded, from the first slash on
    query: str  # likewise, without the question mark


@lru_cache(maxsize=256)
def read_target(url: str) -> Target:
    """Return where a URL leads. Raises Misuse when it is none, or none that a callback may have."""
    if len(url) > LONGEST_URL:
        raise Misuse(f"a callback URL of {len(url):,} characters is too long", hint=HINT)
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise Misuse(f"{url!r} cannot be a callback URL: a space, a backslash or a control character", hint=HINT)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in ("http", "https") or not host or port == 0 or "@" in parts.netloc:
            raise ValueError("no http(s) URL with a host and nothing else before it")
        host = host if "[" in parts.netloc else _name(host)
        address = read_address(host)
        if "[" in parts.netloc and address is None:
            raise ValueError("what is in brackets is no address")
    except (ValueError, Misuse) as error:
        raise Misuse(f"{url!r} cannot be a callback URL: {error}", hint=HINT) from None
    shown = host if address is None else f"[{address}]" if address.version == 6 else str(address)
    return Target(
        scheme=parts.scheme,
        host=host if address is None else str(address),
        port=port or (443 if parts.scheme == "https" else 80),
        address=address,
        authority=shown if port is None else f"{shown}:{port}",
        path=quote(parts.path, safe=_SAFE) or "/",
        query=quote(parts.query, safe=_SAFE),
    )


def _name(host: str) -> str:
    """Return a host name as resolvers are asked for it. Raises ValueError."""
    if not host.isascii():
        host = host.encode("idna").decode().lower()  # after that ① is 1, and a full-width dot a dot
    host = host.removesuffix(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise ValueError("no host name")
    return host


def is_own_name(host: str) -> bool:
    """Whether a name means this machine wherever it is asked for (RFC 6761)."""
    return host == "localhost" or host.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a profile allows besides the public internet."""

    private: bool = False  # this machine and the networks around it
    allow: tuple[str, ...] = ()  # hosts, `*.domain` and networks, whatever else is said
    shut: frozenset[int] = SHUT  # ports

    def strict(self) -> Policy:
        """Return the policy for what came from strangers."""
        return Policy(False, self.allow, self.shut)

    def check(self, target: Target) -> None:
        """Raise Misuse when it can be told without looking anything up that this may not be called."""
        named = _allows_name(self.allow, target.host)
        literal = target.address is not None
        reaches = [target.address] if target.address is not None else []
        if not literal and is_own_name(target.host) and not (self.private or named):
            raise Misuse(_refusal(target, "leads to this machine"), hint=_PRIVATE_HINT)
        self.check_addresses(target, reaches)

    def check_addresses(self, target: Target, addresses: Iterable[Address]) -> None:
        """Raise Misuse unless all these addresses of the target may be called."""
        if target.port in self.shut:
            raise Misuse(_refusal(target, f"port {target.port} is none that callbacks may use"))
        allowed = _allows_name(self.allow, target.host)
        for address in addresses:
            reach = reach_of(address)
            where = "" if target.address is not None else f"leads to {address}, which "
            if reach is Reach.NEVER:
                raise Misuse(_refusal(target, f"{where}is never called: no host for callbacks can be there"))
            if allowed or _allows_address(self.allow, address):
                continue
            if reach is Reach.PRIVATE and not self.private:
                raise Misuse(_refusal(target, f"{where}is no address of the public internet"), hint=_PRIVATE_HINT)
            if not self.private and target.port < 1024 and target.port not in (80, 443):
                raise Misuse(_refusal(target, f"port {target.port} is none of 80, 443 and 1024 to 65535"))


_PRIVATE_HINT = "callbacks.private: true allows private networks, callbacks.allow names single hosts and networks"


def _refusal(target: Target, why: str) -> str:
    return f"a callback to {target.authority} is refused: it {why}".replace("it port", "port")


def _allows_name(allow: tuple[str, ...], host: str) -> bool:
    return any(host == each or (each.startswith("*.") and host.endswith(each[1:])) for each in allow)


def _allows_address(allow: tuple[str, ...], address: Address) -> bool:
    return any((network := _network(each)) is not None and address in network for each in allow)


@lru_cache(maxsize=256)
def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def read_allow(value: object) -> tuple[str, ...]:
    """Return the hosts and networks of `callbacks.allow`, from a list or from text with commas. Raises ValueError."""
    words = (
        value if isinstance(value, (list, tuple)) else re.split(r"[\s,]+", value) if isinstance(value, str) else None
    )
    if words is None or not all(isinstance(word, str) for word in words):
        raise ValueError
    found = []
    for word in (str(word).strip().lower() for word in words):
        if not word:
            continue
        bare = word.removeprefix("*.")
        found.append(word if _network(word) is not None else word[: len(word) - len(bare)] + _name(bare))
    return tuple(found)


@lru_cache(maxsize=16)
def _policy(private: bool, allow: tuple[str, ...], port: int | None) -> Policy:
    return Policy(private, allow, SHUT if port is None else SHUT | {port})


def policy_of(profile: Profile) -> Policy:
    """Return what a profile allows; where it leaves it open, private networks are allowed when Redis is local too."""
    local, port = _redis_at(profile.redis_url())
    private = profile.callbacks.private
    return _policy(local if private is None else private, profile.callbacks.allow, port)


def redis_is_local(profile: Profile) -> bool:
    """Whether Redis is reached by a unix socket or on loopback."""
    return _redis_at(profile.redis_url())[0]


def how_to_tell(profile: Profile, url: str | None, method: str | None, public: bool) -> tuple[str, bool]:
    """Return method and reach of a callback that is posted now. Raises Misuse when it may not be called."""
    if url is None:
        raise Misuse("callback_method and callback_public say nothing without a callback")
    policy = policy_of(profile)
    (policy.strict() if public else policy).check(read_target(url))
    return method or profile.callbacks.method, public


@lru_cache(maxsize=16)
def _redis_at(url: str | None) -> tuple[bool, int | None]:
    """Return whether Redis is reached by a unix socket or on loopback, and at which port.

    Of sentinels and clusters nobody knows where they lead next.
    """
    if url is None or url.startswith("unix:"):
        return True, None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port or 6379
        if parts.scheme not in ("redis", "rediss"):
            return False, None
        address = read_address(host)
    except (ValueError, Misuse):
        return False, None
    return is_own_name(host) if address is None else address.is_loopback, port
