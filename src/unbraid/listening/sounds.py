"""The sounds of a listening test: short, equally loud, and alike in all but how they sound."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unbraid.data.tracks import Track, load_track
from unbraid.errors import DataError, reason
from unbraid.evaluation.excerpts import SECONDS, loudest_seconds
from unbraid.evaluation.systems import PAIR, sum_of
from unbraid.listening.loudness import loudness
from unbraid.listening.material import Material
from unbraid.listening.ratings import ANCHOR, REFERENCE, SCALES

LEVEL = -23.0  # LUFS, of EBU R 128
PEAK = 10 ** (-1 / 20)  # a page is made quieter where a sample would exceed it
CUTOFF, STOP = 3500.0, 4000.0  # Hz, of the low anchor of BS.1534-3
_WHOLE = 12.0  # seconds up to which a song is heard whole
_SHORTEST = 1.0  # seconds
_FADE = 0.005  # seconds at both ends


@dataclass(frozen=True)
class Trial:
    """A page of the test: the same stem of the same song by all systems, on one scale.

    Attributes:
        excerpt: name of the song.
        stem: what is heard of it.
        scale: what is judged, one of `SCALES`.
        sample_rate: Hz.
        files: system, `reference` or `anchor` -> file of samples, float32 `[2, samples]`.
        gains: the same -> factor that makes it as loud as the others.
    """

    excerpt: str
    stem: str
    scale: str
    sample_rate: int
    files: Mapping[str, Path]
    gains: Mapping[str, float]

    def wav(self, name: str) -> bytes:
        """One of its sounds as a WAV file of 24 bits.

        It is dithered anew each time: no two answers are equal, so equal bytes tell nobody that
        a hidden sound is the open reference, or is the same as on another page.

        Args:
            name: a key of `files`.
        """
        import soundfile

        audio = np.load(self.files[name]).astype(np.float64) * self.gains[name]
        random = np.random.default_rng()
        dither = random.random(audio.shape) - random.random(audio.shape)  # triangular, one step
        file = io.BytesIO()
        soundfile.write(
            file, (audio + dither * 2.0**-23).T, self.sample_rate, "PCM_24", format="WAV"
        )
        return file.getvalue()


def make_trials(material: Material, folder: Path) -> list[Trial]:
    """Cuts, anchors and levels of all songs.

    Args:
        material: songs and systems.
        folder: for the sounds' samples.

    Raises:
        DataError: a song is too short, a stem is silent where all stems of the truth are loud, or
            the folder has no room.
    """
    trials = []
    for number, track in enumerate(material.tracks):
        trials += _trials(track, material, folder / str(number))
    return trials


def _trials(track: Track, material: Material, folder: Path) -> list[Trial]:
    rate = track.stems["vocals"].probe().sample_rate
    truth = load_track(track, ["vocals"], "accompaniment", rate)
    cut = _cut(track.name, truth, rate)
    estimates = {
        name: system.estimate(track, truth, rate) for name, system in material.systems.items()
    }
    mixture = _faded(sum_of(truth)[:, cut], rate)
    trials = []
    for stem in PAIR:
        heard = {name: _faded(stems[stem][:, cut], rate) for name, stems in estimates.items()}
        heard[REFERENCE] = _faded(truth[stem][:, cut], rate)
        files = {name: folder / stem / f"{place}.npy" for place, name in enumerate(heard)}
        for name, path in files.items():
            _save(path, heard[name])
        anchors = {"quality": low_pass(heard[REFERENCE], rate), "interference": mixture}
        for scale in SCALES:
            anchor = folder / stem / scale / "anchor.npy"
            _save(anchor, anchors[scale])
            place = f"{track.name}, {cut.start / rate:g} to {cut.stop / rate:g} s: {stem}"
            gains = _gains({**heard, ANCHOR: anchors[scale]}, rate, place)
            files_here = {**files, ANCHOR: anchor}
            trials.append(Trial(track.name, stem, scale, rate, files_here, gains))
    return trials


def _cut(song: str, truth: Mapping[str, np.ndarray], rate: int) -> slice:
    samples = truth["vocals"].shape[1]
    if samples < _SHORTEST * rate:
        raise DataError(f"{song}: {samples / rate:.2f} s are too short to judge; leave it out")
    if samples <= _WHOLE * rate:
        return slice(0, samples)
    start = loudest_seconds(truth, rate) * rate
    return slice(start, start + SECONDS * rate)


def _save(path: Path, audio: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, audio)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({reason(error)}); make room there, or set TMPDIR"
        ) from None


def _gains(sounds: Mapping[str, np.ndarray], rate: int, place: str) -> dict[str, float]:
    """Factors that bring all sounds to one loudness, the highest one at which none clips."""
    gains = {}
    for name, audio in sounds.items():
        level = loudness(audio, rate)
        if level == -math.inf:
            raise DataError(f"{place} of {name} is silent, so nobody can judge it; leave it out")
        gains[name] = 10 ** ((LEVEL - level) / 20)
    peak = max(gains[name] * float(np.abs(audio).max()) for name, audio in sounds.items())
    return {name: gain * min(1.0, PEAK / peak) for name, gain in gains.items()}


def low_pass(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """The low anchor: nothing above 4 kHz, all below 3.5 kHz (Recommendation ITU-R BS.1534-3).

    Args:
        audio: `[channels, samples]`.
        sample_rate: Hz.
    """
    samples = audio.shape[1]
    padded = 1 << (samples + sample_rate // 10).bit_length()
    frequencies = np.fft.rfftfreq(padded, 1 / sample_rate)
    slope = np.clip((STOP - frequencies) / (STOP - CUTOFF), 0, 1)
    response = np.sin(np.pi / 2 * slope) ** 2
    filtered = np.fft.irfft(np.fft.rfft(audio, padded) * response, padded)[:, :samples]
    return filtered.astype(np.float32)


def _faded(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """The audio with raised-cosine ends, so that its repetition does not click."""
    length = round(_FADE * sample_rate)
    ramp = np.sin(np.pi / 2 * np.arange(length) / length) ** 2
    window = np.ones(audio.shape[1], np.float32)
    window[:length], window[-length:] = ramp, ramp[::-1]
    return (audio * window).astype(np.float32)
