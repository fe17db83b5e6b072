"""Endless random mixtures: a voice from here, music from there, as a record might sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from unbraid.data import augment
from unbraid.data.augment import Rng
from unbraid.data.config import DataConfig
from unbraid.data.sampling import Place, song_pool, stem_pools
from unbraid.data.tracks import audio_files, find_tracks
from unbraid.errors import setting

VOICE = "vocals"  # the stem that gets a singer's effects; all others are instruments
Stems = dict[str, np.ndarray]  # `[2, samples]` each
ALONE = Place()


class Mixtures(IterableDataset[dict[str, torch.Tensor]]):
    """Endless stream of `{"mixture": [2, samples], "targets": [targets, 2, samples]}`.

    Args:
        config: sources and augmentation.
        targets: stems to learn.
        residual: the stem that is everything else.
        sample_rate: Hz.
        seed: each worker draws its own sequence from it, and another one in every pass.
        leave_out: files that must not be drawn.
        place: of several machines, which part of the recordings to draw from.

    Raises:
        DataError: if a stem has no source, a source no audio, a song's stems do not match, or a
            file is damaged.
    """

    def __init__(
        self,
        config: DataConfig,
        targets: Sequence[str],
        residual: str,
        sample_rate: int,
        seed: Sequence[int],
        leave_out: frozenset[Path] = frozenset(),
        place: Place = ALONE,
    ) -> None:
        self.config, self.sample_rate, self.seed = config, sample_rate, list(seed)
        self._passes = 0
        self.targets, self.residual = tuple(targets), residual
        self.samples = int(config.seconds * sample_rate)
        arguments = (config, self.targets, residual, sample_rate, leave_out, place)
        if config.shuffle:
            self.pools, self._draw = stem_pools(*arguments), self._shuffled
        else:
            self.songs, self._draw = song_pool(*arguments), self._from_one_song

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        self._passes += 1  # a loader begins anew with every epoch, and must not repeat itself
        rng = np.random.default_rng([*self.seed, worker.id if worker else 0, self._passes])
        while True:
            yield self.draw(rng)

    def draw(self, rng: Rng) -> dict[str, torch.Tensor]:
        """One random mixture with its targets."""
        stems = self._draw(rng)
        self._as_a_record(rng, stems)
        audio = torch.from_numpy(np.stack([stems[name] for name in (*self.targets, self.residual)]))
        return {"mixture": audio.sum(0), "targets": audio[:-1]}

    def _shuffled(self, rng: Rng) -> Stems:
        """Stems of different recordings, at a random balance."""
        options = self.config.augment
        stems = {stem: self._treated(rng, stem, self._layered(rng, stem)) for stem in self.pools}
        if rng.random() < options.silent:
            quiet = str(rng.choice(list(stems)))
            stems[quiet] = np.zeros_like(stems[quiet])
        reference = _loudness(stems[self.residual], self.sample_rate) or 0.1
        for name in self.targets:
            decibels = rng.normal(options.balance_decibels, options.balance_spread)
            loudness = _loudness(stems[name], self.sample_rate)
            if loudness:
                stems[name] = stems[name] * _gain(decibels) * np.float32(reference / loudness)
        return stems

    def _layered(self, rng: Rng, stem: str) -> np.ndarray:
        """A recording of a stem, at times with another one of it."""
        options, pool, voice = self.config.augment, self.pools[stem], stem == VOICE

        def take() -> np.ndarray:
            return self._retuned(rng, lambda samples: {stem: pool.draw(rng, samples)})[stem]

        audio = take()
        if rng.random() < (options.second_voice if voice else options.second_music):
            second = take() * np.float32(rng.uniform(0.2, 1))
            if voice:  # a harmony singer, off the centre
                second = augment.widen(rng, second, self.sample_rate)
            audio = audio + second
        return audio

    def _from_one_song(self, rng: Rng) -> Stems:
        """Stems that belong together, near the song's own balance."""
        options = self.config.augment
        silent = rng.random() < options.silent
        stems = self._retuned(rng, lambda samples: self.songs.draw(rng, samples, silent))
        stems = {stem: self._treated(rng, stem, audio) for stem, audio in stems.items()}
        for name in self.targets:
            stems[name] = stems[name] * _gain(rng.normal(0, options.balance_spread))
        return stems

    def _retuned(self, rng: Rng, draw: Callable[[int], Stems]) -> Stems:
        """A segment that is drawn at the length that all its stems need to be retuned alike."""
        options = self.config.augment
        if rng.random() < options.varispeed:
            ratio = 2 ** (rng.uniform(-options.semitones, options.semitones) / 12)
            stems = draw(int(self.samples * ratio) + 16)
            return {
                stem: augment.varispeed(audio, ratio, self.samples) for stem, audio in stems.items()
            }
        stems = draw(self.samples)
        if rng.random() < options.pitch_shift / (1 - options.varispeed):
            stems = _alike(
                rng,
                stems,
                lambda same, audio: augment.pitch_shift(
                    same, audio, self.sample_rate, options.semitones
                ),
            )
        return stems

    def _treated(self, rng: Rng, stem: str, audio: np.ndarray) -> np.ndarray:
        """A stem as another desk, codec or microphone might have left it."""
        options, rate, voice = self.config.augment, self.sample_rate, stem == VOICE
        if rng.random() < options.equalise:
            audio = augment.equalise(rng, audio, rate, options.equalise_decibels)
        if rng.random() < (options.effects if voice else options.music_effects):
            audio = augment.effects(rng, audio, rate)
        if voice and rng.random() < options.disguise:
            audio = augment.disguise(rng, audio, rate)
        if voice and rng.random() < options.widen:
            audio = augment.widen(rng, audio, rate)
        if not voice and rng.random() < options.music_width:
            audio = augment.set_width(rng, audio)
        if rng.random() < options.low_pass_stem:
            audio = augment.low_pass([audio], *_cutoff(rng), rate)[0]
        if rng.random() < options.code_stem:
            audio = augment.code(rng, audio, rate)
        if rng.random() < options.swap_channels:
            audio = audio[::-1]
        return -audio if rng.random() < options.invert else audio

    def _as_a_record(self, rng: Rng, stems: Stems) -> None:
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
            stems.update(_alike(rng, stems, lambda same, audio: augment.code(same, audio, rate)))
        if rng.random() < options.mono_mixture:
            stems.update({name: augment.fold(stems[name]) for name in names})
        mixture = np.sum([stems[name] for name in names], axis=0)
        peak = np.abs(mixture).max() + 1e-9
        gain = _gain(rng.uniform(*options.peak_decibels)) / np.float32(peak)
        stems.update({name: stems[name] * gain for name in names})
        if rng.random() < options.noise:
            hiss = augment.noise(rng, self.samples, rng.uniform(-90, -55))
            stems[self.residual] = stems[self.residual] + hiss


