"""Where an address leads: never to be called, to a private network, or to the public internet.

The lists are our own: those of `ipaddress` have been wrong before, and change with the version of Python.
"""

from __future__ import annotations

import re
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from mlq_cli.model.errors import Misuse

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Reach(IntEnum):
    """Where an address leads; of several the lowest counts."""

    NEVER = 0  # nobody has business there: metadata of a cloud, link-local, multicast, broadcast, no address at all
    PRIVATE = 1  # this machine, the networks around it, or one that only looks public
    PUBLIC = 2


_NEVER = [
    ip_network(text)
    for text in (
        "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
        "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",  # metadata where 169.254.169.254 is not
        "::/128", "fe80::/10", "ff00::/8",
        "fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128", "fd00:c1::a9fe:a9fe/128",  # metadata by IPv6
    )
]  # fmt: skip
_PRIVATE = [
    ip_network(text)
    for text in (
        "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
]  # fmt: skip
_GLOBAL_SIX = IPv6Network("2000::/3")  # all that was ever given out; the rest is private at best
_LOW = 0xFFFF_FFFF
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")


def reach_of(address: Address) -> Reach:
    """Return where an address leads, with what is wrapped in it taken into account."""
    if any(address in network for network in _NEVER):
        return Reach.NEVER
    inner = min((reach_of(each) for each in _wrapped(address)), default=Reach.PUBLIC)
    if isinstance(address, IPv6Address) and address not in _GLOBAL_SIX:
        mapped = int(address) >> 32 == 0xFFFF  # an IPv4 address in IPv6 clothes: the same, no tunnel
        return inner if mapped else min(inner, Reach.PRIVATE)
    if any(address in network for network in _PRIVATE):
        return min(inner, Reach.PRIVATE)
    return inner


def _wrapped(address: Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that a network may make of an IPv6 one."""
    if isinstance(address, IPv4Address):
        return []
    number = int(address)
    last = IPv4Address(number & _LOW)
    top = number >> 96
    if top == 0x0064FF9B or number >> 32 in (0, 0xFFFF, 0xFFFF_0000):  # NAT64, compatible, mapped, translated
        return [last] if number > 1 else []
    if top >> 16 == 0x2002:  # 6to4
        return [IPv4Address(number >> 80 & _LOW)]
    if top == 0x2001_0000:  # Teredo: its server, and the client upside down
        return [IPv4Address(number >> 64 & _LOW), IPv4Address(~number & _LOW)]
    if number >> 32 & 0xFDFF_FFFF == 0x0000_5EFE:  # ISATAP, behind any prefix
        return [last]
    return []


def read_address(host: str) -> Address | None:
    """Return the address that a host is, in whatever way it is written; None for a name.

    `0x7f.1`, `2130706433` and `017700000001` are 127.0.0.1 to the system's own functions, so they are here. Raises
    Misuse for what looks like an address and is none: some resolver may think otherwise.
    """
    if ":" in host:
        try:
            if "%" not in host:  # a zone names a way out of this machine
                return IPv6Address(host)
        except ValueError:
            pass
        raise Misuse(f"{host!r} is no address")
    parts = host.split(".")
    if not _NUMBER.fullmatch(parts[-1]):
        return None
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise Misuse(f"{host!r} is no address")
    try:
        *heads, tail = [_number(part) for part in parts]
    except ValueError:  # 08 and 09: decimal to some, a wrong octal number to others
        raise Misuse(f"{host!r} is no address") from None
    if any(head > 255 for head in heads) or tail >= 256 ** (4 - len(heads)):
        raise Misuse(f"{host!r} is no address")
    return IPv4Address(sum(head << 8 * (3 - i) for i, head in enumerate(heads)) + tail)


def _number(part: str) -> int:
    if part[:2] in ("0x", "0X"):
        return int(part[2:] or "0", 16)
    return int(part, 8) if part[0] == "0" else int(part)
