"""Where segments are taken: source by source, recording by recording, where something sounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from unbraid.data.augment import Rng
from unbraid.data.config import DataConfig, Source
from unbraid.data.recordings import Recording
from unbraid.data.tracks import (
    STEM_FILE,
    StemSource,
    Track,
    audio_files,
    check_headers,
    check_lengths,
    find_tracks,
)
from unbraid.errors import DataError, setting

Song = dict[str, Recording]  # by stem; the recordings have one start
Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that train one network.

    Attributes:
        rank: its number among all.
        processes: how many there are.
        machine: the number of its machine.
        machines: how many there are.
    """

    rank: int = 0
    processes: int = 1
    machine: int = 0
    machines: int = 1

    def part(self, items: Sequence[Item]) -> Sequence[Item]:
        """The machine's own part; all, if there are fewer than machines."""
        return items[self.machine :: self.machines] if len(items) >= self.machines else items

    def each(self, make: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
        """`[make(item) for item in items]`, begun elsewhere in each process: they share a cache."""
        start = len(items) * self.rank // self.processes
        made = {index: make(items[index]) for index in [*range(start, len(items)), *range(start)]}
        return [made[index] for index in range(len(items))]


class Pool:
    """Recordings of one stem, to draw segments that sound.

    Args:
        sources: share and recordings of each source.
    """

    def __init__(self, sources: Sequence[tuple[float, Sequence[Recording]]]) -> None:
        self._shares = _shares([share for share, _ in sources])
        self._recordings = [recordings for _, recordings in sources]

    def draw(self, rng: Rng, samples: int) -> np.ndarray:
        """A random segment `[2, samples]` that sounds for a quarter second or more."""
        source = self._recordings[rng.choice(len(self._shares), p=self._shares)]
        recording = source[int(rng.integers(len(source)))]
        return recording.read(_sounding_start(rng, recording, samples), samples)


class SongPool:
    """Songs, to draw segments with all their stems.

    Args:
        sources: share and songs of each source.
        target: the stem whose activity decides where a segment begins.
    """

    def __init__(self, sources: Sequence[tuple[float, Sequence[Song]]], target: str) -> None:
        sounding = [
            (share, [song for song in songs if song[target].active.size])
            for share, songs in sources
        ]
        sources = [(share, songs) for share, songs in sounding if songs]
        self._shares = _shares([share for share, _ in sources])
        self._songs = [songs for _, songs in sources]
        self._target = target

    def draw(self, rng: Rng, samples: int, silent: bool = False) -> dict[str, np.ndarray]:
        """A random segment of a song, `[2, samples]` of each stem.

        Args:
            rng: decides which.
            samples: its length.
            silent: the target is silent in it: where the song has such a place and other stems
                sound there, else anywhere. Otherwise it sounds for a quarter second or more.
        """
        source = self._songs[rng.choice(len(self._shares), p=self._shares)]
        song = source[int(rng.integers(len(source)))]
        places = _places_without(song, self._target, samples) if silent else np.zeros(0)
        if places.size:
            start = int(rng.choice(places))
        else:
            start = _sounding_start(rng, song[self._target], samples)
        stems = {stem: recording.read(start, samples) for stem, recording in song.items()}
        if silent:
            stems[self._target] = np.zeros_like(stems[self._target])
        return stems


def stem_pools(
    config: DataConfig,
    targets: Sequence[str],
    residual: str,
    sample_rate: int,
    leave_out: frozenset[Path],
    place: Place,
) -> dict[str, Pool]:
    """A pool for each stem, of single recordings and of songs.

    Raises:
        DataError: if a stem has no source, a source no audio, a song's stems do not match, or a
            file is damaged.
    """
    songs = _songs(config, targets, residual, sample_rate, leave_out, place)
    pools = {}
    for stem in (*targets, residual):
        sources = []
        for name, source in config.stems.get(stem, {}).items():
            with setting(f"data.stems.{stem}.{name}"):
                singles = _singles(source, sample_rate, Path(config.cache), leave_out, place)
            sources.append((source.share, singles))
        sources += [
            (share, [song[stem] for song in found if song[stem].active.size])
            for share, found in songs
        ]
        there = [(share, recordings) for share, recordings in sources if recordings]
        if not there:
            why = _all_held_out(config, songs) or "; name a source in data.stems or in data.songs"
            raise DataError(f"no training audio for the stem {stem!r}{why}")
        pools[stem] = Pool(there)
    return pools


def song_pool(
    config: DataConfig,
    targets: Sequence[str],
    residual: str,
    sample_rate: int,
    leave_out: frozenset[Path],
    place: Place,
) -> SongPool:
    """A pool of whole songs.

    Raises:
        DataError: if there are sources of single recordings, no songs, a song's stems do not match,
            or a file is damaged.
    """
    if config.stems:
        raise DataError("data.shuffle=false takes all stems from data.songs; remove data.stems")
    songs = _songs(config, targets, residual, sample_rate, leave_out, place)
    if not any(song[targets[0]].active.size for _, found in songs for song in found):
        why = _all_held_out(config, songs) or "; name one in data.songs"
        raise DataError(f"no training songs with the stem {targets[0]!r}{why}")
    return SongPool(songs, targets[0])


def _songs(
    config: DataConfig,
    targets: Sequence[str],
    residual: str,
    sample_rate: int,
    leave_out: frozenset[Path],
    place: Place,
) -> list[tuple[float, list[Song]]]:
    """Share and songs of each source; all headers are read before any song is decoded."""
    found: list[tuple[float, Sequence[Track]]] = []
    for name, source in config.songs.items():
        with setting(f"data.songs.{name}"):
            tracks = find_tracks(Path(source.path), source.split)
        there = [one for one in tracks if leave_out.isdisjoint(one.files)]
        found.append((source.share, place.part(there)))
    for name, (_, own) in zip(config.songs, found, strict=True):
        with setting(f"data.songs.{name}"):
            for track in own:
                check_headers(track, targets, residual)

    def song(track: Track) -> Song:
        stems = {
            stem: Recording(track.parts(stem, targets), sample_rate, Path(config.cache))
            for stem in (*targets, residual)
        }
        lengths = [length for recording in stems.values() for length in recording.lengths]
        check_lengths(track.name, [length / sample_rate for length in lengths])
        return stems

    made = []
    for name, (share, own) in zip(config.songs, found, strict=True):
        with setting(f"data.songs.{name}"):
            made.append((share, place.each(song, own)))
    return made


def _all_held_out(config: DataConfig, songs: Sequence[tuple[float, list[Song]]]) -> str:
    """What to say of the first source whose songs are all left out; empty if there is none."""
    for (name, source), (_, found) in zip(config.songs.items(), songs, strict=True):
        if not found:
            count = len(find_tracks(Path(source.path), source.split))
            return (
                f": all of data.songs.{name} ({count} song{'s' * (count > 1)}) lies under"
                " data.valid or data.instrumentals; set data.valid_split, or another path"
            )
    return ""


def _singles(
    source: Source, sample_rate: int, cache: Path, leave_out: frozenset[Path], place: Place
) -> list[Recording]:
    def recording(path: Path) -> Recording:
        if path.name.lower().endswith(STEM_FILE):
            raise DataError(f"{path}: a song with all its stems; name its folder in data.songs")
        made = Recording([StemSource(path)], sample_rate, cache)
        if not made.active.size:
            raise DataError(f"{path}: silent throughout; remove it from the data set")
        return made

    folder = Path(source.path)
    paths = audio_files(folder / source.split if source.split else folder)
    there = [path for path in paths if path.resolve() not in leave_out]
    return place.each(recording, place.part(there))


def _sounding_start(rng: Rng, recording: Recording, samples: int) -> int:
    """A random start with one of the recording's active quarter seconds in the segment."""
    latest = max(0.0, min(0.8, 1 - recording.hop / samples))  # that it begins, as a part of it
    start = int(rng.choice(recording.active)) - int(rng.uniform(0, latest) * samples)
    if recording.samples >= samples:
        start = int(np.clip(start, 0, recording.samples - samples))
    return start


def _places_without(song: Song, target: str, samples: int) -> np.ndarray:
    """Starts of the segments in which a target is silent and another stem sounds."""
    hop = song[target].hop
    hops = -(-samples // hop)
    length = min(len(recording.sounding) for recording in song.values())
    if length < hops:
        return np.zeros(0, int)

    def counts(stem: str) -> np.ndarray:
        total = np.cumsum([0, *song[stem].sounding[:length]])
        return total[hops:] - total[:-hops]

    others = np.sum([counts(stem) for stem in song if stem != target], axis=0)
    return np.flatnonzero((counts(target) == 0) & (others > 0)) * hop


def _shares(shares: Sequence[float]) -> np.ndarray:
    return np.array(shares, float) / np.sum(shares)
