"""Why a run or a trial ended, in one line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unbraid.errors import UnbraidError, describe


def why(error: BaseException | None) -> str:
    """The cause of a failure in one line, without the traceback that another process added."""
    cause = getattr(error, "cause", None) or error
    line = (str(cause).strip().splitlines() or [repr(cause)])[-1]
    name, _, message = line.partition(": ")
    ours: list[type[UnbraidError]] = [UnbraidError, *UnbraidError.__subclasses__()]
    return message if name.rpartition(".")[2] in {each.__name__ for each in ours} else line


@contextmanager
def in_one_line(folder: Path) -> Iterator[None]:
    """What ends a run from outside is one line: a song that vanishes, a disk that is full.

    Args:
        folder: of the run.

    Raises:
        UnbraidError: of the same kind, or for an OSError.
    """
    otherwise = threading.excepthook

    def tell(failed: threading.ExceptHookArgs) -> None:
        """TensorBoard's writer keeps what ends it, which is raised where more is to be written."""
        if getattr(failed.thread, "exception", None) is not failed.exc_value:
            otherwise(failed)

    threading.excepthook = tell
    try:
        yield
    except UnbraidError as error:
        raise type(error)(why(error)) from error
    except OSError as error:
        cause = describe(error) if error.strerror else why(error)
        raise UnbraidError(
            f"the run in {folder} ended: {cause}; mend that, and go on from its last checkpoint "
            "by --resume"
        ) from error
    finally:
        threading.excepthook = otherwise
