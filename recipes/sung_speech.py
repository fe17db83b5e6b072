"""Voices to train on: speech that is made to sing, by the WORLD vocoder.

    pip install pyworld 'setuptools<81'
    python recipes/sung_speech.py speech sung

A network that knows a few dozen singers takes the others for instruments. Speakers are easier to
find: each phrase of a recording of speech is drawn out and given a random melody within the
speaker's range, with glides and vibrato or stepwise as by a pitch corrector, and slightly other
formants. The same file gives the same song. WORLD: Morise, Yokomori and Ozawa, IEICE Transactions
on Information and Systems E99-D(7), 2016.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from zlib import crc32

import numpy as np
import pyworld
import scipy.ndimage
import soundfile

RATE = 44100
FRAME = 0.005  # seconds
LONGEST = 4.0  # seconds of a phrase
SCALES = ([0, 2, 4, 7, 9], [0, 3, 5, 7, 10], [0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10])


def phrases(audio: np.ndarray) -> Iterator[np.ndarray]:
    """Stretches of `[samples]` between pauses of 0.2 s, cut after some seconds."""
    hop = RATE // 50
    power = (audio[: len(audio) // hop * hop] ** 2).reshape(-1, hop).mean(1)
    loud = scipy.ndimage.binary_closing(np.pad(power > 1e-4 * power.max(), 10), np.ones(11))[10:-10]
    labels, _ = scipy.ndimage.label(loud)
    for (found,) in scipy.ndimage.find_objects(labels):
        for start in range(found.start * hop, found.stop * hop, int(LONGEST * RATE)):
            phrase = audio[start : min(start + int(LONGEST * RATE), found.stop * hop)]
            if len(phrase) > 0.25 * RATE:
                yield phrase


def melody(rng: np.random.Generator, frames: int, centre: float) -> np.ndarray:
    """Fundamental frequency `[frames]` in Hz of a random melody around a centre."""
    scale = np.array(SCALES[rng.integers(len(SCALES))])
    steps = np.concatenate([scale - 12, scale, scale + 12])
    position = len(steps) // 2 + rng.integers(-2, 3)
    pitch = np.empty(0)
    while len(pitch) < frames:
        length = int(rng.choice([0.15, 0.25, 0.4, 0.6, 1.0]) * rng.uniform(0.8, 1.3) / FRAME)
        pitch = np.append(pitch, np.full(length, steps[position]))
        position = int(np.clip(position + rng.integers(-3, 4), 2, len(steps) - 3))
    pitch = pitch[:frames]
    if rng.random() < 0.8:  # else stepwise
        pitch = scipy.ndimage.gaussian_filter1d(pitch, rng.uniform(3, 12), mode="nearest")
        time = np.arange(frames) * FRAME
        depth = rng.choice([0, 0.15, 0.35, 0.6]) * np.clip(rng.uniform(0.3, 1.5) * time, 0, 1)
        pitch = pitch + depth * np.sin(2 * np.pi * rng.uniform(4.5, 6.8) * time)
        drift = scipy.ndimage.gaussian_filter1d(rng.standard_normal(frames), 20, mode="nearest")
        pitch = pitch + 0.6 * drift
    return centre * 2 ** (pitch / 12)


def sung(rng: np.random.Generator, phrase: np.ndarray, transpose: float) -> np.ndarray:
    """A spoken phrase `[samples]` as a sung one, longer by a random factor."""
    audio = phrase.astype(np.float64)
    rough, times = pyworld.dio(audio, RATE, frame_period=1000 * FRAME)
    f0 = pyworld.stonemask(audio, rough, times, RATE)
    envelope = pyworld.cheaptrick(audio, f0, times, RATE)
    aperiodicity = pyworld.d4c(audio, f0, times, RATE)
    voiced = f0 > 0
    if not voiced.any():
        return phrase
    steady = scipy.ndimage.uniform_filter1d(voiced.astype(float), 9)
    pace = 1 + (rng.uniform(1.0, 2.5) - 1) * steady  # vowels are held, consonants are not
    ends = np.cumsum(pace)
    source = np.interp(np.arange(int(ends[-1])), ends, np.arange(len(f0)))
    nearest = np.rint(source).astype(int)
    centre = np.median(f0[voiced]) * 2 ** (transpose / 12)
    pitch = np.where(voiced[nearest], melody(rng, len(nearest), centre), 0.0)
    bins = np.arange(envelope.shape[1]) / rng.uniform(0.9, 1.12)
    warped = np.clip(np.rint(bins).astype(int), 0, envelope.shape[1] - 1)
    wave = pyworld.synthesize(
        pitch,
        np.ascontiguousarray(envelope[nearest][:, warped]),
        np.ascontiguousarray(aperiodicity[nearest]),
        RATE,
        1000 * FRAME,
    )
    wave *= np.sqrt(np.mean(audio**2)) / (np.sqrt(np.mean(wave**2)) + 1e-9)
    return (wave / max(1.0, np.abs(wave).max())).astype(np.float32)


def sing(source: Path, target: Path) -> str:
    """Make a song of a file of speech; return a line about it."""
    if not target.exists():
        rng = np.random.default_rng(crc32(source.stem.encode()))
        audio, rate = soundfile.read(source, dtype="float32", always_2d=True)
        if rate != RATE:
            return f"{source}: {rate} Hz instead of {RATE}, left out"
        gap = np.zeros(RATE // 5, np.float32)
        parts = []
        transpose = rng.uniform(0, 7)
        for phrase in phrases(audio.mean(1)):
            parts += [sung(rng, phrase, transpose + rng.integers(-2, 3)), gap]
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, np.concatenate([*parts, gap]), RATE)
    return f"{target}: {soundfile.info(target).duration:.0f} s"


def main() -> None:
    """Write a sung file for each file of speech."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("speech", type=Path, help="folder of FLAC files, at 44.1 kHz")
    parser.add_argument("folder", type=Path, help="where to write, in the same folders")
    options = parser.parse_args()
    sources = sorted(options.speech.rglob("*.flac"))
    targets = [options.folder / source.relative_to(options.speech) for source in sources]
    with ProcessPoolExecutor() as executor:
        for line in executor.map(sing, sources, targets):
            print(line, flush=True)


if __name__ == "__main__":
    main()
