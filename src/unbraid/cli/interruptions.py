"""Ctrl-C, where it must wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptions_held() -> Iterator[None]:
    """Raises KeyboardInterrupt at the end: within torch's import it may abort the process."""
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
