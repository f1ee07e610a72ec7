"""How the memory of this process is kept by the C library."""

import ctypes
import os
import platform

ARENAS_MAX = 2
"""Of glibc's allocator.  It gives each thread one, up to eight a processor, and what is freed in
one is of no use to the others: under ten minutes of mixed load 8 MiB were held free and slowly
grew; with two arenas 2 MiB, and they did not (measured, 2 processors)."""

_M_ARENA_MAX = -8  # glibc's malloc.h


def bound_arenas() -> None:
    """Have all threads share few arenas; before there are any, and where it is glibc's allocator.

    Whoever sets glibc's own ``MALLOC_ARENA_MAX`` in the environment decides for himself.
    """
    if platform.libc_ver()[0] == "glibc" and "MALLOC_ARENA_MAX" not in os.environ:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS_MAX)
