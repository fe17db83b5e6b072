"""Songs whose stems are known: one folder a song, one file a stem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unbraid.arrays import as_stereo
from unbraid.audio import load_audio
from unbraid.errors import DataError

LOSSLESS = (".wav", ".flac", ".aif", ".aiff")
LOSSY = (".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".wma", ".webm")


@dataclass(frozen=True)
class Track:
    """A song on disk.

    Attributes:
        name: the folder's name.
        stems: file of each stem, by the stem's name; the mixture is their sum.
    """

    name: str
    stems: dict[str, Path]

    def parts(self, stem: str, targets: Sequence[str]) -> tuple[Path, ...]:
        """Files whose sum is `stem`: the file of that name, or all files of no target.

        Raises:
            DataError: if the track has neither.
        """
        if stem in self.stems:
            return (self.stems[stem],)
        rest = tuple(path for name, path in self.stems.items() if name not in targets)
        if stem in targets or not rest:
            raise DataError(
                f"{self.name}: no file for the stem {stem!r} among {sorted(self.stems)}; "
                f"name the files after their stems, such as {stem}.wav"
            )
        return rest


def audio_files(folder: Path) -> list[Path]:
    """Audio files below a folder, sorted; a file stands for itself.

    Raises:
        DataError: if there are none.
    """
    if folder.is_file():
        return [folder]
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in LOSSLESS + LOSSY)
    if not files:
        raise DataError(f"{folder}: no audio files below this folder; check the path")
    return files


def find_tracks(root: Path) -> list[Track]:
    """Songs below a folder: every folder that holds two or more stem files, sorted by name.

    A file named `mixture` is not a stem; the mixture is always the sum of the stems.

    Raises:
        DataError: if there are none.
    """
    folders: dict[Path, dict[str, Path]] = {}
    for path in audio_files(root):
        if path.stem != "mixture":
            folders.setdefault(path.parent, {})[path.stem] = path
    tracks = [
        Track(folder.name, stems) for folder, stems in sorted(folders.items()) if len(stems) > 1
    ]
    if not tracks:
        raise DataError(
            f"{root}: no folder here holds two stems; a song is a folder with files such as "
            "vocals.wav and accompaniment.wav"
        )
    return tracks


def load_track(
    track: Track, targets: Sequence[str], residual: str, sample_rate: int
) -> dict[str, np.ndarray]:
    """Decode a track's stems.

    Args:
        track: the song.
        targets: stems to load by name.
        residual: stem that is the sum of all the others.
        sample_rate: Hz.

    Returns:
        Float32 `[2, samples]` for each target and the residual; their sum is the mixture.

    Raises:
        DataError: if the stems differ in length by more than 0.1 s.
    """
    stems = {}
    for stem in (*targets, residual):
        parts = [as_stereo(load_audio(path, sample_rate)[0]) for path in track.parts(stem, targets)]
        stems[stem] = _sum_of_equals(track.name, parts, sample_rate)
    samples = _shortest(track.name, list(stems.values()), sample_rate)
    return {stem: audio[:, :samples] for stem, audio in stems.items()}


def _sum_of_equals(name: str, parts: list[np.ndarray], sample_rate: int) -> np.ndarray:
    samples = _shortest(name, parts, sample_rate)
    return np.stack([part[:, :samples] for part in parts]).sum(0)


def _shortest(name: str, parts: list[np.ndarray], sample_rate: int) -> int:
    lengths = [part.shape[1] for part in parts]
    if max(lengths) - min(lengths) > sample_rate // 10:
        raise DataError(
            f"{name}: stems of {min(lengths) / sample_rate:.1f} s and "
            f"{max(lengths) / sample_rate:.1f} s; stems of a song must be equally long"
        )
    return min(lengths)
