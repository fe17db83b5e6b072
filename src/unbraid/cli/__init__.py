"""Command line: parses, checks, calls; one file a command or a few that belong together."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from unbraid.cli.app import app
from unbraid.errors import UnbraidError, UnbraidWarning, describe

# isort: split
# each adds its commands, in the order of --help
from unbraid.cli import separate, serve, models, train, evaluate, report, data, export  # noqa: F401, I001


def main() -> None:
    """Runs the command line; what the user can mend ends in one line and exit code 1."""
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no error
        if stream is not None:  # a service may have none
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for name in ("SIGTERM", "SIGHUP"):  # end as Ctrl-C does, without leaving files; nohup holds
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    warnings.showwarning = partial(_show, warnings.showwarning)
    try:
        app()
    except (UnbraidError, OSError) as error:  # such as no room for what is printed
        print(f"error: {describe(error)}", file=sys.stderr)
        sys.exit(1)


def _show(
    otherwise: Callable[..., None], message: Warning, kind: type[Warning], *place: Any, **more: Any
) -> None:
    """A warning of ours in one line, as errors are."""
    if issubclass(kind, UnbraidWarning):
        print(f"warning: {message}", file=sys.stderr)
    else:
        otherwise(message, kind, *place, **more)
