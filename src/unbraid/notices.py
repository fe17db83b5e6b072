"""What a user should know about a song that was separated all the same."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from unbraid.audio import AudioInfo, AudioWriter
from unbraid.audio.info import LOSSY_FORMATS
from unbraid.errors import UnbraidWarning

_SILENT = "nothing was taken for"
_MISSING = 0.5  # seconds that a song may lack of its stated length without a word


def warn_of_tracks(info: AudioInfo) -> None:
    """Warn of a file with several audio tracks."""
    if info.streams > 1:
        message = f"{info.streams} audio tracks: the first is separated"
        warnings.warn(message, UnbraidWarning, stacklevel=3)


def warn_of_channels(channels: int, residual: str) -> None:
    """Warn of channels beyond stereo: they are not separated."""
    if channels > 2:
        where = f"the first two are separated, the others go to the {residual}"
        message = f"{channels} channels: {where}"
        warnings.warn(message, UnbraidWarning, stacklevel=3)


def warn_of_cut(info: AudioInfo, samples: int) -> None:
    """Warn of a file that holds less than it says: it may be a part of a song."""
    promised, held = info.promised_duration, samples / info.sample_rate
    if promised is not None and promised - held > _MISSING:
        if math.isinf(promised):
            what = f"the file breaks off after {held:.1f} s"
        else:
            what = f"the file says {promised:.1f} s but holds {held:.1f} s"
        message = f"{what}: get a whole copy"
        warnings.warn(message, UnbraidWarning, stacklevel=3)


def warn_of_silence(stems: Iterable[str]) -> None:
    """Warn of stems that are silent though the song is not."""
    for stem in stems:
        message = f"{_SILENT} {stem}, which are silent: another model may hear more"
        warnings.warn(message, UnbraidWarning, stacklevel=3)


@contextmanager
def silence_expected() -> Iterator[None]:
    """Warn of no silent stems: for who measures them, in one thread."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _SILENT, UnbraidWarning)
        yield


def warn_of_level(stem: str, writer: AudioWriter) -> None:
    """Warn of a stem beyond full scale: of what became of it, or of what players make of it."""
    level = 20 * np.log10(max(writer.peak, 1e-9))
    if writer.became_float:
        message = f"{stem} peaks at {level:+.1f} dBFS: written as 32-bit float WAV, nothing clipped"
    elif writer.peak > 1 and writer.path.suffix[1:] in LOSSY_FORMATS:
        message = f"{stem} peaks at {level:+.1f} dBFS: players may clip it; turn it down or use wav"
    else:
        return
    warnings.warn(message, UnbraidWarning, stacklevel=3)
