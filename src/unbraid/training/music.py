"""What a training run listens to: random mixtures, and what it is validated on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from torch.utils.data import DataLoader, Dataset

from unbraid.data.config import DataConfig
from unbraid.data.mixing import Mixtures, held_out
from unbraid.data.recordings import Recording
from unbraid.data.sampling import Place
from unbraid.data.tracks import StemSource, audio_files, check_headers, find_tracks, load_track
from unbraid.errors import DataError, setting

EXCERPT = 12.0  # seconds of an instrumental


class Songs(Dataset[dict[str, Any]]):
    """Whole songs, decoded when they are asked for.

    Args:
        root: folder of songs.
        split: only its split `train`, `valid` or `test`.
        targets: stems to learn.
        residual: the stem that is everything else.
        sample_rate: Hz.

    Raises:
        DataError: if there are none, two have one name, or stems are missing or do not match.
        AudioError: if a file cannot be read.
    """

    def __init__(
        self,
        root: Path,
        split: str | None,
        targets: Sequence[str],
        residual: str,
        sample_rate: int,
    ) -> None:
        self._tracks = find_tracks(root, split)
        for name, count in Counter(track.name for track in self._tracks).items():
            if count > 1:
                raise DataError(f"two tracks are named {name!r}; rename the folder of one")
        self._arguments = (targets, residual, sample_rate)
        for track in self._tracks:
            check_headers(track, targets, residual)

    def __len__(self) -> int:
        return len(self._tracks)

    def __getitem__(self, index: int) -> dict[str, Any]:
        track = self._tracks[index]
        return {"name": track.name, "stems": load_track(track, *self._arguments)}


class Instrumentals(Dataset[dict[str, Any]]):
    """The middle twelve seconds of recordings without vocals, or all of shorter ones.

    Args:
        folders: of the recordings.
        sample_rate: Hz.
        cache: folder for decoded audio.

    Raises:
        DataError: if a folder holds none.
    """

    def __init__(self, folders: Sequence[str], sample_rate: int, cache: Path) -> None:
        files = [file.resolve() for folder in folders for file in audio_files(Path(folder))]
        self._paths = list(dict.fromkeys(files))
        self._arguments = (sample_rate, cache)
        self._samples = int(EXCERPT * sample_rate)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path = self._paths[index]
        recording = Recording([StemSource(path)], *self._arguments)
        if not recording.active.size:
            raise DataError(f"{path}: silent throughout; remove it")
        samples = min(self._samples, recording.samples)
        start = (recording.samples - samples) // 2
        return {"name": str(path), "mixture": recording.read(start, samples)}


class Music(lightning.LightningDataModule):
    """Mixtures of its own for each process, and what is validated on, shared among them.

    Args:
        config: where the music comes from.
        model: the network's configuration.
        seed: of the mixtures.
        start: a number that differs between a run and its resumption, so that the mixtures of its
            beginning are not drawn again.
        place: of this process among those that train the network.

    Raises:
        DataError: if the data lacks something.
    """

    def __init__(self, config: DataConfig, model: Any, seed: int, start: int, place: Place) -> None:
        super().__init__()
        self._config, self._seeds = config, (seed, start)
        self._stems = (model.targets, model.residual, model.sample_rate)
        if not config.shard:
            place = replace(place, machine=0, machines=1)
        self._mixtures = Mixtures(config, *self._stems, (), held_out(config), place)
        with setting("data.valid"):
            self._songs = Songs(Path(config.valid), config.valid_split, *self._stems)
        with setting("data.instrumentals"):
            self._instrumentals = Instrumentals(
                config.instrumentals, model.sample_rate, Path(config.cache)
            )

    def read_songs(self, scored: bool) -> None:
        """Decode all that is validated on, so that what is damaged shows before hours have passed.

        Args:
            scored: whether the first target's SDR is needed, so that it has to sound somewhere.

        Raises:
            DataError: if something cannot be read, an instrumental is silent, or no song gives an
                SDR that is needed.
        """
        target, sounds = self._stems[0][0], False
        with setting("data.instrumentals"):
            for index in range(len(self._instrumentals)):
                self._instrumentals[index]
        with setting("data.valid"):
            for index in range(len(self._songs)):
                sounds |= bool(np.any(self._songs[index]["stems"][target].sum(0)))
            if scored and not sounds:
                raise DataError(
                    f"{target} is silent in all songs, which leaves nothing to score; add a song "
                    "with it, or set run.monitor=valid/loss"
                )

    def train_dataloader(self) -> DataLoader[Any]:
        """Endless batches of mixtures."""
        rank = self.trainer.global_rank if self.trainer else 0
        self._mixtures.seed = [*self._seeds, rank]
        return DataLoader(
            self._mixtures,
            self._config.batch_size,
            num_workers=self._config.workers,
            persistent_workers=self._config.workers > 0,
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """One song at a time, then one instrumental at a time, if there are any."""
        songs = [self._songs, self._instrumentals] if len(self._instrumentals) else [self._songs]
        return [DataLoader(each, batch_size=None, collate_fn=_as_it_is) for each in songs]


def _as_it_is(item: Any) -> Any:
    """Arrays and not tensors: Lightning would put those on the GPU."""
    return item
