"""Songs whose stems are known: MUSDB18, MUSDB18-HQ, or any folder a song and file a stem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unbraid.arrays import as_stereo
from unbraid.audio import AudioInfo, AudioReader, load_audio
from unbraid.data.splits import check_split, split_of
from unbraid.errors import DataError, reason
from unbraid.folders import files_below

LOSSLESS = (".wav", ".flac", ".aif", ".aiff")
LOSSY = (".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".wma", ".webm")
STEM_FILE = ".stem.mp4"  # of MUSDB18: all stems of a song as streams of one file
STREAMS = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}  # in it; stream 0 is the mixture
MIXTURE = "mixture"
TOLERANCE = 0.1  # seconds by which stems of a song may differ in length


@dataclass(frozen=True)
class StemSource:
    """Where the audio of a stem is: a file, or one of the audio streams of a file."""

    path: Path
    stream: int = 0

    def open(self) -> AudioReader:
        """A reader at the stem's start."""
        return AudioReader(self.path, self.stream)

    def probe(self) -> AudioInfo:
        """What the file says of the stem."""
        with self.open() as reader:
            return reader.info

    def load(self, sample_rate: int | None = None) -> np.ndarray:
        """The whole stem as stereo `[2, samples]`, resampled to a rate in Hz if one is given."""
        return as_stereo(load_audio(self.path, sample_rate, self.stream)[0])

    @property
    def lossy(self) -> bool:
        """Whether the file's suffix is that of a lossy format."""
        return self.path.suffix.lower() in LOSSY


@dataclass(frozen=True)
class Track:
    """A song on disk.

    Attributes:
        name: of the folder, or of the `.stem.mp4`.
        stems: where each stem is, by the stem's name; the mixture is their sum.
        mixture: the mixture's own file or stream, to check the stems against.
        split: `train`, `valid` or `test`, where the data set has splits.
        root: folder below which it was found.
        doubled: stems that have several files, of which only one can be theirs.
    """

    name: str
    root: Path
    stems: dict[str, StemSource]
    mixture: StemSource | None = None
    split: str | None = None
    doubled: tuple[str, ...] = ()

    @property
    def place(self) -> Path:
        """Its folder, or its `.stem.mp4`."""
        path = next(iter(self.stems.values())).path
        return path if _holds_all_stems(path) else path.parent

    def parts(self, stem: str, targets: Sequence[str]) -> tuple[StemSource, ...]:
        """Sources whose sum is `stem`: the one of that name, or all of no target.

        Raises:
            DataError: if the track has neither.
        """
        if stem in self.stems:
            return (self.stems[stem],)
        rest = tuple(source for name, source in self.stems.items() if name not in targets)
        if stem in targets or not rest:
            raise DataError(
                f"{self.name}: no file for the stem {stem!r} among {sorted(self.stems)}; "
                f"name the files after their stems, such as {stem}.wav"
            )
        return rest

    @property
    def files(self) -> frozenset[Path]:
        """Files of the stems, resolved."""
        return frozenset(source.path.resolve() for source in self.stems.values())


def audio_files(folder: Path) -> list[Path]:
    """Audio files below a folder, also in linked ones, sorted; a file stands for itself.

    Raises:
        DataError: if there are none, or a folder cannot be read.
    """
    if folder.is_file():
        return [folder]

    def refuse(error: OSError) -> None:
        raise DataError(
            f"{error.filename}: cannot be read: {reason(error)}; allow it, or move it away"
        ) from error

    files = sorted(
        path
        for path in (files_below(folder, refuse) if folder.exists() else ())
        if path.suffix.lower() in LOSSLESS + LOSSY and not path.name.startswith(".")
    )
    if not files:
        raise DataError(f"{folder}: no audio files below this folder; check the path")
    return files


def find_tracks(root: Path, split: str | None = None) -> list[Track]:
    """Songs below a folder: every `.stem.mp4`, and every folder that holds two or more stem files.

    A file named `mixture` is not a stem, although a folder that holds it and one stem is a song, if
    one that lacks something; the mixture is always the sum of the stems.

    Args:
        root: the data set.
        split: `train`, `valid` or `test`, for the songs below the sub-folder of that name alone;
            MUSDB18's 14 validation songs, which lie below `train`, are in `valid` instead.

    Returns:
        The songs, sorted by path.

    Raises:
        DataError: if there are none, or none of the split.
    """
    if split is not None:
        check_split(split)
    if root.is_file() and not _holds_all_stems(root):
        raise DataError(f"{root}: a file; give the folder of a song's stems, or of songs")
    places = sorted(_places(root).items())
    tracks = [_track(root, place, stems) for place, stems in places if len(stems) > 1]
    if not tracks:
        raise DataError(
            f"{root}: no folder here holds two stems; a song is a folder with files such as "
            "vocals.wav and accompaniment.wav, or a .stem.mp4"
        )
    if split is None:
        return tracks
    chosen = [track for track in tracks if track.split == split]
    if not chosen:
        there = sorted({track.split for track in tracks if track.split})
        raise DataError(
            f"{root}: no songs in the split {split!r}; splits are sub-folders, and here are: "
            f"{', '.join(there) or 'none'}"
        )
    return chosen


