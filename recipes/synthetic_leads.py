"""Accompaniment to train on: melodies of one synthesiser, which is what a gate takes for a singer.

    python recipes/synthetic_leads.py 100 data/leads

Each file holds half a minute of a random patch: harmonics of a falling spectrum, one to three
voices out of tune, slides, vibrato and swells, filters that move, formants in every third, at times
distortion, breath and echoes. The same number gives the same file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

RATE = 44100
SECONDS = 30
SEED = 7000
SCALES = [[0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10], [0, 3, 5, 7, 10], [0, 2, 4, 7, 9]]
LOWEST, HIGHEST = -5, 14  # degrees of a scale
HARMONICS, TREBLE = 45, 18000  # at most so many, below so many Hz
# of each wave: falling as this power of their number; the odd alone; pulsed
SLOPES, ODD, PULSED = [1, 1, 2, 0.6, 1.4], (1, 2), 4
FORMANTS = [  # Hz, bandwidth in Hz and gain, each from and to
    ((250, 900), (60, 160), (0.5, 1)),
    ((800, 2500), (80, 250), (0.2, 0.8)),
    ((2200, 3600), (120, 400), (0.1, 0.5)),
]

Rng = np.random.Generator
Audio = np.ndarray


def melody(rng: Rng) -> Iterator[tuple[float, float, int]]:
    """Start and length in seconds and MIDI pitch of each note."""
    beat = 60 / rng.uniform(60, 160)
    scale = SCALES[rng.integers(len(SCALES))]
    root, at, degree = rng.integers(48, 72), rng.uniform(0, 2 * beat), rng.integers(-3, 8)
    while at < SECONDS:
        if rng.random() < 0.12:
            at += beat * rng.choice([1, 2, 4])
            continue
        length = beat * rng.choice([0.25, 0.5, 0.5, 1, 1, 1.5, 2, 3, 4])
        degree = int(np.clip(degree + np.round(rng.normal(0, 2)), LOWEST, HIGHEST))
        yield at, length, root + 12 * (degree // len(scale)) + scale[degree % len(scale)]
        at += length


def played(rng: Rng) -> tuple[Audio, Audio]:
    """MIDI pitch, 0 where nothing sounds, and loudness from 0 to 1 of each sample."""
    samples = SECONDS * RATE
    pitch, loudness = np.zeros(samples), np.zeros(samples)
    glide = rng.choice([0, 0, 0.02, 0.06, 0.12])
    attack, release = rng.choice([0.004, 0.02, 0.06, 0.15]), rng.choice([0.02, 0.08, 0.2])
    depth = rng.choice([0, 0.1, 0.25, 0.5]) * rng.uniform(0.7, 1.3)
    speed, delay, legato = rng.uniform(4.2, 7.5), rng.choice([0, 0.1, 0.3]), rng.uniform(0.6, 1)
    decay, swells = rng.choice([0, 0, 1, 3]), rng.random() < 0.3
    last = None
    for at, length, note in melody(rng):
        start, end = int(at * RATE), min(samples, int((at + length) * RATE))
        if end - start < 200:
            continue
        time = np.arange(end - start) / RATE
        bend = ((note if last is None else last) - note) * np.exp(-time / max(glide, 1e-4))
        bend = bend if glide else 0
        if rng.random() < 0.15:
            bend = bend + rng.choice([-2, -1, 1]) * np.exp(-time / 0.07)
        wave = np.sin(2 * np.pi * speed * time + rng.uniform(0, 6))
        pitch[start:end] = note + bend + depth * np.clip((time - delay) / 0.25, 0, 1) * wave
        fade = np.exp(-np.maximum(0, time - length * legato) / release)
        level = np.clip(time / attack, 0, 1) * np.exp(-decay * time)
        level = level * np.where(time < length * legato, 1, fade)
        if swells:
            level = level * (0.4 + 0.6 * np.sin(np.pi * np.clip(time / length, 0, 1)))
        level *= np.clip((length - time) / 0.004, 0, 1)
        loudness[start:end] = level * rng.uniform(0.6, 1)
        last = note
    return pitch, loudness


class Filter:
    """Gain of a harmonic by its frequency: a low-pass that moves, and formants.

    Args:
        rng: decides which.
        loudness: that opens the low-pass.
    """

    def __init__(self, rng: Rng, loudness: Audio) -> None:
        time = np.arange(len(loudness)) / RATE
        cutoff, self.order = rng.uniform(600, 9000), 2 * rng.choice([1, 2, 4])
        sweeps = rng.random() < 0.3
        sweep = 0.6 * np.sin(2 * np.pi * rng.uniform(0.2, 6) * time) if sweeps else 0
        self.cutoff = cutoff * (1 + sweep) * (1 + rng.uniform(0, 1.5) * loudness)
        self.formants: list[tuple[Audio | float, float, float]] = []
        if rng.random() < 0.3:
            drawn = [tuple(rng.uniform(*part) for part in formant) for formant in FORMANTS]
            moves = rng.random() < 0.5
            ends = [rng.uniform(*formant[0]) if moves else 0 for formant in FORMANTS]
            speed = rng.uniform(0.3, 4) if moves else 0
            place = 0.5 + 0.5 * np.sin(2 * np.pi * speed * time) if moves else 0
            self.formants = [
                (centre + (end - centre) * place, band, gain)
                for (centre, band, gain), end in zip(drawn, ends, strict=True)
            ]

    def __call__(self, frequency: Audio) -> Audio:
        gain = (frequency < TREBLE) / np.sqrt(1 + (frequency / self.cutoff) ** self.order)
        if not self.formants:
            return gain
        peaks = (part / (1 + ((frequency - at) / band) ** 2) for at, band, part in self.formants)
        return gain * (0.05 + sum(peaks))


def piece(rng: Rng) -> Audio:
    """A melody, `[2, samples]`."""
    pitch, loudness = played(rng)
    hertz = 440 * 2 ** ((np.where(pitch == 0, 60, pitch) - 69) / 12)
    kind = rng.integers(len(SLOPES))
    colour = Filter(rng, loudness)
    middle = max(60, np.median(hertz[pitch != 0]))
    harmonics = range(1, int(min(HARMONICS, 15000 / middle)) + 1, 2 if kind in ODD else 1)
    voices, detuned = rng.integers(1, 4), rng.uniform(2, 14)
    audio = np.zeros((2, len(pitch)))
    for voice in range(voices):
        place = 0.0 if voices == 1 else voice / (voices - 1) * 2 - 1
        frequency = hertz * 2 ** (detuned * place / 1200)
        phase = 2 * np.pi * np.cumsum(frequency) / RATE + rng.uniform(0, 6)
        pulse, wave = rng.uniform(0.05, 0.5), np.zeros(len(pitch))
        for number in harmonics:
            part = number ** -SLOPES[kind]
            if kind == PULSED:
                part *= 1.5 * abs(np.sin(np.pi * number * pulse))
            if colour.formants:
                part *= number**0.5
            wave += part * colour(number * frequency) * np.sin(number * phase)
        pan = 0.5 if voices == 1 else voice / (voices - 1) * rng.choice([0, 1]) * 0.8 + 0.1
        audio += np.stack([wave * np.cos(pan * np.pi / 2), wave * np.sin(pan * np.pi / 2)])
    audio *= loudness
    if rng.random() < 0.3:
        audio = np.tanh(audio / (np.abs(audio).max() + 1e-9) * rng.uniform(2, 15))
    if rng.random() < 0.3:
        breath = rng.uniform(0.002, 0.03) * np.std(audio)
        audio = audio + breath * rng.normal(size=audio.shape) * loudness
    if rng.random() < 0.5:
        audio = audio + echoes(audio, int(rng.uniform(0.12, 0.5) * RATE), rng.uniform(0.15, 0.5))
    return 0.7 * audio / (np.abs(audio).max() + 1e-9)


def echoes(audio: Audio, delay: int, gain: float) -> Audio:
    """Four of them, from side to side."""
    wet = np.zeros_like(audio)
    for number in range(1, 5):
        side = audio[::-1] if number % 2 else audio
        wet[:, number * delay :] += gain**number * side[:, : -number * delay]
    return wet


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=int, help="how many, of half a minute each")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(options.files)):
        audio = piece(np.random.default_rng(SEED + number))
        path = options.folder / f"{number:04}.flac"
        soundfile.write(path, audio.T.astype(np.float32), RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
