"""Sounds that several test files separate, write and read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from unbraid.audio import AudioReader

RATE = 44100


def music(samples: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Noise, other in each channel: float32 `[channels, samples]`."""
    noise = np.random.default_rng(seed).standard_normal((channels, samples))
    return (0.1 * noise).astype(np.float32)


def sine(hertz: float, seconds: float, rate: int = RATE, channels: int = 2) -> np.ndarray:
    """The same sine in each channel: float32 `[channels, samples]`."""
    wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    return np.repeat(wave[None], channels, 0).astype(np.float32)


def loudest_hertz(audio: np.ndarray) -> float:
    """Frequency of the highest peak of the spectrum."""
    spectrum = np.abs(np.fft.rfft(audio.sum(0)))
    return float(spectrum.argmax() * RATE / audio.shape[1])


def tone(samples: int, channels: int = 2, rate: int = RATE) -> np.ndarray:
    """A sine with a little noise, other in each channel: float32 `[channels, samples]`."""
    time = np.arange(samples) / rate
    noise = np.random.default_rng(0).normal(0, 0.01, (channels, samples))
    sines = [np.sin(2 * np.pi * 440 * (c + 1) * time) * 0.4 for c in range(channels)]
    return (np.stack(sines) + noise).astype(np.float32)


def encode(
    path: Path,
    codec: str | None,
    audio: np.ndarray,
    sample_format: str = "fltp",
    rate: int = RATE,
    video: bool = False,
) -> Path:
    """Write audio (and a black video) with PyAV."""
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[len(audio)]
    with av.open(str(path), "w") as container:
        if video:
            picture = container.add_stream("mpeg4", rate=10)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuv420p"
        if codec is not None:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            stream.codec_context.format = sample_format
            stream.codec_context.bit_rate = 128_000  # WMA has no default
        if video:
            for number in range(10):
                image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
                image.pts = number
                container.mux(picture.encode(image))
            container.mux(picture.encode(None))
        if codec is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio), "fltp", layout)
            frame.rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def read_blocks(path: Path, size: int) -> np.ndarray:
    """All of a file, read in blocks of so many samples."""
    with AudioReader(path) as reader:
        blocks = []
        while (block := reader.read(size)).shape[1]:
            assert block.dtype == np.float32
            assert block.flags.c_contiguous
            blocks.append(block)
        assert all(block.shape[1] == size for block in blocks[:-1])
        return np.concatenate([*blocks, block], axis=1)
