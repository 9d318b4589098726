"""What the process of a server asks of its system: enough descriptors, and to get rid of memory that it has used."""

from __future__ import annotations

import logging
import os
import resource

log = logging.getLogger("mlq.http")

_LARGE = 1 << 20  # bytes
_M_MMAP_THRESHOLD = -3  # of malloc.h


def keep_standard_files() -> None:
    """See that nothing else ever gets the numbers of standard input, output and errors, when they were closed.

    A connection that had one of them would get whatever a library writes to the errors.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(opened)


def allow_files(wanted: int) -> None:
    """Let this process have so many descriptors, where the system's limit allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning("this user may have only %d files open: fewer connections than server.connections", most)


def give_back_large_memory() -> None:
    """Let the C library give large blocks back when they are freed.

    glibc stops doing that for sizes that it has seen freed once, and then keeps what lies between small blocks: after
    some results of 16 MiB the process would stay at hundreds.
    """
    import ctypes

    try:
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
    except (OSError, AttributeError):
        pass  # another C library
