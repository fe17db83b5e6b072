"""Which of the processes that `torchrun` started says what is wrong; imports no Lightning."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager


def under_torchrun() -> bool:
    """Whether `torchrun` started this process: as torch tells it, which takes seconds to import."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def one_voice() -> Iterator[None]:
    """Under `torchrun`, the first process that fails says why; those it takes along are silent."""
    if not under_torchrun():
        yield
        return
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, is_master=False, wait_for_workers=False)
    try:
        yield
    except (Exception, KeyboardInterrupt):
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        if store.add(f"unbraid/failed/{attempt}", 1) == 1:
            raise
        time.sleep(1)  # or torchrun, which ends all when one has ended, might be first
        raise SystemExit(1) from None
