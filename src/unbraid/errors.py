"""Errors that a user can cause, and warnings: one line that says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UnbraidError(ValueError):
    """Anything a user can cause and mend; the command line prints it as one line."""


class AudioError(UnbraidError):
    """An audio file or array that cannot be read, written or separated."""


class ModelError(UnbraidError):
    """An unknown model, or a checkpoint that is damaged or of another kind."""


class ConfigError(UnbraidError):
    """A configuration with an unknown key or an impossible value."""


class DataError(UnbraidError):
    """A data set that lacks what training or evaluation needs."""


class UnbraidWarning(UserWarning):
    """Something a user should know about what went well all the same."""


@contextmanager
def setting(name: str) -> Iterator[None]:
    """What is wrong with data that a setting names begins with the setting's name."""
    try:
        yield
    except (AudioError, DataError) as error:
        raise DataError(f"{name}: {error}") from None


def reason(error: Exception) -> str:
    """The first line of why something failed, without the place."""
    said = error.strerror if isinstance(error, OSError) else None
    return (str(said or error).strip() or type(error).__name__).splitlines()[0]


def describe(error: UnbraidError | OSError) -> str:
    """One line that says what is wrong."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
