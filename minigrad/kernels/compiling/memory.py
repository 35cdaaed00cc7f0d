"""Allocator settings: freed memory stays in the process, for the next temporary of its size.

A training step allocates and frees the same hundreds of megabytes each time. The C library hands large blocks back to
the system at once, which then has to find, clear and map every page anew: thousands of page faults a step.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

_THE_USERS_OWN = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


@cache
def keep_freed_memory() -> bool:
    """Let the allocator keep up to 2 GB of free memory, where it is glibc's and the user has not set it up otherwise.

    Returns:
        Whether it does; other systems' allocators keep large blocks by themselves, or cannot be asked.
    """
    if any(name in os.environ for name in _THE_USERS_OWN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no such library function; Windows has no library of that name
        return False
    # No blocks mapped one by one; and a heap that shrinks only when so much lies free at its end.
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