def lone_stems(root: Path) -> list[Path]:
    """Audio files alone in a folder below a data set's, which `find_tracks` passes over, sorted."""
    return [
        sources[0].path
        for place, stems in sorted(_places(root).items())
        if len(stems) == 1 and place != root
        for sources in stems.values()
    ]


def _holds_all_stems(path: Path) -> bool:
    return path.name.lower().endswith(STEM_FILE)


def _places(root: Path) -> dict[Path, dict[str, list[StemSource]]]:
    """Every `.stem.mp4` and every folder with audio files, and what may be which stem there."""
    places: dict[Path, dict[str, list[StemSource]]] = {}
    for path in audio_files(root):
        if _holds_all_stems(path):
            streams = {MIXTURE: 0, **STREAMS}
            places[path] = {stem: [StemSource(path, stream)] for stem, stream in streams.items()}
        else:
            place = places.setdefault(path.parent, {})
            place.setdefault(path.stem, []).append(StemSource(path))
    return places


def _track(root: Path, place: Path, found: dict[str, list[StemSource]]) -> Track:
    name = place.name[: -len(STEM_FILE)] if _holds_all_stems(place) else place.name
    inside = place.relative_to(root).parts[:-1] if place != root else ()
    stems = {stem: sources[0] for stem, sources in found.items()}
    mixture = stems.pop(MIXTURE, None)
    doubled = tuple(stem for stem in stems if len(found[stem]) > 1)
    return Track(name, root, stems, mixture, split_of(inside, name), doubled)


def check_headers(track: Track, targets: Sequence[str], residual: str) -> list[AudioInfo]:
    """What a track's files say of its stems.

    Args:
        track: the song.
        targets: stems that are needed by name.
        residual: stem that is the sum of all the others.

    Raises:
        DataError: if stems are missing, empty or there twice, or differ in sample rate or length.
        AudioError: if one cannot be read.
    """
    if track.doubled:
        raise DataError(f"{track.name}: {several_files(track.doubled)}")
    sources = dict.fromkeys(
        source for stem in (*targets, residual) for source in track.parts(stem, targets)
    )
    found = [source.probe() for source in sources]
    empty = [
        source.path.name for source, info in zip(sources, found, strict=True) if info.samples == 0
    ]
    if empty:
        raise DataError(
            f"{track.name}: no samples in {', '.join(empty)}; remove the song or mend it"
        )
    rates = {info.sample_rate for info in found}
    if len(rates) > 1:
        raise DataError(
            f"{track.name}: stems differ in sample rate: {sorted(rates)}; resample them to one"
        )
    check_lengths(track.name, [i.samples / i.sample_rate for i in found if i.samples is not None])
    return found


def several_files(stems: Sequence[str]) -> str:
    """What is wrong with stems of which there are several files, and what to do."""
    return f"several files of {', '.join(stems)}; leave one of each"


def check_lengths(name: str, seconds: Sequence[float]) -> None:
    """Raise a DataError if stems of a song last longer than others by more than `TOLERANCE`."""
    if seconds and max(seconds) - min(seconds) > TOLERANCE:
        raise DataError(
            f"{name}: stems of {min(seconds):.1f} s and {max(seconds):.1f} s; "
            "stems of a song must be equally long"
        )


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
        DataError: if the stems differ in length by more than `TOLERANCE`.
    """
    stems = {}
    for stem in (*targets, residual):
        parts = [source.load(sample_rate) for source in track.parts(stem, targets)]
        samples = _shortest(track.name, parts, sample_rate)
        stems[stem] = np.stack([part[:, :samples] for part in parts]).sum(0)
    samples = _shortest(track.name, list(stems.values()), sample_rate)
    return {stem: audio[:, :samples] for stem, audio in stems.items()}


def _shortest(name: str, parts: list[np.ndarray], sample_rate: int) -> int:
    lengths = [part.shape[1] for part in parts]
    check_lengths(name, [length / sample_rate for length in lengths])
    return min(lengths)
