"""What can be scored: networks, oracles and floors, and stems that another program made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unbraid.arrays import as_stereo, fitted
from unbraid.audio import load_audio, probe
from unbraid.data.tracks import LOSSLESS, LOSSY, TOLERANCE, Track, several_files
from unbraid.errors import DataError
from unbraid.evaluation.oracle import ideal_ratio_mask, multichannel_wiener
from unbraid.notices import silence_expected

if TYPE_CHECKING:
    from unbraid.separator import Separator

Stems = dict[str, np.ndarray]
PAIR = ("vocals", "accompaniment")
_NAMED = 3  # folders of estimates in a message


class System(Protocol):
    """Something that estimates the stems of a track; it can be pickled."""

    @property
    def name(self) -> str:
        """In tables, and of its folder of scores."""

    def targets(self, track: Track) -> tuple[str, ...]:
        """Stems that it estimates of a track; raises a DataError if it cannot."""

    def stamp(self, track: Track) -> dict[str, Any]:
        """What its estimates depend on, as JSON: when that changes, the track is scored anew."""

    def estimate(self, track: Track, stems: Stems, sample_rate: int) -> Stems:
        """Estimates of its targets, `[2, samples]` each.

        Args:
            track: the track.
            stems: the true vocals and accompaniment, `[2, samples]` each.
            sample_rate: Hz.
        """


@dataclass(frozen=True)
class Network:
    """A separator, by the name or path of its weights.

    Attributes:
        name: of the weights.
        path: their file.
        sha256: of the weights.
        config: of the network that they are for, as JSON.
        device: that it is to run on.
    """

    name: str
    path: Path
    sha256: str
    config: str
    device: str = "auto"

    @classmethod
    def find(cls, name_or_path: str, device: str = "auto") -> Network:
        """The system of a shipped model or a weight file.

        Raises:
            ModelError: if there is no such model, or its file is damaged.
            DataError: if it does not separate vocals and accompaniment.
        """
        from unbraid.models import find
        from unbraid.models.checkpoint import read_info

        info = read_info(find(name_or_path))
        if {*info.targets, info.residual} != set(PAIR):
            raise DataError(
                f"model {name_or_path} has no vocals and accompaniment to score; separate the "
                "songs with it, and give its stems by --estimates"
            )
        config = json.dumps(info.config, sort_keys=True)
        return cls(info.name, info.path.absolute(), info.sha256, config, device)

    def targets(self, track: Track) -> tuple[str, ...]:
        """Stems that it estimates."""
        return PAIR

    def stamp(self, track: Track) -> dict[str, Any]:
        """What its estimates depend on."""
        return {"model": self.sha256, "config": self.config}

    def estimate(self, track: Track, stems: Stems, sample_rate: int) -> Stems:
        """Estimates of its targets."""
        with silence_expected():
            separation = _separator(self.path, self.device)(sum_of(stems), sample_rate)
        return {target: separation[target] for target in PAIR}


@cache
def _separator(path: Path, device: str) -> Separator:
    from unbraid.separator import Separator

    return Separator.from_pretrained(path, device=device)


def _mixture(stems: Mapping[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(stems, sum_of(stems))


ORACLES: dict[str, Callable[[Stems], Mapping[str, Any]]] = {
    "mixture": _mixture,
    "irm1": partial(ideal_ratio_mask, power=1),
    "irm2": partial(ideal_ratio_mask, power=2),
    "mwf": multichannel_wiener,
}


@dataclass(frozen=True)
class Oracle:
    """A floor or an upper bound, by its name in `ORACLES`; it knows the true stems."""

    name: str

    def targets(self, track: Track) -> tuple[str, ...]:
        """Stems that it estimates."""
        return PAIR

    def stamp(self, track: Track) -> dict[str, Any]:
        """What its estimates depend on."""
        return {"oracle": self.name}

    def estimate(self, track: Track, stems: Stems, sample_rate: int) -> Stems:
        """Estimates of its targets."""
        return dict(ORACLES[self.name](stems))


@dataclass(frozen=True)
class Folder:
    """Stems that another program made: `path/TRACK/STEM.wav`, or another format.

    Vocals are needed, and the accompaniment or all stems that it is the sum of.
    """

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.absolute().name

    def targets(self, track: Track) -> tuple[str, ...]:
        """Stems that it estimates."""
        files = self._files(track)
        found = [path.stem for path in self._audio(track)]
        if doubled := [stem for stem in files if found.count(stem) > 1]:
            raise DataError(f"{self.path / track.name}: {several_files(doubled)}")
        others = [stem for stem in track.stems if stem not in PAIR]
        whole = others if others and all(stem in files for stem in others) else []
        if "vocals" not in files or ("accompaniment" not in files and not whole):
            raise DataError(
                f"{self.path / track.name}: needs vocals.wav and accompaniment.wav (or all stems of"
                f" the track); {self._there(track)}"
            )
        self._check(track, files)
        return (*PAIR, *whole)

    def stamp(self, track: Track) -> dict[str, Any]:
        """What its estimates depend on."""
        return {"estimates": {stem: stamp_of(path) for stem, path in self._files(track).items()}}

    def estimate(self, track: Track, stems: Stems, sample_rate: int) -> Stems:
        """Estimates of its targets."""
        files = self._files(track)
        estimates = {
            stem: load_audio(files[stem])[0] for stem in self.targets(track) if stem in files
        }
        if "accompaniment" not in estimates:
            estimates["accompaniment"] = sum_of(
                {stem: audio for stem, audio in estimates.items() if stem != "vocals"}
            )
        samples = stems["vocals"].shape[1]
        return {stem: fitted(as_stereo(audio), samples) for stem, audio in estimates.items()}

    def _files(self, track: Track) -> dict[str, Path]:
        return {
            path.stem: path for path in self._audio(track) if path.stem in (*PAIR, *track.stems)
        }

    def _audio(self, track: Track) -> list[Path]:
        folder = self.path / track.name
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        return [
            path
            for path in files
            if path.suffix.lower() in LOSSLESS + LOSSY and not path.name.startswith(".")
        ]

    def _there(self, track: Track) -> str:
        """What is where the estimates ought to be, to see how it is called."""
        if (self.path / track.name).is_dir():
            return f"there is {', '.join(path.name for path in self._audio(track)) or 'no audio'}"
        folders = sorted(path.name for path in self.path.iterdir() if path.is_dir())
        more = ", …" if folders[_NAMED:] else ""
        return f"there is no such folder, but {', '.join(folders[:_NAMED]) or 'none'}{more}"

    def _check(self, track: Track, files: dict[str, Path]) -> None:
        true = next(iter(track.stems.values())).probe()
        for path in files.values():
            found = probe(path)
            if found.sample_rate != true.sample_rate:
                raise DataError(
                    f"{path}: {found.sample_rate} Hz, but the track's stems have"
                    f" {true.sample_rate} Hz; resample the estimate first"
                )
            if min(found.channels, 2) != min(true.channels, 2):
                raise DataError(
                    f"{path}: {found.channels} channel(s), but the track's stems have"
                    f" {true.channels}; mono and stereo cannot be compared"
                )
            if (
                found.samples is not None
                and true.samples is not None
                and abs(found.samples - true.samples) > TOLERANCE * true.sample_rate
            ):
                raise DataError(
                    f"{path}: {found.duration:.2f} s, but the track's stems have"
                    f" {true.duration:.2f} s; an estimate is as long as the song"
                )


def make_systems(
    models: list[str], estimates: list[Path] | None = None, device: str = "auto"
) -> list[System]:
    """Systems by the names that the command line takes.

    Args:
        models: keys of `ORACLES`, names of shipped models, or paths of weight files.
        estimates: folders with stems that another program made.
        device: where networks run.

    Raises:
        ModelError: for an unknown model.
        DataError: for a folder that is not there, or two systems of one name.
    """
    systems: list[System] = [
        Oracle(name) if name in ORACLES else Network.find(name, device) for name in models
    ]
    for path in estimates or []:
        if not path.is_dir():
            raise DataError(f"{path}: no such folder of estimates; check the path")
        systems.append(Folder(path))
    names = [system.name for system in systems]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"two systems are named {name!r}: rename a file or folder")
    return systems


def sum_of(stems: Mapping[str, np.ndarray]) -> np.ndarray:
    """Sum of stems `[channels, samples]`, cut to the shortest."""
    samples = min(audio.shape[1] for audio in stems.values())
    return np.sum([audio[:, :samples] for audio in stems.values()], axis=0)


def stamp_of(path: Path) -> list[int]:
    """Size of a file in bytes and its time of modification in ns."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]
