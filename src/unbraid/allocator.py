"""glibc's allocator, set for tensors that are freed and wanted again many times a second."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h
NEVER = 1 << 30  # bytes


def keep_freed_memory() -> None:
    """Let this process keep what it frees, instead of faulting in zeroed pages for every tensor.

    With one arena for all threads, one's freed memory serves another. For programs of our own, not
    for those that use the package: it holds for the whole process, and only where glibc is.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, NEVER)
        mallopt(M_TRIM_THRESHOLD, NEVER)
        mallopt(M_ARENA_MAX, 1)
