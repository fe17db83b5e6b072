"""Changes that a mixing desk, a codec or a cheap microphone would make to a stem.

Each function takes a random generator and audio `[2, samples]`, and returns the same shape.
They break the shortcuts that tell training voices from training music but not real voices from
real music: bandwidth, stereo width, coding, level, noise floor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pedalboard
import scipy.fft
import soxr

from unbraid.arrays import fitted

Rng = np.random.Generator


def varispeed(audio: np.ndarray, ratio: float, samples: int) -> np.ndarray:
    """Play `[2, >= samples * ratio]` `ratio` times as fast: pitch, formants and tempo move."""
    fast = soxr.resample(audio.T, 44100 * ratio, 44100, quality="MQ").T
    return fitted(fast, samples)


def pitch_shift(rng: Rng, audio: np.ndarray, rate: int, semitones: float) -> np.ndarray:
    """Shift the pitch at unchanged tempo by up to so many semitones."""
    shift = pedalboard.PitchShift(rng.uniform(-semitones, semitones))
    return fitted(shift(audio, rate), audio.shape[1])


def equalise(rng: Rng, audio: np.ndarray, rate: int, decibels: float) -> np.ndarray:
    """Smooth random frequency response of up to so many dB, another one in each channel or not."""
    same = rng.random() < 0.7
    knots = np.log2([20, 80, 200, 500, 1200, 3000, 7000, 22050])
    gains = rng.uniform(-decibels, decibels, (1 if same else 2, len(knots)))
    frequency = np.log2(np.maximum(scipy.fft.rfftfreq(audio.shape[1], 1 / rate), 20))
    response = np.stack([np.interp(frequency, knots, gain) for gain in gains])
    return _filtered(audio, 10 ** (response / 20))


def low_pass(
    stems: Sequence[np.ndarray], cutoff: float, width: float, rate: int
) -> list[np.ndarray]:
    """Take away everything above a cutoff from several stems alike.

    Args:
        stems: each `[2, samples]`.
        cutoff: Hz at half amplitude.
        width: Hz from full to no amplitude.
        rate: Hz.
    """
    frequency = scipy.fft.rfftfreq(stems[0].shape[1], 1 / rate)
    slope = np.clip((cutoff + width / 2 - frequency) / width, 0, 1)
    return [_filtered(stem, np.sin(slope * np.pi / 2) ** 2) for stem in stems]


def effects(rng: Rng, audio: np.ndarray, rate: int) -> np.ndarray:
    """A random chain of a studio's rack: high-pass, compressor, saturation, delay, reverb."""
    chain: list[pedalboard.Plugin] = []
    if rng.random() < 0.5:
        chain.append(pedalboard.HighpassFilter(rng.uniform(60, 250)))
    if rng.random() < 0.5:
        chain.append(
            pedalboard.Compressor(
                threshold_db=rng.uniform(-36, -12),
                ratio=rng.uniform(2, 8),
                attack_ms=rng.uniform(1, 20),
                release_ms=rng.uniform(40, 300),
            )
        )
    if rng.random() < 0.15:
        chain += [pedalboard.Distortion(rng.uniform(2, 15)), pedalboard.Gain(-6)]
    if rng.random() < 0.2:
        chain.append(
            pedalboard.Delay(rng.uniform(0.08, 0.6), rng.uniform(0, 0.5), rng.uniform(0.05, 0.35))
        )
    if rng.random() < 0.6:
        chain.append(
            pedalboard.Reverb(
                room_size=rng.uniform(0.1, 0.95),
                damping=rng.uniform(0.1, 0.9),
                wet_level=rng.uniform(0.03, 0.35),
                dry_level=rng.uniform(0.5, 0.8),
                width=rng.uniform(0, 1),
            )
        )
    for plugin in chain:
        audio = plugin(audio, rate)
    return audio


def disguise(rng: Rng, audio: np.ndarray, rate: int) -> np.ndarray:
    """Make a voice sound like a telephone, a robot, a spaceship's crew or a cheap sampler."""
    kind = rng.integers(5)
    chain: list[pedalboard.Plugin]
    if kind == 0:  # ring modulator
        time = np.arange(audio.shape[1], dtype=np.float32) / rate
        carrier = np.sin(2 * np.pi * np.float32(rng.uniform(20, 300)) * time)
        depth = np.float32(rng.uniform(0.4, 1))
        return audio * (1 - depth + depth * carrier)
    if kind == 1:  # telephone, megaphone
        chain = [
            pedalboard.HighpassFilter(rng.uniform(300, 800)),
            pedalboard.HighpassFilter(rng.uniform(200, 400)),
            pedalboard.Distortion(rng.uniform(3, 25)),
            pedalboard.LowpassFilter(rng.uniform(2000, 5000)),
            pedalboard.LowpassFilter(rng.uniform(3000, 6000)),
        ]
    elif kind == 2:  # tube: a comb that rings at one pitch
        chain = [pedalboard.Delay(rng.uniform(0.002, 0.015), rng.uniform(0.5, 0.85), 0.5)]
    elif kind == 3:
        chain = [
            pedalboard.Phaser(
                rate_hz=rng.uniform(0.1, 3),
                depth=rng.uniform(0.3, 1),
                centre_frequency_hz=rng.uniform(500, 3000),
                feedback=rng.uniform(0, 0.8),
                mix=rng.uniform(0.3, 0.6),
            )
        ]
    else:
        chain = [pedalboard.Bitcrush(rng.uniform(4, 9)), pedalboard.LowpassFilter(8000)]
    for plugin in chain:
        audio = plugin(audio, rate)
    return audio


