"""Ctrl-C, where it must wait: within torch's import it may abort the process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def load_torch() -> None:
    """Imports torch; an interruption that comes meanwhile is heeded when it has been."""
    with _interruptions_held():
        import torch  # noqa: F401


@contextmanager
def _interruptions_held() -> Iterator[None]:
    """Raises KeyboardInterrupt at the end, if an interruption came."""
    came: list[int] = []
    may = threading.current_thread() is threading.main_thread()  # others cannot set handlers
    numbers = [
        number
        for number in signal.valid_signals()
        if may and signal.getsignal(number) is signal.default_int_handler
    ]
    for number in numbers:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt
