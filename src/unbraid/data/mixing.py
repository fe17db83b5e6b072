"""Endless random mixtures: a voice from here, music from there, as a record might sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from unbraid.data import augment
from unbraid.data.augment import Rng
from unbraid.data.cache import Recording
from unbraid.data.tracks import audio_files, find_tracks
from unbraid.errors import DataError

VOICE = "vocals"  # the stem that gets a singer's effects; all others are instruments


@dataclass
class Source:
    """A folder to draw from.

    Attributes:
        path: folder of audio files, or of songs.
        share: how often, relative to the other sources; every file in it is equally likely.
    """

    path: str = "???"
    share: float = 1.0


@dataclass
class AugmentConfig:
    """Probabilities, per drawn stem or mixture, and strengths of each change."""

    varispeed: float = 0.6
    semitones: float = 3.0
    pitch_shift: float = 0.02
    equalise: float = 0.5
    equalise_decibels: float = 6.0
    effects: float = 0.7
    widen: float = 0.4
    second_voice: float = 0.2
    second_music: float = 0.25
    music_width: float = 0.5
    low_pass_mixture: float = 0.5
    low_pass_stem: float = 0.25
    mono_mixture: float = 0.12
    code_mixture: float = 0.08
    code_stem: float = 0.05
    bus: float = 0.4
    noise: float = 0.4
    silent: float = 0.08
    balance_decibels: float = -3.0
    balance_spread: float = 5.0
    peak_decibels: tuple[float, float] = (-18.0, 0.0)


@dataclass
class DataConfig:
    """Where the music comes from.

    Attributes:
        stems: for each stem the named sources of single recordings of it.
        songs: named sources of folders of songs, whose stems are shuffled among the others.
        valid: folder of songs to validate on; none of them may be among the sources.
        instrumentals: folders without vocals, left out of training, to measure leakage on.
        cache: folder for decoded audio.
        seconds: length of a training segment.
        batch_size: segments in a step.
        workers: processes that mix.
    """

    stems: dict[str, dict[str, Source]] = field(default_factory=dict)
    songs: dict[str, Source] = field(default_factory=dict)
    valid: str = "???"
    instrumentals: list[str] = field(default_factory=list)
    cache: str = ".cache"
    seconds: float = 4.0
    batch_size: int = 6
    workers: int = 1
    augment: AugmentConfig = field(default_factory=AugmentConfig)


class Pool:
    """Recordings of one stem, drawn source by source, file by file, where something sounds."""

    def __init__(self, sources: Sequence[tuple[float, list[Recording]]]) -> None:
        shares = np.array([share for share, _ in sources], float)
        self._shares = shares / shares.sum()
        self._recordings = [recordings for _, recordings in sources]

    def draw(self, rng: Rng, samples: int) -> np.ndarray:
        """A random segment `[2, samples]` that is active somewhere."""
        source = self._recordings[rng.choice(len(self._shares), p=self._shares)]
        recording = source[rng.integers(len(source))]
        start = int(rng.choice(recording.active)) - int(rng.uniform(0, 0.8) * samples)
        if recording.samples >= samples:
            start = int(np.clip(start, 0, recording.samples - samples))
        return recording.read(start, samples)


class Mixtures(IterableDataset[dict[str, torch.Tensor]]):
    """Endless stream of `{"mixture": [2, samples], "targets": [targets, 2, samples]}`.

    Args:
        config: sources and augmentation.
        targets: stems to learn.
        residual: the stem that is everything else.
        sample_rate: Hz.
        seed: each worker draws its own sequence from it.
        leave_out: files that must not be drawn.

    Raises:
        DataError: if a stem has no source, or a source no audio.
    """

    def __init__(
        self,
        config: DataConfig,
        targets: Sequence[str],
        residual: str,
        sample_rate: int,
        seed: Sequence[int],
        leave_out: frozenset[Path] = frozenset(),
    ) -> None:
        self.config, self.sample_rate, self.seed = config, sample_rate, list(seed)
        self.targets, self.residual = tuple(targets), residual
        self.samples = int(config.seconds * sample_rate)
        self.pools = {
            stem: _pool(config, stem, self.targets, sample_rate, leave_out)
            for stem in (*targets, residual)
        }

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        rng = np.random.default_rng([*self.seed, worker.id if worker else 0])
        while True:
            yield self.draw(rng)

    def draw(self, rng: Rng) -> dict[str, torch.Tensor]:
        """One random mixture with its targets."""
        options = self.config.augment
        stems = {stem: self._stem(rng, stem) for stem in self.pools}
        if rng.random() < options.silent:
            quiet = str(rng.choice(list(stems)))
            stems[quiet] = np.zeros_like(stems[quiet])
        self._balance(rng, stems)
        self._as_a_record(rng, stems)
        audio = torch.from_numpy(np.stack([stems[name] for name in (*self.targets, self.residual)]))
        return {"mixture": audio.sum(0), "targets": audio[:-1]}

    def _stem(self, rng: Rng, stem: str) -> np.ndarray:
        options, rate, voice = self.config.augment, self.sample_rate, stem == VOICE
        audio = self._take(rng, stem)
        if rng.random() < (options.second_voice if voice else options.second_music):
            second = self._take(rng, stem) * np.float32(rng.uniform(0.2, 1))
            if voice:  # a harmony singer, off the centre
                second = augment.widen(rng, second, rate)
            audio = audio + second
        if rng.random() < options.equalise:
            audio = augment.equalise(rng, audio, rate, options.equalise_decibels)
        if voice and rng.random() < options.effects:
            audio = augment.effects(rng, audio, rate)
        if voice and rng.random() < options.widen:
            audio = augment.widen(rng, audio, rate)
        if not voice and rng.random() < options.music_width:
            audio = augment.set_width(rng, audio)
        if rng.random() < options.low_pass_stem:
            audio = augment.low_pass([audio], *_cutoff(rng), rate)[0]
        if rng.random() < options.code_stem:
            audio = augment.code(rng, audio, rate)
        if rng.random() < 0.5:
            audio = audio[::-1]
        return -audio if rng.random() < 0.5 else audio

    def _take(self, rng: Rng, stem: str) -> np.ndarray:
        options = self.config.augment
        if rng.random() < options.varispeed:
            ratio = 2 ** (rng.uniform(-options.semitones, options.semitones) / 12)
            audio = self.pools[stem].draw(rng, int(self.samples * ratio) + 16)
            return augment.varispeed(audio, ratio, self.samples)
        audio = self.pools[stem].draw(rng, self.samples)
        if rng.random() < options.pitch_shift / (1 - options.varispeed):
            return augment.pitch_shift(rng, audio, self.sample_rate, options.semitones)
        return audio

    def _balance(self, rng: Rng, stems: dict[str, np.ndarray]) -> None:
        """Set each target's loudness relative to the residual's."""
        options = self.config.augment
        reference = _loudness(stems[self.residual], self.sample_rate) or 0.1
        for name in self.targets:
            decibels = rng.normal(options.balance_decibels, options.balance_spread)
            loudness = _loudness(stems[name], self.sample_rate)
            if loudness:
                gain = reference / loudness * 10 ** (decibels / 20)
                stems[name] = stems[name] * np.float32(gain)

    def _as_a_record(self, rng: Rng, stems: dict[str, np.ndarray]) -> None:
        """Treat all stems alike, as mastering, coding and playing do to the mixture."""
        options, rate, names = self.config.augment, self.sample_rate, list(stems)
        mixture = np.sum(list(stems.values()), axis=0)
        if rng.random() < options.bus:
            curve = augment.bus_gain(rng, mixture, rate)
            stems.update({name: stems[name] * curve for name in names})
        if rng.random() < options.low_pass_mixture:
            filtered = augment.low_pass([stems[name] for name in names], *_cutoff(rng), rate)
            stems.update(zip(names, filtered, strict=True))
        if rng.random() < options.code_mixture:
            seed = int(rng.integers(1 << 31))
            for name in names:  # at the same quality
                stems[name] = augment.code(np.random.default_rng(seed), stems[name], rate)
        if rng.random() < options.mono_mixture:
            stems.update({name: augment.fold(stems[name]) for name in names})
        mixture = np.sum([stems[name] for name in names], axis=0)
        peak = np.abs(mixture).max() + 1e-9
        gain = np.float32(10 ** (rng.uniform(*options.peak_decibels) / 20) / peak)
        stems.update({name: stems[name] * gain for name in names})
        if rng.random() < options.noise:
            hiss = augment.noise(rng, self.samples, rng.uniform(-90, -55))
            stems[self.residual] = stems[self.residual] + hiss


def held_out(config: DataConfig) -> frozenset[Path]:
    """Files of the validation songs and instrumentals, resolved."""
    folders = [config.valid, *config.instrumentals]
    return frozenset(file.resolve() for folder in folders for file in audio_files(Path(folder)))


def _pool(
    config: DataConfig,
    stem: str,
    targets: tuple[str, ...],
    sample_rate: int,
    leave_out: frozenset[Path],
) -> Pool:
    sources: list[tuple[float, list[tuple[Path, ...]]]] = [
        (source.share, [(path,) for path in audio_files(Path(source.path))])
        for source in config.stems.get(stem, {}).values()
    ]
    sources += [
        (source.share, [track.parts(stem, targets) for track in find_tracks(Path(source.path))])
        for source in config.songs.values()
    ]
    cache = Path(config.cache)
    pools = []
    for share, recordings in sources:
        allowed = [files for files in recordings if leave_out.isdisjoint(_resolved(files))]
        if allowed:
            pools.append((share, [Recording(files, sample_rate, cache) for files in allowed]))
    if not pools:
        raise DataError(f"no training audio for the stem {stem!r}; name a source in data.stems")
    return Pool(pools)


def _resolved(files: tuple[Path, ...]) -> list[Path]:
    return [file.resolve() for file in files]


def _cutoff(rng: Rng) -> tuple[float, float]:
    """Cutoff and slope width in Hz: between telephone-grade MP3 and full bandwidth."""
    return rng.uniform(9000, 20000), rng.uniform(100, 3000)


def _loudness(audio: np.ndarray, rate: int) -> float:
    """RMS over the tenths of a second within 20 dB of the loudest."""
    hop = rate // 10
    frames = audio.shape[1] // hop
    power = (audio[:, : frames * hop] ** 2).reshape(2, frames, hop).mean((0, 2))
    return float(np.sqrt(power[power >= 0.01 * power.max()].mean()))