def widen(rng: Rng, audio: np.ndarray, rate: int) -> np.ndarray:
    """Make a centred voice wide in one of the ways that records do."""
    kind = rng.integers(5)
    if kind == 0:  # doubled: another take at each side, a little late and out of tune
        centre = rng.uniform(0, 1)
        left = _retake(rng, audio[0], rate)
        right = _retake(rng, audio[1], rate)
        return np.stack([left, right]) + np.float32(centre) * audio
    if kind == 1:  # one channel late
        late = np.roll(audio[1], rng.integers(4, rate // 40))
        return np.stack([audio[0], late * np.float32(rng.uniform(0.6, 1))])
    if kind == 2:  # chorus, another one in each channel
        sides = [
            pedalboard.Chorus(
                rate_hz=rng.uniform(0.2, 2), depth=rng.uniform(0.05, 0.3), mix=rng.uniform(0.3, 0.6)
            )(channel, rate)
            for channel in audio
        ]
        return np.stack(sides)
    if kind == 3:  # ping-pong echoes
        echoes = [
            pedalboard.Delay(rng.uniform(0.01, 0.45), rng.uniform(0, 0.4), rng.uniform(0.2, 0.5))(
                channel, rate
            )
            for channel in audio
        ]
        return np.stack(echoes)
    pan = rng.uniform(-0.9, 0.9)  # off the centre
    gains = np.array([[min(1, 1 - pan)], [min(1, 1 + pan)]], np.float32)
    return audio * gains


def set_width(rng: Rng, audio: np.ndarray, widest: float = 1.6) -> np.ndarray:
    """Scale the side signal by a random factor from 0 (mono) up."""
    width = 0.0 if rng.random() < 0.3 else rng.uniform(0, widest)
    mid, side = (audio[0] + audio[1]) / 2, (audio[0] - audio[1]) / 2
    return np.stack([mid + np.float32(width) * side, mid - np.float32(width) * side])


def fold(audio: np.ndarray) -> np.ndarray:
    """Fold to mono: the mean of both channels in both."""
    return np.broadcast_to(audio.mean(0, dtype=np.float32), audio.shape)


def code(rng: Rng, audio: np.ndarray, rate: int) -> np.ndarray:
    """Through an MP3 encoder and back, at a random quality."""
    return fitted(pedalboard.MP3Compressor(rng.uniform(2, 9))(audio, rate), audio.shape[1])


def bus_gain(rng: Rng, mixture: np.ndarray, rate: int) -> np.ndarray:
    """Gain curve `[samples]` of a random bus compressor that listens to the mixture."""
    hop = rate // 200
    frames = -(-mixture.shape[1] // hop)
    power = fitted(mixture**2, frames * hop).reshape(2, frames, hop).mean((0, 2))
    release = np.exp(-1 / (200 * rng.uniform(0.03, 0.3)))
    level = np.empty(frames)
    state = 0.0
    for frame, value in enumerate(power):
        state = max(value, release * state + (1 - release) * value)
        level[frame] = state
    decibels = 10 * np.log10(level + 1e-9)
    threshold = decibels.max() - rng.uniform(3, 15)
    gain = 10 ** (-np.maximum(decibels - threshold, 0) * (1 - 1 / rng.uniform(1.5, 5)) / 20)
    positions = (np.arange(frames) + 0.5) * hop
    curve = np.interp(np.arange(mixture.shape[1]), positions, gain)
    return curve.astype(np.float32)


def noise(rng: Rng, samples: int, level: float) -> np.ndarray:
    """Stereo noise `[2, samples]` of a random colour at an RMS level in dBFS, wide or mono."""
    white = rng.standard_normal((2, samples), np.float32)
    if rng.random() < 0.3:
        white[1] = white[0]
    slope = np.arange(1, samples // 2 + 2, dtype=np.float32) ** -rng.uniform(0, 0.5)
    coloured = _filtered(white, slope)
    return coloured * np.float32(10 ** (level / 20) / (coloured.std() + 1e-12))


def _retake(rng: Rng, channel: np.ndarray, rate: int) -> np.ndarray:
    """The same phrase by the same singer: up to 15 cents off, 5 to 35 ms late."""
    ratio = 2 ** (rng.uniform(-15, 15) / 1200)
    late = int(rng.uniform(0.005, 0.035) * rate)
    return np.roll(varispeed(np.stack([channel, channel]), ratio, len(channel))[0], late)


def _filtered(audio: np.ndarray, response: np.ndarray) -> np.ndarray:
    spectrum = scipy.fft.rfft(audio) * response.astype(np.float32)
    return scipy.fft.irfft(spectrum, audio.shape[1]).astype(np.float32, copy=False)
