"""What a training run listens to: random mixtures, and whole songs to validate on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from torch.utils.data import DataLoader, Dataset

from unbraid.data.config import DataConfig
from unbraid.data.mixing import Mixtures, held_out
from unbraid.data.sampling import Place
from unbraid.data.tracks import check_headers, find_tracks, load_track
from unbraid.errors import AudioError, DataError


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


class Music(lightning.LightningDataModule):
    """Mixtures of its own for each process, and the validation songs, shared among them.

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
        with _named():
            self._songs = Songs(Path(config.valid), config.valid_split, *self._stems)

    def read_songs(self, scored: bool) -> None:
        """Decode every validation song once, so that a damaged one shows before hours have passed.

        Args:
            scored: whether the first target's SDR is needed, so that it has to sound somewhere.

        Raises:
            DataError: if one cannot be read, or no song gives an SDR that is needed.
        """
        target, sounds = self._stems[0][0], False
        with _named():
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

    def val_dataloader(self) -> DataLoader[Any]:
        """One song at a time."""
        return DataLoader(self._songs, batch_size=None)


@contextmanager
def _named() -> Iterator[None]:
    """What is wrong with the validation songs begins with their setting's name."""
    try:
        yield
    except (AudioError, DataError) as error:
        raise DataError(f"data.valid: {error}") from None
