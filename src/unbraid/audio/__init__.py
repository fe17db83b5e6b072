"""Audio files to float32 `[channels, samples]` and back, block by block in constant memory."""

from __future__ import annotations

from unbraid.audio.files import load_audio, save_audio
from unbraid.audio.info import AudioInfo
from unbraid.audio.quantize import quantize
from unbraid.audio.reader import AudioReader, probe
from unbraid.audio.resample import Resampler
from unbraid.audio.writer import AudioWriter

__all__ = [
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "Resampler",
    "load_audio",
    "probe",
    "quantize",
    "save_audio",
]
