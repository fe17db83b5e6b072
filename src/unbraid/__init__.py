"""Separates a song into its vocals and its accompaniment."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unbraid.audio import load_audio, save_audio
    from unbraid.errors import AudioError, ConfigError, ModelError, UnbraidError, UnbraidWarning
    from unbraid.models import list_models
    from unbraid.separator import Separation, Separator

    __version__: str

__all__ = [
    "AudioError",
    "ConfigError",
    "ModelError",
    "Separation",
    "Separator",
    "UnbraidError",
    "UnbraidWarning",
    "__version__",
    "list_models",
    "load_audio",
    "save_audio",
]

_HOMES = {
    "AudioError": "unbraid.errors",
    "ConfigError": "unbraid.errors",
    "ModelError": "unbraid.errors",
    "Separation": "unbraid.separator",
    "Separator": "unbraid.separator",
    "UnbraidError": "unbraid.errors",
    "UnbraidWarning": "unbraid.errors",
    "list_models": "unbraid.models",
    "load_audio": "unbraid.audio",
    "save_audio": "unbraid.audio",
}


def __getattr__(name: str) -> object:
    """Imports a public name on first use: torch takes seconds, `unbraid --help` must not."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("unbraid")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
