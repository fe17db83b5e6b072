"""glibc's allocator, set for tensors that are freed and wanted again many times a second."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h
NEVER_MAPPED, NEVER_TRIMMED = 1 << 30, (1 << 31) - 1  # bytes


def keep_freed_memory(arenas: int = 1) -> None:
    """Let this process keep what it frees, instead of faulting in zeroed pages for every tensor.

    For programs of our own, not for those that use the package: it holds for the whole process, and
    only where glibc is.

    Args:
        arenas: heaps that threads are spread over; with one, what a thread frees serves another,
            with 0 there are as many as glibc likes.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, NEVER_MAPPED)
        mallopt(M_TRIM_THRESHOLD, NEVER_TRIMMED)
        mallopt(M_ARENA_MAX, arenas)
