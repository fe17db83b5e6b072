"""Errors that a user can cause, each one line that says what is wrong and what to do."""

from __future__ import annotations


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
