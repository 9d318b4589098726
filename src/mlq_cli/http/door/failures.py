"""Who has shown wrong tokens lately. From the eleventh in a minute on the answer is to come later."""

from __future__ import annotations

import ipaddress
from collections import deque

MOST = 10  # failures
WITHIN = 60.0  # seconds
PEERS = 4096  # that are remembered


class Failures:
    """Counts failures by peer, in bounded memory."""

    def __init__(self) -> None:
        self._peers: dict[str, deque[float]] = {}  # the one that failed last stands last

    def note(self, address: str, now: float) -> float | None:
        """Count a failure; returns the seconds to wait when there were too many, None while there were not."""
        peer = _peer(address)
        times = self._peers.pop(peer, None) or deque(maxlen=MOST)
        self._peers[peer] = times
        while len(self._peers) > PEERS:
            del self._peers[next(iter(self._peers))]
        while times and now - times[0] >= WITHIN:
            times.popleft()
        if len(times) == MOST:
            return WITHIN - (now - times[0])
        times.append(now)
        return None


def _peer(address: str) -> str:
    """Return who an address is: of IPv6 everybody has 2**64 of them."""
    if ":" not in address:
        return address
    try:
        whole = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(whole.ipv4_mapped or ipaddress.IPv6Network((int(whole) >> 64 << 64, 64)))
