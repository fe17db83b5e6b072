"""What a file says about the audio it holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]  # [channels, samples]
LOSSY_FORMATS = ("mp3", "ogg", "opus")
FORMATS = ("wav", "flac", *LOSSY_FORMATS)  # to write


@dataclass(frozen=True)
class AudioInfo:
    """Properties of an audio file, known before its samples are read.

    Args:
        path: the file.
        sample_rate: in Hz.
        channels: their number.
        samples: per channel, or None where the container does not say reliably; a lossy file may
            end up to half a second earlier.
        bit_depth: "16", "24" or "32f", the smallest that holds the file's samples; lossy: "16",
            though such a file has none.
        format: short name of the container, such as "wav" or "mov".
        codec: short name of the coding, such as "pcm_16" or "aac".
        streams: number of audio streams in the file, of which this is one.
        stated_duration: in seconds, as the container says, right or wrong; None where it is silent.
        promised_duration: in seconds, of this stream by the file's header; a file that ends earlier
            was cut off. Infinity where the file breaks off and no header tells how much it lacks;
            None where nothing tells, or the decoder itself notices.
        lossy: whether the coding changed the samples.
    """

    path: Path
    sample_rate: int
    channels: int
    samples: int | None
    bit_depth: str
    format: str
    codec: str
    streams: int = 1
    stated_duration: float | None = None
    promised_duration: float | None = None
    lossy: bool = False

    @property
    def duration(self) -> float | None:
        """Seconds: exact where `samples` is known, else what the container says."""
        return self.stated_duration if self.samples is None else self.samples / self.sample_rate


def native(path: Path) -> str | bytes:
    """The path for C libraries; bytes on POSIX, where a name need not be valid UTF-8."""
    return str(path) if os.name == "nt" else os.fsencode(path)
