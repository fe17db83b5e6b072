"""The same song as other people have it: band-limited, coded, in mono, wider, quieter.

A separator should do as well on each of them, scored against stems that were treated alike.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import soundfile
import soxr

from unbraid.arrays import fitted
from unbraid.errors import ConfigError

Treatment = Callable[[np.ndarray, int], np.ndarray]


def _low_pass(cutoff: int) -> Treatment:
    def treat(audio: np.ndarray, rate: int) -> np.ndarray:
        narrow = soxr.resample(audio.T, rate, 2 * cutoff, quality="HQ")
        wide = soxr.resample(narrow, 2 * cutoff, rate, quality="HQ").T
        return fitted(wide, audio.shape[1])

    return treat


def _mp3(audio: np.ndarray, rate: int) -> np.ndarray:
    peak = max(1.0, float(np.abs(audio).max()))
    file = io.BytesIO()  # level 0.67 is 128 kbit/s
    soundfile.write(
        file, audio.T / peak, rate, format="MP3", bitrate_mode="CONSTANT", compression_level=0.67
    )
    file.seek(0)
    decoded = soundfile.read(file, dtype="float32", always_2d=True)[0].T
    return fitted(decoded * np.float32(peak), audio.shape[1])


def _width(factor: float) -> Treatment:
    def treat(audio: np.ndarray, rate: int) -> np.ndarray:
        mid, side = audio.mean(0), (audio[0] - audio[1]) / 2
        return np.stack([mid + factor * side, mid - factor * side]).astype(np.float32)

    return treat


CONDITIONS: dict[str, Treatment] = {
    "as is": lambda audio, rate: audio,
    "16 kHz": _low_pass(16000),
    "12 kHz": _low_pass(12000),
    "MP3 128": _mp3,
    "mono": _width(0.0),
    "wide": _width(1.5),
    "-12 dB": lambda audio, rate: audio * np.float32(10 ** (-12 / 20)),
    "swapped": lambda audio, rate: audio[::-1].copy(),
    "22.05 kHz": _low_pass(11025),
}


def treated(
    stems: dict[str, np.ndarray], condition: str, sample_rate: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A song under a condition.

    Args:
        stems: each `[2, samples]`.
        condition: a key of `CONDITIONS`.
        sample_rate: Hz.

    Returns:
        The treated mixture and the treated stems.

    Raises:
        ConfigError: for an unknown condition.
    """
    if condition not in CONDITIONS:
        raise ConfigError(f"no condition {condition!r}; there are: {', '.join(CONDITIONS)}")
    treat = CONDITIONS[condition]
    mixture = np.stack(list(stems.values())).sum(0)
    return treat(mixture, sample_rate), {
        name: treat(audio, sample_rate) for name, audio in stems.items()
    }