def held_out(config: DataConfig) -> frozenset[Path]:
    """Files of the validation songs and instrumentals, resolved."""
    valid = Path(config.valid)
    with setting("data.valid"):
        if config.valid_split is None:
            files = set(audio_files(valid))
        else:
            tracks = find_tracks(valid, config.valid_split)
            files = {file for track in tracks for file in track.files}
    with setting("data.instrumentals"):
        for folder in config.instrumentals:
            files.update(audio_files(Path(folder)))
    return frozenset(file.resolve() for file in files)


def _alike(rng: Rng, stems: Stems, change: Callable[[Rng, np.ndarray], np.ndarray]) -> Stems:
    """The same random change of each stem."""
    seed = int(rng.integers(1 << 31))
    return {stem: change(np.random.default_rng(seed), audio) for stem, audio in stems.items()}


def _gain(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 20))


def _cutoff(rng: Rng) -> tuple[float, float]:
    """Cutoff and slope width in Hz: between telephone-grade MP3 and full bandwidth."""
    return rng.uniform(9000, 20000), rng.uniform(100, 3000)


def _loudness(audio: np.ndarray, rate: int) -> float:
    """RMS over the tenths of a second within 20 dB of the loudest."""
    hop = rate // 10
    frames = audio.shape[1] // hop
    power = (audio[:, : frames * hop] ** 2).reshape(2, frames, hop).mean((0, 2))
    return float(np.sqrt(power[power >= 0.01 * power.max()].mean()))
